/**
 * RingQueues: the two mapped queues of one io_uring.                                  (data plane)
 *
 * Submission entries are written straight into the memory shared with the kernel; completions are
 * read straight from it. The one native call, `enter`, publishes what was written, gives back what
 * was read, and asks for more.
 *
 * Invariants
 *   - every entry that was claimed gives exactly one completion, so `inFlight` bounds the
 *     completion queue: no more than its size is ever outstanding, and it cannot overflow;
 *   - what is claimed beyond that waits, in order, in a backlog of our own, which grows to the
 *     largest burst and then stays (law 8: back-pressure never fails an operation);
 *   - `words` and the index of `claim` are valid until the next claim.
 */

import { BandstandError } from '../block/errors.ts';
import { statusName, statusText } from '../block/status.ts';
import type { NativeRing } from '../native/addon.ts';
import { CQE_WORDS, SQE_WORDS } from './uring.ts';

const BACKLOG_ENTRIES_START = 64;

/** Words of NativeRing.state, and a float. */
const TO_SUBMIT = 2;
const MIN_COMPLETE = 3;
const CONSUMED = 4;
const READY = 5;
const TIMEOUT_US = 3;

export class RingQueues {
  /** Where the entry claimed last lives: the mapped queue, or the backlog. */
  words: Uint32Array;
  /** Claimed, completion not yet taken, backlog not counted. */
  inFlight = 0;
  /** Completions that can be taken now. */
  ready = 0;
  /** The completion taken last. */
  token = 0;
  handlerId = 0;
  result = 0;
  flags = 0;
  readonly #enter: () => void;
  readonly #inFlightMax: number;
  readonly #sqes: Uint32Array;
  readonly #sqEntries: number;
  readonly #cqes: Uint32Array;
  readonly #results: Int32Array;
  readonly #cqMask: number;
  /** Index of the next entry to fill and of the next completion to take, counted without wrap. */
  #tail = 0;
  #head = 0;
  /** Filled but not told to the kernel; taken but not given back. */
  #toSubmit = 0;
  #consumed = 0;
  /** Word 0: entries that the kernel was told of but has not taken yet (it is short of memory). */
  readonly #state: Uint32Array;
  /** The same memory, for the result of `#enter` and its time limit. */
  readonly #stateSigned: Int32Array;
  readonly #stateFloat: Float64Array;
  #backlog = new Uint32Array(BACKLOG_ENTRIES_START * SQE_WORDS);
  #backlogFirst = 0;
  #backlogCount = 0;

  constructor(ring: NativeRing) {
    this.#enter = ring.enter;
    this.#sqes = new Uint32Array(ring.sqes);
    this.#sqEntries = ring.sqEntries;
    this.#cqes = new Uint32Array(ring.cqes);
    this.#results = new Int32Array(ring.cqes);
    this.#cqMask = ring.cqEntries - 1;
    this.#state = new Uint32Array(ring.state);
    this.#stateSigned = new Int32Array(ring.state);
    this.#stateFloat = new Float64Array(ring.state);
    this.#inFlightMax = ring.cqEntries;
    this.words = this.#sqes;
  }

  /** True when entries wait to be told to the kernel. */
  get unsubmitted(): boolean {
    return this.#toSubmit > 0 || this.#backlogCount > 0 || this.#state[0]! > 0;
  }

  /** True when the next entry is certain to reach the kernel with the next `enter`. */
  get roomy(): boolean {
    return (
      this.#backlogCount === 0 &&
      this.inFlight < this.#inFlightMax &&
      this.#toSubmit < this.#sqEntries
    );
  }

  /** Reserves the next entry; returns the index of its first word in `words`. */
  claim(): number {
    if (this.#backlogCount > 0 || this.inFlight >= this.#inFlightMax) return this.#claimBacklog();
    if (this.#full()) {
      this.enter(0, 0);
      if (this.#full()) return this.#claimBacklog();
    }
    this.words = this.#sqes;
    return this.#claimMapped();
  }

  /**
   * Tells the kernel what is new on both queues and updates `ready`. With `minComplete` 1 it
   * sleeps until a completion comes or `timeoutUs` (< 0: for ever) has passed.
   */
  enter(minComplete: number, timeoutUs: number): void {
    if (this.#backlogCount > 0) this.#drainBacklog();
    const state = this.#state;
    state[TO_SUBMIT] = this.#toSubmit;
    state[MIN_COMPLETE] = minComplete;
    state[CONSUMED] = this.#consumed;
    this.#stateFloat[TIMEOUT_US] = timeoutUs;
    this.#enter();
    this.#toSubmit = 0;
    this.#consumed = 0;
    const ready = this.#stateSigned[READY]!;
    if (ready < 0) throw enterError(-ready);
    this.ready = ready;
  }

  /** Takes the oldest completion into `token`, `handlerId`, `result`, `flags`. `ready` > 0. */
  take(): void {
    const at = (this.#head & this.#cqMask) * CQE_WORDS;
    this.token = this.#cqes[at]!;
    this.handlerId = this.#cqes[at + 1]!;
    this.result = this.#results[at + 2]!;
    this.flags = this.#cqes[at + 3]!;
    this.#head = (this.#head + 1) | 0;
    this.#consumed += 1;
    this.ready -= 1;
    this.inFlight -= 1;
  }

  #full(): boolean {
    return this.#toSubmit + this.#state[0]! >= this.#sqEntries;
  }

  #claimMapped(): number {
    const at = (this.#tail & (this.#sqEntries - 1)) * SQE_WORDS;
    this.#tail = (this.#tail + 1) | 0;
    this.#toSubmit += 1;
    this.inFlight += 1;
    return at;
  }

  /** The backlog is a ring too; its size is a power of two. */
  #claimBacklog(): number {
    const capacity = this.#backlog.length / SQE_WORDS;
    if (this.#backlogCount === capacity) this.#growBacklog();
    const slot = (this.#backlogFirst + this.#backlogCount) % (this.#backlog.length / SQE_WORDS);
    this.#backlogCount += 1;
    this.words = this.#backlog;
    return slot * SQE_WORDS;
  }

  #growBacklog(): void {
    const old = this.#backlog;
    const capacity = old.length / SQE_WORDS;
    const grown = new Uint32Array(old.length * 2);
    for (let index = 0; index < this.#backlogCount; index += 1) {
      const from = ((this.#backlogFirst + index) % capacity) * SQE_WORDS;
      for (let word = 0; word < SQE_WORDS; word += 1) {
        grown[index * SQE_WORDS + word] = old[from + word]!;
      }
    }
    this.#backlog = grown;
    this.#backlogFirst = 0;
  }

  #drainBacklog(): void {
    const backlog = this.#backlog;
    const capacity = backlog.length / SQE_WORDS;
    while (this.#backlogCount > 0 && this.inFlight < this.#inFlightMax && !this.#full()) {
      const from = this.#backlogFirst * SQE_WORDS;
      const to = this.#claimMapped();
      for (let word = 0; word < SQE_WORDS; word += 1) {
        this.#sqes[to + word] = backlog[from + word]!;
      }
      this.#backlogFirst = (this.#backlogFirst + 1) % capacity;
      this.#backlogCount -= 1;
    }
  }
}

function enterError(errno: number): BandstandError {
  return new BandstandError('BANDSTAND_URING_FAILED', {
    message: `cannot go on with the io_uring of this process: ${statusText(errno)} (${statusName(errno)})`,
    hint: 'look at the kernel log (dmesg) and report this; what was acknowledged is safe',
    details: { errno },
  });
}
