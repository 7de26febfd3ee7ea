/**
 * ReceiveWindow: the bytes that have arrived on a connection and are not yet taken.    (data plane)
 *
 * A plain piece of arena with a head and a tail, no ring: it is empty again after nearly every
 * turn, and a request that is cut in two is moved to the front (at most one small request).
 */

import type { Arena } from '../../block/arena.ts';

export class ReceiveWindow {
  readonly bytes: number;
  readonly at: number;
  /** Positions in the arena: the next byte to take, and the next free one. */
  head: number;
  tail: number;
  readonly #arena: Arena;

  constructor(arena: Arena, bytes: number) {
    this.#arena = arena;
    this.bytes = bytes;
    this.at = arena.allocate(bytes);
    this.head = this.at;
    this.tail = this.at;
  }

  get available(): number {
    return this.tail - this.head;
  }

  clear(): void {
    this.head = this.at;
    this.tail = this.at;
  }

  /** Makes the free space contiguous; returns how large it is. */
  makeRoom(): number {
    if (this.head === this.tail) this.clear();
    else if (this.head > this.at) {
      this.#arena.u8.copyWithin(this.at, this.head, this.tail);
      this.tail -= this.head - this.at;
      this.head = this.at;
    }
    return this.at + this.bytes - this.tail;
  }

  dispose(): void {
    this.#arena.release(this.at, this.bytes);
  }
}
