/**
 * CommandContext: what a verb may know of the world around it.                      (control plane)
 *
 * Directories, time limits and the notes stream, decided once from the common options. stdout is
 * not here: the result goes there, and only main.ts writes it.
 */

import { createInterface } from 'node:readline/promises';
import type { Directories } from '../stack/directories.ts';
import { ProgressLine } from './progress-line.ts';

export interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

export class CommandContext {
  readonly streams: Streams;
  readonly directories: Directories;
  readonly json: boolean;
  readonly verbose: boolean;
  /** Time limit for kernel and server, or null for the command's own default. */
  readonly timeoutMs: number | null;
  /** How far a long work is; drawn where there is a terminal to draw on, and only for people. */
  readonly progress: ProgressLine;
  readonly #quiet: boolean;
  readonly #input: boolean;

  constructor(options: {
    streams: Streams;
    directories: Directories;
    json: boolean;
    quiet: boolean;
    verbose: boolean;
    input: boolean;
    timeoutMs: number | null;
  }) {
    this.streams = options.streams;
    this.directories = options.directories;
    this.json = options.json;
    this.verbose = options.verbose;
    this.timeoutMs = options.timeoutMs;
    this.#quiet = options.quiet;
    this.#input = options.input;
    this.progress = new ProgressLine(this.#drawingTerminal);
  }

  /** A line on stderr that is not an error; --quiet drops it. */
  note(line: string): void {
    if (this.#quiet) return;
    this.progress.clear();
    this.streams.stderr.write(`${line}\n`);
  }

  /** A note that only --verbose shows. */
  detail(line: string): void {
    if (this.verbose) this.note(line);
  }

  /** Null: no terminal, a dumb one, --quiet, or --json, which is for programs. */
  get #drawingTerminal(): NodeJS.WriteStream | null {
    const { stderr } = this.streams;
    const can = stderr.isTTY === true && process.env['TERM'] !== 'dumb';
    return can && !this.#quiet && !this.json ? stderr : null;
  }

  /** True when a person can be asked. */
  get interactive(): boolean {
    return this.#input && this.streams.stdin.isTTY === true && this.streams.stderr.isTTY === true;
  }

  /** Asks on stderr; the answer without surrounding blanks. Only when `interactive`. */
  async ask(question: string): Promise<string> {
    this.progress.end();
    const reader = createInterface({ input: this.streams.stdin, output: this.streams.stderr });
    try {
      return (await reader.question(question)).trim();
    } finally {
      reader.close();
    }
  }
}
