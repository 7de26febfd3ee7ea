/**
 * Superseders: which bands a power cut would still need, and why.                     (data plane)
 *
 * A block that is written, moved or trimmed leaves its old copy behind in some band. Until the unit
 * with the new copy, or with the record of the trim, is durable, the old one may be all that a
 * power cut leaves. So for every unit in memory there is a set of the bands in which it has
 * superseded something. What was in a unit that is on the base waits in a set of its own for the
 * next flush.
 *
 *   bits       one bit per band; a row of words for each slot, then
 *   written    a row for all units that are on the base and not flushed
 *   flushing   a row for those that the flush under way covers
 */

export class Superseders {
  readonly #words: number;
  readonly #slotCount: number;
  readonly #bits: Uint32Array;
  /** The base has a volatile cache: what is on it has to be flushed. */
  readonly #volatile: boolean;

  constructor(slotCount: number, bandCount: number, isVolatile: boolean) {
    this.#words = Math.ceil(bandCount / 32);
    this.#slotCount = slotCount;
    this.#bits = new Uint32Array((slotCount + 2) * this.#words);
    this.#volatile = isVolatile;
  }

  // data path

  /** The unit in this slot has superseded something in the band. */
  note(slot: number, band: number): void {
    this.#bits[slot * this.#words + (band >>> 5)]! |= 1 << (band & 31);
  }

  /** The unit is on the base. */
  written(slot: number): void {
    const from = slot * this.#words;
    const to = this.#slotCount * this.#words;
    for (let word = 0; word < this.#words; word += 1) {
      if (this.#volatile) this.#bits[to + word]! |= this.#bits[from + word]!;
      this.#bits[from + word] = 0;
    }
  }

  /** A flush covers from now on what has been written so far. */
  flushBegins(): void {
    const from = this.#slotCount * this.#words;
    const to = from + this.#words;
    for (let word = 0; word < this.#words; word += 1) {
      this.#bits[to + word]! |= this.#bits[from + word]!;
      this.#bits[from + word] = 0;
    }
  }

  flushed(): void {
    const from = (this.#slotCount + 1) * this.#words;
    this.#bits.fill(0, from, from + this.#words);
  }

  /** True when the unit in this slot has superseded something in the band. */
  has(slot: number, band: number): boolean {
    return (this.#bits[slot * this.#words + (band >>> 5)]! & (1 << (band & 31))) !== 0;
  }

  /** True while something that has superseded a block of the band is not durable. */
  needs(band: number): boolean {
    for (let row = 0; row < this.#slotCount + 2; row += 1) if (this.has(row, band)) return true;
    return false;
  }

  // end data path
}
