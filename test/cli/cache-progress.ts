/** Waiting for what an NV cache does, whatever its array does meanwhile. */

import test from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import { cacheProgress } from '../../src/cli/cache-progress.ts';
import { type WaitFor, waitExitStatus, waitFor } from '../../src/cli/wait-loop.ts';
import { IDLE, type StatusDocument } from '../../src/control/schema.ts';
import type { EventDocument } from '../../src/control/schema-events.ts';
import { cacheOf, recoveryOf } from '../_helpers/cache-status.ts';
import { eventOf, statusOf } from '../_helpers/fake-stack.ts';

const starting = statusOf('tank', {
  health: 'stopped',
  array: null,
  activity: { ...IDLE, kind: 'recovery', step: 'Scan the NV cache', done_bytes: 5, total_bytes: 9 },
});
const resync = { ...IDLE, kind: 'resync', pace: 'running', done_bytes: 1, total_bytes: 9 } as const;
const recovering = statusOf('tank', {
  activity: resync,
  cache: cacheOf({ state: 'recover', recovery: recoveryOf() }),
});
const quiet = statusOf('tank', { cache: cacheOf() });
const empty = statusOf('tank', { cache: cacheOf({ undrained_bytes: 0 }) });
const finished = eventOf(7, { kind: 'recovery-finished', message: 'all is drained: 32 MiB' });

/** What the moments say, one after another; the last one stays. */
async function wait(
  kind: WaitFor,
  moments: readonly StatusDocument[],
  events: readonly EventDocument[] = [],
  timeoutMs = 60_000,
) {
  let [looks, now] = [0, 0];
  const shown: (readonly [string, number | null, number | null])[] = [];
  const result = await waitFor(
    {
      nowMs: () => now,
      sleep: async (ms) => {
        now += ms;
      },
      status: async () => {
        looks += 1;
        return moments[Math.min(looks, moments.length) - 1]!;
      },
      events: async () => (looks === 0 ? events : []),
    },
    {
      name: 'tank',
      kind,
      timeoutMs,
      progress: ({ activity: { kind: doing, done_bytes, total_bytes } }) =>
        shown.push([doing, done_bytes, total_bytes]),
    },
  );
  return { result, shown };
}

async function failure(kind: WaitFor, moments: readonly StatusDocument[], timeoutMs?: number) {
  try {
    await wait(kind, moments, [], timeoutMs);
  } catch (error) {
    return error as BandstandError;
  }
  throw new Error('the wait did not fail');
}

test('a recovery is waited for from the start on, and while a resync runs', async (t) => {
  const { result, shown } = await wait('recovery', [starting, recovering, quiet], [finished]);
  t.deepEqual(shown, [
    ['recovery', 5, 9],
    ['recovery', 2 ** 23, 2 ** 25],
  ]);
  t.like(result, { for: 'recovery', waited: true, message: 'all is drained: 32 MiB' });
  t.is(waitExitStatus(result), 0);
});

test('a stack that has nothing to recover is not waited for', async (t) => {
  for (const status of [quiet, statusOf('tank')]) {
    const { result } = await wait('recovery', [status]);
    t.like(result, { waited: false, message: null });
  }
});

test('a drain is over when nothing waits for it, whatever the ring holds', async (t) => {
  const draining = statusOf('tank', {
    activity: { ...IDLE, kind: 'drain', done_bytes: 1, total_bytes: 4 },
    cache: cacheOf({ state: 'draining' }),
  });
  const { result, shown } = await wait('drain', [starting, recovering, draining, empty]);
  t.deepEqual(
    shown.map(([kind]) => kind),
    ['recovery', 'drain', 'drain'],
  );
  t.true(result.waited);
  t.false((await wait('drain', [empty])).result.waited);
  t.false((await wait('drain', [statusOf('tank')])).result.waited, 'without a cache as well');
});

test('what nobody drains is not waited for', async (t) => {
  const error = await failure('drain', [quiet]);
  t.is(error.code, 'BANDSTAND_ACTIVITY_STOPPED');
  t.is(
    error.message,
    'cannot wait until the NV cache of tank is drained: nothing drains it: 32 MiB stay in its NV cache until that fills up',
  );
  t.is(error.hint, 'have it emptied: bandstand cache detach tank');
});

test('a stack that fails meanwhile is a failure, also in a recovery', async (t) => {
  const failed = { ...recovering, health: 'failed', reason: 'the FTL is gone' } as const;
  for (const kind of ['recovery', 'drain'] as const) {
    const error = await failure(kind, [recovering, failed]);
    t.is(error.code, 'BANDSTAND_ACTIVITY_STOPPED');
    t.regex(error.message, /: the FTL is gone$/);
  }
});

test('a time limit names what was waited for', async (t) => {
  const error = await failure('recovery', [recovering], 1000);
  t.is(error.code, 'BANDSTAND_WAIT_TIMEOUT');
  t.regex(error.message, /after 1 s it is still at its recovery$/);
});

test('other waits see the activity as it is', (t) => {
  for (const kind of ['idle', 'resync', 'check', 'rebuild']) {
    t.is(cacheProgress(recovering, kind), recovering);
  }
});
