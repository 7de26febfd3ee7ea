/**
 * `export --foreground --monitor`: who has the terminal, and what its keys mean.    (control plane)
 *
 * While the monitor draws, the server writes nothing there: its log goes to its file, and what the
 * export prints waits. `q` gives the terminal back and leaves the server; Ctrl-C is the server's,
 * as it is without a monitor. A start that fails at once is not worth a screen; one that takes
 * longer, as after a crash, is what the monitor is there to show.
 */

import { stackPaths } from '../stack/directories.ts';
import { type Arguments, usageError } from './arguments.ts';
import type { CommandContext } from './command-context.ts';
import { isColoured } from './is-coloured.ts';
import type { MonitorOrder } from './monitor-entry.ts';
import { type MonitorEnd, MonitorProcess } from './monitor-process.ts';

/** A start that takes longer is shown. */
const QUICK_START_MS = 1000;
const STOPPING = ['SIGINT', 'SIGTERM'] as const;

/** Throws BANDSTAND_USAGE where there is nothing that it could draw on, or nothing to show. */
export function checkMonitor({ streams }: CommandContext, args: Arguments, name: string): void {
  if (!args.flag('monitor')) return;
  const refuse = (why: string, hint: string): never => {
    throw usageError(`cannot use --monitor ${why}`, hint);
  };
  const elsewhere = `look at it from another terminal: bandstand monitor ${name}`;
  if (!args.flag('foreground')) {
    refuse('without --foreground: the server has no terminal', `leave it out, and ${elsewhere}`);
  }
  const format = ['json', 'plain'].find((option) => args.flag(option));
  if (format !== undefined) refuse(`with --${format}: it draws`, 'leave one of them out');
  if (process.env['INK_SCREEN_READER'] === 'true') {
    refuse('with a screen reader: it draws', `leave it out, and ${elsewhere} --screen-reader`);
  }
  const { stdin, stdout } = streams;
  const isTerminal = stdin.isTTY === true && stdout.isTTY === true;
  if (!isTerminal || process.env['TERM'] === 'dumb') {
    const what = isTerminal ? 'this terminal cannot be drawn on' : 'this is no terminal';
    refuse(`here: ${what}`, `leave it out, or ${elsewhere} --plain`);
  }
}

export class ForegroundMonitor {
  readonly #context: CommandContext;
  readonly #order: MonitorOrder;
  readonly #process = MonitorProcess.spawn();
  readonly #slow: NodeJS.Timeout;
  /** What waits for the terminal. */
  #held: (() => void) | null = null;
  #isStopping = false;

  /** To be called before the server is started. */
  constructor(context: CommandContext, args: Arguments, name: string) {
    this.#context = context;
    const { runDir, stateDir } = context.directories;
    this.#order = { name, runDir, stateDir, isColoured: isColoured(args) };
    this.#slow = setTimeout(() => this.#show(), QUICK_START_MS);
    for (const signal of STOPPING) process.once(signal, this.#stopping);
    this.#process.ended.then((end) => this.#left(end));
  }

  /** The stack is exported; `print` says as what. */
  ready(print: () => void): void {
    if (this.#process.hasTerminal) {
      this.#held = print;
      return;
    }
    print();
    this.#show();
  }

  /** The server has ended, or could not start. The terminal is free then. */
  async end(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#slow);
    for (const signal of STOPPING) process.removeListener(signal, this.#stopping);
    await this.#process.end();
  }

  #show(): void {
    clearTimeout(this.#slow);
    if (!this.#isStopping) this.#process.show(this.#order);
  }

  readonly #stopping = (): void => {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const { name } = this.#order;
    const say = (): void => this.#context.note(`stopping ${name}; Ctrl-C again ends it at once`);
    this.#process.end().then(say);
  };

  #left(end: MonitorEnd): void {
    clearTimeout(this.#slow);
    if (this.#isStopping) return;
    this.#held?.();
    this.#held = null;
    const { name, runDir } = this.#order;
    if (end === 'interrupt') {
      // What the terminal does when nobody draws on it.
      process.kill(process.pid, 'SIGINT');
      return;
    }
    if (end === 'gone') this.#context.note(`the monitor of ${name} has ended`);
    this.#context.note(`Ctrl-C stops ${name}; its log is ${stackPaths(runDir, name).log}`);
  }
}
