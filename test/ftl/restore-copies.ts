/**
 * What a start finds on one copy only: an array below may have it on one mirror, a disk may not be
 * able to read it this time.
 */

import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import { superblockCopyBytes } from '../../src/ftl/ftl-superblock.ts';
import { deriveGeometry, type FtlGeometry } from '../../src/ftl/geometry.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { BENCH_UUID, BLOCK, FtlBench } from '../_helpers/ftl-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const BLOCKS = 800;
const SHAPE = { uuid: BENCH_UUID, unitBytes: 16_384, bandBytes: 131_072, overProvisioning: 50 };

/** An FTL over a mirror of two disks that hold this; a member that is null is not there. */
class MirrorBench {
  readonly reactor = new SimulatedReactor({ seed: 1 });
  readonly disks: readonly (RamDevice | null)[];
  readonly array: RaidArray;

  constructor(contents: readonly (Uint8Array | null)[]) {
    this.disks = contents.map((bytes, slot) =>
      bytes === null
        ? null
        : new RamDevice(`ram${slot}`, {
            blockBytes: BLOCK,
            blockCount: BLOCKS,
            geometry: { volatileCache: true, features: 0 },
            bytes: bytes.slice(),
          }),
    );
    const members = this.disks.map((device) => ({
      uuid: null,
      device,
      dataOffset: 0,
      dataSize: BLOCKS,
    }));
    const sizes = { stripBlocks: 0, blockBytes: BLOCK, blockCount: BLOCKS };
    const spec = { name: 'tank', uuid: null, level: 'raid1' as const, ...sizes, members };
    // As after a crash: what may differ is read from the first member.
    this.array = new RaidArray(spec, { steadyReads: true });
  }

  get contents(): Uint8Array[] {
    return this.disks.map((disk) => disk!.bytes.slice());
  }

  async create(): Promise<FtlGeometry> {
    const { array, reactor } = this;
    await reactor.drive(array.open(reactor));
    const { shape } = await reactor.drive(createFtl(reactor, array, SHAPE));
    await reactor.drive(array.close());
    return deriveGeometry(shape);
  }

  async open(): Promise<Ftl> {
    const ftl = new Ftl(this.array);
    await this.reactor.drive(ftl.open(this.reactor));
    return ftl;
  }
}

/** A new device, and what its disks hold when its program dies after some writes. */
async function killed() {
  const bench = new MirrorBench([new Uint8Array(BLOCKS * BLOCK), new Uint8Array(BLOCKS * BLOCK)]);
  const geometry = await bench.create();
  const created = bench.contents;
  const life = new MirrorBench(created);
  const ftl = await life.open();
  const began = life.contents;
  const { reactor } = life;
  const at = reactor.arena.allocate(BLOCK);
  for (let block = 0; block < 20; block += 1) {
    reactor.arena.u8.fill(block + 1, at, at + BLOCK);
    await reactor.drive(submitStatus(ftl, OP_WRITE, block, 1, at));
  }
  return { geometry, began, left: life.contents };
}

test('units that a crash has left on one mirror are on both after the start', async (t) => {
  const { began, left } = await killed();
  t.not(Buffer.compare(left[0]!, began[0]!), 0, 'something was in flight');
  // Nothing of it has arrived at the second member.
  const bench = new MirrorBench([left[0]!, began[1]!]);
  await bench.open();
  const [one, other] = bench.contents;
  t.is(Buffer.compare(one!, other!), 0, 'the members are equal');
});

test('what a start has found is there when the member it was read from is lost', async (t) => {
  const { began, left } = await killed();
  const bench = new MirrorBench([left[0]!, began[1]!]);
  const found = await bench.open();
  const without = new MirrorBench([null, bench.contents[1]!]);
  const ftl = await without.open();
  const at = without.reactor.arena.allocate(BLOCK);
  for (let block = 0; block < 20; block += 1) {
    t.is(await bench.reactor.drive(submitStatus(found, OP_READ, block, 1, at)), OK);
    const byte = bench.reactor.arena.u8[at];
    t.is(await without.reactor.drive(submitStatus(ftl, OP_READ, block, 1, at)), OK);
    t.is(without.reactor.arena.u8[at], byte);
  }
});

test('the superblock that counts is on both mirrors before the next one is written', async (t) => {
  const { geometry, began } = await killed();
  const bytes = superblockCopyBytes(geometry);
  const sequence = (disk: Uint8Array, copy: number): bigint =>
    new DataView(disk.buffer, copy * bytes).getBigUint64(32, true);
  const newest = sequence(began[0]!, 0) > sequence(began[0]!, 1) ? 0 : 1;
  // The second member has not got it.
  const other = began[1]!.slice();
  other.fill(0, newest * bytes, (newest + 1) * bytes);
  const bench = new MirrorBench([began[0]!, other]);
  const [, second] = bench.disks;
  let checked = 0;
  second!.fault = ({ op, block }) => {
    // The other copy is the next that is written.
    const isOther = op === OP_WRITE && block === ((1 - newest) * bytes) / BLOCK;
    if (!isOther || checked > 0) return OK;
    checked += 1;
    const at = newest * bytes;
    const now = second!.bytes.subarray(at, at + bytes);
    t.is(Buffer.compare(now, began[0]!.subarray(at, at + bytes)), 0);
    return OK;
  };
  await bench.open();
  t.is(checked, 1);
});

for (const copy of [0, 1] as const) {
  test(`a start is refused while copy ${copy} of the superblock cannot be read`, async (t) => {
    const bench = await FtlBench.make();
    await bench.open();
    for (let block = 0; block < 30; block += 1) await bench.write(block, 1, block + 1);
    await bench.close();
    const at = (copy * superblockCopyBytes(bench.geometry)) / BLOCK;
    bench.disk.fault = ({ op, block }) => (op === OP_READ && block === at ? EIO : OK);
    const before = bench.disk.bytes.slice();
    const error = await bench.refusal();
    t.is(error.code, 'BANDSTAND_FTL_UNREADABLE');
    t.regex(error.message, /its superblock at byte \d+ of ram cannot be read: /);
    t.is(error.hint, 'look at the devices below, and try again');
    t.is(Buffer.compare(before, bench.disk.bytes), 0, 'nothing was written');
    bench.disk.fault = () => OK;
    t.true((await bench.open()).restoreReport!.clean);
    for (let block = 0; block < 30; block += 1) t.is(await bench.read(block), block + 1);
    await bench.close();
  });
}
