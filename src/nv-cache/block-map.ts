/**
 * BlockMap: where in the ring the newest copy of a block is.                          (data plane)
 *
 *   slots   a hash table of ring blocks, at most half full; 0 = empty
 *   names   per ring block: the block of the device that it holds (40 bits), or what else it is
 *
 * The key of a slot is the name of the ring block in it, so a slot has 4 bytes. Linear probing;
 * what is taken out is closed up by moving back what follows, so nothing piles up.
 */

/** The ring block is the description of a record; its name is the number of data blocks. */
const KIND_RECORD = 0xff;
/** Nothing: what lies behind the last record of a lap. */
const KIND_SKIPPED = 0xfe;
const TWO_32 = 2 ** 32;
/** Looking for a block costs as much as looking at so many slots in their order. */
const LOOKUP_COST = 8;

/** Devices behind a cache have fewer blocks. */
export const CACHED_BLOCKS_MAX = KIND_SKIPPED * TWO_32;
export const NOT_CACHED = 0;

export class BlockMap {
  /** Blocks that are in the map. */
  count = 0;
  readonly #slots: Uint32Array;
  readonly #mask: number;
  readonly #nameLow: Uint32Array;
  readonly #nameHigh: Uint8Array;

  /** For ring blocks below `ringEnd`. */
  constructor(ringEnd: number) {
    let capacity = 16;
    while (capacity < 2 * ringEnd) capacity *= 2;
    this.#slots = new Uint32Array(capacity);
    this.#mask = capacity - 1;
    this.#nameLow = new Uint32Array(ringEnd);
    this.#nameHigh = new Uint8Array(ringEnd).fill(KIND_SKIPPED);
  }

  // data path

  /** What the ring block will hold; `set` makes it the newest copy. */
  name(ringBlock: number, block: number): void {
    this.#nameLow[ringBlock] = block;
    this.#nameHigh[ringBlock] = Math.floor(block / TWO_32);
  }

  nameRecord(ringBlock: number, dataCount: number): void {
    this.#nameLow[ringBlock] = dataCount;
    this.#nameHigh[ringBlock] = KIND_RECORD;
  }

  /** No record begins here in this lap: the next one is at the start of the ring. */
  nameSkipped(ringBlock: number): void {
    this.#nameHigh[ringBlock] = KIND_SKIPPED;
  }

  /** The ring block holds no block of the device, and no record begins there. */
  isNothing(ringBlock: number): boolean {
    return this.#nameHigh[ringBlock] === KIND_SKIPPED;
  }

  /** Data blocks of the record that begins at the ring block; -1: none does. */
  recordAt(ringBlock: number): number {
    return this.#nameHigh[ringBlock] === KIND_RECORD ? this.#nameLow[ringBlock]! : -1;
  }

  /** The block of the device that the ring block holds, newest copy or not. */
  blockAt(ringBlock: number): number {
    return this.#nameLow[ringBlock]! + this.#nameHigh[ringBlock]! * TWO_32;
  }

  #home(low: number, high: number): number {
    let hash = Math.imul(low ^ Math.imul(high, 0x27d4eb2f), 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
    return (hash ^ (hash >>> 13)) & this.#mask;
  }

  #slotOf(low: number, high: number): number {
    const slots = this.#slots;
    const lows = this.#nameLow;
    const highs = this.#nameHigh;
    let slot = this.#home(low, high);
    for (;;) {
      const ringBlock = slots[slot]!;
      if (ringBlock === NOT_CACHED) return slot;
      if (lows[ringBlock] === low && highs[ringBlock] === high) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** The ring block with the newest copy, or NOT_CACHED. */
  get(block: number): number {
    if (this.count === 0) return NOT_CACHED;
    return this.#slots[this.#slotOf(block >>> 0, Math.floor(block / TWO_32))]!;
  }

  /** The ring block, which has a name, is the newest copy of what it holds. */
  set(ringBlock: number): void {
    const slot = this.#slotOf(this.#nameLow[ringBlock]!, this.#nameHigh[ringBlock]!);
    if (this.#slots[slot] === NOT_CACHED) this.count += 1;
    this.#slots[slot] = ringBlock;
  }

  /** True when the ring block has the newest copy of what it holds. */
  isNewest(ringBlock: number): boolean {
    const slot = this.#slotOf(this.#nameLow[ringBlock]!, this.#nameHigh[ringBlock]!);
    return this.#slots[slot] === ringBlock;
  }

  /** Takes the block out; false when it was not there. */
  delete(block: number): boolean {
    if (this.count === 0) return false;
    const slot = this.#slotOf(block >>> 0, Math.floor(block / TWO_32));
    if (this.#slots[slot] === NOT_CACHED) return false;
    this.count -= 1;
    this.#close(slot);
    return true;
  }

  /** Empties the slot, and moves back what its probing has pushed away. */
  #close(empty: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let hole = empty;
    let slot = empty;
    for (;;) {
      slot = (slot + 1) & mask;
      const ringBlock = slots[slot]!;
      if (ringBlock === NOT_CACHED) break;
      const home = this.#home(this.#nameLow[ringBlock]!, this.#nameHigh[ringBlock]!);
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots[hole] = ringBlock;
      hole = slot;
    }
    slots[hole] = NOT_CACHED;
  }

  /** Takes out all blocks of a range; gives how many there were. */
  deleteRange(block: number, blockCount: number): number {
    const before = this.count;
    if (blockCount * LOOKUP_COST <= this.#slots.length) {
      for (let index = 0; index < blockCount && this.count > 0; index += 1) {
        this.delete(block + index);
      }
      return before - this.count;
    }
    for (let slot = 0; slot < this.#slots.length; ) {
      const ringBlock = this.#slots[slot]!;
      const held = ringBlock === NOT_CACHED ? -1 : this.blockAt(ringBlock);
      if (held >= block && held < block + blockCount) {
        this.count -= 1;
        // Another one may have moved here.
        this.#close(slot);
      } else {
        slot += 1;
      }
    }
    return before - this.count;
  }

  // end data path
}
