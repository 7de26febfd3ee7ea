/**
 * RangeLocks: one after another where ranges of an array overlap.                     (data plane)
 *
 * Two writes that overlap and are in flight together may land in a different order on each mirror;
 * a repair or a rebuild that copies a range while it is being written copies a mixture. So what
 * changes a range holds a lock on it, and what reads a range piece by piece in order to compute
 * from it (the reconstruction of a strip) holds a shared one. Locks are granted in order of
 * arrival: a lock waits for those that it overlaps and that came before, held or waiting, so that
 * nobody starves and the order of overlapping writes is the same on every member.
 *
 * Nearly always nothing overlaps, and taking a lock is a scan over the few that are held, in
 * columns. Whoever holds a lock must be able to finish without taking another: that, and the order
 * of arrival, is why there is no deadlock.
 *
 * Positions are blocks of the array; `end` is exclusive.
 */

import { assert } from '../block/assert.ts';

/** Whoever waits for a lock. */
export interface LockOwner {
  /** The lock is held from now on. Called from the release of another. */
  locked(lock: RangeLock): void;
}

export class RangeLock {
  readonly owner: LockOwner;
  first = 0;
  end = 0;
  /** True: may be held together with other shared locks. */
  shared = false;
  held = false;
  /** Position among the held ones; the table's. */
  index = -1;
  /** Link of the waiting list; the table's. */
  next: RangeLock | null = null;

  constructor(owner: LockOwner) {
    this.owner = owner;
    // Values above 2^31 once, so that V8 settles on doubles before serving.
    this.first = 2 ** 40 + 0.5;
    this.first = 0;
    this.end = 2 ** 40 + 0.5;
    this.end = 0;
  }
}

const CAPACITY_START = 64;

export class RangeLocks {
  /** Columns of the held locks: first block, end, 1 = shared; dense, in no order. */
  #firsts = new Float64Array(CAPACITY_START);
  #ends = new Float64Array(CAPACITY_START);
  #shared = new Uint8Array(CAPACITY_START);
  /** The same locks. What lies beyond `#count` is stale: shrinking would allocate again later. */
  readonly #held: RangeLock[] = [];
  #count = 0;
  #head: RangeLock | null = null;
  #tail: RangeLock | null = null;

  /** True when nothing is held and nothing waits. */
  get idle(): boolean {
    return this.#count === 0 && this.#head === null;
  }

  // data path

  /** True: held at once. False: `lock.owner.locked` is called when it is. */
  acquire(lock: RangeLock): boolean {
    assert(!lock.held && lock.next === null, 'a lock is taken once');
    assert(lock.first < lock.end, 'a lock covers something');
    if (this.#meetsHeld(lock) || (this.#head !== null && this.#meetsWaiting(lock, null))) {
      if (this.#tail === null) this.#head = lock;
      else this.#tail.next = lock;
      this.#tail = lock;
      return false;
    }
    this.#hold(lock);
    return true;
  }

  release(lock: RangeLock): void {
    assert(lock.held && this.#held[lock.index] === lock, 'a lock that is released is held');
    const last = this.#count - 1;
    const at = lock.index;
    const moved = this.#held[last]!;
    this.#held[at] = moved;
    this.#firsts[at] = this.#firsts[last]!;
    this.#ends[at] = this.#ends[last]!;
    this.#shared[at] = this.#shared[last]!;
    moved.index = at;
    this.#count = last;
    lock.held = false;
    lock.index = -1;
    if (this.#head !== null) this.#grant();
  }

  #hold(lock: RangeLock): void {
    const at = this.#count;
    if (at === this.#firsts.length) this.#grow();
    this.#firsts[at] = lock.first;
    this.#ends[at] = lock.end;
    this.#shared[at] = lock.shared ? 1 : 0;
    this.#held[at] = lock;
    this.#count = at + 1;
    lock.index = at;
    lock.held = true;
  }

  #meetsHeld(lock: RangeLock): boolean {
    const { first, end, shared } = lock;
    const firsts = this.#firsts;
    const ends = this.#ends;
    for (let at = this.#count - 1; at >= 0; at -= 1) {
      if (firsts[at]! < end && first < ends[at]! && !(shared && this.#shared[at] === 1)) {
        return true;
      }
    }
    return false;
  }

  /** True when a lock that waits in front of `until` (null: any) has to come before this one. */
  #meetsWaiting(lock: RangeLock, until: RangeLock | null): boolean {
    for (let other = this.#head; other !== until && other !== null; other = other.next) {
      const overlaps = other.first < lock.end && lock.first < other.end;
      if (overlaps && !(lock.shared && other.shared)) return true;
    }
    return false;
  }

  /** Holds what can be held now, in order of arrival; tells owners when the table is settled. */
  #grant(): void {
    let granted: RangeLock | null = null;
    let grantedLast: RangeLock | null = null;
    let before: RangeLock | null = null;
    for (let lock = this.#head; lock !== null; ) {
      const next: RangeLock | null = lock.next;
      if (this.#meetsHeld(lock) || this.#meetsWaiting(lock, lock)) {
        before = lock;
      } else {
        if (before === null) this.#head = next;
        else before.next = next;
        if (next === null) this.#tail = before;
        lock.next = null;
        this.#hold(lock);
        if (grantedLast === null) granted = lock;
        else grantedLast.next = lock;
        grantedLast = lock;
      }
      lock = next;
    }
    while (granted !== null) {
      const next: RangeLock | null = granted.next;
      granted.next = null;
      granted.owner.locked(granted);
      granted = next;
    }
  }

  // end data path

  #grow(): void {
    const capacity = this.#firsts.length * 2;
    const grown = <Column extends Float64Array | Uint8Array>(from: Column, to: Column): Column => {
      to.set(from);
      return to;
    };
    this.#firsts = grown(this.#firsts, new Float64Array(capacity));
    this.#ends = grown(this.#ends, new Float64Array(capacity));
    this.#shared = grown(this.#shared, new Uint8Array(capacity));
  }
}
