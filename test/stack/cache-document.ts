/** What status says of an NV cache, while it starts, recovers, drains, and afterwards. */

import test from 'ava';
import { IDLE } from '../../src/control/schema.ts';
import { cacheActivity, cacheDocument } from '../../src/stack/cache-document.ts';
import { StartingStack } from '../../src/stack/starting-stack.ts';
import type { StackEvent } from '../../src/stack/worker-messages.ts';
import { NvBench } from '../_helpers/nv-bench.ts';

const SSD = { name: 'ssd', mirror: null } as const;

test('after a kill the cache recovers until all is drained, then it is ready', async (t) => {
  const bench = await NvBench.killed(40);
  const cache = await bench.open({ drainBlocks: 128 });
  t.like(cacheDocument(cache, SSD), {
    device: 'ssd',
    state: 'recover',
    undrained_bytes: 80 * 4096,
    ring: {
      first_block: 2,
      block_count: 600,
      tail_block: 2,
      drained_block: 2,
      head_block: 82,
    },
    recovery: { over: false, clean: false, blocks_done: 0, blocks_total: 80, scanned_blocks: 600 },
  });
  t.like(cacheActivity(IDLE, cache), {
    kind: 'recovery',
    step: 'Drain what the NV cache had',
    pace: 'estimating',
    done_bytes: 0,
    total_bytes: 80 * 4096,
  });
  const rebuild = { ...IDLE, kind: 'rebuild' } as const;
  t.is(cacheActivity(rebuild, cache), rebuild, 'what the array does comes first');
  await bench.rest();
  const over = cacheDocument(cache, SSD)!;
  t.like(over.ring, { drained_block: 82, head_block: 82 });
  t.like(over, { state: 'ready', undrained_bytes: 0, recovery: { over: true, blocks_done: 80 } });
  t.deepEqual(over.recovery!.ranges, [
    {
      phase: 1,
      first: 2,
      last: 81,
      records_valid: 40,
      records_old: 0,
      records_torn: 0,
      blocks: 80,
      recovered: 80,
    },
  ]);
  t.is(cacheActivity(IDLE, cache), IDLE);
  await bench.close();
  t.is(cacheDocument(cache, SSD), null, 'of a closed cache nothing is said');
});

test('after a clean stop there is no recovery', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 1, 1);
  await bench.close();
  const cache = await bench.open();
  t.like(cacheDocument(cache, SSD), { state: 'ready', recovery: null, undrained_bytes: 8192 });
  t.is(cacheActivity(IDLE, cache), IDLE);
  await bench.close();
});

test('a drain that somebody waits for has a share, and ends', async (t) => {
  const bench = await NvBench.make();
  const cache = await bench.open({ drainBlocks: 128 });
  for (let block = 0; block < 100; block += 1) await bench.write(block, 1, 1);
  const drained = cache.drainAll();
  t.like(cacheDocument(cache, SSD), { state: 'draining' });
  t.like(cacheActivity(IDLE, cache), { kind: 'drain', done_bytes: 0, total_bytes: 200 * 4096 });
  await bench.reactor.drive(drained);
  t.like(cacheDocument(cache, SSD), { state: 'ready', undrained_bytes: 0 });
  await bench.reactor.drive(cache.detach());
  t.like(cacheDocument(cache, SSD), { state: 'detached', health: 'detached' });
  await bench.close();
});

test('a stack that is being started tells its step, and that of its cache', async (t) => {
  const bench = await NvBench.killed(40);
  const told: StackEvent[] = [];
  const plan = { name: 'tank', uuid: null, remembered: null };
  const starting = new StartingStack(plan, (event) => told.push(event));
  starting.emit({ event: 'step-started', step: 'Find the members' });
  const early = starting.status();
  t.like(early, { health: 'stopped', reason: 'it is being started: Find the members' });
  t.like(early.activity, { kind: 'recovery', step: 'Find the members', total_bytes: null });
  t.is(early.cache, null);
  t.is(told.length, 1);

  const seen: ReturnType<StartingStack['status']>[] = [];
  const submit = bench.disk.submit.bind(bench.disk);
  bench.disk.submit = (io) => {
    starting.layers = { cache: bench.opening, base: SSD };
    if (bench.opening !== null) seen.push(starting.status());
    submit(io);
  };
  await bench.open();
  const scanned = seen.find(({ cache }) => cache?.state === 'scan')!;
  t.like(scanned.activity, {
    kind: 'recovery',
    step: 'Scan the NV cache',
    total_bytes: 600 * 4096,
  });
  t.like(scanned.cache, { device: 'ssd', uuid: null, size_bytes: null, undrained_bytes: null });
  t.true(seen.some(({ cache }) => cache?.state === 'header'));
  await bench.close();
});
