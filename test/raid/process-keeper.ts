import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import type { LiveRanges, SpaceUser } from '../../src/block/live-ranges.ts';
import { EIO, OK } from '../../src/block/status.ts';
import type { ManagerOptions } from '../../src/raid/metadata-keeper.ts';
import { Random } from '../_helpers/array-fixture.ts';
import {
  BLOCK,
  FAST,
  ManagedBench,
  type ManagedOptions,
  OFFSET,
} from '../_helpers/managed-array.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

/** Without giving way to users: pace is the pacer's test. */
const UNPACED: ManagerOptions = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 40 } };

/** Whole, quiet, and filled with random content, which is returned. */
async function filled(
  options: ManagedOptions,
  seed: number,
  manager: ManagerOptions = {},
  space: SpaceUser | null = null,
): Promise<{ bench: ManagedBench; content: Uint8Array }> {
  const bench = new ManagedBench(options);
  await bench.create();
  const used = bench.disks.slice(0, bench.disks.length - (options.blanks ?? 0));
  await bench.start(used, {}, { ...UNPACED, ...manager, expectsSpace: space !== null });
  if (space !== null) await bench.drive(bench.manager!.attachSpace(space));
  const { blockCount } = bench.manager!.array.geometry;
  const content = new Random(seed).bytes(blockCount * BLOCK);
  if ((await bench.drive(bench.write(0, content))) !== OK) throw new Error('an array takes data');
  await bench.settle();
  bench.events.length = 0;
  return { bench, content };
}

/** A layer that needs, and has written, what is live. */
function using(liveRanges: LiveRanges, written: LiveRanges = liveRanges): SpaceUser {
  return { liveRanges, writtenRanges: async () => written };
}

/** Every block that `has` says is in the set. */
function those(has: (block: number) => boolean, end = 256): LiveRanges {
  const find = (from: number, wanted: boolean): number => {
    for (let block = from; block < end; block += 1) if (has(block) === wanted) return block;
    return -1;
  };
  return {
    nextLive: (from) => find(from, true),
    nextDead: (from) => (find(from, false) === -1 ? end : find(from, false)),
  };
}

test('writes that overlap, all at once, leave the same on all mirrors', async (t) => {
  for (let seed = 1; seed <= 6; seed += 1) {
    const { bench } = await filled(
      { level: 'raid1', members: 3, blocks: 64, spares: 1, delayUsMax: 400, seed },
      seed,
    );
    const random = new Random(seed);
    const writes = Array.from({ length: 60 }, () => {
      const block = random.below(56);
      return bench.write(block, random.bytes((1 + random.below(8)) * BLOCK));
    });
    // One in the middle of it loses its place, and a spare takes it.
    if (seed > 3) bench.manager!.failMember(1).catch(() => {});
    const statuses = await bench.drive(Promise.all(writes));
    t.deepEqual(statuses, new Array(60).fill(OK), `seed ${seed}`);
    await bench.settle();
    t.deepEqual(bench.health(), ['ok', 'ok', 'ok'], `seed ${seed}`);
    const [first, ...others] = bench.manager!.array.members.map(({ device }) =>
      bench.data(bench.disks.find((disk) => disk === device)!),
    );
    for (const other of others) sameBytes(t, other, first!, `seed ${seed}`);
    await bench.stop();
  }
});

test('a block that cannot be read any more ends a rebuild, and is named', async (t) => {
  const { bench, content } = await filled({ level: 'raid1', members: 2, spares: 1 }, 3);
  bench.disks[0]!.fault = (io) => {
    const hit = io.block <= OFFSET + 77 && io.block + io.blockCount > OFFSET + 77;
    return io.op === OP_READ && hit ? EIO : OK;
  };
  await bench.drive(bench.manager!.failMember(1));
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'failed']);
  const lost = bench.events.find(({ kind }) => kind === 'range-lost');
  t.like(lost, { severity: 'error', details: { member_block: 77, blocks: 1 } });
  const stopped = bench.events.find(({ kind }) => kind === 'rebuild-stopped');
  t.like(stopped, { severity: 'error', slot: 1, device: 'ram2' });
  t.false(bench.kinds().includes('rebuild-finished'));
  sameBytes(t, await bench.drive(bench.read(0, 77)), content.subarray(0, 77 * BLOCK));
  await bench.stop();
});

for (const [level, members] of [
  ['raid1', 2],
  ['raid1', 3],
  ['raid5f', 3],
] as const) {
  test(`a check of ${level} with ${members} members finds planted differences`, async (t) => {
    const { bench } = await filled({ level, members, strip: 4 }, 4);
    const images = bench.disks.map((disk) => bench.data(disk).slice());
    const planted = [5, 6, 100, 255];
    for (const block of planted) bench.data(bench.disks[1]!)[block * BLOCK + 3] ^= 0x40;
    await bench.drive(bench.manager!.startCheck({ repair: false }));
    await bench.settle();
    const found = bench.events.find(({ kind }) => kind === 'check-finished');
    t.like(found, {
      severity: 'warning',
      action: 'bandstand check tank --repair',
      details: { mismatched_blocks: planted.length, repaired_blocks: 0, lost_blocks: 0 },
    });
    t.true(bench.kinds().includes('mismatch-found'));
    for (const block of planted) {
      t.not(bench.data(bench.disks[1]!)[block * BLOCK + 3], images[1]![block * BLOCK + 3]);
    }
    bench.events.length = 0;
    await bench.drive(bench.manager!.startCheck({ repair: true }));
    await bench.settle();
    const repaired = bench.events.find(({ kind }) => kind === 'check-finished');
    t.like(repaired?.details, {
      mismatched_blocks: planted.length,
      repaired_blocks: planted.length,
    });
    if (level === 'raid1') {
      for (const [slot, disk] of bench.disks.entries())
        sameBytes(t, bench.data(disk), images[slot]!);
    } else {
      // Which strip is wrong cannot be told: parity goes with what is there now.
      const sum = new Uint8Array(images[0]!.length);
      for (const disk of bench.disks) {
        bench.data(disk).forEach((byte, index) => {
          sum[index]! ^= byte;
        });
      }
      sameBytes(t, sum, new Uint8Array(sum.length), 'the XOR of all members');
    }
    bench.events.length = 0;
    await bench.drive(bench.manager!.startCheck({ repair: false }));
    await bench.settle();
    const clean = bench.events.find(({ kind }) => kind === 'check-finished');
    t.like(clean, { severity: 'info', details: { mismatched_blocks: 0 } });
    await bench.stop();
  });
}

for (const paused of [false, true]) {
  const state = paused ? 'paused' : 'running';
  test(`a ${state} check makes way for a rebuild and goes on after it`, async (t) => {
    const { bench } = await filled({ level: 'raid1', members: 3, blocks: 1024, spares: 1 }, 9);
    const { manager } = bench;
    manager!.setRate(2 ** 20);
    const last = 1023;
    bench.data(bench.disks[0]!)[last * BLOCK] ^= 1;
    await bench.drive(manager!.startCheck({ repair: true }));
    await bench.drive(bench.sleep(100_000));
    const before = manager!.status().process!;
    t.is(before.kind, 'check');
    t.true(before.doneBytes > 0 && before.doneBytes < before.totalBytes);
    if (paused) await bench.drive(manager!.pauseProcess());
    bench.events.length = 0;
    await bench.drive(manager!.failMember(2));
    await bench.drive(bench.sleep(1000));
    const kinds = bench.kinds();
    t.true(kinds.indexOf('check-stopped') < kinds.indexOf('rebuild-started'), kinds.join());
    t.like(
      bench.events.find(({ kind }) => kind === 'check-stopped'),
      { severity: 'info', reason: 'a rebuild goes first; the check goes on after it' },
    );
    manager!.setRate(null);
    await bench.settle();
    t.deepEqual(bench.health(), ['ok', 'ok', 'ok']);
    const started = bench.events.find(({ kind }) => kind === 'check-started');
    t.like(started?.details, { resumed: true, repair: true });
    if (paused) {
      t.true(manager!.status().process!.paused);
      t.true(manager!.status().process!.doneBytes >= before.doneBytes);
      await bench.drive(manager!.resumeProcess());
      await bench.settle();
    }
    const finished = bench.events.find(({ kind }) => kind === 'check-finished');
    t.like(finished?.details, { mismatched_blocks: 1, repaired_blocks: 1 });
    await bench.stop();
  });
}

test('a rebuild pauses, goes on, and is limited, on request', async (t) => {
  const { bench } = await filled({ level: 'raid1', members: 2, blocks: 512, blanks: 1 }, 5);
  const { manager } = bench;
  const blank = bench.disks[2]!;
  manager!.setRate(2 ** 20);
  await bench.drive(manager!.failMember(1));
  await bench.drive(blank.open(bench.reactor));
  const added = await bench.drive(manager!.addMember(blank));
  t.like(added, { role: 'rebuild', slot: 1, mode: 'full' });
  await bench.drive(bench.sleep(50_000));
  t.like(manager!.status().process, {
    kind: 'rebuild',
    slot: 1,
    paused: false,
    limitBytesPerSecond: 2 ** 20,
    totalBytes: 512 * BLOCK,
  });
  await bench.drive(manager!.pauseProcess());
  await bench.drive(bench.sleep(50_000));
  const { doneBytes } = manager!.status().process!;
  t.true(doneBytes > 0 && doneBytes < 512 * BLOCK, `${doneBytes}`);
  await bench.drive(bench.sleep(2_000_000));
  t.like(manager!.status().process, { paused: true, doneBytes });
  await bench.drive(manager!.resumeProcess());
  manager!.setRate(null);
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  sameBytes(t, bench.data(blank), bench.data(bench.disks[0]!));
  const kinds = bench.kinds().filter((kind) => kind.startsWith('process-'));
  t.deepEqual(kinds, ['process-rate', 'process-paused', 'process-resumed', 'process-rate']);
  await bench.stop();
});

test('a paused rebuild is paused after a stop and a start, and goes on where it was', async (t) => {
  const { bench } = await filled({ level: 'raid1', members: 2, blocks: 512, spares: 1 }, 6);
  bench.manager!.setRate(2 ** 20);
  await bench.drive(bench.manager!.failMember(1));
  await bench.drive(bench.sleep(100_000));
  await bench.drive(bench.manager!.pauseProcess());
  await bench.drive(bench.sleep(50_000));
  const before = bench.manager!.status().process!;
  t.true(before.doneBytes > 0);
  await bench.stop();
  const left = [bench.disks[0]!, bench.disks[2]!];
  for (const disk of bench.disks) disk.log.length = 0;
  await bench.start(left, {}, UNPACED);
  await bench.drive(bench.sleep(10_000));
  t.like(bench.manager!.status().process, { paused: true, slot: 1 });
  await bench.drive(bench.manager!.resumeProcess());
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  const copied = bench.disks[2]!.log.filter(
    ({ op, block }) => op === OP_WRITE && block >= OFFSET,
  ).reduce((sum, { blockCount }) => sum + blockCount, 0);
  t.true(copied < 512, `${copied} blocks were copied after the start`);
  sameBytes(t, bench.data(bench.disks[2]!), bench.data(bench.disks[0]!));
  await bench.stop();
});

test('a rebuild that is cancelled does not begin again by itself', async (t) => {
  const { bench } = await filled({ level: 'raid1', members: 2, blocks: 512, spares: 2 }, 7);
  const { manager } = bench;
  manager!.setRate(2 ** 20);
  await bench.drive(manager!.failMember(1));
  await bench.drive(bench.sleep(50_000));
  t.is(manager!.status().process?.kind, 'rebuild');
  await bench.drive(manager!.cancelProcess());
  await bench.drive(bench.sleep(2_000_000));
  t.is(manager!.status().process, null);
  t.deepEqual(bench.health(), ['ok', 'failed']);
  t.is(manager!.status().spares.length, 1, 'the target is let go of, the other spare stays');
  const stopped = bench.events.find(({ kind }) => kind === 'rebuild-stopped');
  t.like(stopped, {
    severity: 'warning',
    action: `begin it again with: bandstand member add tank ${stopped?.device}`,
  });
  await t.throwsAsync(bench.drive(manager!.pauseProcess()), { code: 'BANDSTAND_ACTIVITY_NONE' });
  await bench.stop();
});

test('only what the layer above uses is rebuilt; dead blocks stay untouched', async (t) => {
  const live: LiveRanges = {
    nextLive: (from) => (from < 40 ? Math.max(from, 24) : from < 200 ? Math.max(from, 192) : -1),
    nextDead: (from) => (from >= 24 && from < 40 ? 40 : from >= 192 && from < 200 ? 200 : from),
  };
  const { bench, content } = await filled(
    { level: 'raid1', members: 2, spares: 1 },
    8,
    {},
    using(live),
  );
  const target = bench.data(bench.disks[2]!);
  target.fill(0xee);
  await bench.drive(bench.manager!.failMember(1));
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  const expected = new Uint8Array(content.length).fill(0xee);
  for (const [from, end] of [
    [24, 40],
    [192, 200],
  ] as const) {
    expected.set(content.subarray(from * BLOCK, end * BLOCK), from * BLOCK);
  }
  sameBytes(t, target, expected);
  await bench.stop();
});

test('a write to a dead block during the rebuild is on the new member, too', async (t) => {
  const none: LiveRanges = { nextLive: () => -1, nextDead: (from) => from };
  const { bench } = await filled({ level: 'raid1', members: 2, spares: 1 }, 9, {}, using(none));
  await bench.drive(bench.manager!.failMember(1));
  const part = new Random(10).bytes(BLOCK);
  t.is(await bench.drive(bench.write(50, part)), OK);
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  sameBytes(t, bench.data(bench.disks[2]!).subarray(50 * BLOCK, 51 * BLOCK), part);
  await bench.stop();
});

test('nothing is copied or compared before the layer above says what it needs', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, spares: 1 });
  await bench.create();
  await bench.start(bench.disks, {}, { ...UNPACED, expectsSpace: true });
  const { manager } = bench;
  await bench.settle();
  t.true(manager!.isSettling, 'a new array is still to be resynced');
  await bench.drive(manager!.failMember(1));
  await bench.drive(manager!.startCheck({ repair: false }).catch(() => {}));
  await bench.settle();
  t.is(manager!.status().process, null);
  t.deepEqual(bench.health(), ['ok', 'failed']);
  t.false(
    bench.kinds().some((kind) => /-started$/.test(kind)),
    bench.kinds().join(),
  );
  await bench.drive(manager!.attachSpace(using(those(() => true))));
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  t.false(manager!.isSettling);
  await bench.stop();
});

test('what an array gains below a layer that keeps its size is not resynced', async (t) => {
  const live = those((block) => block < 64);
  const { bench } = await filled({ level: 'raid1', members: 2 }, 14, {}, using(live));
  for (const [index, disk] of bench.disks.entries()) {
    disk.grow(128);
    bench.data(disk).fill(index + 1, 256 * BLOCK);
  }
  await bench.settle();
  const { manager } = bench;
  t.is(manager!.array.geometry.blockCount, 384);
  t.false(manager!.isSettling);
  t.true(
    bench
      .data(bench.disks[1]!)
      .subarray(256 * BLOCK)
      .every((byte) => byte === 2),
  );
  t.regex(bench.events.find(({ kind }) => kind === 'array-resized')!.action!, /at its next start$/);
  await bench.stop();
});

test('a layer that never says what it needs leaves the members as they were', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2 });
  await bench.create();
  for (const disk of bench.disks) bench.data(disk).fill(disk === bench.disks[0] ? 1 : 2);
  await bench.start(bench.disks, {}, { ...UNPACED, expectsSpace: true });
  await bench.settle();
  await bench.stop();
  t.true(bench.data(bench.disks[1]!).every((byte) => byte === 2));
  await bench.start(bench.disks, {}, UNPACED);
  await bench.settle();
  t.true(
    bench.data(bench.disks[1]!).every((byte) => byte === 1),
    'it is resynced later',
  );
  await bench.stop();
});

for (const level of ['raid1', 'raid5f'] as const) {
  test(`${level}: a check looks at what was written, whatever a rebuild left out`, async (t) => {
    const members = level === 'raid1' ? 2 : 3;
    const unit = level === 'raid1' ? 8 : 16;
    const end = level === 'raid1' ? 256 : 512;
    const live = those((block) => block < 8 * unit, end);
    const written = those((block) => block < 6 * unit, end);
    const { bench } = await filled({ level, members, spares: 1 }, 11, {}, using(live, written));
    bench.data(bench.disks[members]!).fill(0xee);
    await bench.drive(bench.manager!.failMember(1));
    await bench.settle();
    // Live, but never written: it may differ.
    bench.data(bench.disks[0]!)[7 * 8 * BLOCK] ^= 1;
    await bench.drive(bench.manager!.startCheck({ repair: false }));
    await bench.settle();
    const end1 = bench.events.findLast(({ kind }) => kind === 'check-finished');
    t.like(end1, { severity: 'info' }, JSON.stringify(end1));
    bench.data(bench.disks[0]!)[5 * 8 * BLOCK] ^= 1;
    await bench.drive(bench.manager!.startCheck({ repair: false }));
    await bench.settle();
    t.true(bench.kinds().includes('mismatch-found'), 'what was written is compared');
    await bench.stop();
  });
}

test('a set that was found before a rebuild began does for no check behind it', async (t) => {
  let isLive = (_block: number): boolean => true;
  let asked = 0;
  const space: SpaceUser = {
    liveRanges: those((block) => isLive(block)),
    writtenRanges: async () => {
      asked += 1;
      await bench.sleep(2000);
      return those((block) => isLive(block));
    },
  };
  const { bench } = await filled({ level: 'raid1', members: 2, blanks: 1 }, 12, {}, space);
  bench.data(bench.disks[2]!).fill(0xee);
  const check = bench.manager!.startCheck({ repair: false });
  check.catch(() => {});
  await bench.drive(bench.sleep(100));
  // Meanwhile a member is replaced, and half of it is not needed any more.
  isLive = (block) => block < 128;
  await bench.drive(bench.disks[2]!.open(bench.reactor));
  await bench.drive(bench.manager!.replaceMember(1, bench.disks[2]!));
  await bench.settle();
  await bench.drive(check.catch(() => {}));
  await bench.settle();
  await bench.drive(bench.manager!.startCheck({ repair: false }));
  await bench.settle();
  t.true(asked >= 2);
  t.false(bench.kinds().includes('mismatch-found'), bench.kinds().join());
  await bench.stop();
});

test('the total of a rebuild that goes on counts what is live, also of what is done', async (t) => {
  const live = those((block) => block % 64 < 16);
  const { bench } = await filled(
    { level: 'raid1', members: 2, spares: 1 },
    13,
    { process: { chunkBytes: 4096, depth: 1, limitBytesPerSecond: 2 ** 20 } },
    using(live),
  );
  await bench.drive(bench.manager!.failMember(1));
  await bench.drive(bench.sleep(20_000));
  const before = bench.manager!.status().process!;
  t.is(before.totalBytes, 64 * BLOCK);
  t.true(before.doneBytes > 0 && before.doneBytes < before.totalBytes);
  await bench.stop();
  await bench.start([bench.disks[0]!, bench.disks[2]!], {}, { ...UNPACED, expectsSpace: true });
  await bench.drive(bench.manager!.attachSpace(using(live)));
  const after = bench.manager!.status().process!;
  t.is(after.totalBytes, 64 * BLOCK);
  t.true(after.doneBytes >= before.doneBytes && after.doneBytes <= after.totalBytes);
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  await bench.stop();
});
