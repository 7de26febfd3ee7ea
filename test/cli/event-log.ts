/** The ring of events: numbers, what falls out, waiting, and the end. */

import test from 'ava';
import { EventLog } from '../../src/cli/event-log.ts';
import { eventOf, plainEvent } from '../../src/cli/stack-events.ts';

const EVENT = plainEvent('warning', 'warning', 'something');
const NOW = new Date(Date.UTC(2026, 10, 20, 9, 14, 2));
const all = { since: 0, limit: 1000, wait_ms: 0 };

function logOf(count: number, kept?: number): EventLog {
  const options = { now: () => NOW, ...(kept === undefined ? {} : { kept }) };
  const log = new EventLog('tank', options);
  for (let index = 0; index < count; index += 1) log.add(EVENT);
  return log;
}

const numbers = (reply: { events: readonly { sequence: number }[] }): number[] =>
  reply.events.map(({ sequence }) => sequence);

test('events are numbered from 1 and carry time and stack', async (t) => {
  const reply = await logOf(2).read(all);
  t.deepEqual(numbers(reply), [1, 2]);
  t.deepEqual(reply.events[0], {
    sequence: 1,
    time: '2026-11-20T09:14:02.000Z',
    stack: 'tank',
    ...EVENT,
  });
  t.is(reply.last, 2);
  t.is(reply.missed, 0);
});

test('old events fall out and are counted as missed', async (t) => {
  const log = logOf(25, 10);
  const late = await log.read(all);
  t.deepEqual([numbers(late)[0], late.last, late.missed], [16, 25, 15]);
  t.is((await log.read({ ...all, since: 15 })).missed, 0);
  t.is((await log.read({ ...all, since: 12 })).missed, 3);
});

test('a limit gives the oldest first, and the rest next time', async (t) => {
  const log = logOf(5);
  const first = await log.read({ ...all, limit: 2 });
  t.deepEqual([numbers(first), first.last], [[1, 2], 2]);
  t.deepEqual(numbers(await log.read({ ...all, since: first.last })), [3, 4, 5]);
});

test('an answer stays far below what a line may have', async (t) => {
  const log = new EventLog('tank');
  for (let index = 0; index < 20; index += 1) {
    log.add({ ...EVENT, message: 'x'.repeat(100_000) });
  }
  const reply = await log.read(all);
  t.is(reply.events.length, 5);
  t.is(reply.last, 5);
  t.true(JSON.stringify(reply).length < 2 ** 20);
});

test('who has seen everything waits for the next event', async (t) => {
  const log = logOf(3);
  const waiting = log.read({ since: 3, limit: 10, wait_ms: 20_000 });
  log.add(EVENT);
  t.deepEqual(numbers(await waiting), [4]);
});

test('a wait without an event ends with nothing', async (t) => {
  const reply = await logOf(3).read({ since: 3, limit: 10, wait_ms: 5 });
  t.deepEqual(reply, { events: [], last: 3, missed: 0 });
});

test('closing answers all who wait, and nobody waits afterwards', async (t) => {
  const log = logOf(1);
  const waits = [1, 2].map(() => log.read({ since: 1, limit: 10, wait_ms: 20_000 }));
  log.close();
  for (const reply of await Promise.all(waits)) t.deepEqual(reply.events, []);
  t.deepEqual((await log.read({ since: 1, limit: 10, wait_ms: 20_000 })).events, []);
});

test('a number from another server is answered with the last one of this', async (t) => {
  const reply = await logOf(3).read({ ...all, since: Number.MAX_SAFE_INTEGER });
  t.deepEqual(reply, { events: [], last: 3, missed: 0 });
});

test('what the data path reports becomes sentences', (t) => {
  const base = { slot: 2, device: '/dev/sdb', op: 'write', errno: 'EIO' };
  t.is(
    eventOf({ event: 'member-error', ...base, count: 4 }, 'tank')?.message,
    '/dev/sdb (slot 2): write failed (EIO), error number 4',
  );
  t.is(
    eventOf({ event: 'member-error', ...base, device: null, count: 1 }, 'tank')?.message,
    'slot 2: write failed (EIO)',
  );
  t.like(eventOf({ event: 'array-failed', errno: 'EIO' }, 'tank'), {
    severity: 'error',
    action: 'stop it (bandstand stop tank), and look at its members and the kernel log',
  });
  t.like(eventOf({ event: 'warning', message: 'hot' }, 'tank'), { message: 'hot' });
  t.is(eventOf({ event: 'step-started', step: 'Open the members' }, 'tank'), null);
});
