/**
 * WholeLock: the array stands still.                                                (control plane)
 *
 * A lock on every block: it is held when no operation that changes something is in flight, and
 * keeps new ones waiting. For the moment in which a member comes into service.
 */

import { type LockOwner, RangeLock, type RangeLocks } from './range-locks.ts';

export class WholeLock implements LockOwner {
  readonly #locks: RangeLocks;
  readonly #lock: RangeLock;
  #resolve: () => void = () => {};

  constructor(locks: RangeLocks) {
    this.#locks = locks;
    this.#lock = new RangeLock(this);
    this.#lock.end = Number.MAX_SAFE_INTEGER;
  }

  acquire(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      if (this.#locks.acquire(this.#lock)) resolve();
    });
  }

  locked(): void {
    this.#resolve();
  }

  release(): void {
    this.#locks.release(this.#lock);
  }
}
