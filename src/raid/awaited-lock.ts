/**
 * AwaitedLock: a range of an array that stands still, for work that is a promise.   (control plane)
 *
 * Held, no operation is in flight that changes something there, and new ones wait. Without a range
 * it is the whole array: for the moment in which a member comes into service.
 */

import { type LockOwner, RangeLock, type RangeLocks } from './range-locks.ts';

export class AwaitedLock implements LockOwner {
  readonly #locks: RangeLocks;
  readonly #lock: RangeLock;
  #resolve: () => void = () => {};

  constructor(locks: RangeLocks, first = 0, end = Number.MAX_SAFE_INTEGER) {
    this.#locks = locks;
    this.#lock = new RangeLock(this);
    this.#lock.first = first;
    this.#lock.end = end;
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
