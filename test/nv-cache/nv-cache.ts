import test from 'ava';
import {
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../src/block/block-io.ts';
import { BLOCK, NvBench } from '../_helpers/nv-bench.ts';

const EAGER = { highMark: 0, lowMark: 0 } as const;

test('a flush is one of the cache device alone', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 2, 0x11);
  t.is(await bench.flush(), 0);
  t.deepEqual(
    bench.disk.log.map(({ op, block, blockCount }) => [op, block, blockCount]),
    [
      [OP_WRITE, 2, 3],
      [OP_FLUSH, 0, 0],
    ],
  );
  t.is(bench.backing.writes + bench.backing.flushes, 0);
  await bench.close();
});

test('a write with FUA is one on the device, or a write and a flush', async (t) => {
  const native = await NvBench.make();
  await native.open();
  t.is(await native.write(1, 1, 0x11, FLAG_FUA), 0);
  t.deepEqual(
    native.disk.log.map(({ op, flags }) => [op, flags]),
    [[OP_WRITE, FLAG_FUA]],
  );
  await native.close();
  const without = await NvBench.make({ cache: { geometry: { features: 0 } } });
  await without.open();
  t.is(await without.write(1, 1, 0x11, FLAG_FUA), 0);
  t.deepEqual(
    without.disk.log.map(({ op, flags }) => [op, flags]),
    [
      [OP_WRITE, 0],
      [OP_FLUSH, 0],
    ],
  );
  await without.close();
});

test('a write alone goes out in its own turn; those of a turn share a record', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  const alone = bench.begin(1, 1, 0x11);
  bench.reactor.turn();
  t.deepEqual(
    bench.disk.log.map(({ blockCount }) => blockCount),
    [2],
  );
  await bench.reactor.drive(alone);
  const many = Array.from({ length: 20 }, (_, index) => bench.begin(index, 1, index + 1));
  await bench.reactor.drive(Promise.all(many));
  t.deepEqual(
    bench.disk.log.map(({ blockCount }) => blockCount),
    [2, 21],
  );
  t.deepEqual(await bench.readAll([0, 7, 19]), [1, 8, 20]);
  await bench.close();
});

test('what comes while eight records are on their way shares the next one', async (t) => {
  const bench = await NvBench.make({ cache: { delayUsMax: 1000 } });
  await bench.open();
  const writes: Promise<number>[] = [];
  for (let index = 0; index < 30; index += 1) {
    writes.push(bench.begin(index, 1, index + 1));
    bench.reactor.turn();
  }
  t.is(bench.disk.log.length, 8);
  await bench.reactor.drive(Promise.all(writes));
  t.is(bench.disk.log[8]!.blockCount, 23);
  await bench.close();
});

test('a write longer than a record is cut, and shorter ones are not', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  t.is(bench.cache.geometry.requestBlocksMax, 256);
  t.is(await bench.write(0, 256, 0x11), 0);
  t.deepEqual(
    bench.disk.log.map(({ blockCount }) => blockCount),
    [128, 128, 3],
  );
  bench.disk.log.length = 0;
  const both = [bench.begin(0, 100, 1), bench.begin(200, 100, 2)];
  await bench.reactor.drive(Promise.all(both));
  t.deepEqual(
    bench.disk.log.filter(({ op }) => op === OP_WRITE).map(({ blockCount }) => blockCount),
    [101, 101],
  );
  t.deepEqual(await bench.readAll([99, 100, 255, 299]), [1, 0x11, 2, 2]);
  await bench.close();
});

test('trimmed blocks are zeroes at once, though the device behind has not answered', async (t) => {
  const bench = await NvBench.make();
  for (const block of [4, 5, 6]) {
    bench.content.durable.set(block, new Uint8Array(BLOCK).fill(0x99));
  }
  await bench.open();
  await bench.write(6, 1, 0x66);
  const held: (() => void)[] = [];
  const { backing } = bench;
  const submit = backing.submit.bind(backing);
  backing.submit = (io) => {
    if (io.op === OP_TRIM) held.push(() => submit(io));
    else submit(io);
  };
  t.is(await bench.submit(OP_WRITE_ZEROES, 5, 2), 0);
  t.is(held.length, 1);
  t.deepEqual(
    [4, 5, 6].map((block) => backing.byteOf(block)),
    [0x99, 0x99, 0x99],
  );
  t.deepEqual(await bench.readAll([4, 5, 6]), [0x99, 0, 0]);
  t.is(bench.cache.allocationAt(5, 10), -2);
  await bench.write(5, 1, 0x55);
  t.deepEqual(await bench.readAll([5, 6]), [0x55, 0]);
  t.is(bench.cache.allocationAt(5, 10), 1);
  held[0]!();
  await bench.rest();
  t.deepEqual(
    [5, 6].map((block) => backing.byteOf(block)),
    [0, 0],
  );
  t.deepEqual(await bench.readAll([4, 5, 6]), [0x99, 0x55, 0]);
  await bench.close();
});

test('a trim that a kill has left in the ring is told to the device behind again', async (t) => {
  const bench = await NvBench.make();
  bench.content.durable.set(5, new Uint8Array(BLOCK).fill(0x99));
  await bench.open();
  await bench.trim(5, 1);
  bench.kill();
  t.true(bench.content.durable.has(5), 'that device has lost it');
  await bench.open();
  t.is(await bench.read(5), 0);
  await bench.close();
  t.false(bench.content.durable.has(5));
});

test('every write that was answered survives a kill, flushed or not', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  for (let block = 0; block < 40; block += 1) await bench.write(block, 1, block + 1);
  bench.kill();
  await bench.open();
  const blocks = Array.from({ length: 40 }, (_, block) => block);
  t.deepEqual(
    await bench.readAll(blocks),
    blocks.map((block) => block + 1),
  );
  t.like(bench.status.start, { clean: false, scannedBlocks: 600 });
  t.is(bench.status.start.found!.counting, 40);
  await bench.close();
});

test('after a clean stop only what is in use is scanned', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  for (let block = 0; block < 10; block += 1) await bench.write(block, 1, block + 1);
  await bench.close();
  await bench.open();
  t.like(bench.status.start, { clean: true, scannedBlocks: 20 });
  bench.kill();
  await bench.open();
  t.like(bench.status.start, { clean: false, scannedBlocks: 600 });
  t.is(await bench.read(9), 10);
  await bench.close();
});

test('it drains above the high mark down to the low one, and never when it is idle', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 8 } });
  await bench.open({ highMark: 0.5, lowMark: 0.2, drainBlocks: 128 });
  for (let block = 0; block < 149; block += 1) await bench.write(block, 1, block + 1);
  await bench.rest();
  t.is(bench.backing.writes, 0);
  t.is(bench.status.undrained_blocks, 298);
  await bench.write(149, 2, 1);
  await bench.rest();
  const { undrained_blocks: left } = bench.status;
  t.true(left <= 120 && left > 0, `${left} blocks`);
  t.is(bench.backing.byteOf(0), 1);
  await bench.close();
});

test('what was overwritten in the ring never reaches the device behind', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  for (let round = 1; round <= 20; round += 1) await bench.write(3, 8, round);
  t.true(await bench.reactor.drive(bench.cache.drainAll()));
  t.is(bench.backing.blocksWritten, 8);
  t.is(bench.backing.writes, 1, 'neighbouring blocks are one write');
  t.like(bench.status, { drained_blocks: 8, dropped_blocks: 152, used_blocks: 0 });
  t.is(bench.backing.byteOf(10), 20);
  await bench.close();
});

test('a ring that is full of what a unit behind holds back is no deadlock', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 100_000 } });
  await bench.open();
  const writes = Array.from({ length: 900 }, (_, index) =>
    bench.begin(index % 1000, 1, (index % 250) + 1),
  );
  t.true((await bench.reactor.drive(Promise.all(writes))).every((status) => status === 0));
  const { forced_flushes: forced, space_waits: waits } = bench.status;
  t.true(forced > 0 && waits > 0, `${forced} ${waits}`);
  t.is(bench.backing.flushes, forced);
  t.deepEqual(await bench.readAll([0, 450, 899]), [1, 201, 150]);
  await bench.close();
});

test('what is held back is flushed before the ring has been drained to its end', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 100_000 } });
  await bench.open({ drainBlocks: 128 });
  const left: number[] = [];
  bench.backing.submitted = ({ op }) => {
    if (op === OP_FLUSH) left.push(bench.status.undrained_blocks);
  };
  for (let index = 0; index < 600; index += 1) await bench.write(index, 1, 1);
  t.true(left.length > 0);
  t.true(
    left.every((blocks) => blocks > 200),
    `undrained at each flush: ${left.join(', ')}`,
  );
  await bench.close();
});

test('a unit behind that does not fill up costs a flush, not an empty ring', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 100_000 } });
  await bench.open({ drainBlocks: 32 });
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (let index = 0; index < 900; index += 1) {
    await bench.write(index % 1000, 1, 7);
    const { drained_blocks: drained, ring_blocks: ring, undrained_blocks: left } = bench.status;
    most = Math.max(most, left / ring);
    if (drained > 0) least = Math.min(least, left / ring);
  }
  t.true(least > 0.5, `${least} of the ring was left`);
  t.true(most < 0.9, `${most} of the ring was left`);
  t.is(bench.status.space_waits, 0);
  t.true(bench.backing.flushes < 30, `${bench.backing.flushes} flushes`);
  await bench.close();
});

test('where units fill up by themselves nothing is padded', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 16 } });
  await bench.open();
  for (let index = 0; index < 800; index += 1) await bench.write(index, 1, 7);
  t.true(bench.status.settles > 0);
  t.is(bench.backing.flushes, 0);
  t.is(bench.status.phase, 3);
  await bench.close();
});

test('trims beyond what is kept in memory wait, and all take effect', async (t) => {
  const bench = await NvBench.make({ backing: { blockCount: 4000, delayUsMax: 30 } });
  for (let block = 0; block < 3000; block += 1) {
    bench.content.durable.set(block, new Uint8Array(1).fill(1));
  }
  await bench.open();
  const trims = Array.from({ length: 3000 }, (_, block) => bench.trimBegin(block, 1));
  t.true((await bench.reactor.drive(Promise.all(trims))).every((status) => status === 0));
  await bench.rest();
  t.is(bench.backing.filled, 0);
  await bench.close();
});

test('detached, the ring is empty and the device behind has everything', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 2, 0x11);
  const detached = bench.cache.detach();
  const during = bench.begin(2, 2, 0x22);
  t.true(await bench.reactor.drive(detached));
  t.is(await bench.reactor.drive(during), 0);
  t.is(bench.status.state, 'through');
  t.deepEqual(bench.failures, []);
  t.is(await bench.write(4, 1, 0x44), 0);
  t.deepEqual(await bench.readAll([1, 2, 3, 4]), [0x11, 0x22, 0x22, 0x44]);
  t.deepEqual(
    [1, 2, 3, 4].map((block) => bench.content.durable.get(block)![0]),
    [0x11, 0x22, 0x22, 0x44],
  );
  await bench.close();
});

test('a read is not overtaken by the reuse of what it reads', async (t) => {
  const bench = await NvBench.make();
  await bench.open(EAGER);
  await bench.write(500, 1, 0x55);
  // A read of the ring that takes long.
  const { disk } = bench;
  const submit = disk.submit.bind(disk);
  let late: (() => void) | null = null;
  disk.submit = (io) => {
    if (io.op === OP_READ && late === null && io.blockCount === 1) late = () => submit(io);
    else submit(io);
  };
  const at = bench.reactor.arena.allocate(BLOCK);
  const read = bench.cacheRead(500, at);
  const writes = Array.from({ length: 1200 }, (_, index) => bench.begin(index % 500, 1, 1));
  await bench.rest();
  t.true(bench.status.space_waits > 0, 'room waits for the reader');
  late!();
  await bench.reactor.drive(Promise.all([read, ...writes]));
  t.is(bench.reactor.arena.u8[at], 0x55);
  bench.reactor.arena.release(at, BLOCK);
  await bench.close();
});

test('the tail waits until the newer copy of what was dropped is durable', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 1 } });
  await bench.open();
  await bench.write(7, 1, 0x01);
  await bench.flush();
  const { disk } = bench;
  const submit = disk.submit.bind(disk);
  const reads: (() => void)[] = [];
  disk.submit = (io) => {
    if (io.op === OP_READ) reads.push(() => submit(io));
    else if (io.op !== OP_FLUSH) submit(io);
  };
  // While the block is being drained it is overwritten, and no flush comes to an end any more.
  void bench.cache.drainAll();
  await bench.rest();
  t.is(reads.length, 1);
  await bench.write(7, 1, 0x02);
  reads[0]!();
  await bench.rest();
  t.like(bench.status, { dropped_blocks: 1, drained_blocks: 0, used_blocks: 4 });
  await bench.write(8, 1, 0x08, FLAG_FUA);
  // A power cut takes the newer copy, and keeps a later record.
  disk.bytes.fill(0, 4 * BLOCK, 6 * BLOCK);
  disk.submit = submit;
  bench.kill();
  await bench.open();
  t.deepEqual(await bench.readAll([7, 8]), [0x01, 0x08]);
  await bench.close();
});
