/** The steps of an NV cache's start, as clients hear of them. */

import test from 'ava';
import { eventOf } from '../../src/cli/stack-events.ts';
import { cacheStepEvents } from '../../src/stack/cache-step-events.ts';
import type { StackEvent } from '../../src/stack/worker-messages.ts';
import { NvBench } from '../_helpers/nv-bench.ts';

function heard(told: readonly StackEvent[]) {
  return told.flatMap((event) => {
    const one = eventOf(event, 'tank');
    return one === null ? [] : [one];
  });
}

test('each step is told at its beginning, and at its end with what it has found', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  for (let block = 0; block < 9; block += 1) await bench.write(block, 1, 1);
  bench.kill();
  const told: StackEvent[] = [];
  const steps = cacheStepEvents(
    (event) => told.push(event),
    () => bench.opening!.recovery(),
  );
  await bench.open({ steps });
  t.deepEqual(
    heard(told).map(({ kind, message }) => `${kind}: ${message}`),
    [
      'cache-step-started: Read the NV cache header: started',
      'cache-step-finished: Read the NV cache header: not stopped cleanly',
      'cache-step-started: Scan the NV cache: started',
      'cache-step-finished: Scan the NV cache: 600 scanned blocks, 0 unreadable blocks, 9 records',
      'cache-step-started: Recover the NV cache: started',
      'cache-step-finished: Recover the NV cache: 9 records valid, 0 records old, 0 records torn, 0 trims, 0 lost blocks',
      'cache-step-started: Scrub the NV cache: started',
      'cache-step-finished: Scrub the NV cache: 0 scrubbed blocks',
      'cache-step-started: Begin a new epoch of the NV cache: started',
      'cache-step-finished: Begin a new epoch of the NV cache: done',
    ],
  );
  const scan = heard(told).find(
    ({ message }) => message.startsWith('Scan') && !message.endsWith('d'),
  );
  t.deepEqual(scan!.details, {
    step: 'Scan the NV cache',
    scanned_blocks: 600,
    unreadable_blocks: 0,
    records: 9,
  });
  const logged = told.filter(({ event }) => event === 'step-started' || event === 'step-ended');
  t.is(logged.length, 10, 'the log has them as those of all layers');
  await bench.close();
});

test('a step that fails says why', async (t) => {
  const bench = await NvBench.make();
  const told: StackEvent[] = [];
  const steps = cacheStepEvents(
    (event) => told.push(event),
    () => bench.opening!.recovery(),
  );
  const owner = '0f71f71f-0000-4000-8000-000000000002';
  const error = await bench.refusal({ steps, owner });
  const last = heard(told).at(-1)!;
  t.like(last, { kind: 'cache-step-failed', severity: 'error', reason: error.message });
});

test('the end of a recovery is told, with what was lost', (t) => {
  const of = (blocks: number, lostBlocks: number) =>
    eventOf({ event: 'cache-recovered', blocks, lostBlocks }, 'tank')!;
  t.like(of(512, 0), {
    kind: 'recovery-finished',
    severity: 'info',
    message: 'what a crash had left in the NV cache is drained: 2 MiB',
    details: { blocks: 512, lost_blocks: 0 },
  });
  t.is(of(0, 0).message, 'the NV cache held nothing that a crash had left');
  t.like(of(512, 3), { severity: 'error', action: 'write these blocks again; status names them' });
});
