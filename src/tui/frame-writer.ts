/**
 * FrameWriter: what Ink has rendered, to the terminal; only lines that changed.    (user interface)
 *
 * Ink renders into this stream in its debug mode, in which a frame is one write of all its lines
 * and nothing else. Each line that differs from the one on the screen is written at its place, so
 * nothing flickers, nothing scrolls, and a frame may be as tall as the terminal. Whatever disturbs
 * the screen from outside is repaired by `forget`, after which the next frame is written whole.
 *
 * The lines of a frame lie in a synchronised update (mode 2026), which terminals that do not know
 * it ignore.
 */

import { Writable } from 'node:stream';
import { textWidth } from './text-width.ts';

const BEGIN = '\u001b[?2026h';
const END = '\u001b[?2026l';
const CLEAR = '\u001b[0m\u001b[2J';
const ERASE_TO_END = '\u001b[K';
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what begins a sequence.
const SEQUENCE = /\u001b\[[0-9;]*m/g;

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

export class FrameWriter extends Writable {
  readonly #write: (text: string) => void;
  readonly #size: () => ScreenSize;
  #lines: readonly string[] | null = null;
  #last = '';
  /** Nothing is written: the screen is somebody else's. */
  isPaused = false;
  frames = 0;
  bytes = 0;

  constructor(write: (text: string) => void, size: () => ScreenSize) {
    super({ decodeStrings: false });
    this.#write = write;
    this.#size = size;
  }

  /** Ink lays out for so many. */
  get columns(): number {
    return this.#size().columns;
  }

  get rows(): number {
    return this.#size().rows;
  }

  override _write(chunk: string, _encoding: BufferEncoding, done: () => void): void {
    // What ends an application is an empty write.
    if (chunk !== '') {
      this.#last = chunk;
      this.#draw();
    }
    done();
  }

  /** Nobody knows what is on the screen: the next frame is drawn whole. */
  forget(): void {
    this.#lines = null;
  }

  /** Draws all of the last frame again. */
  redraw(): void {
    this.forget();
    this.#draw();
  }

  #draw(): void {
    if (this.isPaused) return;
    const { columns, rows } = this.#size();
    const lines = this.#last.split('\n').slice(0, rows);
    const before = this.#lines;
    let text = before === null ? CLEAR : '';
    lines.forEach((line, row) => {
      if (before?.[row] === line || (before === null && line.trim() === '')) return;
      text += `\u001b[${row + 1};1H${line}${endOf(line, columns)}`;
    });
    for (let row = lines.length; row < (before?.length ?? 0); row += 1) {
      text += `\u001b[${row + 1};1H${ERASE_TO_END}`;
    }
    this.#lines = lines;
    if (text === '') return;
    const frame = BEGIN + text + END;
    this.frames += 1;
    this.bytes += Buffer.byteLength(frame);
    this.#write(frame);
  }
}

/** After the last column some terminals would erase that. */
function endOf(line: string, columns: number): string {
  return textWidth(line.replace(SEQUENCE, '')) < columns ? ERASE_TO_END : '';
}
