import test from 'ava';
import { type BlockIo, OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO } from '../../src/block/status.ts';
import { LOST_RANGES_MAX } from '../../src/nv-cache/cache-format.ts';
import { BLOCK, NvBench } from '../_helpers/nv-bench.ts';

const RING_WRITE = (io: { op: number; block: number }): boolean =>
  io.op === OP_WRITE && io.block >= 2;

test('a record that cannot be written is tried at another place', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 1, 0x10);
  let left = 1;
  bench.disk.fault = (io) => {
    if (!RING_WRITE(io) || left === 0) return 0;
    left -= 1;
    return EIO;
  };
  t.is(await bench.write(1, 2, 0x11), 0);
  t.like(bench.status, { state: 'online', records_failed: 1 });
  const places = bench.disk.log.filter(RING_WRITE).map(({ block }) => block);
  t.deepEqual(places, [2, 4, 7]);
  t.deepEqual(await bench.readAll([1, 2]), [0x11, 0x11]);
  bench.kill();
  await bench.open();
  t.deepEqual(await bench.readAll([1, 2]), [0x11, 0x11]);
  t.deepEqual(bench.failures, []);
  await bench.close();
});

test('of writes on their way when one fails, the last one wins, also after a crash', async (t) => {
  const bench = await NvBench.make({ cache: { delayUsMax: 50 } });
  await bench.open();
  let count = 0;
  bench.disk.fault = (io) => {
    if (!RING_WRITE(io)) return 0;
    count += 1;
    return count === 2 ? EIO : 0;
  };
  const writes: Promise<number>[] = [];
  for (let byte = 1; byte <= 6; byte += 1) {
    writes.push(bench.begin(5, 1, byte));
    // Each in a record of its own.
    bench.reactor.turn();
  }
  t.deepEqual(await bench.reactor.drive(Promise.all(writes)), [0, 0, 0, 0, 0, 0]);
  t.is(bench.status.records_failed, 1);
  t.is(await bench.read(5), 6);
  bench.kill();
  await bench.open();
  t.is(await bench.read(5), 6);
  await bench.close();
});

test('what a failed write has left in the ring gives nothing old back after a stop', async (t) => {
  const bench = await NvBench.make();
  const data = [6, 7, 8, 9, 10, 11].map((block) => [block, 0x60] as const);
  bench.putHeader({
    tailSequence: 20,
    tailAddress: 10,
    currentAddress: 26,
    headSequence: 22,
  });
  bench.putRecord({ address: 10, sequence: 20, phase: 1, tail: 20, data: [[5, 0x51]] });
  // Of this one only the description was written, over what an earlier lap had there.
  bench.putRecord({ address: 12, sequence: 21, phase: 1, tail: 20, data });
  const old = [5, 6, 7].map((block) => [block, 0x50] as const);
  bench.putRecord({ address: 14, sequence: 9, phase: 3, data: old });
  bench.disk.bytes.fill(0xdb, 13 * BLOCK, 14 * BLOCK);
  bench.disk.bytes.fill(0xdb, 18 * BLOCK, 19 * BLOCK);
  // It was written again at another place, and then counted.
  bench.putRecord({ address: 19, sequence: 22, phase: 1, tail: 20, data });
  const cache = await bench.open();
  t.deepEqual(await bench.readAll([5, 6, 7, 11]), [0x51, 0x60, 0x60, 0x60]);
  t.like(cache.restoreReport!.found, { counting: 3, old: 1, lost: 0 });
  t.is(bench.status.lost_blocks, 0);
  t.true(await bench.reactor.drive(bench.cache.drainAll()));
  t.deepEqual(
    [5, 6, 11].map((block) => bench.backing.byteOf(block)),
    [0x51, 0x60, 0x60],
  );
  await bench.close();
});

test('a cache that cannot be written is drained, and writes go to the device behind', async (t) => {
  const bench = await NvBench.make();
  const states: string[] = [];
  await bench.open();
  await bench.write(1, 3, 0x11);
  bench.disk.fault = (io) => (RING_WRITE(io) ? EIO : 0);
  t.is(await bench.write(2, 1, 0x22), 0);
  states.push(bench.status.state);
  t.deepEqual(states, ['through']);
  t.is(bench.status.reason, 'a write to it has failed twice');
  t.deepEqual(bench.failures, [`nvme ${EIO}`], 'the observer is told once');
  t.deepEqual(await bench.readAll([1, 2, 3]), [0x11, 0x22, 0x11]);
  // Answered means durable behind: a kill takes nothing, and the ring brings nothing back.
  t.is(await bench.write(3, 1, 0x33), 0);
  t.is(await bench.trim(1, 1), 0);
  t.is(await bench.flush(), 0);
  bench.kill();
  await bench.open();
  t.deepEqual(await bench.readAll([1, 2, 3]), [0, 0x22, 0x33]);
  t.is(bench.status.cached_blocks, 0);
  await bench.close();
});

test('a ring that was left does not come back where the newest header is damaged', async (t) => {
  for (const copy of [0, 1]) {
    const bench = await NvBench.make();
    await bench.open();
    await bench.write(1, 1, 0x11);
    bench.disk.fault = (io) => (RING_WRITE(io) ? EIO : 0);
    t.is(await bench.write(1, 1, 0x22), 0);
    t.is(bench.status.state, 'through');
    t.is(await bench.write(1, 1, 0x33), 0);
    bench.kill();
    bench.disk.fault = () => 0;
    bench.disk.bytes[copy * BLOCK + 100]! ^= 1;
    await bench.open();
    t.is(bench.status.start.headerCopiesDamaged, 1);
    t.is(await bench.read(1), 0x33);
    await bench.close();
  }
});

test('a flush that fails is not repeated: what it was for is drained first', async (t) => {
  const bench = await NvBench.make();
  let forgotten = 0;
  await bench.open({
    forget: async () => {
      forgotten += 1;
    },
  });
  await bench.write(2, 1, 0x22);
  bench.disk.fault = (io) => (io.op === OP_FLUSH ? EIO : 0);
  t.is(await bench.flush(), 0);
  t.is(bench.status.state, 'through');
  // No header is durable without a flush: the owner has to forget the cache.
  t.is(forgotten, 1);
  t.true(bench.backing.settledMark >= 1);
  t.is(bench.content.durable.get(2)![0], 0x22);
  await bench.close();
});

test('where an empty cache cannot be put on record, nothing is changed any more', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(2, 1, 0x22);
  bench.disk.fault = (io) => (io.op === OP_WRITE ? EIO : 0);
  t.is(await bench.write(3, 1, 0x33), EIO);
  t.is(bench.status.state, 'stopped');
  t.regex(bench.status.reason!, /cannot be put on record/);
  t.is(await bench.write(4, 1, 0x44), EIO);
  t.deepEqual(await bench.readAll([2, 3]), [0x22, 0]);
  await bench.close();
  bench.disk.fault = () => 0;
  await bench.open();
  t.deepEqual(await bench.readAll([2, 3]), [0x22, 0]);
  await bench.close();
});

test('blocks in the ring that cannot be read are lost until they are written again', async (t) => {
  const bench = await NvBench.make();
  bench.content.durable.set(2, new Uint8Array(4096).fill(0x77));
  await bench.open();
  await bench.write(1, 4, 0x11);
  // The record is at 2, its data blocks at 3 to 6.
  const isBad = (block: number, count: number): boolean => block <= 4 && block + count > 4;
  bench.disk.fault = (io) => (io.op === OP_READ && isBad(io.block, io.blockCount) ? EIO : 0);
  t.is(await bench.read(2), -EIO);
  t.is(bench.status.state, 'online');
  t.true(await bench.reactor.drive(bench.cache.drainAll()));
  await bench.rest();
  t.like(bench.status, { state: 'through', lost_blocks: 1 });
  t.deepEqual(bench.status.lost_ranges, [{ block: 2, blockCount: 1 }]);
  t.deepEqual(await bench.readAll([1, 2, 3, 4]), [0x11, -EIO, 0x11, 0x11]);
  await bench.close();
  // Not the older copy below, in the next life either.
  bench.disk.fault = () => 0;
  await bench.open();
  t.deepEqual(await bench.readAll([1, 2, 3, 4]), [0x11, -EIO, 0x11, 0x11]);
  t.is(await bench.write(2, 1, 0x22), 0);
  t.is(await bench.read(2), 0x22);
  t.is(bench.status.lost_blocks, 0);
  await bench.close();
  await bench.open();
  t.is(await bench.read(2), 0x22);
  await bench.close();
});

test('what was lost and written past the ring is no error after a crash', async (t) => {
  for (const isFailing of [false, true]) {
    const bench = await NvBench.make();
    await bench.open();
    await bench.write(1, 3, 0x11);
    for (const ring of [4, 5]) bench.disk.bytes[ring * BLOCK + 9]! ^= 1;
    t.true(await bench.reactor.drive(bench.cache.drainAll()));
    await bench.rest();
    t.like(bench.status, { state: 'through', lost_blocks: 2 });
    if (isFailing) bench.disk.fault = (io) => (io.op === OP_WRITE ? EIO : 0);
    // Where that cannot be put on record it is an error again, and never what was there before.
    t.is(await bench.write(2, 1, 0x22), 0);
    t.deepEqual(await bench.readAll([1, 2, 3]), [0x11, 0x22, -EIO]);
    bench.kill();
    bench.disk.fault = () => 0;
    await bench.open();
    t.deepEqual(await bench.readAll([1, 2, 3]), [0x11, isFailing ? -EIO : 0x22, -EIO]);
    await bench.close();
  }
});

test('data in the ring that has rotted is lost, and not drained', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 2, 0x11);
  bench.disk.bytes[4 * 4096 + 9]! ^= 1;
  await bench.reactor.drive(bench.cache.drainAll());
  await bench.rest();
  t.deepEqual(await bench.readAll([1, 2]), [0x11, -EIO]);
  t.is(bench.backing.byteOf(2), 0);
  await bench.close();
});

test('what has rotted while the cache was stopped is lost, and nothing else', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  // An older copy, which is never given instead.
  await bench.write(2, 1, 0x02);
  await bench.write(1, 2, 0x11);
  await bench.write(5, 1, 0x55);
  await bench.close();
  bench.disk.bytes[6 * 4096 + 9]! ^= 1;
  await bench.open();
  t.is(bench.status.start.found!.lost, 1);
  t.deepEqual(await bench.readAll([1, 2, 5]), [0x11, -EIO, 0x55]);
  // After a kill it looks like a torn record; the header knows better.
  bench.kill();
  await bench.open();
  t.deepEqual(await bench.readAll([1, 2, 5]), [0x11, -EIO, 0x55]);
  t.is(await bench.write(2, 1, 0x22), 0);
  bench.kill();
  await bench.open();
  t.is(await bench.read(2), 0x22);
  t.is(bench.status.lost_blocks, 0);
  await bench.close();
});

test('when the device behind cannot be written, reads and flushes go on', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 1, 0x11);
  bench.backing.fault = (io) => (io.op === OP_WRITE ? EIO : 0);
  t.false(await bench.reactor.drive(bench.cache.drainAll()));
  t.like(bench.status, { state: 'stopped' });
  t.deepEqual(bench.failures, [`backing ${EIO}`]);
  t.is(await bench.write(2, 1, 0x22), EIO);
  t.is(await bench.trim(1, 1), EIO);
  t.is(await bench.flush(), 0);
  t.is(await bench.read(1), 0x11);
  await bench.close();
  await bench.open();
  t.is(await bench.read(1), 0x11);
  await bench.close();
});

test('a stop that cannot flush says so, and the next start scans the whole ring', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 1, 0x11);
  bench.disk.fault = (io) => (io.op === OP_FLUSH ? EIO : 0);
  t.like(await t.throwsAsync(bench.close()), { code: 'BANDSTAND_DEVICE_IO' });
  bench.disk.fault = () => 0;
  await bench.open();
  t.like(bench.status.start, { clean: false, scannedBlocks: 600 });
  t.is(await bench.read(1), 0x11);
  await bench.close();
});

test('a cache device that says it has failed is left', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 1, 0x11);
  bench.disk.observer!.deviceFailed(bench.disk, EIO);
  bench.disk.observer!.deviceFailed(bench.disk, EIO);
  t.is(await bench.write(2, 1, 0x22), 0);
  t.is(bench.status.state, 'through');
  t.deepEqual(bench.failures, [`nvme ${EIO}`]);
  await bench.close();
});

test('what was lost and written again is no error after a crash, nor behind', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader({ lost: [{ block: 5, blockCount: 1 }], lostSequence: 0 });
  await bench.open();
  t.is(await bench.read(5), -EIO);
  t.is(await bench.write(5, 1, 0x55), 0);
  t.true(await bench.reactor.drive(bench.cache.drainAll()));
  t.is(bench.backing.byteOf(5), 0x55);
  t.is(await bench.write(6, 1, 0x66), 0);
  t.is(await bench.flush(), 0);
  bench.kill();
  await bench.open();
  t.deepEqual(await bench.readAll([5, 6]), [0x55, 0x66]);
  await bench.close();
});

test('a flush behind that fails when the ring was left leaves nobody unanswered', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 64 } });
  await bench.open();
  const { backing, cache, reactor } = bench;
  t.is(await bench.write(1, 1, 0x11), 0);
  const held: BlockIo[] = [];
  const submit = backing.submit.bind(backing);
  backing.submit = (io) => {
    if (io.op === OP_FLUSH) held.push(io);
    else submit(io);
  };
  const detached = cache.detach();
  await bench.rest();
  t.is(held.length, 1);
  // What it was for becomes durable without it.
  backing.settledMark = backing.acceptedMark;
  await bench.read(2);
  const drained = cache.drainAll();
  t.true(await reactor.drive(detached));
  await reactor.drive(drained);
  t.is(bench.status.state, 'through');
  const first = bench.begin(2, 1, 0x22);
  await bench.rest();
  const second = bench.begin(3, 1, 0x33);
  await bench.rest();
  t.is(held.length, 2);
  reactor.finish(held[0]!, EIO);
  await bench.rest();
  reactor.finish(held[1]!, EIO);
  await bench.rest();
  backing.submit = submit;
  for (const io of held.splice(2)) submit(io);
  t.deepEqual(await reactor.drive(Promise.all([first, second])), [EIO, 0]);
  await bench.close();
});

test('a cache that is only read is closed also when its device has failed', async (t) => {
  const bench = await NvBench.killed(2);
  await bench.open({ readOnly: true });
  bench.disk.observer!.deviceFailed(bench.disk, EIO);
  t.deepEqual(bench.failures, [`nvme ${EIO}`]);
  t.deepEqual(await bench.readAll([0, 1]), [1, 2]);
  await bench.close();
});

test('a stop during a drain ends both', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  t.is(await bench.write(1, 1, 0x11), 0);
  const { backing, reactor } = bench;
  const submit = backing.submit.bind(backing);
  const held: BlockIo[] = [];
  backing.submit = (io) => void held.push(io);
  const detached = bench.cache.detach();
  await bench.rest();
  t.is(held.length, 1);
  const closed = bench.cache.close();
  await bench.rest();
  backing.submit = submit;
  submit(held[0]!);
  await reactor.drive(closed);
  t.false(await reactor.drive(detached));
  await bench.open();
  t.like(bench.status.start, { clean: true });
  t.is(await bench.read(1), 0x11);
  await bench.close();
});

test('a header that fails during a stop keeps nobody waiting', async (t) => {
  const bench = await NvBench.make({ cache: { delayUsMax: 50 } });
  await bench.open();
  const kept: Promise<void>[] = [];
  const { reactor } = bench;
  const keep = reactor.keep.bind(reactor);
  reactor.keep = (work) => {
    kept.push(work);
    keep(work);
  };
  t.is(await bench.write(1, 64, 0x11), 0);
  t.is(await bench.write(1, 64, 0x12), 0);
  let headers = 0;
  bench.disk.fault = (io) => {
    if (io.op !== OP_WRITE || io.block >= 2) return 0;
    headers += 1;
    return EIO;
  };
  const drained = bench.cache.drainAll();
  for (let turn = 0; turn < 10_000 && headers === 0; turn += 1) {
    if (reactor.busy) reactor.turn();
    else reactor.advance();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  t.is(headers, 1);
  t.is(bench.status.state, 'online');
  await bench.close();
  t.false(await reactor.drive(drained));
  await reactor.drive(Promise.all(kept));
  // What is in the ring is still there.
  bench.disk.fault = () => 0;
  await bench.open();
  t.is(await bench.read(64), 0x12);
  await bench.close();
});

test('what is lost stays lost where mending has left more pieces than fit a header', async (t) => {
  const bench = await NvBench.make();
  const blocks = 2 * LOST_RANGES_MAX + 8;
  bench.putHeader({ lost: [{ block: 0, blockCount: blocks }], lostSequence: 1 });
  await bench.open();
  t.is(bench.status.lost_blocks, blocks);
  bench.disk.fault = (io) => (RING_WRITE(io) ? EIO : 0);
  for (let block = 1; block < blocks; block += 2) t.is(await bench.write(block, 1, 0x11), 0);
  t.like(bench.status, { state: 'through', lost_blocks: blocks / 2 });
  for (const ends of [() => bench.close(), () => bench.kill()]) {
    await ends();
    await bench.open();
    t.is(await bench.read(blocks - 2), -EIO);
    t.is(await bench.read(0), -EIO);
  }
  await bench.close();
});
