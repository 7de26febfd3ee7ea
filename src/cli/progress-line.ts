/**
 * ProgressLine: the last line of a terminal, drawn in place while work goes on.     (control plane)
 *
 * Work that is over in half a second draws nothing. After that the line is drawn again when there
 * is news, at most ten times a second, and once a second where there is none, so that a time that
 * runs is seen to run. Whoever writes something else to the terminal clears it first; at the end,
 * and when a signal ends the process, it is gone as if it had never been.
 *
 * Time comes from outside, so that tests own it.
 */

import { type Environment, showsUnicode } from '../block/locale.ts';
import { progressText, type Work } from './progress-text.ts';

export const DELAY_MS = 500;
export const REDRAW_MS = 100;
export const TICK_MS = 1000;
const COLUMNS_DEFAULT = 80;
/** A terminal that has written its last column may wrap, and before that it echoes ^C. */
const MARGIN_COLUMNS = 3;
const CLEAR = '\r\u001b[K';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface DrawingTerminal {
  /** Not known of some. */
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressTime {
  nowMs(): number;
  /** Calls again and again, until what it has returned is called. */
  every(ms: number, tick: () => void): () => void;
}

const REAL_TIME: ProgressTime = {
  nowMs: () => performance.now(),
  every(ms, tick) {
    // Nobody stays for a line.
    const timer = setInterval(tick, ms).unref();
    return () => clearInterval(timer);
  },
};

export class ProgressLine {
  readonly #terminal: DrawingTerminal | null;
  readonly #isUnicode: boolean;
  readonly #time: ProgressTime;
  #source: (() => Work) | null = null;
  #startMs = 0;
  /** What it was when it was last looked at, and since when. */
  #what = '';
  #whatMs = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isDrawn = false;
  #stopTicks: () => void = () => {};

  /** `terminal`: null where nothing is to be drawn. */
  constructor(
    terminal: DrawingTerminal | null,
    environment: Environment = process.env,
    time = REAL_TIME,
  ) {
    this.#terminal = terminal;
    this.#isUnicode = showsUnicode(environment);
    this.#time = time;
  }

  /** False: whatever is shown, nobody sees it. */
  get isVisible(): boolean {
    return this.#terminal !== null;
  }

  /** `work`: asked again whenever the line is drawn, where it is a function. */
  show(work: Work | (() => Work)): void {
    if (this.#terminal === null) return;
    const nowMs = this.#time.nowMs();
    if (this.#source === null) this.#begin(nowMs);
    this.#source = typeof work === 'function' ? work : () => work;
    if (nowMs - this.#drawnMs >= REDRAW_MS) this.#draw(nowMs);
  }

  #begin(nowMs: number): void {
    this.#startMs = nowMs;
    this.#what = '';
    this.#stopTicks = this.#time.every(TICK_MS / 2, () => this.#tick());
    for (const signal of SIGNALS) process.once(signal, this.#leave);
  }

  #tick(): void {
    const nowMs = this.#time.nowMs();
    // The first time as soon as it may be there.
    if (!this.#isDrawn || nowMs - this.#drawnMs >= TICK_MS) this.#draw(nowMs);
  }

  #draw(nowMs: number): void {
    const work = this.#source!();
    if (work.what !== this.#what) this.#whatMs = nowMs;
    this.#what = work.what;
    if (nowMs - this.#startMs < DELAY_MS) return;
    const { columns = COLUMNS_DEFAULT } = this.#terminal!;
    const text = progressText(work, {
      columns: Math.max(0, columns - MARGIN_COLUMNS),
      isUnicode: this.#isUnicode,
      elapsedMs: nowMs - this.#whatMs,
    });
    this.#terminal!.write(`${CLEAR}${text}`);
    this.#drawnMs = nowMs;
    this.#isDrawn = true;
  }

  /** For whoever writes something else; it comes back below that. */
  clear(): void {
    if (this.#isDrawn) this.#terminal!.write(CLEAR);
    this.#isDrawn = false;
    this.#drawnMs = Number.NEGATIVE_INFINITY;
  }

  /** The work is over; another one may begin. */
  end(): void {
    this.clear();
    if (this.#source === null) return;
    this.#source = null;
    this.#stopTicks();
    for (const signal of SIGNALS) process.off(signal, this.#leave);
  }

  /** As if there had never been a handler, but for the line. */
  readonly #leave = (signal: NodeJS.Signals): void => {
    this.end();
    process.kill(process.pid, signal);
  };
}
