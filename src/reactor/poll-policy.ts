/**
 * PollPolicy: whether a reactor with nothing to do spins a while before it sleeps.    (data plane)
 *
 * Waking a sleeping thread costs tens of microseconds, so a device that answers faster than that is
 * better waited for awake; with a slower one, spinning only burns the processor. The policy learns
 * which: it spins as long as enough of the recent spins were answered, then stops and tries again
 * once in PROBE_EVERY sleeps.
 */

/** Moving average of the outcomes, in 1/256: 256 = every spin was answered. */
const SCORE_MAX = 256;
const SCORE_SPIN = 128;
const SCORE_SHIFT = 4;
const PROBE_EVERY = 64;

export class PollPolicy {
  /** Longest spin in microseconds; 0 = never. */
  readonly pollUs: number;
  #score = SCORE_MAX;
  #sleeps = 0;

  constructor(pollUs: number) {
    this.pollUs = pollUs;
  }

  /** Asked once before each sleep. */
  worthwhile(): boolean {
    if (this.pollUs === 0) return false;
    if (this.#score >= SCORE_SPIN) return true;
    this.#sleeps += 1;
    if (this.#sleeps < PROBE_EVERY) return false;
    this.#sleeps = 0;
    return true;
  }

  learn(answered: boolean): void {
    const target = answered ? SCORE_MAX : 0;
    this.#score += (target - this.#score) >> SCORE_SHIFT;
  }
}
