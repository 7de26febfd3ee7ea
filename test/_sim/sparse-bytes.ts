/**
 * SparseBytes: the content of a simulated disk. Chunks that were never written do not exist and
 * read as zeroes; a clone shares its chunks until either side writes, so that forking a whole
 * world at a crash costs next to nothing. A whole chunk that is written is not copied either: the
 * bytes that are given to `write` must not change any more.
 */

import { freshBytes } from './fresh-bytes.ts';

export const CHUNK_BYTES = 4096;
const ZEROES = new Uint8Array(CHUNK_BYTES);

function isZero(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && Buffer.compare(bytes, ZEROES.subarray(0, bytes.length)) === 0;
}

export class SparseBytes {
  #chunks: (Uint8Array | null)[];
  /** 1 where the chunk is shared with nobody. */
  #owned: Uint8Array;

  constructor(bytes: number) {
    const count = Math.ceil(bytes / CHUNK_BYTES);
    this.#chunks = new Array<Uint8Array | null>(count).fill(null);
    this.#owned = new Uint8Array(count);
  }

  /** Makes it larger. */
  resize(bytes: number): void {
    const count = Math.ceil(bytes / CHUNK_BYTES);
    const owned = new Uint8Array(count);
    owned.set(this.#owned);
    this.#owned = owned;
    while (this.#chunks.length < count) this.#chunks.push(null);
  }

  clone(): SparseBytes {
    const copy = new SparseBytes(0);
    copy.#chunks = this.#chunks.slice();
    copy.#owned = new Uint8Array(this.#owned.length);
    this.#owned.fill(0);
    return copy;
  }

  read(at: number, target: Uint8Array, to: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((at + done) / CHUNK_BYTES);
      const within = at + done - index * CHUNK_BYTES;
      const count = Math.min(bytes - done, CHUNK_BYTES - within);
      const chunk = this.#chunks[index];
      if (chunk == null) target.fill(0, to + done, to + done + count);
      else if (count === CHUNK_BYTES) target.set(chunk, to + done);
      else target.set(chunk.subarray(within, within + count), to + done);
      done += count;
    }
  }

  write(at: number, source: Uint8Array, from: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((at + done) / CHUNK_BYTES);
      const within = at + done - index * CHUNK_BYTES;
      const count = Math.min(bytes - done, CHUNK_BYTES - within);
      const part = source.subarray(from + done, from + done + count);
      if (count === CHUNK_BYTES) {
        this.#chunks[index] = isZero(part) ? null : part;
        this.#owned[index] = 0;
      } else if (this.#chunks[index] != null || !isZero(part)) this.#own(index).set(part, within);
      done += count;
    }
  }

  /**
   * The chunk in which byte `at` lies, as it is now; what is written later leaves it as it is.
   * `at` is at `at` mod 4096 in it.
   */
  share(at: number): Uint8Array {
    const index = Math.floor(at / CHUNK_BYTES);
    this.#owned[index] = 0;
    return this.#chunks[index] ?? ZEROES;
  }

  zero(at: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((at + done) / CHUNK_BYTES);
      const within = at + done - index * CHUNK_BYTES;
      const count = Math.min(bytes - done, CHUNK_BYTES - within);
      if (count === CHUNK_BYTES) this.#chunks[index] = null;
      else if (this.#chunks[index] != null) this.#own(index).fill(0, within, within + count);
      done += count;
    }
  }

  #own(index: number): Uint8Array {
    const chunk = this.#chunks[index];
    if (chunk != null && this.#owned[index] === 1) return chunk;
    const fresh = freshBytes(CHUNK_BYTES);
    fresh.set(chunk ?? ZEROES);
    this.#chunks[index] = fresh;
    this.#owned[index] = 1;
    return fresh;
  }
}
