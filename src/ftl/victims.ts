/**
 * Victims: which closed band is reclaimed next.                                       (data plane)
 *
 * Cost-benefit: a band is worth the space it gives back, times the age of what is in it (what has
 * lain still for long will stay, so its space is worth having now, while a young band will lose
 * more blocks by waiting), over the work of copying what is valid:
 *
 *   score = (1 - u) * age / u      u = valid share; a band without valid blocks comes first
 *
 * Ages are counted in user blocks written, never in time: an idle device does not age, and the same
 * history gives the same choices.
 *
 *   valid column   one count per band, owned and kept by the caller; only read here
 *   closedAt       one number per band: the write sequence number at which the band was closed, or
 *                  NOT_CLOSED (free, open, or already being reclaimed)
 *
 * A choice looks at every band: 10 000 of them take some microseconds (`npm run bench:waf`), once
 * for each band that is reclaimed, which is a thousandth of what copying its blocks takes.
 */

import { assert } from '../block/assert.ts';

export const NO_VICTIM = -1;

const NOT_CLOSED = -1;

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
    const closedAt = this.#closedAt;
    const valid = this.#validBlocks;
    let best = NO_VICTIM;
    let bestScore = 0;
    for (let band = 0; band < closedAt.length; band += 1) {
      const since = closedAt[band]!;
      if (since === NOT_CLOSED) continue;
      const live = valid[band]!;
      if (live === 0) return band;
      const score = ((bandBlocks - live) * (sequence - since + 1)) / live;
      if (score <= bestScore) continue;
      best = band;
      bestScore = score;
    }
    return best;
  }

  // end data path
}
