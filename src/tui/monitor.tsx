/**
 * The monitor on a terminal: looks, draws, takes keys, gives the terminal back.    (user interface)
 *
 * One loop looks at the chosen stack, waits for the interval, and looks again; a key that changes
 * what is looked at, or how often, wakes it. A look that fails is shown and repeated: a server that
 * has gone may come back. Nothing here changes a stack.
 */

import { type Instance, render } from 'ink';
import { BandstandError } from '../block/errors.ts';
import { commandToCopy } from './details.ts';
import { FrameWriter } from './frame-writer.ts';
import { GLYPHS, type GlyphSet } from './glyphs.ts';
import { lastWords } from './head-line.ts';
import { type Action, actionOf } from './keys.ts';
import { MonitorApp } from './monitor-app.tsx';
import type { MonitorSource } from './monitor-source.ts';
import { nameOf } from './monitor-state.ts';
import { MonitorStore } from './monitor-store.ts';
import { Terminal, type TerminalStreams } from './terminal.ts';
import { COLOURED, COLOURLESS } from './theme.ts';
import { stackView } from './view.ts';

export interface MonitorOptions {
  readonly names: readonly string[];
  readonly intervalMs: number;
  readonly glyphs: GlyphSet;
  readonly isColoured: boolean;
  readonly streams: TerminalStreams;
  /** The server runs in the foreground of the same terminal: Ctrl-C is meant for it. */
  readonly withServer: boolean;
}

export interface MonitorFarewell {
  /** What was seen last, in one line. */
  readonly lastWords: string;
  /** `interrupt`: by Ctrl-C. */
  readonly leftBy: 'quit' | 'interrupt' | 'signal';
}

/** Returns when somebody quits it; the terminal is as it was then. */
export async function runMonitor(
  source: MonitorSource,
  options: MonitorOptions,
): Promise<MonitorFarewell> {
  const monitor = new Monitor(source, options);
  return await monitor.run();
}

/** What the store does not do. */
const EFFECTS: readonly Action[] = ['quit', 'copy', 'redraw', 'suspend'];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

class Monitor {
  readonly #source: MonitorSource;
  readonly #terminal: Terminal;
  readonly #writer: FrameWriter;
  readonly #store: MonitorStore;
  readonly #ink: Instance;
  readonly #controller = new AbortController();
  #wake: () => void = () => {};
  readonly #ended: Promise<void>;
  #end: () => void = () => {};
  #leftBy: MonitorFarewell['leftBy'] = 'signal';
  readonly #withServer: boolean;

  constructor(source: MonitorSource, options: MonitorOptions) {
    const { glyphs, intervalMs, isColoured, names, streams, withServer } = options;
    this.#withServer = withServer;
    this.#source = source;
    this.#terminal = new Terminal(streams);
    this.#writer = new FrameWriter(this.#terminal.write, this.#terminal.size);
    this.#store = new MonitorStore({ names, intervalMs, withServer, ...this.#terminal.size() });
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#terminal.enter();
    this.#ink = render(
      <MonitorApp
        store={this.#store}
        glyphs={GLYPHS[glyphs]}
        looks={isColoured ? COLOURED : COLOURLESS}
        takesKeys={this.#terminal.takesKeys}
        press={(key) => this.#press(key)}
      />,
      {
        stdout: this.#writer as unknown as NodeJS.WriteStream,
        stdin: streams.stdin,
        debug: true,
        exitOnCtrlC: false,
        patchConsole: false,
        isScreenReaderEnabled: false,
      },
    );
  }

  async run(): Promise<MonitorFarewell> {
    const unwatch = this.#terminal.watchSize((size) => {
      // What was drawn for another size does not fit; the next frame is drawn whole.
      this.#writer.forget();
      this.#store.apply({ kind: 'size', ...size });
    });
    const quit = (): void => this.#end();
    const resume = (): void => this.#resume();
    for (const signal of SIGNALS) process.on(signal, quit);
    process.on('SIGCONT', resume);
    const looking = this.#lookOn();
    // What cannot be drawn ends Ink; nobody would see what follows.
    const drawing = this.#ink.waitUntilExit();
    try {
      await Promise.race([this.#ended, looking, drawing]);
    } finally {
      this.#controller.abort();
      this.#wake();
      for (const signal of SIGNALS) process.removeListener(signal, quit);
      process.removeListener('SIGCONT', resume);
      unwatch();
      this.#writer.isPaused = true;
      this.#ink.unmount();
      this.#terminal.leave();
    }
    await looking;
    const state = this.#store.state();
    const view = state.look === null ? null : stackView(state.look.status);
    return { lastWords: lastWords(state, view), leftBy: this.#leftBy };
  }

  // --- looking ----------------------------------------------------------------------------------

  async #lookOn(): Promise<void> {
    const { signal } = this.#controller;
    let known = this.#store.state().generation;
    while (!signal.aborted) {
      const startMs = Date.now();
      const { generation } = this.#store.state();
      if (generation !== known) this.#source.forget();
      known = generation;
      await this.#look(generation, signal);
      if (signal.aborted) return;
      // A key while a look was under way.
      if (this.#store.state().generation === generation) await this.#pause(startMs);
    }
  }

  async #look(generation: number, signal: AbortSignal): Promise<void> {
    const name = nameOf(this.#store.state());
    try {
      const look = await this.#source.look(name, signal);
      if (signal.aborted) return;
      this.#store.apply({ kind: 'look', generation, atMs: Date.now(), ...look });
    } catch (error) {
      // A defect of ours is no answer of a server.
      if (!(error instanceof BandstandError)) throw error;
      if (signal.aborted) return;
      const why = error.message;
      this.#store.apply({ kind: 'silence', generation, atMs: Date.now(), why });
    }
  }

  /** Until the next look is due; a key may make that sooner. */
  async #pause(startMs: number): Promise<void> {
    for (;;) {
      const before = this.#store.state();
      const leftMs = startMs + before.intervalMs - Date.now();
      if (leftMs <= 0 || this.#controller.signal.aborted) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (this.#store.state().generation !== before.generation) return;
    }
  }

  // --- keys -------------------------------------------------------------------------------------

  #press(key: string): void {
    const before = this.#store.state();
    const action = before.typing === null || key.startsWith('ctrl-') ? actionOf(key) : null;
    if (action !== null && EFFECTS.includes(action)) {
      this.#do(action, key);
      return;
    }
    this.#store.apply({ kind: 'key', key });
    const after = this.#store.state();
    const isOther = after.generation !== before.generation;
    if (isOther || after.intervalMs !== before.intervalMs) this.#wake();
  }

  #do(action: Action, key: string): void {
    if (action === 'quit') this.#quit(key);
    else if (action === 'redraw') this.#writer.redraw();
    else if (action === 'suspend') this.#suspend();
    else this.#copy();
  }

  #copy(): void {
    const command = commandToCopy(this.#store.state());
    const text =
      command === null ? 'there is no command to copy' : `sent to the clipboard: ${command}`;
    if (command !== null) this.#terminal.copy(command);
    this.#store.apply({ kind: 'notice', text });
  }

  #quit(key: string): void {
    this.#leftBy = key === 'ctrl-c' ? 'interrupt' : 'quit';
    this.#end();
  }

  #suspend(): void {
    if (this.#withServer) {
      const text = 'not suspended: the stack would stand still, too';
      this.#store.apply({ kind: 'notice', text });
      return;
    }
    this.#writer.isPaused = true;
    this.#terminal.leave();
    // As the terminal itself would do, had it been asked: to whatever was started together.
    process.kill(0, 'SIGTSTP');
  }

  #resume(): void {
    this.#terminal.enter();
    this.#terminal.setRaw(true);
    this.#writer.isPaused = false;
    const { columns, rows } = this.#store.state();
    const size = this.#terminal.size();
    this.#writer.forget();
    if (size.columns === columns && size.rows === rows) this.#writer.redraw();
    else this.#store.apply({ kind: 'size', ...size });
  }
}
