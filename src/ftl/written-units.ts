/**
 * WrittenUnits: what of the base has certainly been written, for a check of it.     (control plane)
 *
 * A unit is written from its start to the last block that it carries, and the map knows places: so
 * everything in a unit up to the last place that the map points to has been written, in one
 * operation. What follows there may never have been: a live band is no guarantee of it. Units that
 * are still in memory do not count yet.
 *
 * The map is walked through once, a part of it in each turn. What is written meanwhile, or later,
 * may be left out; what was found stays right, because what has been written once is the same on
 * all members until a rebuild or a resync leaves it out.
 */

import type { LiveRanges } from '../block/live-ranges.ts';
import { nextTurn } from '../block/next-turn.ts';
import type { FtlCore } from './ftl-core.ts';
import { UNMAPPED } from './l2p.ts';

/** Entries of the map that are looked at in one turn: well below a millisecond. */
const PART = 2 ** 16;
/** A run of full units is given in parts of so many. */
const RUN_UNITS_MAX = 64;

export class WrittenUnits implements LiveRanges {
  readonly #core: FtlCore;
  /** For each unit, how many blocks from its start on were written; 0: none that are known of. */
  readonly #written: Uint16Array;
  readonly #first: number;
  readonly #end: number;

  private constructor(core: FtlCore, written: Uint16Array) {
    this.#core = core;
    this.#written = written;
    this.#first = core.baseBlock(0);
    this.#end = core.baseBlock(core.geometry.bandCount * core.geometry.bandBlocks);
  }

  /** Null when `isOpen` has become false. */
  static async find(core: FtlCore, isOpen: () => boolean): Promise<WrittenUnits | null> {
    const { bandCount, bandUnits } = core.geometry;
    const written = new Uint16Array(bandCount * bandUnits);
    for (let block = 0; block < core.l2p.blockCount; block += PART) {
      noteWritten(core, written, block, Math.min(core.l2p.blockCount, block + PART));
      await nextTurn(core.reactor);
      if (!isOpen()) return null;
    }
    return new WrittenUnits(core, written);
  }

  nextLive(from: number): number {
    if (from >= this.#end) return -1;
    if (from < this.#first) return from;
    const unit = this.#unitAt(from);
    if (from < this.#writtenEnd(unit)) return from;
    let next = unit + 1;
    while (next < this.#written.length && this.#written[next] === 0) next += 1;
    return next === this.#written.length ? -1 : this.#unitStart(next);
  }

  nextDead(from: number): number {
    if (from < this.#first) return this.#first;
    if (from >= this.#end) return from;
    let unit = this.#unitAt(from);
    const stop = Math.min(this.#written.length, unit + RUN_UNITS_MAX) - 1;
    const { unitBlocks } = this.#core.geometry;
    while (unit < stop && this.#written[unit] === unitBlocks) unit += 1;
    return Math.max(from, this.#writtenEnd(unit));
  }

  #unitAt(block: number): number {
    const { factor, geometry } = this.#core;
    return Math.floor((block - this.#first) / (geometry.unitBlocks * factor));
  }

  #unitStart(unit: number): number {
    return this.#core.baseBlock(unit * this.#core.geometry.unitBlocks);
  }

  #writtenEnd(unit: number): number {
    return this.#unitStart(unit) + this.#written[unit]! * this.#core.factor;
  }
}

function noteWritten(core: FtlCore, written: Uint16Array, first: number, end: number): void {
  const { buffer, geometry, l2p } = core;
  for (let block = first; block < end; block += 1) {
    const place = l2p.get(block);
    if (place === UNMAPPED || buffer.slotOf(place) !== -1) continue;
    const unit = Math.floor(place / geometry.unitBlocks);
    const blocks = place - unit * geometry.unitBlocks + 1;
    if (blocks > written[unit]!) written[unit] = blocks;
  }
}
