/** When the line is drawn, when it is not, and that nothing of it stays; time is the test's. */

import test from 'ava';
import { CommandContext, type Streams } from '../../src/cli/command-context.ts';
import { MeteredWork } from '../../src/cli/metered-work.ts';
import { DELAY_MS, ProgressLine, REDRAW_MS, TICK_MS } from '../../src/cli/progress-line.ts';
import { ProgressReport } from '../../src/cli/progress-report.ts';
import { unmeasured } from '../../src/cli/progress-text.ts';
import { IDLE, type StatusDocument } from '../../src/control/schema.ts';
import { statusOf } from '../_helpers/fake-stack.ts';
import { PaperTerminal } from '../_helpers/paper-terminal.ts';

const UTF8 = { LANG: 'C.UTF-8' };

/** A terminal on paper, and a clock that goes on when it is told to. */
class Desk {
  readonly paper: PaperTerminal;
  readonly line: ProgressLine;
  #nowMs = 5000;
  #tickMs = 0;
  #tick: (() => void) | null = null;

  constructor(columns = 80) {
    const paper = new PaperTerminal(columns, 3);
    const time = {
      nowMs: () => this.#nowMs,
      every: (ms: number, tick: () => void) => {
        [this.#tickMs, this.#tick] = [ms, tick];
        return () => {
          this.#tick = null;
        };
      },
    };
    this.paper = paper;
    this.line = new ProgressLine({ columns, write: paper.write }, UTF8, time);
  }

  get nowUs(): number {
    return this.#nowMs * 1000;
  }

  get shown(): string {
    return this.paper.lines[0]!;
  }

  get isTicking(): boolean {
    return this.#tick !== null;
  }

  /** Time goes on, without ticks. */
  pass(ms: number): void {
    this.#nowMs += ms;
  }

  /** Time goes on tick by tick. */
  tick(count: number): void {
    for (let left = count; left > 0; left -= 1) {
      this.#nowMs += this.#tickMs;
      this.#tick?.();
    }
  }
}

const starting = statusOf('tank', {
  health: 'stopped',
  activity: { ...IDLE, kind: 'recovery', step: 'Scan', done_bytes: 90, total_bytes: 100 },
});
const rebuilding = (done: number): StatusDocument =>
  statusOf('tank', {
    activity: { ...IDLE, kind: 'rebuild', pace: 'running', done_bytes: done, total_bytes: 100 },
  });

test.serial('what is over in half a second draws nothing at all', (t) => {
  const desk = new Desk();
  desk.line.show(unmeasured('tank', 'check'));
  desk.pass(DELAY_MS - 1);
  desk.line.show(unmeasured('tank', 'check'));
  desk.line.end();
  t.is(desk.paper.writes.length, 0);
});

test.serial('it is drawn in place, after half a second, with news or without', (t) => {
  const desk = new Desk();
  let left = 3;
  desk.line.show(() => unmeasured('tank', 'drain', [`${left} GiB left`]));
  t.is(desk.shown, '');
  desk.tick(1);
  t.is(desk.shown, 'tank: drain, 3 GiB left, 0 s');
  left = 2;
  desk.tick(TICK_MS / 500);
  t.is(desk.shown, 'tank: drain, 2 GiB left, 1 s');
  t.is(desk.paper.writes.length, 2, 'once a second');
  desk.line.show(unmeasured('tank', 'scrub'));
  t.is(desk.paper.writes.length, 2, 'not twice at once');
  desk.pass(REDRAW_MS);
  desk.line.show(unmeasured('tank', 'scrub'));
  t.is(desk.shown, 'tank: scrub, 0 s');
  t.deepEqual(desk.paper.lines.slice(1), ['', '']);
});

test.serial('at the end nothing of it is left, and nobody is kept waiting', (t) => {
  const desk = new Desk();
  const listeners = process.listenerCount('SIGINT');
  desk.line.show(unmeasured('tank', 'check'));
  t.is(process.listenerCount('SIGINT'), listeners + 1);
  desk.tick(4);
  t.not(desk.shown, '');
  desk.line.end();
  t.deepEqual(desk.paper.lines, ['', '', '']);
  t.false(desk.isTicking);
  t.is(process.listenerCount('SIGINT'), listeners);
  desk.line.show(unmeasured('tank', 'another'));
  t.is(desk.shown, '', 'another work waits for its own half second');
  desk.line.end();
});

test.serial('the echo of Ctrl-C fits behind it, on a terminal of whatever width', (t) => {
  for (const columns of [3, 4, 12, 30, 200]) {
    const desk = new Desk(columns);
    const work = { ...unmeasured('tank', 'check'), doneBytes: 5, totalBytes: 10 };
    desk.line.show(work);
    desk.tick(1);
    desk.paper.write('^C');
    desk.line.end();
    t.deepEqual(desk.paper.lines, ['', '', ''], `${columns}`);
  }
});

test.serial('who writes something else gets an empty line, and it comes back below', (t) => {
  const desk = new Desk();
  desk.line.show(unmeasured('tank', 'check'));
  desk.tick(1);
  desk.line.clear();
  t.is(desk.shown, '');
  desk.tick(1);
  t.is(desk.shown, 'tank: check, 1 s');
  desk.line.end();
});

test.serial('work in this process has a rate of its own for each step', (t) => {
  const desk = new Desk();
  const told: string[] = [];
  const context = { progress: desk.line, detail: (line: string) => told.push(line) };
  const work = new MeteredWork(context, 'tank', () => desk.nowUs);
  work.begin('Load the map');
  desk.tick(3);
  t.is(desk.shown, 'tank: Load the map, 1 s');
  const gib = 2 ** 30;
  for (let second = 0; second <= 40; second += 1) {
    work.advanced('Verify checksums', (second * gib) / 4, 100 * gib);
    desk.pass(1000);
  }
  desk.tick(1);
  t.is(desk.shown, 'tank: Verify checksums ▊······· 10.0 % of 100 GiB at 247 MiB/s, ~6 min 10 s');
  desk.tick(24);
  t.regex(desk.shown, / 10\.0 % of 100 GiB, stalled$/);
  work.advanced('Compare members', 0, 8 * gib);
  desk.tick(2);
  t.regex(desk.shown, /^tank: Compare members ·+ 0\.0 % of 8 GiB, estimating$/);
  t.deepEqual(told, ['tank: Load the map', 'tank: Verify checksums', 'tank: Compare members']);
  work.starting(() => ({ ...IDLE, kind: 'recovery', step: 'Scan the NV cache' }));
  desk.tick(2);
  t.is(desk.shown, 'tank: Scan the NV cache, 0 s');
  desk.line.end();
});

test.serial('lines for programs only grow, and only success is 100', (t) => {
  const desk = new Desk(50);
  const lines: string[] = [];
  const report = new ProgressReport(desk.line, (line) => lines.push(line));
  report.show(starting);
  for (const done of [10, 10, 5, 50, 100]) report.show(rebuilding(done));
  t.deepEqual(lines, ['0/100\n', '10/100\n', '50/100\n', '99/100\n']);
  desk.tick(1);
  t.is(desk.shown, `tank: rebuild ${'█'.repeat(16)} 100.0 % of 100 B`);
  report.end(false);
  t.is(desk.shown, '');
  t.is(lines.length, 4);
  report.end(true);
  t.is(lines.at(-1), '100/100\n');
});

test.serial('it is for people at a terminal: no pipe, --json, --quiet or dumb terminal', (t) => {
  const directories = { runDir: '/run', stateDir: '/state', automatic: false };
  const isVisible = (isTTY: boolean, options: { json?: boolean; quiet?: boolean } = {}) => {
    const streams = { stderr: { isTTY, write: () => true } } as unknown as Streams;
    const { json = false, quiet = false } = options;
    const fixed = { verbose: false, input: true, timeoutMs: null };
    return new CommandContext({ streams, directories, json, quiet, ...fixed }).progress.isVisible;
  };
  const { TERM } = process.env;
  t.teardown(() => {
    if (TERM === undefined) delete process.env['TERM'];
    else process.env['TERM'] = TERM;
  });
  process.env['TERM'] = 'xterm';
  t.true(isVisible(true));
  t.false(isVisible(false));
  t.false(isVisible(true, { json: true }));
  t.false(isVisible(true, { quiet: true }));
  process.env['TERM'] = 'dumb';
  t.false(isVisible(true));
});
