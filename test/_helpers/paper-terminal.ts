/**
 * A terminal on paper: enough of one to say what a person sees after what was written to it.
 *
 * It knows the sequences that the monitor writes and refuses all others, so that one that is new is
 * not overlooked.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what begins and ends them.
const SEQUENCE = /^\u001b(?:\[(\??)([\d;]*)([A-Za-z])|\](52);c;([A-Za-z0-9+/=]*)\u0007)/u;

export class PaperTerminal {
  readonly columns: number;
  readonly rows: number;
  #cells: string[][];
  #row = 0;
  #column = 0;
  /** Modes that are set: `1049` the other screen, `25` the cursor, `2026` an update. */
  readonly modes = new Set(['25']);
  clipboard = '';
  /** Bytes of each write. */
  readonly writes: number[] = [];
  /** Rows that a write has touched, of the last one. */
  touched = new Set<number>();

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
    this.#cells = this.#blank();
  }

  #blank(): string[][] {
    return Array.from({ length: this.rows }, () => new Array<string>(this.columns).fill(' '));
  }

  get lines(): string[] {
    return this.#cells.map((cells) => cells.join('').trimEnd());
  }

  readonly write = (text: string): void => {
    this.writes.push(Buffer.byteLength(text));
    this.touched = new Set();
    let rest = text;
    while (rest !== '') {
      const sequence = SEQUENCE.exec(rest);
      if (sequence !== null) {
        this.#obey(sequence);
        rest = rest.slice(sequence[0].length);
        continue;
      }
      const [character] = rest;
      if (character === '\u001b')
        throw new Error(`unknown sequence: ${JSON.stringify(rest.slice(0, 12))}`);
      this.#put(character!);
      rest = rest.slice(character!.length);
    }
  };

  #obey([, isPrivate, numbers, letter, isClipboard, copied]: RegExpExecArray): void {
    if (isClipboard !== undefined) {
      this.clipboard = Buffer.from(copied!, 'base64').toString('utf8');
    } else if (isPrivate === '?') {
      if (letter === 'h') this.modes.add(numbers!);
      else this.modes.delete(numbers!);
    } else if (letter === 'H') {
      const [row = 1, column = 1] = numbers === '' ? [] : numbers!.split(';').map(Number);
      this.#row = row - 1;
      this.#column = column - 1;
    } else if (letter === 'J') {
      this.#cells = this.#blank();
    } else if (letter === 'K') {
      this.#touch();
      this.#cells[this.#row]!.fill(' ', this.#column);
    } else if (letter !== 'm') {
      throw new Error(`unknown sequence: ${letter}`);
    }
  }

  #touch(): void {
    this.touched.add(this.#row);
  }

  #put(character: string): void {
    if (character === '\r') {
      this.#column = 0;
      return;
    }
    if (character === '\n') throw new Error('a line feed may scroll');
    if (this.#column >= this.columns) throw new Error(`row ${this.#row} is too long`);
    this.#touch();
    this.#cells[this.#row]![this.#column] = character;
    this.#column += 1;
  }
}
