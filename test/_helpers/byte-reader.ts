/**
 * ByteReader: a stream, read in exact amounts.
 */

import type { Duplex } from 'node:stream';

/** Less is not worth waking up for, unless it is all that is wanted. */
const PIECE_BYTES = 65_536;

export class ByteReader {
  #parts: Buffer[] = [];
  #buffered = 0;
  #wanted = 0;
  #wake: (() => void) | null = null;
  #ended = false;

  constructor(stream: Duplex) {
    stream.on('data', (part: Buffer) => {
      this.#parts.push(part);
      this.#buffered += part.length;
      if (this.#buffered >= this.#wanted) this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    stream.on('end', end);
    stream.on('close', end);
    stream.on('error', end);
  }

  get buffered(): number {
    return this.#buffered;
  }

  /** Null when the stream ends before `bytes` have come. */
  async take(bytes: number): Promise<Buffer | null> {
    const result = Buffer.allocUnsafe(bytes);
    return (await this.takeInto(result)) ? result : null;
  }

  /** Fills `target` with what comes, as it comes; false when the stream ends before. */
  async takeInto(target: Buffer): Promise<boolean> {
    let filled = 0;
    for (;;) {
      while (filled < target.length && this.#buffered > 0) {
        const part = this.#parts[0]!;
        const count = part.copy(target, filled);
        filled += count;
        this.#buffered -= count;
        if (count === part.length) this.#parts.shift();
        else this.#parts[0] = part.subarray(count);
      }
      if (filled === target.length) return true;
      if (this.#ended) return false;
      this.#wanted = Math.min(target.length - filled, PIECE_BYTES);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}
