/**
 * BufferClasses: the I/O buffers of one connection, in a few sizes.                   (data plane)
 *
 * Small requests get small buffers that lie close together (a 4 KiB workload then stays inside the
 * processor's caches); a request whose class is used up takes a larger one, and when that is used
 * up too it waits. The memory is a fixed share of the arena per connection: a client that does not
 * read its replies runs out of its own buffers and of nobody else's. With segments of 128 KiB a
 * connection takes 3 MiB in all, so that the default of 16 connections takes 48 MiB.
 */

import { type Arena, BufferPool } from '../../block/arena.ts';

const SMALL_BYTES = 4096;
const SMALL_COUNT = 128;
const MIDDLE_BYTES = 32_768;
const MIDDLE_COUNT = 24;
const LARGE_COUNT = 12;

export class BufferClasses {
  /** Largest buffer, in bytes. */
  readonly largestBytes: number;
  readonly largestCount: number;
  readonly #small: BufferPool;
  readonly #middle: BufferPool;
  readonly #large: BufferPool;
  /** Class of the buffer that `take` returned last. */
  takenClass = 0;

  /** Throws BANDSTAND_ARENA_FULL; then nothing is reserved. */
  constructor(arena: Arena, largestBytes: number) {
    this.largestBytes = largestBytes;
    this.largestCount = LARGE_COUNT;
    const pools: BufferPool[] = [];
    try {
      pools.push(new BufferPool(arena, SMALL_BYTES, SMALL_COUNT));
      pools.push(new BufferPool(arena, Math.min(MIDDLE_BYTES, largestBytes), MIDDLE_COUNT));
      pools.push(new BufferPool(arena, largestBytes, LARGE_COUNT));
    } catch (error) {
      for (const pool of pools) pool.dispose();
      throw error;
    }
    this.#small = pools[0]!;
    this.#middle = pools[1]!;
    this.#large = pools[2]!;
  }

  /** A buffer of at least `bytes` (at most `largestBytes`), or -1 when it has to be waited for. */
  take(bytes: number): number {
    if (bytes <= SMALL_BYTES && this.#small.available > 0) {
      this.takenClass = 0;
      return this.#small.take();
    }
    if (bytes <= this.#middle.bufferBytes && this.#middle.available > 0) {
      this.takenClass = 1;
      return this.#middle.take();
    }
    this.takenClass = 2;
    return this.#large.take();
  }

  give(buffer: number, bufferClass: number): void {
    if (bufferClass === 0) this.#small.give(buffer);
    else if (bufferClass === 1) this.#middle.give(buffer);
    else this.#large.give(buffer);
  }

  /** Every buffer must be back. */
  dispose(): void {
    this.#small.dispose();
    this.#middle.dispose();
    this.#large.dispose();
  }
}
