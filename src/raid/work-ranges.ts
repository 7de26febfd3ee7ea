/**
 * WorkRanges: which parts of the members a process has to touch.                      (data plane)
 *
 * A full rebuild or a check needs everything; a delta rebuild what a bitmap says was missed; a
 * resync what a bitmap says was being written; and of all that only what the layer above uses.
 * Bitmaps and layers above speak of *array blocks* (block/live-ranges.ts), the process of *member
 * blocks* (WorkRanges): this file has the bridge, rounding to whole strips.
 *
 * A set may change while a process runs. It may lose blocks at any time (`needed` is asked again
 * under the lock), and it may gain them only where the target gets every write anyway.
 */

import { assert } from '../block/assert.ts';
import type { LiveRanges } from '../block/live-ranges.ts';

/** A set of member blocks, as a process walks through it. */
export interface WorkRanges {
  /** Finds the next range at or after `from` and leaves it in `first` and `count`; false: none. */
  next(from: number): boolean;
  first: number;
  count: number;
  /** True when any block of the range is still in the set. */
  needed(first: number, count: number): boolean;
}

/** Every block. */
export class AllRanges implements WorkRanges {
  first = 0;
  count = 0;
  readonly #memberDataBlocks: number;

  constructor(memberDataBlocks: number) {
    this.#memberDataBlocks = memberDataBlocks;
  }

  next(from: number): boolean {
    this.first = from;
    this.count = this.#memberDataBlocks - from;
    return this.count > 0;
  }

  needed(_first: number, _count: number): boolean {
    return true;
  }
}

/** The blocks that are in both of two sets. */
export class CommonRanges implements LiveRanges {
  readonly #one: LiveRanges;
  readonly #other: LiveRanges;

  constructor(one: LiveRanges, other: LiveRanges) {
    this.#one = one;
    this.#other = other;
  }

  nextLive(from: number): number {
    let at = from;
    for (;;) {
      const one = this.#one.nextLive(at);
      if (one === -1) return -1;
      const both = this.#other.nextLive(one);
      if (both === one) return one;
      if (both === -1) return -1;
      assert(both > at, 'a search for live blocks moves on');
      at = both;
    }
  }

  nextDead(from: number): number {
    return Math.min(this.#one.nextDead(from), this.#other.nextDead(from));
  }
}

export interface LiveWorkShape {
  /** 0 for mirrors. */
  readonly stripBlocks: number;
  /** Strips of data in a stripe: members - 1 for raid5f, 1 for mirrors. */
  readonly dataStrips: number;
  readonly memberDataBlocks: number;
}

/** The member blocks behind a set of array blocks; whole strips for parity levels. */
export class LiveWork implements WorkRanges {
  first = 0;
  count = 0;
  readonly #live: LiveRanges;
  /** Member blocks, and array blocks, of the unit that is rounded to. */
  readonly #memberUnit: number;
  readonly #arrayUnit: number;
  readonly #memberDataBlocks: number;

  constructor(live: LiveRanges, shape: LiveWorkShape) {
    this.#live = live;
    this.#memberUnit = Math.max(1, shape.stripBlocks);
    this.#arrayUnit = this.#memberUnit * shape.dataStrips;
    this.#memberDataBlocks = shape.memberDataBlocks;
  }

  /** `from` is the start of a unit. */
  next(from: number): boolean {
    if (from >= this.#memberDataBlocks) return false;
    const live = this.#live.nextLive((from / this.#memberUnit) * this.#arrayUnit);
    if (live === -1) return false;
    const dead = this.#live.nextDead(live);
    assert(dead > live, 'a range of live blocks is not empty');
    const first = Math.floor(live / this.#arrayUnit) * this.#memberUnit;
    const end = Math.ceil(dead / this.#arrayUnit) * this.#memberUnit;
    this.first = first;
    this.count = Math.min(end, this.#memberDataBlocks) - first;
    return this.count > 0;
  }

  needed(first: number, count: number): boolean {
    const live = this.#live.nextLive((first / this.#memberUnit) * this.#arrayUnit);
    return live !== -1 && live < ((first + count) / this.#memberUnit) * this.#arrayUnit;
  }
}
