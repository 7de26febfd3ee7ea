import test from 'ava';
import { FLAG_FUA, OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, ENOSPC, OK } from '../../src/block/status.ts';
import { REGION_ALL, REGION_INTENT, REGION_MISSED } from '../../src/raid/bitmap-format.ts';
import {
  REGIONS_MISSED,
  REGIONS_UNFLUSHED,
  REGIONS_UNSYNCED,
  UNFLUSHED,
  UNSYNCED,
} from '../../src/raid/region-kind.ts';
import { IDLE_US, IntentBench, REGION_BLOCKS, SECOND_BLOCK } from '../_helpers/intent-bench.ts';

/** Long enough for a region that is not written any more to be cleared. */
const LONG_US = IDLE_US * 4;

test('a write waits until its bit is on every member, behind a flush if need be', async (t) => {
  const bench = new IntentBench({ members: 3, cached: [1] });
  const waits: (() => void)[] = [];
  const cached = bench.disks[1]!;
  const submit = cached.submit.bind(cached);
  cached.submit = (io) => {
    if (io.op === OP_FLUSH) waits.push(() => submit(io));
    else submit(io);
  };
  const { piece, ready } = bench.write(5);
  t.false(ready);
  for (let turn = 0; turn < 5; turn += 1) bench.reactor.turn();
  t.deepEqual(
    bench.disks.map(({ log }) => log.map(({ op, flags }) => [op, flags])),
    [[[OP_WRITE, FLAG_FUA]], [[OP_WRITE, 0]], [[OP_WRITE, FLAG_FUA]]],
  );
  t.is(waits.length, 1, 'its cache is flushed after the write');
  t.deepEqual(bench.proceeded, [], 'the flush is not back');
  waits[0]!();
  bench.reactor.turn();
  t.deepEqual(bench.proceeded, [piece]);
  t.is(piece.intentStatus, OK);
  for (const slot of [0, 1, 2]) t.is((await bench.onDisk(slot))[5], REGION_INTENT);
});

test('writes of one turn wait for one write of each bitmap block and member', async (t) => {
  const bench = new IntentBench({ regions: SECOND_BLOCK + 64 });
  const pieces = Array.from({ length: 40 }, (_, index) =>
    bench.write(index < 30 ? index * 2 : SECOND_BLOCK + index),
  );
  t.true(pieces.every(({ ready }) => !ready));
  t.is(await bench.settle(), OK);
  t.is(bench.proceeded.length, 40);
  for (const slot of [0, 1]) {
    t.is(bench.bitmapWrites(slot, 0), 1);
    t.is(bench.bitmapWrites(slot, 1), 1);
  }
});

test('a write to regions in use goes at once, and writes nothing', async (t) => {
  const bench = new IntentBench();
  await bench.writeDone(3, 2);
  t.true(bench.write(3).ready);
  t.true(bench.write(3, 2).ready);
  t.false(bench.write(4, 2).ready, 'the second region of this one is new');
  t.is(bench.bitmapWrites(0), 1);
});

test('what is wanted while a block is being written goes with the next write of it', async (t) => {
  const bench = new IntentBench();
  const first = bench.write(1);
  bench.reactor.turn();
  t.is(bench.bitmapWrites(0), 1);
  const second = bench.write(2);
  const third = bench.write(1);
  t.false(third.ready, 'the bit is wanted, and not yet durable');
  t.is(await bench.settle(), OK);
  t.is(bench.bitmapWrites(0), 2);
  t.deepEqual(bench.proceeded, [first.piece, third.piece, second.piece]);
});

test('idle regions are cleared after a while, behind a flush of all caches', async (t) => {
  const bench = new IntentBench({ members: 3, cached: [0, 2] });
  await bench.writeDone(7);
  const open = bench.write(9);
  await bench.settle();
  for (const { log } of bench.disks) log.length = 0;
  await bench.pass(IDLE_US / 2);
  t.is((await bench.onDisk(0))[7], REGION_INTENT, 'not yet');
  for (const { log } of bench.disks) log.length = 0;
  await bench.pass(LONG_US);
  const writes = bench.disks.map(({ log }) =>
    log.filter(({ op }) => op <= OP_WRITE || op === OP_FLUSH),
  );
  t.deepEqual(
    writes.map((log) => log[0]?.op),
    [OP_FLUSH, OP_WRITE, OP_FLUSH],
    'what has a cache is flushed before its bitmap is written',
  );
  const states = await bench.onDisk(0);
  t.is(states[7], 0);
  t.is(states[9], REGION_INTENT, 'a write is in flight there');
  t.false(bench.write(7).ready, 'a bit that was cleared is waited for again');
  bench.unmark(open.piece);
});

test('a write during the flush keeps the intent of its region', async (t) => {
  const bench = new IntentBench({ cached: [0] });
  await bench.writeDone(7);
  const flushes: (() => void)[] = [];
  const disk = bench.disks[0]!;
  const submit = disk.submit.bind(disk);
  disk.submit = (io) => {
    if (io.op === OP_FLUSH) flushes.push(() => submit(io));
    else submit(io);
  };
  await bench.pass(LONG_US);
  t.is(flushes.length, 1);
  const { piece, ready } = bench.write(7);
  t.true(ready);
  bench.unmark(piece);
  disk.submit = submit;
  flushes[0]!();
  await bench.pass(IDLE_US / 4);
  await bench.settle();
  t.is((await bench.onDisk(0))[7], REGION_INTENT);
  await bench.pass(LONG_US);
  await bench.settle();
  t.is((await bench.onDisk(0))[7], 0, 'the next pass clears it');
});

test('a flush that fails on a member that is needed clears nothing', async (t) => {
  const bench = new IntentBench({ cached: [0, 1], bears: 0 });
  await bench.writeDone(7);
  bench.disks[1]!.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
  await bench.pass(LONG_US * 4);
  t.is((await bench.onDisk(0))[7], REGION_INTENT);
  t.true(bench.write(7).ready);
});

test('a member that fails the flush is out, and may miss what was not flushed', async (t) => {
  const bench = new IntentBench({ cached: [0, 1] });
  await bench.writeDone(7);
  bench.disks[1]!.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
  await bench.pass(LONG_US);
  await bench.settle();
  t.deepEqual(bench.ejected, [1]);
  t.is((await bench.onDisk(0))[7], REGION_MISSED, 'the rest are equal, and one lacks it');
});

test('while a slot is out a write waits for the missed bit, too', async (t) => {
  const bench = new IntentBench();
  await bench.writeDone(3);
  bench.eject(1);
  t.false(bench.write(3).ready, 'its intent is durable, that it is missed is not');
  t.false(bench.write(4).ready);
  t.is(await bench.settle(), OK);
  t.is(bench.proceeded.length, 3);
  const states = await bench.onDisk(0);
  t.deepEqual([states[3], states[4], states[5]], [REGION_ALL, REGION_ALL, 0]);
  t.true(bench.write(3).ready);
});

test('a write that waits when a member leaves goes on only with its missed bit', async (t) => {
  const bench = new IntentBench();
  const { piece } = bench.write(3);
  bench.reactor.turn();
  bench.eject(1);
  bench.reactor.turn();
  t.deepEqual(bench.proceeded, [], 'what was being written lacks the missed bit');
  t.is(await bench.settle(), OK);
  t.deepEqual(bench.proceeded, [piece]);
  t.is((await bench.onDisk(0))[3], REGION_ALL);
});

test('at an ejection all regions with intent are missed, and no others', async (t) => {
  const states = new Uint8Array(64);
  states[10] = REGION_MISSED;
  const bench = new IntentBench({ states });
  await bench.writeDone(3, 2);
  await bench.writeDone(20);
  bench.eject(1);
  t.is(await bench.settle(), OK);
  const found = await bench.onDisk(0);
  t.deepEqual(
    found.flatMap((state, region) => (state === 0 ? [] : [[region, state]])),
    [
      [3, REGION_ALL],
      [4, REGION_ALL],
      [10, REGION_MISSED],
      [20, REGION_ALL],
    ],
  );
});

test('missed bits are cleared below what a target has, except in regions in use', async (t) => {
  const bench = new IntentBench();
  bench.eject(1);
  await bench.writeDone(2);
  await bench.writeDone(3);
  await bench.writeDone(30);
  await bench.pass(LONG_US);
  const { piece } = bench.write(3);
  await bench.settle();
  bench.intent.clearMissedBelow(10 * REGION_BLOCKS);
  t.is(await bench.settle(), OK);
  let states = await bench.onDisk(0);
  t.deepEqual([states[2], states[3], states[30]], [0, REGION_ALL, REGION_MISSED]);
  // The target is flushed before the region that was in use loses its bits.
  bench.targetDevice = bench.disks[1]!;
  bench.disks[1]!.log.length = 0;
  bench.unmark(piece);
  await bench.pass(LONG_US);
  await bench.settle();
  t.deepEqual(
    bench.disks[1]!.log.map(({ op }) => op),
    [OP_FLUSH],
  );
  states = await bench.onDisk(0);
  t.deepEqual([states[3], states[30]], [0, REGION_MISSED]);
});

test('what comes during the first flush of a target stays missed until one after it', async (t) => {
  const bench = new IntentBench();
  bench.eject(1);
  const target = bench.disks[1]!;
  bench.targetDevice = target;
  // The flush of a checkpoint has begun, and takes longer than a region stays in use.
  await bench.writeDone(3);
  await bench.pass(LONG_US);
  await bench.settle();
  const intended = ((await bench.onDisk(0))[3]! & REGION_INTENT) !== 0;
  const flushed = target.log.some(({ op }) => op === OP_FLUSH);
  bench.intent.clearMissedBelow(10 * REGION_BLOCKS);
  await bench.settle();
  const missed = ((await bench.onDisk(0))[3]! & REGION_MISSED) !== 0;
  t.true(flushed || intended || missed);
});

test('after the loss of a target, or of another member, missed bits stay', async (t) => {
  for (const failing of ['target', 'member'] as const) {
    const bench = new IntentBench({ members: 3, cached: [0, 1] });
    bench.eject(2);
    bench.targetDevice = bench.disks[2]!;
    bench.intent.clearMissedBelow(10 * REGION_BLOCKS);
    await bench.writeDone(3);
    bench.disks[failing === 'target' ? 2 : 1]!.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
    await bench.pass(LONG_US);
    await bench.settle();
    t.is((await bench.onDisk(0))[3], REGION_MISSED, failing);
    t.deepEqual(bench.targetFailures, failing === 'target' ? [EIO] : []);
    t.deepEqual(bench.ejected, failing === 'target' ? [2] : [2, 1]);
    await bench.writeDone(4);
    await bench.pass(LONG_US);
    await bench.settle();
    t.is((await bench.onDisk(0))[4], REGION_MISSED, `${failing}: later writes, too`);
  }
});

test('with every slot in service nothing is missed', async (t) => {
  const bench = new IntentBench();
  bench.eject(1);
  await bench.writeDone(3);
  t.is(bench.intent.states(false)[3], REGION_ALL);
  t.is(bench.intent.states(true)[3], REGION_INTENT);
  bench.intent.clearMissed();
  t.is(await bench.settle(), OK);
  t.is((await bench.onDisk(0))[3], REGION_INTENT);
});

test('a member that fails a bitmap block is out, and the others are enough', async (t) => {
  const bench = new IntentBench({ members: 3 });
  bench.disks[1]!.fault = () => EIO;
  const { piece } = bench.write(3);
  t.is(await bench.settle(), OK);
  t.deepEqual(bench.ejected, [1]);
  t.deepEqual(bench.proceeded, [piece]);
  t.is(piece.intentStatus, OK);
  t.is((await bench.onDisk(2))[3], REGION_ALL, 'the one that is out misses the write');
});

test('when all members fail the bitmap, what waits for it fails with their errno', async (t) => {
  const bench = new IntentBench();
  for (const disk of bench.disks) disk.fault = () => ENOSPC;
  const pieces = [bench.write(3).piece, bench.write(9).piece];
  t.is(await bench.settle(), ENOSPC);
  t.deepEqual(bench.proceeded, pieces);
  t.deepEqual(
    pieces.map(({ intentStatus }) => intentStatus),
    [ENOSPC, ENOSPC],
  );
  t.is(bench.ejected.length, 1, 'the last one stays');
  for (const disk of bench.disks) disk.fault = () => OK;
  await bench.pass(1);
  const again = bench.write(3);
  t.false(again.ready, 'nothing was durable');
  t.is(await bench.settle(), OK);
  t.is(again.piece.intentStatus, OK);
});

test('a block that a needed member lacks is not durable, although others have it', async (t) => {
  const bench = new IntentBench({ members: 3, bears: 0 });
  bench.disks[1]!.fault = () => EIO;
  const { piece } = bench.write(3);
  t.is(await bench.settle(), EIO);
  t.is(piece.intentStatus, EIO);
  t.false(bench.write(3).ready);
});

test('a range that is distrusted keeps its intent until a resync that began later', async (t) => {
  const bench = new IntentBench();
  const { intent } = bench;
  const end = bench.regions * REGION_BLOCKS;
  intent.distrust(3 * REGION_BLOCKS + 1, 4 * REGION_BLOCKS + 1);
  t.is(intent.unsyncedCount, 2);
  t.true(intent.isUnsynced(4 * REGION_BLOCKS + 3, 4 * REGION_BLOCKS + 4));
  t.false(intent.isUnsynced(0, 3 * REGION_BLOCKS));
  await bench.pass(LONG_US);
  await bench.settle();
  t.deepEqual((await bench.onDisk(1)).slice(2, 6), [0, REGION_INTENT, REGION_INTENT, 0]);
  intent.resyncBegins();
  intent.distrust(4 * REGION_BLOCKS, 4 * REGION_BLOCKS + 1);
  intent.synced(0, end, end);
  t.is(intent.unsyncedCount, 1);
  t.is(
    intent.nextRegion(0, REGIONS_UNSYNCED),
    4,
    'a write failed there after the resync had begun',
  );
  intent.resyncBegins();
  intent.synced(0, end, end);
  t.is(intent.unsyncedCount, 0);
  await bench.pass(LONG_US);
  await bench.settle();
  t.deepEqual((await bench.onDisk(1)).slice(2, 6), [0, 0, 0, 0]);
});

test('what is unflushed stays so until a resync has been there', (t) => {
  const before = new Uint8Array(64);
  before[4] = UNSYNCED | UNFLUSHED;
  before[6] = UNSYNCED | UNFLUSHED;
  before[9] = UNSYNCED;
  const bench = new IntentBench({ unsynced: before });
  const { intent } = bench;
  const end = bench.regions * REGION_BLOCKS;
  intent.resyncBegins();
  t.deepEqual(
    [4, 5, 9].map((region) => intent.unsyncedState(region)),
    [5, 0, 1],
  );
  t.deepEqual(
    [0, 5, 7].map((from) => intent.nextRegion(from, REGIONS_UNFLUSHED)),
    [4, 6, -1],
  );
  intent.distrust(6 * REGION_BLOCKS, 6 * REGION_BLOCKS + 1);
  intent.distrust(8 * REGION_BLOCKS, 8 * REGION_BLOCKS + 1);
  intent.synced(0, end, end);
  t.deepEqual(
    [4, 6, 8, 9].map((region) => intent.unsyncedState(region)),
    [0, 5, 1, 0],
  );
  t.is(intent.unsyncedCount, 2);
});

test('only regions that lie wholly in what was synced are', (t) => {
  const bench = new IntentBench({ unsynced: new Uint8Array(64).fill(1) });
  const { intent } = bench;
  t.is(intent.unsyncedCount, 64);
  intent.synced(1, 3 * REGION_BLOCKS + 1, 64 * REGION_BLOCKS);
  t.deepEqual(
    [intent.nextRegion(0, REGIONS_UNSYNCED), intent.nextRegion(1, REGIONS_UNSYNCED)],
    [0, 3],
  );
  t.is(intent.countRegions(REGIONS_UNSYNCED), 62);
  // The last region may be shorter than the others.
  intent.synced(0, 64 * REGION_BLOCKS - 1, 64 * REGION_BLOCKS - 1);
  t.is(intent.unsyncedCount, 0);
});

test('missed regions are found and counted', (t) => {
  const states = new Uint8Array(64);
  states[5] = REGION_MISSED;
  states[6] = REGION_INTENT;
  states[63] = REGION_ALL;
  const { intent } = new IntentBench({ states });
  t.deepEqual(
    [0, 5, 6, 63].map((from) => intent.nextRegion(from, REGIONS_MISSED)),
    [5, 5, 63, 63],
  );
  t.is(intent.nextRegion(64, REGIONS_MISSED), -1);
  t.is(intent.countRegions(REGIONS_MISSED), 2);
});

test('patience doubles while many writes wait, and shrinks when few do', async (t) => {
  const bench = new IntentBench({ regions: 512 });
  const { intent } = bench;
  let patience = 1;
  const seen: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    // Every write waits: a region of its own.
    for (let index = 0; index < 101; index += 1) {
      bench.unmark(bench.write((round * 64 + index) % 512).piece);
    }
    patience = intent.patience(patience);
    seen.push(patience);
    await bench.settle();
    intent.clearIntent();
    await bench.settle();
  }
  t.deepEqual(seen, [2, 4, 8, 16, 32, 64, 64, 64]);
  t.is(intent.patience(64), 32, 'nobody wrote');
  await bench.writeDone(0);
  for (let index = 0; index < 500; index += 1) bench.unmark(bench.write(0).piece);
  t.is(intent.patience(32), 32, 'one in 500 waits: as it is');
  for (let index = 0; index < 500; index += 1) bench.unmark(bench.write(0).piece);
  t.is(intent.patience(32), 16, 'nobody waited');
  t.is(intent.patience(1), 1);
});

test('a clean stop clears all intent but that of unsynced regions', async (t) => {
  const unsynced = new Uint8Array(64);
  unsynced[9] = 1;
  const states = new Uint8Array(64);
  states[9] = REGION_INTENT;
  const bench = new IntentBench({ states, unsynced });
  await bench.writeDone(3);
  await bench.reactor.drive(bench.intent.suspend());
  bench.intent.clearIntent();
  t.is(await bench.settle(), OK);
  const found = await bench.onDisk(1);
  t.deepEqual([found[3], found[9]], [0, REGION_INTENT]);
  bench.intent.dispose();
});

test('without passes nothing is cleared, and they go on when they may', async (t) => {
  const bench = new IntentBench();
  await bench.writeDone(3);
  await bench.reactor.drive(bench.intent.suspend());
  await bench.pass(LONG_US * 4);
  t.is((await bench.onDisk(0))[3], REGION_INTENT);
  bench.intent.resume();
  await bench.pass(LONG_US);
  await bench.settle();
  t.is((await bench.onDisk(0))[3], 0);
});
