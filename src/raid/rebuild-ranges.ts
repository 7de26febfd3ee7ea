/**
 * What a rebuild has to copy, and what a resync has to compare or rewrite, from the write intent.
 *                                                                                  (control plane)
 *
 * Both are sets of array blocks that are looked up when the process gets there, so that changes
 * meanwhile count. A rebuild that goes on after an interruption trusts what lies below its
 * checkpoint, except where a write was missed since.
 */

import type { LiveRanges } from '../block/live-ranges.ts';
import {
  REGIONS_MISSED,
  type REGIONS_UNFLUSHED,
  REGIONS_UNSYNCED,
  type RegionKind,
} from './region-kind.ts';
import type { WriteIntent } from './write-intent.ts';

/** A run is given in parts of so many regions: a process takes little of it at a time. */
const RUN_REGIONS_MAX = 64;

/** Missed regions, and everything from `fullFrom` on (the end of the array: nothing). */
export class RebuildRanges implements LiveRanges {
  readonly #intent: WriteIntent;
  readonly #fullFrom: number;
  readonly #end: number;

  constructor(intent: WriteIntent, fullFrom: number, end: number) {
    this.#intent = intent;
    this.#fullFrom = fullFrom;
    this.#end = end;
  }

  nextLive(from: number): number {
    if (from >= this.#end) return -1;
    if (from >= this.#fullFrom) return from;
    const missed = nextIn(this.#intent, from, REGIONS_MISSED);
    if (missed !== -1 && missed < this.#fullFrom) return missed;
    return this.#fullFrom < this.#end ? this.#fullFrom : -1;
  }

  nextDead(from: number): number {
    if (from >= this.#fullFrom) return this.#end;
    const end = endIn(this.#intent, from, REGIONS_MISSED, this.#end);
    return end >= this.#fullFrom ? this.#end : end;
  }
}

/** Regions whose members may differ, or those of them that have to be rewritten. */
export class UnsyncedRanges implements LiveRanges {
  readonly #intent: WriteIntent;
  readonly #end: number;
  readonly #kind: RegionKind;

  constructor(
    intent: WriteIntent,
    end: number,
    kind: typeof REGIONS_UNSYNCED | typeof REGIONS_UNFLUSHED = REGIONS_UNSYNCED,
  ) {
    this.#intent = intent;
    this.#end = end;
    this.#kind = kind;
  }

  nextLive(from: number): number {
    return from >= this.#end ? -1 : nextIn(this.#intent, from, this.#kind);
  }

  nextDead(from: number): number {
    return endIn(this.#intent, from, this.#kind, this.#end);
  }
}

function nextIn(intent: WriteIntent, from: number, kind: RegionKind): number {
  const region = Math.floor(from / intent.regionBlocks);
  const found = intent.nextRegion(region, kind);
  return found === -1 ? -1 : Math.max(from, found * intent.regionBlocks);
}

/**
 * The end of the run of such regions that `from` lies in, or of what is looked at of it; `from`
 * itself when it lies in none.
 */
function endIn(intent: WriteIntent, from: number, kind: RegionKind, end: number): number {
  let region = Math.floor(from / intent.regionBlocks);
  if (intent.nextRegion(region, kind) !== region) return from;
  const stop = Math.min(intent.regionCount, region + RUN_REGIONS_MAX);
  while (region < stop && intent.nextRegion(region, kind) === region) region += 1;
  return Math.min(end, region * intent.regionBlocks);
}
