/**
 * Settling: which of the writes that a device has answered are durable by now.        (data plane)
 *
 * A device that gathers writes (the FTL) makes them durable by itself in the course of time, when
 * what it gathers is full. Whoever keeps a copy of its own until then (an NV cache) asks for that
 * instead of flushing, which would write out what is only half full.
 */

export interface Settling {
  /** Number of the newest write, trim or write-zeroes that was answered with OK. */
  readonly acceptedMark: number;
  /** What was answered up to this number is durable. It never falls. */
  readonly settledMark: number;
  /**
   * Raises `settledMark` as far as that is possible without writing what is half full: flushes what
   * is below. What has long been half full is filled with what comes next, so that the mark goes
   * on as long as something comes. Resolves when that is done, or when the device has failed.
   */
  settle(): Promise<void>;
}
