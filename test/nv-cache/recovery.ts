/**
 * What a start finds after a crash is drained in the background, and it can be told how far it is.
 */

import test from 'ava';
import type { BlockIo } from '../../src/block/block-io.ts';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO } from '../../src/block/status.ts';
import { DRAIN_FOUND } from '../../src/nv-cache/nv-recovery.ts';
import { NvBench } from '../_helpers/nv-bench.ts';

test('what was found after a kill is drained though the ring is nearly empty', async (t) => {
  const bench = await NvBench.killed(40);
  let finished = 0;
  const cache = await bench.open({ recovered: () => (finished += 1), drainBlocks: 128 });
  t.is(cache.status()!.cached_blocks, 40, 'all of it can be read meanwhile');
  t.like(cache.recovery(), {
    step: DRAIN_FOUND,
    isOnline: true,
    isOver: false,
    clean: false,
    totalBlocks: 80,
    scannedBlocks: 600,
  });
  await bench.rest();
  t.like(cache.recovery(), { isOver: true, doneBlocks: 80, totalBlocks: 80, etaSeconds: null });
  t.is(finished, 1);
  t.is(bench.backing.blocksWritten, 40);
  t.is(bench.backing.flushes, 0, 'nothing is padded for it');
  await bench.write(50, 1, 9);
  await bench.rest();
  t.is(cache.status()!.undrained_blocks, 2, 'what comes afterwards stays');
  t.is(finished, 1);
  await bench.close();
});

test('what a clean stop has left stays in the ring', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  for (let block = 0; block < 9; block += 1) await bench.write(block, 1, 1);
  await bench.close();
  let finished = 0;
  const cache = await bench.open({ recovered: () => (finished += 1) });
  await bench.rest();
  t.like(cache.recovery(), { isOver: true, clean: true, doneBlocks: 0, totalBlocks: 0 });
  t.is(cache.status()!.undrained_blocks, 18);
  t.is(bench.backing.writes, 0);
  t.is(finished, 0);
  await bench.close();
});

test('an empty ring is recovered at once', async (t) => {
  const bench = await NvBench.killed(0);
  let finished = 0;
  const cache = await bench.open({ recovered: () => (finished += 1) });
  t.like(cache.recovery(), { isOver: true, totalBlocks: 0 });
  t.is(finished, 1);
  await bench.close();
});

test('read-only, nothing is drained', async (t) => {
  const bench = await NvBench.killed(5);
  const cache = await bench.open({ readOnly: true });
  await bench.rest();
  t.is(bench.backing.writes, 0);
  t.like(cache.recovery(), { isOnline: true, isOver: true, clean: false });
  await bench.close();
});

test('a device behind that fails leaves a recovery that is not over', async (t) => {
  const bench = await NvBench.killed(5);
  let finished = 0;
  const opening = bench.open({ recovered: () => (finished += 1) });
  bench.backing.fault = ({ op }: BlockIo) => (op === OP_WRITE ? EIO : 0);
  const cache = await opening;
  await bench.rest();
  t.is(cache.status()!.state, 'stopped');
  t.like(cache.recovery(), { isOver: false, doneBlocks: 0, totalBlocks: 10 });
  t.is(finished, 0);
  t.is(await bench.read(3), 4);
  await bench.close();
});

test('each phase has its records, valid, old and torn, and what was drained of it', async (t) => {
  const bench = await NvBench.make();
  // Phase 2 goes on where phase 1 was: the tail in the newest record is that of the third one.
  bench.putHeader({ phase: 1 });
  const SEQUENCE = 2 ** 32;
  for (const [index, address] of [400, 402, 404].entries()) {
    const sequence = SEQUENCE + 1 + index;
    bench.putRecord({ address, sequence, phase: 1, data: [[index, 0x10 + index]] });
  }
  for (const [index, address] of [2, 4].entries()) {
    const sequence = SEQUENCE + 4 + index;
    const tail = SEQUENCE + 3;
    bench.putRecord({ address, sequence, tail, phase: 2, data: [[10 + index, 0x20]] });
  }
  // Torn: its data is not what its description says.
  bench.disk.bytes[5 * 4096] = 0xff;
  const cache = await bench.open();
  const { ranges } = cache.recovery()!;
  t.deepEqual(
    ranges.map(({ phase, first, last, valid, old, torn }) => [
      phase,
      first,
      last,
      valid,
      old,
      torn,
    ]),
    [
      [1, 400, 405, 1, 2, 0],
      [2, 2, 5, 1, 0, 1],
    ],
  );
  t.is(ranges[1]!.blocks, 2);
  await bench.rest();
  for (const { blocks, recovered } of cache.recovery()!.ranges) t.is(recovered, blocks);
  t.is(bench.backing.byteOf(2), 0x12);
  t.is(bench.backing.byteOf(10), 0x20);
  t.is(bench.backing.byteOf(0), 0, 'what the tail had left behind is old');
  await bench.close();
});

test('while it is scanned the start tells its step, and how far that is', async (t) => {
  const bench = await NvBench.killed(40);
  const seen: (readonly [string, number, number])[] = [];
  const reads = bench.disk.submit.bind(bench.disk);
  bench.disk.submit = (io) => {
    const recovery = io.op === OP_READ ? (cacheOf()?.recovery() ?? null) : null;
    if (recovery !== null) seen.push([recovery.step, recovery.doneBlocks, recovery.totalBlocks]);
    reads(io);
  };
  const steps: string[] = [];
  const observer = {
    stepStarted: (name: string) => steps.push(name),
    stepEnded: () => {},
  };
  const cacheOf = () => bench.opening;
  await bench.open({ steps: observer });
  t.deepEqual(steps, [
    'Read the NV cache header',
    'Scan the NV cache',
    'Recover the NV cache',
    'Scrub the NV cache',
    'Begin a new epoch of the NV cache',
  ]);
  t.true(seen.some(([step, , total]) => step === 'Scan the NV cache' && total === 600));
  await bench.close();
});
