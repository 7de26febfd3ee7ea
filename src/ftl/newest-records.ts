/**
 * NewestRecords: which record of each block is the newest that a start has met.     (control plane)
 *
 * A table with open addressing, for the blocks that were met only: what was written since a
 * checkpoint may be scattered over the whole device, and is a small part of it.
 *
 *   keys    number of the block + 1; 0: free
 *   ranks   two for each key: sequence of the write, sequence of the unit
 */

const CAPACITY_FIRST = 4096;
/** The golden ratio of 2^32: neighbours come to lie far from each other. */
const SPREAD = 0x9e3779b1;
const TWO_32 = 2 ** 32;

export class NewestRecords {
  #keys = new Float64Array(CAPACITY_FIRST);
  #ranks = new Float64Array(2 * CAPACITY_FIRST);
  #count = 0;

  /** Blocks that were met. */
  get count(): number {
    return this.#count;
  }

  /**
   * Notes a record; false when an earlier one is newer: by the sequence of its write, of equal ones
   * (a relocated copy) by that of its unit.
   */
  supersedes(block: number, sequence: number, unitSequence: number): boolean {
    const slot = this.#slotOf(block);
    const ranks = this.#ranks;
    if (this.#keys[slot] === 0) {
      this.#keys[slot] = block + 1;
      this.#count += 1;
    } else {
      const known = ranks[2 * slot]!;
      if (known > sequence) return false;
      if (known === sequence && ranks[2 * slot + 1]! > unitSequence) return false;
    }
    ranks[2 * slot] = sequence;
    ranks[2 * slot + 1] = unitSequence;
    if (2 * this.#count > this.#keys.length) this.#grow();
    return true;
  }

  /** Where the block is, or belongs. */
  #slotOf(block: number): number {
    const keys = this.#keys;
    const high = Math.floor(block / TWO_32);
    const mixed = Math.imul((block >>> 0) ^ Math.imul(high, SPREAD), SPREAD) >>> 0;
    let slot = Math.floor((mixed / TWO_32) * keys.length);
    while (keys[slot] !== 0 && keys[slot] !== block + 1) {
      slot = slot + 1 === keys.length ? 0 : slot + 1;
    }
    return slot;
  }

  #grow(): void {
    const [keys, ranks] = [this.#keys, this.#ranks];
    this.#keys = new Float64Array(2 * keys.length);
    this.#ranks = new Float64Array(2 * ranks.length);
    for (const [from, key] of keys.entries()) {
      if (key === 0) continue;
      const slot = this.#slotOf(key - 1);
      this.#keys[slot] = key;
      this.#ranks[2 * slot] = ranks[2 * from]!;
      this.#ranks[2 * slot + 1] = ranks[2 * from + 1]!;
    }
  }
}
