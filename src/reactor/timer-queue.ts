/**
 * TimerQueue: timers in order of expiry.                                              (data plane)
 *
 * A binary heap over (dueUs, order): timers of one instant expire in the order in which they were
 * scheduled, which keeps the simulator deterministic. Few timers exist (deadlines, pacing), so
 * removal is a linear search.
 */

import type { Timer } from '../block/reactor.ts';

export class TimerQueue {
  readonly #heap: Timer[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  /** The order number given last: a timer with a greater one was scheduled since. */
  get order(): number {
    return this.#order;
  }

  /** Infinity when empty. */
  nextDueUs(): number {
    return this.#heap[0]?.dueUs ?? Number.POSITIVE_INFINITY;
  }

  insert(timer: Timer, dueUs: number): void {
    if (timer.dueUs >= 0) this.remove(timer);
    this.#order += 1;
    timer.dueUs = dueUs;
    timer.order = this.#order;
    this.#heap.push(timer);
    this.#up(this.#heap.length - 1);
  }

  remove(timer: Timer): void {
    if (timer.dueUs < 0) return;
    const index = this.#heap.indexOf(timer);
    timer.dueUs = -1;
    if (index === -1) return;
    const last = this.#heap.pop()!;
    if (last === timer) return;
    this.#heap[index] = last;
    this.#down(index);
    this.#up(index);
  }

  /**
   * Takes the first timer that is due at `nowUs` and was scheduled up to `orderMax`, or null. Time
   * stands still within a turn, so whatever is scheduled meanwhile sorts behind the older ones.
   */
  shiftDue(nowUs: number, orderMax: number): Timer | null {
    const first = this.#heap[0];
    if (first === undefined || first.dueUs > nowUs || first.order > orderMax) return null;
    this.remove(first);
    return first;
  }

  #before(a: Timer, b: Timer): boolean {
    return a.dueUs < b.dueUs || (a.dueUs === b.dueUs && a.order < b.order);
  }

  #up(start: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(this.#heap[index]!, this.#heap[parent]!)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #down(start: number): void {
    let index = start;
    for (;;) {
      let least = index;
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < this.#heap.length && this.#before(this.#heap[child]!, this.#heap[least]!)) {
          least = child;
        }
      }
      if (least === index) return;
      this.#swap(index, least);
      index = least;
    }
  }

  #swap(a: number, b: number): void {
    const timer = this.#heap[a]!;
    this.#heap[a] = this.#heap[b]!;
    this.#heap[b] = timer;
  }
}
