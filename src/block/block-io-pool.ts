/**
 * Pools and queues of BlockIo.                                                        (data plane)
 *
 * Both are intrusive lists over `BlockIo.next`: no allocation after construction, O(1) each.
 * A pool has a fixed size, chosen from the queue depth when a device opens; an empty pool gives
 * null and the caller queues the work (law 8: back-pressure never fails an operation).
 */

import { BlockIo, type Completer } from './block-io.ts';

/** First in, first out. An operation is in at most one queue at a time. */
export class BlockIoQueue {
  #head: BlockIo | null = null;
  #tail: BlockIo | null = null;
  length = 0;

  push(io: BlockIo): void {
    io.next = null;
    if (this.#tail === null) this.#head = io;
    else this.#tail.next = io;
    this.#tail = io;
    this.length += 1;
  }

  /** Puts an operation back at the head, so that it is the next to be shifted. */
  unshift(io: BlockIo): void {
    io.next = this.#head;
    this.#head = io;
    if (this.#tail === null) this.#tail = io;
    this.length += 1;
  }

  /** The oldest operation, left in place; null when empty. */
  peek(): BlockIo | null {
    return this.#head;
  }

  shift(): BlockIo | null {
    const io = this.#head;
    if (io === null) return null;
    this.#head = io.next;
    if (this.#head === null) this.#tail = null;
    io.next = null;
    this.length -= 1;
    return io;
  }
}

/** A fixed set of operations that all complete to the same owner. */
export class BlockIoPool {
  readonly size: number;
  available = 0;
  #free: BlockIo | null = null;

  constructor(size: number, completer: Completer) {
    this.size = size;
    for (let index = 0; index < size; index += 1) {
      const io = new BlockIo();
      io.completer = completer;
      // A value above 2^31 once, so that V8 settles on doubles for these fields before serving.
      io.block = 2 ** 40 + 0.5;
      io.block = 0;
      io.stamp = 2 ** 40 + 0.5;
      io.stamp = 0;
      this.give(io);
    }
  }

  /** An operation with flags, status and pending cleared, or null when all are out. */
  take(): BlockIo | null {
    const io = this.#free;
    if (io === null) return null;
    this.#free = io.next;
    io.next = null;
    io.flags = 0;
    io.status = 0;
    io.pending = 0;
    this.available -= 1;
    return io;
  }

  give(io: BlockIo): void {
    io.parent = null;
    io.next = this.#free;
    this.#free = io;
    this.available += 1;
  }
}
