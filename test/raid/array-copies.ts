/**
 * A layer that knows what is right finds it among the copies of an array, and has it written where
 * it is not.
 */

import test, { type ExecutionContext } from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import type { Mended } from '../../src/block/redundancy.ts';
import { EIO, ENODEV, OK } from '../../src/block/status.ts';
import { redundancyOf } from '../../src/raid/array-copies.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { BLOCK, FAST, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const UNPACED = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 40 } };
const STRIP = 4;

interface Filled {
  readonly bench: ManagedBench;
  readonly content: Uint8Array;
  /** Of each member, as it should be. */
  readonly sound: Uint8Array[];
}

async function filled(level: LevelName, members: number, blanks = 0): Promise<Filled> {
  const bench = new ManagedBench({ level, members, strip: STRIP, delayUsMax: 20, blanks });
  await bench.create();
  const { array } = await bench.start(bench.disks.slice(0, members), {}, UNPACED);
  const content = new Random(3).bytes(array.geometry.blockCount * BLOCK);
  if ((await bench.drive(bench.write(0, content))) !== OK) throw new Error('an array takes data');
  await bench.settle();
  const sound = bench.disks.slice(0, members).map((disk) => bench.data(disk).slice());
  return { bench, content, sound };
}

function rot({ bench }: Filled, slot: number, block: number): void {
  bench.data(bench.disks[slot]!)[block * BLOCK + 17]! ^= 4;
}

/** Mends a range of the array; what is right is what was written. */
async function mend(
  t: ExecutionContext,
  { bench, content }: Filled,
  block: number,
  blockCount: number,
  repair: boolean,
): Promise<Mended> {
  const { arena } = bench.reactor;
  const bytes = blockCount * BLOCK;
  const buffer = arena.allocate(2 * bytes);
  const right = Buffer.from(content.subarray(block * BLOCK, block * BLOCK + bytes));
  const isRight = (): boolean => right.equals(arena.u8.subarray(buffer, buffer + bytes));
  const redundancy = redundancyOf(bench.manager!.array)!;
  const mended = await bench.drive(redundancy.mend({ block, blockCount, buffer, repair, isRight }));
  if (mended.found) t.true(isRight(), 'what is found is in the buffer');
  arena.release(buffer, 2 * bytes);
  t.true(bench.manager!.array.locks.idle);
  return mended;
}

function same(t: ExecutionContext, { bench, sound }: Filled): void {
  for (const [slot, bytes] of sound.entries()) sameBytes(t, bench.data(bench.disks[slot]!), bytes);
}

test('each mirror that is wrong is found, and written only where that is wanted', async (t) => {
  const world = await filled('raid1', 3);
  rot(world, 0, 10);
  rot(world, 2, 11);
  const looked = await mend(t, world, 8, 8, false);
  t.deepEqual(looked, { found: true, status: OK, wrong: [0, 2], repaired: [] });
  t.notDeepEqual(world.bench.data(world.bench.disks[0]!), world.sound[0]);
  const mended = await mend(t, world, 8, 8, true);
  t.deepEqual(mended, { found: true, status: OK, wrong: [0, 2], repaired: [0, 2] });
  same(t, world);
  const { members } = world.bench.manager!.status();
  t.deepEqual(
    members.map(({ repaired_blocks }) => repaired_blocks),
    [8, 0, 8],
  );
  t.true(world.bench.kinds().includes('blocks-repaired'));
  await world.bench.stop();
});

test('where no copy is right nothing is written', async (t) => {
  for (const level of ['raid1', 'raid5f'] as const) {
    const world = await filled(level, 3);
    const wrong = level === 'raid1' ? [0, 1, 2] : [0, 1];
    for (const slot of wrong) rot(world, slot, 1);
    const before = world.bench.disks.map(({ bytes }) => bytes.slice());
    const mended = await mend(t, world, 1, 1, true);
    t.like(mended, { found: false, status: OK, repaired: [] });
    for (const [slot, bytes] of before.entries())
      sameBytes(t, world.bench.disks[slot]!.bytes, bytes);
    await world.bench.stop();
  }
});

test('a chunk that is wrong is computed from all others, whichever it is', async (t) => {
  const world = await filled('raid5f', 4);
  // Three stripes, with their parity on members 3, 2 and 1.
  for (let block = 0; block < 9 * STRIP; block += 1) {
    const stripe = Math.floor(block / (3 * STRIP));
    const chunk = Math.floor(block / STRIP) % 3;
    const slot = chunk < 3 - stripe ? chunk : chunk + 1;
    const at = stripe * STRIP + (block % STRIP);
    rot(world, slot, at);
    t.deepEqual(await mend(t, world, block, 1, false), {
      found: true,
      status: OK,
      wrong: [slot],
      repaired: [],
    });
    t.like(await mend(t, world, block, 1, true), { wrong: [slot], repaired: [slot] });
  }
  same(t, world);
  await world.bench.stop();
});

test('a range over several stripes is mended where one member is wrong', async (t) => {
  const world = await filled('raid5f', 3);
  rot(world, 1, 0);
  rot(world, 1, 2 * STRIP + 1);
  t.like(await mend(t, world, 2, 22, true), { found: true, wrong: [1], repaired: [1] });
  same(t, world);
  await world.bench.stop();
});

test('a block that cannot be read is computed, and written again', async (t) => {
  for (const level of ['raid1', 'raid5f'] as const) {
    const world = await filled(level, 3);
    const disk = world.bench.disks[0]!;
    let written = 0;
    disk.fault = (io) => {
      if (io.op === OP_WRITE && io.block === OFFSET + 1) written += 1;
      const hit = io.block <= OFFSET + 1 && OFFSET + 1 < io.block + io.blockCount;
      return io.op === OP_READ && hit ? EIO : OK;
    };
    t.like(await mend(t, world, 1, 1, true), { found: true, wrong: [0], repaired: [0] });
    t.is(written, 1);
    t.true(world.bench.manager!.status().members[0]!.read_errors! > 0);
    disk.fault = () => OK;
    await world.bench.stop();
  }
});

test('without its other members an array has nothing to compute from, and says so', async (t) => {
  const world = await filled('raid5f', 3);
  await world.bench.drive(world.bench.manager!.failMember(2));
  await world.bench.settle();
  rot(world, 0, 1);
  t.like(await mend(t, world, 1, 1, true), { found: false, status: ENODEV });
  // The chunk of the member that is out is computed all the same.
  t.like(await mend(t, world, 2 * STRIP + STRIP, 1, true), { found: true, wrong: [] });
  await world.bench.stop();
});

test('a member that does not take a repair leaves, and is copied when it returns', async (t) => {
  for (const level of ['raid1', 'raid5f'] as const) {
    const world = await filled(level, 3);
    const { bench, content } = world;
    const disk = bench.disks[0]!;
    rot(world, 0, 1);
    disk.fault = (io) => (io.op === OP_WRITE && io.block >= OFFSET ? EIO : OK);
    t.like(await mend(t, world, 1, 1, true), { found: true, wrong: [0], repaired: [] });
    t.is(bench.health()[0], 'failed');
    disk.fault = () => OK;
    await bench.settle();
    await bench.drive(bench.manager!.removeMember(0));
    await bench.drive(disk.open(bench.reactor));
    t.is((await bench.drive(bench.manager!.addMember(disk))).mode, 'delta');
    await bench.settle();
    await bench.drive(bench.manager!.failMember(1));
    sameBytes(t, await bench.drive(bench.read(0, content.length / BLOCK)), content);
    await bench.stop();
  }
});

test('a target that was given what is wrong gets what is right', async (t) => {
  const world = await filled('raid1', 2, 1);
  const { bench, content } = world;
  rot(world, 0, 0);
  const target = bench.disks[2]!;
  await bench.drive(target.open(bench.reactor));
  bench.manager!.setRate(40 * 1024);
  await bench.drive(bench.manager!.replaceMember(0, target));
  await bench.drive(bench.sleep(3_000_000));
  await bench.drive(bench.manager!.pauseProcess());
  await bench.drive(bench.sleep(200_000));
  t.notDeepEqual(bench.data(target).slice(0, BLOCK), content.slice(0, BLOCK));
  t.like(await mend(t, world, 0, 1, true), { wrong: [0], repaired: [0] });
  sameBytes(t, bench.data(target).slice(0, BLOCK), content.slice(0, BLOCK));
  await bench.drive(bench.manager!.resumeProcess());
  bench.manager!.setRate(2 ** 40);
  await bench.settle();
  await bench.stop();
});

test('a mend waits for the writes before it, and those behind it for the mend', async (t) => {
  const world = await filled('raid5f', 3);
  const { bench } = world;
  const unit = 2 * STRIP;
  const later = new Random(9).bytes(unit * BLOCK);
  rot(world, 0, 1);
  const { arena } = bench.reactor;
  const buffer = arena.allocate(2 * BLOCK);
  let judged = 0;
  const first = new Random(8).bytes(unit * BLOCK);
  const isRight = (): boolean => {
    judged += 1;
    return Buffer.from(first.subarray(BLOCK, 2 * BLOCK)).equals(
      arena.u8.subarray(buffer, buffer + BLOCK),
    );
  };
  const redundancy = redundancyOf(bench.manager!.array)!;
  const work = Promise.all([
    bench.write(0, first),
    redundancy.mend({ block: 1, blockCount: 1, buffer, repair: true, isRight }),
    bench.write(0, later),
  ]);
  const [, mended] = await bench.drive(work);
  t.like(mended, { found: true, wrong: [], repaired: [] });
  t.is(judged, 1);
  sameBytes(t, await bench.drive(bench.read(0, unit)), later);
  arena.release(buffer, 2 * BLOCK);
  await bench.stop();
});

test('copies of a mirror are read one by one, and one that is out says so', async (t) => {
  const world = await filled('raid1', 2);
  const { bench, content } = world;
  rot(world, 1, 0);
  const redundancy = redundancyOf(bench.manager!.array)!;
  t.is(redundancy.copyCount, 2);
  const { arena } = bench.reactor;
  const at = arena.allocate(4 * BLOCK);
  const shows = (): boolean =>
    Buffer.from(content.subarray(0, 4 * BLOCK)).equals(arena.u8.subarray(at, at + 4 * BLOCK));
  t.is(await bench.drive(redundancy.readCopy(0, 0, 4, at)), OK);
  t.true(shows());
  t.is(await bench.drive(redundancy.readCopy(1, 0, 4, at)), OK);
  t.false(shows());
  await bench.drive(bench.manager!.failMember(1));
  t.is(await bench.drive(redundancy.readCopy(1, 0, 4, at)), ENODEV);
  arena.release(at, 4 * BLOCK);
  await bench.stop();
  const alone = await filled('raid0', 2);
  t.is(redundancyOf(alone.bench.manager!.array), null);
  await alone.bench.stop();
});
