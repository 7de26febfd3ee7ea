/** What is shown while a server is waited for, from what it says of itself. */

import test from 'ava';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { ProgressLine } from '../../src/cli/progress-line.ts';
import { progressText, type Work } from '../../src/cli/progress-text.ts';
import { detachWork, startWork, stopWork, whileWaiting } from '../../src/cli/server-progress.ts';
import { IDLE, type StatusDocument } from '../../src/control/schema.ts';
import { cacheOf } from '../_helpers/cache-status.ts';
import { FakeStack, statusOf } from '../_helpers/fake-stack.ts';
import { PaperTerminal } from '../_helpers/paper-terminal.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const scanning = statusOf('tank', {
  health: 'stopped',
  activity: {
    ...IDLE,
    kind: 'recovery',
    step: 'Scan the NV cache',
    pace: 'estimating',
    done_bytes: 2 ** 29,
    total_bytes: 2 ** 30,
  },
});

const text = (work: Work): string =>
  progressText(work, { columns: 77, isUnicode: false, elapsedMs: 3000 });

/** A context whose line is on paper, and everything that a person could have seen of it. */
function onPaper(world: CliWorld, isVisible = true) {
  const paper = new PaperTerminal(80, 2);
  const seen: string[] = [];
  const write = (drawn: string): void => {
    paper.write(drawn);
    seen.push(paper.lines[0]!);
  };
  let nowMs = 0;
  const time = {
    nowMs: () => {
      nowMs += 1000;
      return nowMs;
    },
    every: () => () => {},
  };
  const progress = new ProgressLine(isVisible ? { columns: 80, write } : null, {}, time);
  const directories = { runDir: world.path('run'), stateDir: world.path('state') };
  const context = { progress, directories } as unknown as CommandContext;
  return { context, paper, seen };
}

test('a start is the step at which it is', (t) => {
  const work = startWork('tank');
  t.is(text(work(null)), 'tank: Start the server, 3 s');
  t.is(
    text(work(scanning)),
    'tank: Scan the NV cache [###########...........] 50.0 % of 1 GiB, estimating',
  );
  const step = { ...IDLE, kind: 'recovery' as const, step: 'Load the map' };
  t.is(text(work({ ...scanning, activity: step })), 'tank: Load the map, 3 s');
  t.is(text(work(statusOf('tank'))), 'tank: Export it, 3 s');
});

test('a detach counts what is drained, or what is left where the array is busy', (t) => {
  const work = detachWork('tank');
  t.is(text(work(null)), 'tank: Drain the NV cache, 3 s');
  const activity = { ...IDLE, kind: 'drain' as const, done_bytes: 2 ** 20, total_bytes: 2 ** 22 };
  t.regex(
    text(work(statusOf('tank', { activity }))),
    /^tank: Drain the NV cache \[.*\] 25\.0 % of 4 MiB$/,
  );
  const busy = statusOf('tank', {
    activity: { ...activity, kind: 'resync' },
    cache: cacheOf({ undrained_bytes: 2 ** 25 }),
  });
  t.is(text(work(busy)), 'tank: Drain the NV cache, 32 MiB left, 3 s');
});

test('what the server says is shown until it has answered, and then nothing', async (t) => {
  let looks = 0;
  let answer: (value: string) => void = () => {};
  const answered = new Promise<string>((resolve) => {
    answer = resolve;
  });
  const fake = await FakeStack.start(t, 'tank', async (): Promise<StatusDocument> => {
    looks += 1;
    if (looks === 2) answer('done');
    return scanning;
  });
  const { context, paper, seen } = onPaper(fake.world);
  t.is(await whileWaiting(context, 'tank', startWork('tank'), answered), 'done');
  t.true(
    seen.some((line) => line.startsWith('tank: Scan the NV cache [##')),
    seen.join('\n'),
  );
  t.deepEqual(paper.lines, ['', '']);
});

test('a server that says nothing, or is not there, changes nothing', async (t) => {
  const world = new CliWorld(t);
  const { context, seen } = onPaper(world);
  const soon = new Promise<number>((resolve) => setTimeout(() => resolve(7), 20));
  t.is(await whileWaiting(context, 'tank', startWork('tank'), soon), 7);
  t.is(seen.at(-1), '');
  const refused = Promise.reject(new Error('refused'));
  await t.throwsAsync(() => whileWaiting(context, 'tank', stopWork('tank'), refused), {
    message: 'refused',
  });
  const fake = await FakeStack.start(t, 'tank', async () => ({ nonsense: true }), world);
  let end: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    end = resolve;
  });
  const silent = await FakeStack.start(t, 'vault', async () => {
    end();
    return await new Promise(() => {});
  });
  await whileWaiting(context, 'tank', startWork('tank'), fake.stop());
  const elsewhere = onPaper(silent.world);
  await whileWaiting(elsewhere.context, 'vault', startWork('vault'), asked);
  t.deepEqual(elsewhere.paper.lines, ['', '']);
});

test('where nobody sees it the server is not asked', async (t) => {
  let looks = 0;
  const fake = await FakeStack.start(t, 'tank', async () => {
    looks += 1;
    return scanning;
  });
  const { context, paper } = onPaper(fake.world, false);
  const soon = new Promise<number>((resolve) => setTimeout(() => resolve(7), 50));
  t.is(await whileWaiting(context, 'tank', startWork('tank'), soon), 7);
  t.is(looks, 0);
  t.is(paper.writes.length, 0);
});
