/**
 * AtOncePolicy: which of two ways to a file in memory is faster now.                  (data plane)
 *
 * A file in memory (tmpfs) has no device that works while the reactor does. Its bytes can be moved
 * by the reactor's own thread, or by a worker thread of the kernel that the ring hands them to. The
 * first costs less; the second wins when another processor is idle and many operations are
 * outstanding. Which holds depends on who else needs the processors, so it is measured: operations
 * are counted in windows, now and then a window goes the other way, and the faster way is kept.
 * With few operations outstanding, moving them at once is always faster, and nothing is tried.
 *
 * One policy judges operations of about one size: what is faster for 4 KiB says nothing about
 * 128 KiB. How many make a window, and how many are few, depends on that size.
 */

/** Windows between two trials of the other way: at first, and after many that changed nothing. */
const TRIAL_EVERY = 16;
const TRIAL_EVERY_MAX = 128;
/** A trial is two windows: what the first started still ends in it, the second is measured. */
const TRIAL_WINDOWS = 2;
/** How much faster the other way has to be. */
const GAIN_MIN = 1.05;

export class AtOncePolicy {
  /** Operations in a window. */
  readonly #windowOps: number;
  /** Fewer outstanding operations than this keep no second processor busy. */
  readonly #crowd: number;
  /** The way that has proved faster. */
  #preferred = true;
  #trial = 0;
  /** Windows until the next trial; the first comes early. */
  #untilTrial = 2;
  #trialEvery = TRIAL_EVERY;
  #ops = 0;
  #turns = 0;
  #turnUs = -1;
  #startUs = -1;
  /** Operations per microsecond of the preferred way. */
  #preferredRate = 0;

  constructor(windowOps: number, crowd: number) {
    this.#windowOps = windowOps;
    this.#crowd = crowd;
  }

  /**
   * Asked once for each operation. `nowUs`: the clock, the same within a turn; `inFlight`:
   * operations of the device in the ring.
   */
  choose(nowUs: number, inFlight: number): boolean {
    if (nowUs !== this.#turnUs) {
      this.#turnUs = nowUs;
      this.#turns += 1;
    }
    this.#ops += 1;
    if (this.#ops === this.#windowOps) this.#endWindow(nowUs, inFlight);
    return this.#trial > 0 ? !this.#preferred : this.#preferred;
  }

  #endWindow(nowUs: number, inFlight: number): void {
    const rate = this.#windowOps / Math.max(1, nowUs - this.#startUs);
    const crowded = inFlight >= this.#crowd || this.#windowOps >= this.#turns * this.#crowd;
    this.#ops = 0;
    this.#turns = 0;
    this.#startUs = nowUs;
    if (!crowded) {
      this.#preferred = true;
      this.#trial = 0;
      this.#trialEvery = TRIAL_EVERY;
      this.#untilTrial = TRIAL_EVERY;
      return;
    }
    if (this.#trial === 0) {
      this.#preferredRate = rate;
      this.#untilTrial -= 1;
      if (this.#untilTrial <= 0) this.#trial = TRIAL_WINDOWS;
      return;
    }
    this.#trial -= 1;
    if (this.#trial > 0) return;
    if (rate > this.#preferredRate * GAIN_MIN) {
      this.#preferred = !this.#preferred;
      this.#trialEvery = TRIAL_EVERY;
    } else {
      this.#trialEvery = Math.min(TRIAL_EVERY_MAX, this.#trialEvery * 2);
    }
    this.#untilTrial = this.#trialEvery;
  }
}
