/**
 * RecordSlot: a record in memory, from its first block until it counts.               (data plane)
 *
 * Its memory is the record as it will be in the ring: the description, and data blocks behind it.
 */

import { BlockIo, type Completer } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';
import { RECORD_TRIMS_MAX } from './cache-format.ts';

export const GATHERS = 0;
export const FLIES = 1;
export const DONE = 2;
export const FAILED = 3;

export class RecordSlot {
  readonly buffer: number;
  readonly io = new BlockIo();
  readonly ios = new BlockIoQueue();
  /** Slots of the trims in it. */
  readonly trims = new Uint16Array(RECORD_TRIMS_MAX);
  state = GATHERS;
  dataCount = 0;
  trimCount = 0;
  sequence = 0;
  position = 0;
  /** The tail that its description names. */
  tail = 0;
  isFua = false;
  /** Its last write goes on in the next record. */
  isCut = false;
  status = OK;
  next: RecordSlot | null = null;

  constructor(buffer: number, completer: Completer, index: number) {
    this.buffer = buffer;
    this.io.completer = completer;
    this.io.cookie = index;
  }

  get isEmpty(): boolean {
    return this.dataCount === 0 && this.trimCount === 0;
  }

  get length(): number {
    return 1 + this.dataCount;
  }
}

/** First in, first out, over `next`. */
export class SlotQueue {
  head: RecordSlot | null = null;
  #tail: RecordSlot | null = null;

  push(slot: RecordSlot): void {
    slot.next = null;
    if (this.#tail === null) this.head = slot;
    else this.#tail.next = slot;
    this.#tail = slot;
  }

  shift(): RecordSlot | null {
    const slot = this.head;
    if (slot === null) return null;
    this.head = slot.next;
    if (this.head === null) this.#tail = null;
    slot.next = null;
    return slot;
  }
}
