/** The command of the monitor: what it refuses, and what it prints without a terminal. */

import test from 'ava';
import { StackSource } from '../../src/cli/monitor-source.ts';
import { eventOf, FakeStack, statusOf } from '../_helpers/fake-stack.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const NEVER = new AbortController().signal;

test('it refuses what it cannot do, before it looks', async (t) => {
  const world = new CliWorld(t);
  const refused = async (...words: string[]): Promise<string> => {
    const { status, stderr, stdout } = await world.run('monitor', ...words);
    t.is(stdout, '');
    return `${status} ${stderr.split('\n')[0]}`;
  };
  t.is(
    await refused('tank', '--interval', '20s'),
    "2 bandstand: cannot use --interval '20s': it is not a duration from 0.5 s to 10 s",
  );
  t.is(
    await refused('tank', '--glyphs', 'sixel'),
    "2 bandstand: cannot use --glyphs 'sixel': it has to be unicode, braille or ascii",
  );
  t.regex(await refused('tank'), /^1 bandstand: cannot find a stack called tank: /);
  t.regex(await refused(), /^1 bandstand: cannot monitor anything: .* knows no stacks$/);
});

/** A stack whose server was started at `startedAt`, with events that are numbered from 1. */
async function stackWith(
  t: Parameters<typeof FakeStack.start>[0],
  count: () => number,
  startedAt: () => string,
) {
  return await FakeStack.start(t, 'tank', async (method, params) => {
    if (method === 'status') {
      const status = statusOf('tank');
      return { ...status, server: { ...status.server!, started_at: startedAt() } };
    }
    const since = Number(params['since']);
    const all = Array.from({ length: count() }, (_, index) => eventOf(index + 1));
    const events = all.filter(({ sequence }) => sequence > since);
    return { events, last: Math.max(since, count()), missed: 0 };
  });
}

test('each event is told once, and those of the next server from its first one', async (t) => {
  let [count, startedAt] = [2, '2026-11-20T09:00:00.000Z'];
  const { world } = await stackWith(
    t,
    () => count,
    () => startedAt,
  );
  const source = new StackSource(
    { runDir: world.path('run'), stateDir: world.path('state'), automatic: false },
    5000,
  );
  const numbers = async (): Promise<number[]> =>
    (await source.look('tank', NEVER)).events.map(({ sequence }) => sequence);
  t.deepEqual(await numbers(), [1, 2]);
  count = 3;
  t.deepEqual(await numbers(), [3]);
  t.deepEqual(await numbers(), []);
  startedAt = '2026-11-20T10:00:00.000Z';
  t.deepEqual(await numbers(), [1, 2, 3]);
  source.forget();
  t.deepEqual(await numbers(), [1, 2, 3], 'another stack was looked at meanwhile');
});

test('a look that is given up ends at once, whatever the server does', async (t) => {
  let asked = (): void => {};
  const wasAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  let answer = (): void => {};
  const { world } = await FakeStack.start(t, 'tank', async () => {
    asked();
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return statusOf('tank');
  });
  const source = new StackSource(
    { runDir: world.path('run'), stateDir: world.path('state'), automatic: false },
    60_000,
  );
  const controller = new AbortController();
  const look = source.look('tank', controller.signal);
  await wasAsked;
  controller.abort();
  t.is((await look).status.server, null);
  answer();
});
