/**
 * LiveBands: what of the base this process or the next start may believe.             (data plane)
 *
 *   | superblocks | map pages | band 0 ███ | band 1 █░░ | band 2 ███ | … | rest ░░░ |
 *
 * Live are superblocks and map pages, the summary of the first unit of every band, and all of a
 * band unless it is dead. A band is dead when it is free and no start will play its units: its head
 * is older than the newest checkpoint, and the newest superblock does not list it as open. All
 * three can end only by opening the band, and what counts then has been written since. Why that
 * is enough: docs/decisions/0021-live-ranges.md.
 *
 * Only for an FTL whose start is complete. After it has been closed, this says what was live then.
 */

import type { LiveRanges } from '../block/live-ranges.ts';
import { BAND_FREE } from './bands.ts';
import type { FtlCore } from './ftl-core.ts';
import type { SuperblockKeeper } from './superblock-io.ts';

/** A run of live bands is given in parts of so many. */
const RUN_BANDS_MAX = 64;

export class LiveBands implements LiveRanges {
  readonly #core: FtlCore;
  readonly #keeper: SuperblockKeeper;
  /** Blocks of the base: where bands begin, and where they end. */
  readonly #first: number;
  readonly #end: number;

  constructor(core: FtlCore, keeper: SuperblockKeeper) {
    this.#core = core;
    this.#keeper = keeper;
    this.#first = core.baseBlock(0);
    this.#end = core.baseBlock(core.geometry.bandCount * core.geometry.bandBlocks);
  }

  // data path

  nextLive(from: number): number {
    if (from >= this.#end) return -1;
    if (from < this.#first) return from;
    const band = this.#bandAt(from);
    if (!this.#isDead(band) || from < this.#headEnd(band)) return from;
    const next = this.#bandStart(band + 1);
    return next === this.#end ? -1 : next;
  }

  nextDead(from: number): number {
    if (from < this.#first) return this.#first;
    if (from >= this.#end) return from;
    const band = this.#bandAt(from);
    if (this.#isDead(band)) return Math.max(from, this.#headEnd(band));
    const stop = Math.min(this.#core.geometry.bandCount, band + RUN_BANDS_MAX);
    let next = band + 1;
    while (next < stop && !this.#isDead(next)) next += 1;
    return this.#bandStart(next);
  }

  #isDead(band: number): boolean {
    const { bands, checkpointed } = this.#core;
    if (bands.state[band] !== BAND_FREE || bands.sequence[band]! >= checkpointed) return false;
    return !this.#keeper.current.openBands.includes(band);
  }

  #bandAt(block: number): number {
    const { factor, geometry } = this.#core;
    return Math.floor((block - this.#first) / (geometry.bandBlocks * factor));
  }

  #bandStart(band: number): number {
    return this.#core.baseBlock(band * this.#core.geometry.bandBlocks);
  }

  #headEnd(band: number): number {
    return this.#bandStart(band) + this.#core.geometry.summaryBlocks * this.#core.factor;
  }

  // end data path
}
