/**
 * PendingTrims: trims that are in the ring, and not yet answered by the device behind. (data plane)
 *
 * From the moment that a trim counts its blocks read as zeroes, whatever the device behind still
 * has. It goes there when no drained block is on its way: those are older. What is drained after it
 * is newer and waits until it is answered. A fixed number; where all are taken, trims wait in line.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { type BlockIo, type Completer, OP_TRIM } from '../block/block-io.ts';
import { BlockIoPool } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';

export const PENDING_TRIMS_MAX = 1024;
const IN_FLIGHT_MAX = 32;
const FREE = 0;
/** In a record that does not count yet. */
const RESERVED = 1;
/** Its blocks read as zeroes. */
const WAITS = 2;
const FLIES = 3;

export interface PendingTrimsHost {
  /** A trim of the segment is behind. */
  trimEnded(segment: number): void;
  trimFailed(status: number): void;
}

export class PendingTrims implements Completer {
  /** Those whose blocks read as zeroes. */
  active = 0;
  readonly #backing: BlockDevice;
  readonly #host: PendingTrimsHost;
  readonly #state: Uint8Array;
  readonly #block: Float64Array;
  readonly #blockCount: Float64Array;
  readonly #segment: Float64Array;
  readonly #free: Uint32Array;
  #freeCount: number;
  /** Slots from here on are free. */
  #end = 0;
  #waiting = 0;
  readonly #pool = new BlockIoPool(IN_FLIGHT_MAX, this);

  constructor(backing: BlockDevice, host: PendingTrimsHost, capacity = PENDING_TRIMS_MAX) {
    this.#backing = backing;
    this.#host = host;
    this.#state = new Uint8Array(capacity);
    this.#block = new Float64Array(capacity);
    this.#blockCount = new Float64Array(capacity);
    this.#segment = new Float64Array(capacity);
    this.#free = Uint32Array.from({ length: capacity }, (_, index) => capacity - 1 - index);
    this.#freeCount = capacity;
  }

  // data path

  get hasRoom(): boolean {
    return this.#freeCount > 0;
  }

  /** A slot for a trim that is being recorded; there has to be room. */
  take(block: number, blockCount: number): number {
    this.#freeCount -= 1;
    const slot = this.#free[this.#freeCount]!;
    this.#state[slot] = RESERVED;
    this.#block[slot] = block;
    this.#blockCount[slot] = blockCount;
    if (slot >= this.#end) this.#end = slot + 1;
    return slot;
  }

  blockOf(slot: number): number {
    return this.#block[slot]!;
  }

  blockCountOf(slot: number): number {
    return this.#blockCount[slot]!;
  }

  /** The trim counts: its record is in the segment. */
  activate(slot: number, segment: number): void {
    this.#state[slot] = WAITS;
    this.#segment[slot] = segment;
    this.active += 1;
    this.#waiting += 1;
  }

  /** Its record is not written after all. */
  give(slot: number): void {
    this.#state[slot] = FREE;
    this.#free[this.#freeCount] = slot;
    this.#freeCount += 1;
    while (this.#end > 0 && this.#state[this.#end - 1] === FREE) this.#end -= 1;
  }

  covers(block: number): boolean {
    if (this.active === 0) return false;
    for (let slot = 0; slot < this.#end; slot += 1) {
      if (this.#state[slot]! < WAITS) continue;
      const offset = block - this.#block[slot]!;
      if (offset >= 0 && offset < this.#blockCount[slot]!) return true;
    }
    return false;
  }

  /** Sends what waits. Nothing that was drained may be on its way. */
  send(): void {
    for (let slot = 0; slot < this.#end && this.#waiting > 0; slot += 1) {
      if (this.#state[slot] !== WAITS) continue;
      const io = this.#pool.take();
      if (io === null) return;
      this.#state[slot] = FLIES;
      this.#waiting -= 1;
      io.op = OP_TRIM;
      io.block = this.#block[slot]!;
      io.blockCount = this.#blockCount[slot]!;
      io.cookie = slot;
      this.#backing.submit(io);
    }
  }

  get flying(): number {
    return this.#pool.size - this.#pool.available;
  }

  complete(io: BlockIo): void {
    const slot = io.cookie;
    const { status } = io;
    this.#pool.give(io);
    if (status !== OK) {
      // Its blocks are zeroes for as long as this process lives, and its record stays.
      this.#state[slot] = WAITS;
      this.#waiting += 1;
      this.#host.trimFailed(status);
      return;
    }
    const segment = this.#segment[slot]!;
    this.active -= 1;
    this.give(slot);
    this.#host.trimEnded(segment);
  }

  // end data path

  /** Where nothing is written: as many as there are, and none of them goes anywhere. */
  static shown(backing: BlockDevice, host: PendingTrimsHost, ranges: readonly TrimRange[]) {
    const trims = new PendingTrims(backing, host, Math.max(1, ranges.length));
    for (const { block, blockCount } of ranges) trims.activate(trims.take(block, blockCount), 0);
    return trims;
  }
}

export interface TrimRange {
  readonly block: number;
  readonly blockCount: number;
}
