/**
 * Terminal: takes the screen and gives it back, however the process ends.          (user interface)
 *
 * The monitor draws on the alternate screen, so that what was there before is there afterwards. It
 * is given back by `leave`, which the end of the process calls, too: an error that nobody has
 * caught must not leave a terminal without a cursor that echoes nothing.
 */

import type { ScreenSize } from './frame-writer.ts';

const ENTER = '\u001b[?1049h\u001b[?25l\u001b[2J\u001b[H';
const LEAVE = '\u001b[0m\u001b[?25h\u001b[?1049l';
const SIZE_DEFAULT: ScreenSize = { columns: 80, rows: 24 };

export interface TerminalStreams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
}

export class Terminal {
  readonly #streams: TerminalStreams;
  #isEntered = false;
  #isBroken = false;

  constructor(streams: TerminalStreams) {
    this.#streams = streams;
    // A terminal that is gone cannot be written to; its end is told by SIGHUP.
    streams.stdout.on('error', () => {
      this.#isBroken = true;
    });
  }

  readonly size = (): ScreenSize => {
    const { columns, rows } = this.#streams.stdout;
    return { columns: columns || SIZE_DEFAULT.columns, rows: rows || SIZE_DEFAULT.rows };
  };

  readonly write = (text: string): void => {
    if (!this.#isBroken) this.#streams.stdout.write(text);
  };

  /** There is a keyboard. */
  get takesKeys(): boolean {
    return this.#streams.stdin.isTTY === true;
  }

  enter(): void {
    if (this.#isEntered) return;
    this.#isEntered = true;
    this.write(ENTER);
    process.on('exit', this.leave);
  }

  readonly leave = (): void => {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    process.removeListener('exit', this.leave);
    this.write(LEAVE);
    try {
      this.setRaw(false);
    } catch {
      // The terminal is gone, or a shell has it again, and has set it as it wants it.
    }
  };

  setRaw(isRaw: boolean): void {
    if (this.takesKeys) this.#streams.stdin.setRawMode(isRaw);
  }

  /** Calls back when the size has changed; the result ends that. */
  watchSize(changed: (size: ScreenSize) => void): () => void {
    const { stdout } = this.#streams;
    const listener = (): void => changed(this.size());
    stdout.on('resize', listener);
    return () => stdout.removeListener('resize', listener);
  }

  /** Asks the terminal to put a text on the clipboard (OSC 52); many do, some must be told to. */
  copy(text: string): void {
    this.write(`\u001b]52;c;${Buffer.from(text, 'utf8').toString('base64')}\u0007`);
  }
}
