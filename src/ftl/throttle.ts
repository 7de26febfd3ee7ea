/**
 * Throttle: lets users write as fast as relocation makes room for them.               (data plane)
 *
 * Without it a user writes at full speed until no band is left, and then waits for a whole band to
 * be relocated: a second and more where bands are large. With it, once relocation works, every
 * block that it has dealt with gives the user credit for the blocks that it will win, so that both
 * go on side by side. How much depends on the bands that are left (free or emptied):
 *
 *   limit   bands left               credit
 *   start   fewer than `bandsLow`    400 %: relocation has begun, and is left behind slowly
 *   low     three quarters of that   200 %
 *   high    half                     100 %: the number of bands stays where it is
 *   crit    a quarter                 50 %: it grows again
 *
 * Credit that is not used is kept for one unit's worth of writes.
 */

export const THROTTLE_LIMITS = ['start', 'low', 'high', 'crit'] as const;
const CREDIT_PER_LIMIT = [4, 2, 1, 0.5];

export class Throttle {
  /** Blocks that a user may write now. */
  credit = 0;
  /** How often a write had to wait at each limit. */
  readonly waits = new Uint32Array(THROTTLE_LIMITS.length);
  readonly #bandsLow: number;
  readonly #creditMax: number;
  /** Blocks that are won for each block that is moved; 0 while nothing is relocated. */
  #rate = 0;
  #limit = 0;
  #active = false;

  constructor(bandsLow: number, creditMax: number) {
    this.#bandsLow = bandsLow;
    this.#creditMax = creditMax;
  }

  // data path

  /** Relocation of a band with so many valid blocks of `bandBlocks` begins. */
  begin(validBlocks: number, bandBlocks: number): void {
    this.#active = true;
    this.#rate = (bandBlocks - validBlocks) / Math.max(1, validBlocks);
  }

  end(): void {
    this.#active = false;
  }

  /** A block of the band was moved, with so many bands left. */
  moved(bandsLeft: number): void {
    const share = (bandsLeft * CREDIT_PER_LIMIT.length) / this.#bandsLow;
    this.#limit = Math.min(3, Math.max(0, CREDIT_PER_LIMIT.length - 1 - Math.floor(share)));
    const credit = this.credit + this.#rate * CREDIT_PER_LIMIT[this.#limit]!;
    this.credit = Math.min(credit, this.#creditMax);
  }

  /** True when a block may be written now. */
  mayPay(): boolean {
    if (!this.#active || this.credit >= 1) return true;
    this.waits[this.#limit]! += 1;
    return false;
  }

  /** A block is written, which `mayPay` has allowed. */
  pay(): void {
    if (this.#active) this.credit -= 1;
  }

  // end data path
}
