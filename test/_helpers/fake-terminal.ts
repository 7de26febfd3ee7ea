/** Streams of a terminal that is not there: keys go in, a paper terminal shows what comes out. */

import { PassThrough, Writable } from 'node:stream';
import type { TerminalStreams } from '../../src/tui/terminal.ts';
import { PaperTerminal } from './paper-terminal.ts';

export class FakeTerminal {
  readonly paper: PaperTerminal;
  /** As often as it was set: what it was set to. */
  readonly rawModes: boolean[] = [];
  readonly streams: TerminalStreams;
  readonly #stdin = new PassThrough();

  constructor(columns: number, rows: number) {
    this.paper = new PaperTerminal(columns, rows);
    const stdin = Object.assign(this.#stdin, {
      isTTY: true,
      setRawMode: (isRaw: boolean) => this.rawModes.push(isRaw),
      ref: () => {},
      unref: () => {},
    });
    const stdout = new Writable({
      decodeStrings: false,
      write: (chunk: string, _encoding, done) => {
        this.paper.write(chunk);
        done();
      },
    });
    Object.assign(stdout, { isTTY: true, columns, rows });
    this.streams = { stdin, stdout } as unknown as TerminalStreams;
  }

  press(text: string): void {
    this.#stdin.write(text);
  }
}
