/**
 * Deadline: notices operations that do not come back.                                 (data plane)
 *
 * A coarse clock of eight ticks per deadline that runs only while something is in flight. A step of
 * an operation notes the tick at which it began; it is late when a whole deadline of ticks has
 * passed since. So an operation costs one word, and nothing is scheduled for each.
 */

import { type Reactor, Timer } from '../block/reactor.ts';

const TICKS = 8;

export class Deadline extends Timer {
  readonly #periodUs: number;
  readonly #tick: () => boolean;
  #reactor: Reactor | null = null;
  #now = 0;

  /** `tick` is called once per period; it returns false when nothing is in flight any more. */
  constructor(deadlineUs: number, tick: () => boolean) {
    super();
    this.#periodUs = deadlineUs / TICKS;
    this.#tick = tick;
  }

  /** An operation begins; gives what `isLate` wants to know. */
  begin(reactor: Reactor): number {
    if (this.dueUs === -1) {
      this.#reactor = reactor;
      reactor.schedule(this, this.#periodUs);
    }
    return this.#now;
  }

  isLate(begun: number): boolean {
    return this.#now - begun > TICKS;
  }

  cancel(): void {
    if (this.dueUs !== -1) this.#reactor!.cancel(this);
  }

  expire(): void {
    this.#now += 1;
    if (this.#tick()) this.#reactor!.schedule(this, this.#periodUs);
  }
}
