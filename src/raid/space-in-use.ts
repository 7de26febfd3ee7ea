/**
 * SpaceInUse: what a process of the array has to touch, given what the layer above needs.
 *                                                                                  (control plane)
 *
 * Without a layer that tells, everything. One that will tell is waited for: nothing may be left out
 * of a copy or a comparison before it is known what is needed. A rebuild and a resync go by what is
 * live while they run. A check goes by what had been written when it began: what nobody has written
 * since a rebuild left it out is not equal, and need not be.
 */

import type { LiveRanges, SpaceUser } from '../block/live-ranges.ts';
import type { ArrayProcessHost } from './array-process-host.ts';
import { AllRanges, CommonRanges, LiveWork, type WorkRanges } from './work-ranges.ts';

export class SpaceInUse {
  #user: SpaceUser | null = null;
  #isAwaited: boolean;
  /** For the next check, once it is known. */
  #written: LiveRanges | null = null;
  /** Counts what makes a set that is being found useless. */
  #attempt = 0;
  #preparing: Promise<boolean> | null = null;

  constructor(isAwaited: boolean) {
    this.#isAwaited = isAwaited;
  }

  /** Nothing may begin yet. */
  get isAwaited(): boolean {
    return this.#isAwaited;
  }

  /** False: some blocks may be left out. */
  get isAll(): boolean {
    return this.#user === null;
  }

  attach(user: SpaceUser): void {
    this.#user = user;
    this.#isAwaited = false;
    this.copyBegins();
  }

  /** A resync or a rebuild begins, which may leave out what had been written. */
  copyBegins(): void {
    this.#attempt += 1;
    this.#written = null;
  }

  /** Of `ranges`, what is live. */
  copyWork(host: ArrayProcessHost, ranges: LiveRanges): WorkRanges {
    const user = this.#user;
    const both = user === null ? ranges : new CommonRanges(ranges, user.liveRanges);
    return new LiveWork(both, host);
  }

  /** Member blocks below `end` that are live now: what an earlier run had to copy at most. */
  copiedBelow(host: ArrayProcessHost, end: number): number {
    const user = this.#user;
    return user === null ? end : blocksBelow(new LiveWork(user.liveRanges, host), end);
  }

  /** Null when it is not known what a check looks at: see prepareCheck. */
  checkWork(host: ArrayProcessHost): WorkRanges | null {
    if (this.#user === null) return new AllRanges(host.memberDataBlocks);
    const written = this.#written;
    this.#written = null;
    return written === null ? null : new LiveWork(written, host);
  }

  /**
   * Finds what a check looks at, and looks again when a resync or a rebuild has begun meanwhile.
   * False: the layer is closed, and so will be the array.
   */
  prepareCheck(): Promise<boolean> {
    this.#preparing ??= this.#prepare().finally(() => {
      this.#preparing = null;
    });
    return this.#preparing;
  }

  async #prepare(): Promise<boolean> {
    const user = this.#user;
    if (user === null) return true;
    let attempt = -1;
    while (attempt !== this.#attempt) {
      attempt = this.#attempt;
      this.#written = await user.writtenRanges();
      if (this.#written === null) return false;
    }
    return true;
  }
}

/** How many member blocks below `end` are in the set. */
export function blocksBelow(ranges: WorkRanges, end: number): number {
  let total = 0;
  let at = 0;
  while (at < end && ranges.next(at) && ranges.first < end) {
    const stop = Math.min(end, ranges.first + ranges.count);
    total += stop - Math.max(at, ranges.first);
    at = stop;
  }
  return total;
}
