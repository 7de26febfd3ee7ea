/**
 * Victims: which closed band is reclaimed next.                                       (data plane)
 *
 * A band with a share u of valid blocks costs u / (1 - u) copies for each block that it gives back.
 * Waiting makes it cheaper, the faster the more its blocks are overwritten; the space it holds
 * meanwhile is missing elsewhere. Were all bands alike in a pool of blocks with one rate, it would
 * be best to keep ((1 - u) / u + ln u) / rate equal in all pools: that is the slope of the pool's
 * write amplification over its space, for random writes. The rate of a band shows in what it has
 * lost since it was closed: -ln u / age. So the next victim is the band with the highest
 *
 *   score = ((1 - u) / (u * -ln u) - 1) * age
 *
 * and a band without valid blocks comes before all others. It is close to the classic cost-benefit
 * (1 - u) / u * age, which it beats where blocks have few different rates
 * (docs/decisions/0017-lifetime-classes.md).
 *
 * Ages are counted in user blocks written, never in time: an idle device does not age, and the same
 * history gives the same choices.
 *
 *   valid column   one count per band, owned and kept by the caller; only read here
 *   closedAt       one number per band: the write sequence number at which the band was closed, or
 *                  NOT_CLOSED (free, open, or already being reclaimed)
 *
 * A choice looks at every band, once for each band that is reclaimed. `npm run bench:waf` prints
 * how long that takes with 10 000 of them: less than copying a megabyte.
 */

import { assert } from '../block/assert.ts';

export const NO_VICTIM = -1;

const NOT_CLOSED = -1;

/**
 * Valid share in steps of 1/4096 → what the age is multiplied by, at the middle of the step. It is
 * a table because 10 000 logarithms would take half a millisecond. Each weight is above zero, so
 * that a band that gives back anything can be chosen.
 */
const SHARES = 4096;
const WEIGHTS = Float64Array.from({ length: SHARES }, (_, step) => {
  const u = (step + 0.5) / SHARES;
  return (1 - u) / (u * -Math.log(u)) - 1;
});

export class Victims {
  readonly bandBlocks: number;
  readonly #validBlocks: Uint32Array;
  readonly #closedAt: Float64Array;
  #closedCount = 0;

  /** `validBlocks[band]` is kept by the caller: the blocks in `band` that the L2P points to. */
  constructor(validBlocks: Uint32Array, bandBlocks: number) {
    this.bandBlocks = bandBlocks;
    this.#validBlocks = validBlocks;
    this.#closedAt = new Float64Array(validBlocks.length).fill(NOT_CLOSED);
  }

  /** How many bands could be chosen. */
  get closedCount(): number {
    return this.#closedCount;
  }

  // data path

  /**
   * The band takes no more blocks and may be chosen from now on. `sequence` is the number of user
   * blocks written so far (the last write sequence number); at a restore, the one of the band's
   * tail metadata.
   */
  closed(band: number, sequence: number): void {
    assert(this.#closedAt[band] === NOT_CLOSED, 'a band is closed once');
    assert(sequence >= 0, 'a sequence number is not negative');
    this.#closedAt[band] = sequence;
    this.#closedCount += 1;
  }

  /** The band is being reclaimed, or is free again: it is not chosen any more. */
  taken(band: number): void {
    assert(this.#closedAt[band] !== NOT_CLOSED, 'a band is taken while it is closed');
    this.#closedAt[band] = NOT_CLOSED;
    this.#closedCount -= 1;
  }

  /**
   * The closed band to reclaim next, or NO_VICTIM when reclaiming gains nothing (no band is closed,
   * or every closed band is fully valid). It stays closed until `taken`.
   */
  choose(sequence: number): number {
    const bandBlocks = this.bandBlocks;
    const stepsPerBlock = SHARES / bandBlocks;
    const closedAt = this.#closedAt;
    const valid = this.#validBlocks;
    let best = NO_VICTIM;
    let bestScore = 0;
    for (let band = 0; band < closedAt.length; band += 1) {
      const since = closedAt[band]!;
      if (since === NOT_CLOSED) continue;
      const live = valid[band]!;
      if (live === 0) return band;
      if (live >= bandBlocks) continue;
      const age = Math.max(sequence - since, 0) + 1;
      const score = WEIGHTS[Math.floor(live * stepsPerBlock)]! * age;
      if (score <= bestScore) continue;
      best = band;
      bestScore = score;
    }
    return best;
  }

  // end data path
}
