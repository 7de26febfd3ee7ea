/**
 * The monitor without a terminal, or for a screen reader: lines on the output.     (user interface)
 *
 * As long as nobody interrupts it, and the reader is there. A look that fails is a line, too.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError } from '../block/errors.ts';
import { printable } from '../block/printable.ts';
import type { StatusDocument } from '../control/schema.ts';
import type { MonitorSource } from './monitor-source.ts';
import type { Look } from './samples.ts';
import { type Heard, spokenLines } from './spoken-lines.ts';
import { statusLine } from './status-line.ts';

export interface LinesOptions {
  readonly names: readonly string[];
  readonly intervalMs: number;
  /** A document of each look, a line for it, or sentences when something has changed. */
  readonly voice: 'json' | 'lines' | 'sentences';
  /** A source for each name. */
  sourceOf(name: string): Pick<MonitorSource, 'look'>;
  /** The line of a document. */
  envelope(status: StatusDocument): string;
  write(text: string): void;
  readonly signal: AbortSignal;
}

/** Returns when `signal` says so. */
export async function runLines(options: LinesOptions): Promise<void> {
  const { intervalMs, names, signal, write } = options;
  const voices = names.map((name) => voiceOf(name, options));
  while (!signal.aborted) {
    for (const voice of voices) {
      const lines = await voice.lines(signal);
      if (signal.aborted) return;
      for (const line of lines) write(line);
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => {});
  }
}

interface Voice {
  lines(signal: AbortSignal): Promise<readonly string[]>;
}

function voiceOf(name: string, { envelope, sourceOf, voice }: LinesOptions): Voice {
  const source = sourceOf(name);
  if (voice === 'sentences') return new SpokenVoice(name, source);
  if (voice === 'lines') return new LineVoice(name, source);
  // A document that is not there is an error, as in `status --json`.
  return { lines: async (signal) => [envelope((await source.look(name, signal)).status)] };
}

function textLine(text: string): string {
  return `${printable(text)}\n`;
}

/** The message of an error of an operation; a defect of ours is thrown on. */
function whyOf(error: unknown): string {
  if (error instanceof BandstandError) return error.message;
  throw error;
}

class LineVoice {
  readonly #name: string;
  readonly #source: Pick<MonitorSource, 'look'>;
  #before: Look | null = null;

  constructor(name: string, source: Pick<MonitorSource, 'look'>) {
    this.#name = name;
    this.#source = source;
  }

  async lines(signal: AbortSignal): Promise<string[]> {
    try {
      const { status } = await this.#source.look(this.#name, signal);
      const now = { atMs: Date.now(), status };
      const line = statusLine(this.#before, now);
      this.#before = now;
      return [textLine(line)];
    } catch (error) {
      this.#before = null;
      const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
      return [textLine(`${time} ${this.#name} unknown ${whyOf(error)}`)];
    }
  }
}

class SpokenVoice {
  readonly #name: string;
  readonly #source: Pick<MonitorSource, 'look'>;
  #heard: Heard | null = null;
  #why: string | null = null;

  constructor(name: string, source: Pick<MonitorSource, 'look'>) {
    this.#name = name;
    this.#source = source;
  }

  async lines(signal: AbortSignal): Promise<readonly string[]> {
    try {
      const { events, status } = await this.#source.look(this.#name, signal);
      // What happened before anybody listened is not told; `bandstand events` has it.
      const news = this.#heard === null ? [] : events;
      const { heard, lines } = spokenLines(this.#heard, status, news);
      this.#heard = heard;
      this.#why = null;
      return lines.map(textLine);
    } catch (error) {
      const why = whyOf(error);
      if (why === this.#why) return [];
      this.#why = why;
      return [textLine(`No answer: ${why}.`)];
    }
  }
}
