/** What is told where nothing is drawn: lines for pipes, sentences for a screen reader. */

import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import type { StatusDocument } from '../../src/control/schema.ts';
import { runLines } from '../../src/tui/monitor-lines.ts';
import type { MonitorLook } from '../../src/tui/monitor-source.ts';
import { spokenLines } from '../../src/tui/spoken-lines.ts';
import { statusLine } from '../../src/tui/status-line.ts';
import { mirrorDocument } from '../_helpers/fake-cache.ts';
import { REBUILD, statusOf } from '../_helpers/fake-stack.ts';
import {
  EVENTS,
  ioOf,
  LOOK_MS,
  rebuildStatus,
  recoveryStatus,
} from '../_helpers/monitor-states.ts';

const TIME = '2026-11-20T09:41:07Z';

test('a line has the time, the health, the activity and the rates since the line before', (t) => {
  const before = { atMs: LOOK_MS - 2000, status: rebuildStatus() };
  const io = {
    ...before.status.io!,
    read: ioOf(1002, 2 ** 30 + 2 ** 21, 200),
    write: ioOf(1001, 2 ** 29 + 2 ** 20, 1900),
  };
  const status = rebuildStatus({ io });
  const line = statusLine(before, { atMs: LOOK_MS, status });
  const head = `${TIME} tank degraded rebuild 40.9% 612MiB/s eta=3528s`;
  t.is(line, `${head} read=1MiB/s write=512KiB/s p99=1.90ms`);
  t.is(statusLine(null, { atMs: LOOK_MS, status }), head);
});

test('a line tells what is paused, what the mirror under the cache does, what is stopped', (t) => {
  const line = (status: StatusDocument): string => statusLine(null, { atMs: LOOK_MS, status });
  const paused = {
    ...REBUILD,
    pace: 'paused',
    rate_bytes_per_second: null,
    eta_seconds: null,
  } as const;
  t.is(line(statusOf('tank', { activity: paused })), `${TIME} tank healthy rebuild 40.9% paused`);
  const cache = mirrorDocument({ activity: REBUILD });
  t.is(
    line(statusOf('tank', { cache })),
    `${TIME} tank healthy idle cache-rebuild 40.9% 612MiB/s eta=3528s`,
  );
  t.is(line({ ...statusOf('tank', { health: 'stopped' }), server: null }), `${TIME} tank stopped`);
});

test('sentences are told when something has changed, and not again', (t) => {
  const first = spokenLines(null, rebuildStatus(), []);
  t.deepEqual(first.lines, [
    'tank is degraded: slot 2 is being rebuilt onto /dev/nvme5n1.',
    'What to do: let the rebuild finish; a further failure before that loses data.',
    'tank: rebuild of slot 2, 40.9 % done, at 612 MiB/s, about 59 min left.',
  ]);
  const same = spokenLines(first.heard, rebuildStatus(), []);
  t.deepEqual(same.lines, []);
  const half = rebuildStatus({ activity: { ...REBUILD, done_bytes: REBUILD.total_bytes! / 2 } });
  const next = spokenLines(same.heard, half, EVENTS.slice(0, 1));
  t.deepEqual(next.lines, [
    'tank: rebuild of slot 2, 50.0 % done, at 612 MiB/s, about 59 min left.',
    'Error: /dev/nvme2n1 (slot 2): 17 read errors, failed.',
  ]);
  t.deepEqual(spokenLines(next.heard, statusOf('tank'), []).lines, [
    'tank is healthy.',
    'tank: rebuild of slot 2 is over.',
  ]);
});

test('a recovery tells what may be lost', (t) => {
  const { lines } = spokenLines(null, recoveryStatus('drain'), []);
  t.deepEqual(lines, [
    'tank is healthy.',
    'tank: recovery, Drain what the NV cache had, 25.0 % done, at 4 MiB/s, about 6 s left.',
    'Data loss: none known: all that was found can be read.',
  ]);
});

/** What is written for these answers, until they are over. */
async function written(voice: 'json' | 'lines' | 'sentences', answers: (MonitorLook | Error)[]) {
  const controller = new AbortController();
  const texts: string[] = [];
  await runLines({
    names: ['tank'],
    intervalMs: 1,
    voice,
    sourceOf: () => ({
      look: async () => {
        const answer = answers.shift();
        if (answers.length === 0) controller.abort();
        if (answer instanceof Error) throw answer;
        return answer!;
      },
    }),
    envelope: ({ name }) => `{"data":"${name}"}\n`,
    write: (text) => texts.push(text),
    signal: controller.signal,
  });
  return texts;
}

const LOOK: MonitorLook = { status: statusOf('tank'), events: EVENTS, missed: 0 };
const SILENT = new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
  message: 'no\nanswer',
  hint: 'wait',
});

test('an answer that does not come is a line, and a sentence once', async (t) => {
  const lines = await written('lines', [LOOK, SILENT, LOOK, LOOK]);
  t.is(lines.length, 3);
  t.regex(lines[0]!, /^\S+Z tank healthy idle\n$/);
  t.regex(lines[1]!, /^\S+Z tank unknown no\?answer\n$/);
  t.regex(lines[2]!, /^\S+Z tank healthy idle\n$/, 'the first line after a gap has no rates');
  const sentences = await written('sentences', [
    LOOK,
    SILENT,
    SILENT,
    { ...LOOK, events: [] },
    LOOK,
  ]);
  t.deepEqual(sentences, ['tank is healthy.\n', 'No answer: no?answer.\n']);
});

test('what happened before somebody listened is not told, what happens then is', async (t) => {
  const sentences = await written('sentences', [LOOK, LOOK, LOOK]);
  t.is(sentences.length, 4);
  t.is(sentences[1], 'Error: /dev/nvme2n1 (slot 2): 17 read errors, failed.\n');
});

test('documents are one line each, and an error of one is an error', async (t) => {
  t.deepEqual(await written('json', [LOOK, LOOK]), ['{"data":"tank"}\n']);
  await t.throwsAsync(written('json', [SILENT, LOOK]), { message: SILENT.message });
});
