/**
 * Alarm: the kernel's timer for a timer of ours that is far away.                      (data plane)
 *
 * A sleep with a time limit costs the kernel a timer that is set and removed each time, and costs
 * us a look at the clock: together a tenth of a small request through ublk. Most timers are
 * deadlines that are seconds away and rarely reached. For such a one the ring gets a timeout entry
 * once; until it completes, the reactor sleeps without a limit and need not know the time.
 *
 * Invariant: while `dueUs` is finite, the ring will complete an entry at that time or before. An
 * entry that has been overtaken by an earlier one wakes the reactor for nothing, which is harmless.
 */

import type { RingHandler } from './ring.ts';
import type { RingOperations } from './ring-operations.ts';

/** Nearer timers are left to the limit of the sleep. */
export const ALARM_MIN_US = 20_000;
/** struct __kernel_timespec: two 64-bit words. */
const TIMESPEC_BYTES = 16;
const BUFFER_BYTES = 64;
const US_PER_SECOND = 1_000_000;

export class Alarm implements RingHandler {
  /** When the ring wakes the reactor at the latest; Infinity when no alarm is set. */
  dueUs = Number.POSITIVE_INFINITY;
  readonly #ring: RingOperations;
  readonly #handlerId: number;
  readonly #at: number;
  #pending = 0;

  constructor(ring: RingOperations) {
    this.#ring = ring;
    this.#handlerId = ring.registerHandler(this);
    this.#at = ring.arena.allocate(BUFFER_BYTES, BUFFER_BYTES);
    ring.arena.u8.fill(0, this.#at, this.#at + TIMESPEC_BYTES);
  }

  /** Goes off in `delayUs`; `dueUs` is that moment. The entry must be submitted before a sleep. */
  set(dueUs: number, delayUs: number): void {
    const seconds = Math.min(Math.floor(delayUs / US_PER_SECOND), 0x7fffffff);
    const words = this.#ring.arena.u32;
    const at = this.#at / 4;
    words[at] = seconds;
    words[at + 2] = Math.ceil(delayUs - seconds * US_PER_SECOND) * 1000;
    this.dueUs = dueUs;
    this.#pending += 1;
    this.#ring.timeout(this.#at, this.#handlerId, 0);
  }

  ringComplete(): void {
    this.#pending -= 1;
    this.dueUs = Number.POSITIVE_INFINITY;
  }

  /** Takes back what is set; the completions still come. */
  cancel(): void {
    for (let left = this.#pending; left > 0; left -= 1) {
      this.#ring.cancelRequest(this.#handlerId, 0);
    }
  }
}
