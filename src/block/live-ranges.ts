/**
 * LiveRanges: which blocks of a device the layer above it needs.                      (both planes)
 *
 * An array copies, compares and repairs no more than that. It knows nothing of the layer, nor the
 * layer of it: what both know is here. Positions are blocks of the device that the layer lies on.
 */

/** A set of blocks. */
export interface LiveRanges {
  /** The first block of the set that is at or after `from`, or -1. */
  nextLive(from: number): number;
  /**
   * Where the blocks of the set that begin at `from` end, the end of the device at most; `from`
   * when it is not in the set. It may be an earlier block: the set may go on there.
   */
  nextDead(from: number): number;
}

/** A layer that says what it needs of the device below. */
export interface SpaceUser {
  /**
   * All that may be read and believed, by this process or the next one. It changes while it is
   * used: it may lose blocks at any time, and what it gains counts only when it has been written.
   */
  readonly liveRanges: LiveRanges;
  /**
   * What has certainly been written, and has to be the same wherever it is kept: for a check. As it
   * is now; what is written later may be left out. Null when the layer is closed meanwhile.
   */
  writtenRanges(): Promise<LiveRanges | null>;
}
