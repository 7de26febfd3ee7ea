/** Waiting: when it is over, when it failed, when it took too long; time is the test's. */

import test from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import {
  POLL_MS,
  type WaitFor,
  type WaitSource,
  waitExitStatus,
  waitFor,
} from '../../src/cli/wait-loop.ts';
import { type ActivityStatus, IDLE, type StatusDocument } from '../../src/control/schema.ts';
import type { EventDocument } from '../../src/control/schema-events.ts';
import { checkEnded } from '../../src/raid/process-events.ts';
import type { ProcessOutcome } from '../../src/raid/process-host.ts';
import type { ProcessRun } from '../../src/raid/process-run.ts';
import type { RaidArray } from '../../src/raid/raid-array.ts';
import { mirrorDocument } from '../_helpers/fake-cache.ts';
import { eventOf, statusOf } from '../_helpers/fake-stack.ts';

function activity(kind: ActivityStatus['kind'], done = 0): ActivityStatus {
  return { ...IDLE, kind, pace: 'running', done_bytes: done, total_bytes: 100 };
}

const healthy = statusOf('tank');
const degraded = statusOf('tank', {
  health: 'degraded',
  reason: 'the member in slot 1 is missing',
  action: 'put a device in its place',
});
const rebuilding = (done = 0): StatusDocument =>
  ({ ...degraded, activity: activity('rebuild', done) }) as StatusDocument;

interface Moment {
  readonly status: StatusDocument | null;
  readonly events?: readonly EventDocument[];
}

/** A stack that is what the moments say, one after another; the last one stays. */
function film(moments: readonly Moment[], kept: readonly EventDocument[]) {
  let at = -1;
  let now = 1000;
  let started = false;
  const moment = (): Moment => moments[Math.min(Math.max(at, 0), moments.length - 1)]!;
  const source: WaitSource = {
    nowMs: () => now,
    async sleep(ms) {
      now += ms;
    },
    async status() {
      at += 1;
      return moment().status;
    },
    async events() {
      if (!started) {
        started = true;
        return kept;
      }
      return at < moments.length ? (moment().events ?? []) : [];
    },
  };
  return { source, looks: () => at + 1 };
}

async function wait(
  kind: WaitFor,
  moments: readonly Moment[],
  timeoutMs: number | null = 60_000,
  kept: readonly EventDocument[] = [],
) {
  const { source, looks } = film(moments, kept);
  const seen: number[] = [];
  const progress = ({ activity: { done_bytes } }: StatusDocument): void => {
    seen.push(done_bytes ?? -1);
  };
  const options = { name: 'tank', kind, timeoutMs, progress };
  return { result: await waitFor(source, options), seen, looks: looks() };
}

async function fails(
  t: { throwsAsync(work: () => Promise<unknown>): Promise<Error | undefined> },
  kind: WaitFor,
  moments: readonly Moment[],
  timeoutMs: number | null = 60_000,
): Promise<BandstandError> {
  const error = await t.throwsAsync(() => wait(kind, moments, timeoutMs));
  return error as unknown as BandstandError;
}

test('a rebuild that ends well is done', async (t) => {
  const finished = eventOf(9, { kind: 'rebuild-finished', message: 'rebuild of slot 1 finished' });
  const { result, seen } = await wait('rebuild', [
    { status: rebuilding(10) },
    { status: rebuilding(60) },
    { status: healthy, events: [finished] },
  ]);
  t.deepEqual(seen, [10, 60]);
  t.deepEqual(result, {
    name: 'tank',
    for: 'rebuild',
    waited: true,
    waited_seconds: (2 * POLL_MS) / 1000,
    message: 'rebuild of slot 1 finished',
    action: null,
    ended_at: finished.time,
    mismatched_blocks: null,
    repaired_blocks: null,
    lost_blocks: null,
    findings_left: null,
    health: 'healthy',
  });
});

test('nothing to wait for is done at once', async (t) => {
  for (const kind of ['rebuild', 'resync', 'check', 'idle'] as const) {
    const { result, looks } = await wait(kind, [{ status: healthy }]);
    t.is(looks, 1);
    t.like(result, { waited: false, message: null });
  }
});

test('a rebuild that was stopped fails with the reason of its event', async (t) => {
  const stopped = eventOf(9, {
    kind: 'rebuild-stopped',
    message: 'rebuild of slot 1 stopped: /dev/sdd failed',
    action: 'add another device',
  });
  const error = await fails(t, 'rebuild', [
    { status: rebuilding() },
    { status: degraded, events: [stopped] },
  ]);
  t.is(error.code, 'BANDSTAND_ACTIVITY_STOPPED');
  t.is(
    error.message,
    'cannot wait for the rebuild of tank: rebuild of slot 1 stopped: /dev/sdd failed',
  );
  t.is(error.hint, 'add another device');
});

test('a stack that is degraded without a rebuild fails with its reason', async (t) => {
  const error = await fails(t, 'rebuild', [{ status: degraded }]);
  t.is(
    error.message,
    'cannot wait for the rebuild of tank: no rebuild is running, and it is still degraded (the member in slot 1 is missing)',
  );
  t.is(error.hint, 'put a device in its place');
  const after = await fails(t, 'rebuild', [{ status: rebuilding() }, { status: degraded }]);
  t.regex(after.message, /the rebuild is over, and it is still degraded/);
});

test('a moment between two rebuilds is no failure', async (t) => {
  const { result } = await wait('rebuild', [
    { status: rebuilding() },
    { status: degraded },
    { status: rebuilding() },
    { status: degraded },
    { status: healthy },
  ]);
  t.true(result.waited);
});

test('a stopped activity that another one followed to a good end is no failure', async (t) => {
  const stopped = eventOf(1, { kind: 'rebuild-stopped' });
  const finished = eventOf(2, { kind: 'rebuild-finished' });
  const { result } = await wait('idle', [
    { status: rebuilding(), events: [stopped] },
    { status: healthy, events: [finished] },
  ]);
  t.is(result.message, 'event 2');
});

test('only the activity that is waited for counts', async (t) => {
  const check = { ...healthy, activity: activity('check') } as StatusDocument;
  t.false((await wait('resync', [{ status: check }])).result.waited);
  const stopped = eventOf(1, { kind: 'check-stopped', message: 'stopped by request' });
  const other = await wait('resync', [{ status: healthy, events: [stopped] }]);
  t.is(other.result.message, null);
  const error = await fails(t, 'check', [
    { status: check },
    { status: healthy, events: [stopped] },
  ]);
  t.is(error.message, 'cannot wait for the check of tank: stopped by request');
});

/** The end of a check, as the array tells it. */
function checked(mismatched: number, repaired: number, lost: number, action: string | null) {
  const details = { mismatched_blocks: mismatched, repaired_blocks: repaired, lost_blocks: lost };
  return eventOf(5, { kind: 'check-finished', message: 'check is complete', action, details });
}

test('what ended before the wait is told, and counts as if it had been waited for', async (t) => {
  const end = checked(8, 0, 0, 'bandstand check tank --repair');
  const older = eventOf(2, { kind: 'check-finished', message: 'an older one' });
  const rebuild = eventOf(7, { kind: 'rebuild-finished' });
  const { result } = await wait('check', [{ status: healthy }], null, [older, end, rebuild]);
  t.like(result, {
    waited: false,
    message: 'check is complete',
    ended_at: end.time,
    mismatched_blocks: 8,
    repaired_blocks: 0,
    lost_blocks: 0,
    findings_left: true,
  });
  const idle = await wait('idle', [{ status: healthy }], null, [end]);
  t.like(idle.result, { waited: false, message: null, findings_left: null });
  const stopped = eventOf(9, { kind: 'check-stopped', message: 'check has stopped' });
  const { source } = film([{ status: healthy }], [end, stopped]);
  const options = { name: 'tank', kind: 'check' as const, timeoutMs: null, progress: () => {} };
  const error = await t.throwsAsync(() => waitFor(source, options));
  t.is(error?.message, 'cannot wait for the check of tank: check has stopped');
});

test('a check that makes way for a rebuild is waited for until it has gone on', async (t) => {
  const run = { mismatches: 0, lostBlocks: 0, repaired: 0, plan: { repair: false } };
  const told = checkEnded(
    { name: 'tank' } as RaidArray,
    run as ProcessRun,
    { kind: 'stopped' } as ProcessOutcome,
    true,
  );
  const { kind, message, reason, details } = told;
  const stopped = eventOf(3, { kind, message, reason: reason!, details: details! });
  const moments = [
    { status: rebuilding() },
    { status: rebuilding() },
    { status: rebuilding() },
    { status: { ...healthy, activity: activity('check', 50) } as StatusDocument },
    { status: healthy, events: [checked(0, 0, 0, null)] },
  ];
  const { result, looks } = await wait('check', moments, null, [stopped]);
  t.like(result, { waited: true, message: 'check is complete', findings_left: false });
  t.is(looks, 5);
});

test('the exit status tells what a check has found, and whether it is left', async (t) => {
  const cases: readonly (readonly [end: EventDocument, status: StatusDocument, exit: number])[] = [
    [checked(0, 0, 0, null), healthy, 0],
    [checked(8, 8, 0, null), healthy, 3],
    [checked(0, 0, 0, null), degraded, 3],
    [checked(8, 8, 0, 'repair it'), healthy, 4],
    [checked(8, 7, 0, null), healthy, 4],
    [checked(0, 0, 1, null), healthy, 4],
  ];
  for (const [end, status, exit] of cases) {
    const { result } = await wait('check', [{ status }], null, [end]);
    t.is(waitExitStatus(result), exit, JSON.stringify(end.details));
  }
  t.is(waitExitStatus((await wait('check', [{ status: healthy }])).result), 0);
});

test('a failed stack is a failure of any wait', async (t) => {
  const failed = statusOf('tank', { health: 'failed', reason: 'too many members are gone' });
  const error = await fails(t, 'idle', [{ status: failed }]);
  t.is(error.message, 'cannot wait until tank is idle: too many members are gone');
});

test('a time limit is kept exactly, and says what is going on', async (t) => {
  const paused = { ...rebuilding(), activity: { ...activity('rebuild'), pace: 'paused' } };
  const error = await fails(t, 'idle', [{ status: paused as StatusDocument }], 1250);
  t.is(error.code, 'BANDSTAND_WAIT_TIMEOUT');
  t.is(
    error.message,
    'cannot wait longer until tank is idle: after 1.25 s it is still at its rebuild, paused',
  );
});

test('a server that is not there, or goes away, is told apart', async (t) => {
  const never = await fails(t, 'rebuild', [{ status: null }]);
  t.is(never.code, 'BANDSTAND_STACK_NOT_RUNNING');
  t.is(never.message, 'cannot wait for the rebuild of tank: it is not running');
  const gone = await fails(t, 'rebuild', [{ status: rebuilding() }, { status: null }]);
  t.is(gone.code, 'BANDSTAND_SERVER_FAILED');
  t.is(gone.message, 'cannot wait for the rebuild of tank: its server has ended');
});

const ofCache = { details: { array: 'cache' } };
const mirrorRebuilding = (done: number): StatusDocument =>
  statusOf('tank', {
    health: 'degraded',
    cache: mirrorDocument({ health: 'degraded', activity: activity('rebuild', done) }),
  });

test('the rebuild of a mirrored cache is one of the stack', async (t) => {
  const own = eventOf(8, { kind: 'rebuild-finished', message: 'rebuild of slot 1 is complete' });
  const finished = eventOf(9, {
    kind: 'rebuild-finished',
    message: 'NV cache: rebuild of slot 0 is complete',
    ...ofCache,
  });
  const { result, seen } = await wait('rebuild', [
    { status: { ...rebuilding(30), cache: mirrorDocument() } },
    { status: mirrorRebuilding(10), events: [own] },
    { status: mirrorRebuilding(60) },
    { status: healthy, events: [finished] },
  ]);
  t.deepEqual(seen, [30, 10, 60]);
  t.like(result, { waited: true, message: finished.message, health: 'healthy' });
  const { result: idle } = await wait('idle', [
    { status: mirrorRebuilding(10) },
    { status: healthy },
  ]);
  t.true(idle.waited);
  const late = await fails(t, 'rebuild', [{ status: mirrorRebuilding(10) }], 0);
  t.regex(late.message, /it is still at its rebuild$/);
});

test('a rebuild of either array that has stopped is a failure', async (t) => {
  const stopped = eventOf(8, {
    kind: 'rebuild-stopped',
    message: 'NV cache: rebuild of slot 0 has stopped',
    action: 'begin it again with: bandstand member add tank DEVICE --cache',
    ...ofCache,
  });
  const own = eventOf(9, { kind: 'rebuild-finished', message: 'rebuild of slot 1 is complete' });
  const error = await fails(t, 'rebuild', [
    { status: mirrorRebuilding(10) },
    { status: healthy, events: [stopped, own] },
  ]);
  t.regex(error.message, /NV cache: rebuild of slot 0 has stopped$/);
  t.is(error.hint, stopped.action);
});
