/**
 * Complaints: what strangers do wrong, told without letting them fill a log.        (control plane)
 *
 * The first one is told at once; those of the next minute are counted, and the one after that says
 * how many there were.
 */

const QUIET_MS = 60_000;

export class Complaints {
  readonly #tell: (message: string) => void;
  readonly #nowMs: () => number;
  #toldMs = Number.NEGATIVE_INFINITY;
  #untold = 0;

  /** `nowMs`: any clock that only goes forward. */
  constructor(tell: (message: string) => void, nowMs: () => number) {
    this.#tell = tell;
    this.#nowMs = nowMs;
  }

  add(reason: string): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#toldMs < QUIET_MS) {
      this.#untold += 1;
      return;
    }
    const others = this.#untold === 0 ? '' : ` (and ${this.#untold} more since the last report)`;
    this.#toldMs = nowMs;
    this.#untold = 0;
    this.#tell(`${reason}${others}`);
  }
}
