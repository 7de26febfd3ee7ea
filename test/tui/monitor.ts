/** The whole monitor in this process: a source that is made up, keys, and what a person sees. */

import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { type MonitorFarewell, runMonitor } from '../../src/tui/monitor.tsx';
import type { MonitorLook } from '../../src/tui/monitor-source.ts';
import { statusOf } from '../_helpers/fake-stack.ts';
import { FakeTerminal } from '../_helpers/fake-terminal.ts';
import { EVENTS } from '../_helpers/monitor-states.ts';

type Answer = Partial<MonitorLook> | BandstandError;

const ADVICE = 'put a device in its place: bandstand member add tank DEVICE; soon';
const DEGRADED = statusOf('tank', {
  health: 'degraded',
  reason: 'slot 1 is missing',
  action: ADVICE,
});

class Session {
  readonly terminal = new FakeTerminal(80, 24);
  readonly asked: string[] = [];
  readonly ended: Promise<MonitorFarewell>;
  #isOver = false;

  /** Answers each look with the next of `answers`, and the last one from then on. */
  constructor(
    t: ExecutionContext,
    answers: readonly Answer[],
    names: readonly string[] = ['tank'],
    withServer = false,
  ) {
    const source = {
      look: async (name: string): Promise<MonitorLook> => {
        const answer = answers[Math.min(this.asked.length, answers.length - 1)]!;
        this.asked.push(name);
        if (answer instanceof Error) throw answer;
        return { status: statusOf(name), events: [], missed: 0, ...answer };
      },
      forget: () => this.asked.push('forget'),
    };
    this.ended = runMonitor(source, {
      names,
      intervalMs: 500,
      glyphs: 'ascii',
      isColoured: true,
      streams: this.terminal.streams,
      withServer,
    }).finally(() => {
      this.#isOver = true;
    });
    t.teardown(async () => {
      if (!this.#isOver) this.terminal.press('q');
      await this.ended.catch(() => null);
    });
  }

  get text(): string {
    return this.terminal.paper.lines.join('\n');
  }

  /** Waits until the screen has what is looked for. */
  async sees(pattern: RegExp): Promise<void> {
    for (let left = 500; left > 0; left -= 1) {
      if (pattern.test(this.text)) return;
      await sleep(20);
    }
    throw new Error(`${pattern} was not seen on\n${this.text}`);
  }
}

test.serial('it takes the other screen, and gives everything back when it is quit', async (t) => {
  const session = new Session(t, [{ events: EVENTS }]);
  const { paper, rawModes } = session.terminal;
  await session.sees(/HEALTHY {2}\[2\/2 UU\]/);
  t.true(paper.modes.has('1049'));
  t.false(paper.modes.has('25'), 'there is no cursor');
  t.is(rawModes.at(-1), true);
  session.terminal.press('q');
  t.deepEqual(await session.ended, {
    lastWords: 'tank is healthy, and keeps running',
    leftBy: 'quit',
  });
  t.false(paper.modes.has('1049'));
  t.true(paper.modes.has('25'));
  t.is(rawModes.at(-1), false);
  t.is(process.listenerCount('SIGCONT'), 0);
  t.is(process.listenerCount('SIGTERM'), 0);
});

test.serial('a look that changes little writes little, and no look writes nothing', async (t) => {
  const session = new Session(t, [{}]);
  const { paper } = session.terminal;
  await session.sees(/max 0 B\/s/);
  const looks = session.asked.length;
  const writes = paper.writes.length;
  const first = Math.max(...paper.writes);
  await session.sees(/_____/);
  const frames = paper.writes.slice(writes);
  t.true(frames.length <= session.asked.length - looks, 'one write for each look');
  // The clock, and two curves that have grown.
  t.true(Math.max(...frames) < first / 3, `${Math.max(...frames)} of ${first} bytes`);
  t.true(paper.touched.size <= 4, `${[...paper.touched]}`);
  session.terminal.press('f');
  await session.sees(/FROZEN/);
  const frozen = paper.writes.length;
  const before = session.asked.length;
  while (session.asked.length < before + 2) await sleep(20);
  t.is(paper.writes.length, frozen, 'what stands still is not drawn');
});

test.serial('a server that does not answer is shown, and so is its return', async (t) => {
  const silent = new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
    message: 'cannot status tank: its server did not answer within 5000 ms',
    hint: 'wait',
  });
  const session = new Session(t, [{}, silent, silent, { status: DEGRADED }]);
  await session.sees(/NO ANSWER since \d\d:\d\d:\d\d/);
  t.true(session.text.includes('did not answer within 5000 ms'));
  await session.sees(/DEGRADED/);
  t.false(session.text.includes('NO ANSWER'));
});

test.serial('keys: help, copy, another stack', async (t) => {
  const session = new Session(t, [{ status: DEGRADED }], ['tank', 'vault']);
  await session.sees(/DEGRADED/);
  session.terminal.press('?');
  await session.sees(/leave the monitor; the stack keeps running/);
  session.terminal.press('\u001b');
  await session.sees(/slot 1 is missing/);
  session.terminal.press('y');
  await session.sees(/sent to the clipboard: bandstand member add tank DEVICE/);
  t.is(session.terminal.paper.clipboard, 'bandstand member add tank DEVICE');
  session.terminal.press('2');
  await session.sees(/^ vault {2}\(2 of 2\)/);
  while (session.asked.at(-1) !== 'vault') await sleep(20);
  t.true(session.asked.includes('forget'));
});

test.serial(
  'with a server on its terminal, Ctrl-C is told apart, and nothing is suspended',
  async (t) => {
    const session = new Session(t, [{}], ['tank'], true);
    await session.sees(/HEALTHY/);
    session.terminal.press('?');
    await session.sees(/q leaves the monitor, Ctrl-C stops the stack/);
    session.terminal.press('G');
    await session.sees(/Ctrl-Z +nothing: the stack would stand still/);
    session.terminal.press('\u001b\u001a');
    await session.sees(/not suspended: the stack would stand still, too/);
    session.terminal.press('\u0003');
    t.is((await session.ended).leftBy, 'interrupt');
  },
);

test.serial('keys that come all at once are keys, one after another', async (t) => {
  const session = new Session(t, [{ events: EVENTS }]);
  await session.sees(/17 read errors/);
  session.terminal.press('/nvme5\r');
  await session.sees(/log {2}\/nvme5: 1 of 3/);
  session.terminal.press('\t\r');
  await session.sees(/> \/dev\/sdb/);
  t.true(session.text.includes('bandstand member replace tank /dev/sdb NEW'));
});

test.serial('Ctrl-L draws everything again', async (t) => {
  const session = new Session(t, [{}]);
  await session.sees(/HEALTHY/);
  session.terminal.press('f');
  await session.sees(/FROZEN/);
  const { paper } = session.terminal;
  paper.write('\u001b[3;3Hgarbage');
  t.true(session.text.includes('garbage'));
  session.terminal.press('\u000c');
  await session.sees(/^(?![\s\S]*garbage)/);
  t.true(session.text.includes('HEALTHY'));
});

test.serial('what cannot be drawn ends it, after the terminal was given back', async (t) => {
  // As a server that breaks the schema would send it.
  const status = { ...statusOf('tank'), ftl: {} } as never;
  const session = new Session(t, [{ status }]);
  await t.throwsAsync(session.ended, { instanceOf: TypeError });
  t.false(session.terminal.paper.modes.has('1049'));
  t.is(session.terminal.rawModes.at(-1), false);
});

test.serial('a defect ends it, after the terminal was given back', async (t) => {
  const terminal = new FakeTerminal(80, 24);
  const source = {
    look: async (): Promise<MonitorLook> => {
      throw new TypeError('a defect');
    },
    forget: () => {},
  };
  const options = {
    names: ['tank'],
    intervalMs: 500,
    glyphs: 'ascii',
    isColoured: false,
    streams: terminal.streams,
    withServer: false,
  } as const;
  await t.throwsAsync(runMonitor(source, options), { message: 'a defect' });
  t.false(terminal.paper.modes.has('1049'));
  t.true(terminal.paper.modes.has('25'));
});
