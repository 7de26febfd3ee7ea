/**
 * RingSpace: which parts of the ring are in use, and for what.                        (data plane)
 *
 *            tail            drained          committed        head            limit
 *    ──┬───────┬────────────────┬─────────────────┬──────────────┬────────────────┬──
 *      │ free  │ waits until it │ only here       │ being        │ free           │ …
 *      │       │ is durable     │                 │ written      │                │
 *
 * Positions count blocks since the first lap and never fall: position p is ring block 2 + p mod
 * `blocks`, lap p / `blocks`, and the lap says the phase. `limit` follows the tail by one lap, but
 * only once the tail is durable and everybody who read there is gone.
 *
 * Segments are runs of records. For each it is known from which sequence on it has records, up to
 * which mark of the device behind it has to be durable, how many trims of it are not there yet, and
 * which records have superseded something in it.
 * The tail moves from segment to segment.
 */

import { assert } from '../block/assert.ts';
import { RING_START } from './cache-format.ts';

/** Segments are about so long, and never so long that the ring would have but a few. */
const SEGMENT_BLOCKS = 1024;
const SEGMENTS_LEAST = 16;

export class RingSpace {
  /** Blocks of the ring. */
  readonly blocks: number;
  readonly segmentBlocks: number;
  head = 0;
  committed = 0;
  drained = 0;
  tail = 0;
  /** Records with a lower sequence are not needed. */
  tailSequence = 0;
  /** The tail that a power cut cannot take back. */
  durableTail = 0;
  /** What a header that is durable says of `tailSequence`. */
  headerTailSequence = 0;
  limit = 0;
  /** Of the newest record that was committed. */
  committedSequence = 0;
  /** Records up to this one count, and a power cut cannot take them. */
  flushedSequence = 0;
  /** Of the newest record that was written in vain. */
  #abandonedSequence = 0;
  readonly #capacity: number;
  readonly #start: Float64Array;
  readonly #sequence: Float64Array;
  readonly #mark: Float64Array;
  readonly #trims: Uint32Array;
  readonly #superseded: Float64Array;
  /** Numbers of the oldest segment and of the one that takes records; they never fall. */
  #first = 0;
  #open = 0;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.segmentBlocks = Math.min(SEGMENT_BLOCKS, Math.ceil(blocks / SEGMENTS_LEAST));
    this.#capacity = 4 * Math.ceil(blocks / this.segmentBlocks) + SEGMENTS_LEAST;
    this.#start = new Float64Array(this.#capacity);
    this.#sequence = new Float64Array(this.#capacity);
    this.#mark = new Float64Array(this.#capacity);
    this.#trims = new Uint32Array(this.#capacity);
    this.#superseded = new Float64Array(this.#capacity);
  }

  /** A start begins to say what is in use: then it commits what it has found, then `found`. */
  place(tail: number, tailSequence: number): void {
    this.tail = tail;
    this.drained = tail;
    this.durableTail = tail;
    this.limit = tail + this.blocks;
    this.committed = tail;
    this.tailSequence = tailSequence;
    this.headerTailSequence = tailSequence;
    this.#first = 0;
    this.#open = 0;
    this.#openAt(tail, tailSequence);
  }

  /** What is in use is durable, and ends at `head`. All of it needs `mark` to be durable behind. */
  found(head: number, newestSequence: number, mark: number): void {
    assert(this.committed <= head, 'what is in use ends behind its last record');
    assert(head - this.tail <= this.blocks, 'what is in use fits the ring');
    this.head = head;
    this.committed = head;
    this.committedSequence = newestSequence;
    this.flushedSequence = newestSequence;
    for (let segment = this.#first; segment <= this.#open; segment += 1) {
      this.raiseMark(segment, mark);
    }
  }

  // data path

  /** Ring block of a position. */
  addressOf(position: number): number {
    return RING_START + (position % this.blocks);
  }

  phaseOf(position: number): number {
    return 1 + (Math.floor(position / this.blocks) % 3);
  }

  /** First position of the lap after that of `position`. */
  nextLap(position: number): number {
    return (Math.floor(position / this.blocks) + 1) * this.blocks;
  }

  get used(): number {
    return this.head - this.tail;
  }

  /** Where a record of so many blocks would go: it does not wrap. */
  fit(length: number): number {
    const lapEnd = this.nextLap(this.head);
    return this.head + length > lapEnd ? lapEnd : this.head;
  }

  /** Takes blocks for a record; gives its position, or -1 where there is no room. */
  reserve(length: number): number {
    const position = this.fit(length);
    if (position + length > this.limit) return -1;
    this.head = position + length;
    return position;
  }

  // --- segments ---------------------------------------------------------------------------------

  #openAt(position: number, sequence: number): void {
    const index = this.#open % this.#capacity;
    this.#start[index] = position;
    this.#sequence[index] = sequence;
    this.#mark[index] = 0;
    this.#trims[index] = 0;
    this.#superseded[index] = 0;
  }

  get #isFull(): boolean {
    return this.#open - this.#first + 1 === this.#capacity;
  }

  /** A record counts from now on. Gives the segment that it is in. */
  commit(position: number, length: number, sequence: number): number {
    const start = this.#start[this.#open % this.#capacity]!;
    if (position + length - start > this.segmentBlocks && start < position && !this.#isFull) {
      this.#open += 1;
      this.#openAt(position, sequence);
    }
    this.committed = position + length;
    this.committedSequence = sequence;
    return this.#open;
  }

  /**
   * Blocks that were written in vain: they hold nothing, and are walked over. The record is there
   * perhaps, whole even: a tail beyond it has to be beyond its number.
   */
  abandon(position: number, length: number, sequence: number): void {
    this.committed = position + length;
    this.#abandonedSequence = sequence;
  }

  /** What was committed up to now becomes a segment of its own, if there is anything. */
  closeSegment(): void {
    if (this.#start[this.#open % this.#capacity]! === this.committed || this.#isFull) return;
    this.#open += 1;
    const last = Math.max(this.committedSequence, this.#abandonedSequence);
    this.#openAt(this.committed, last + 1);
  }

  /** The segment that holds a position. */
  segmentOf(position: number): number {
    let segment = this.#first;
    while (segment < this.#open && this.endOf(segment) <= position) segment += 1;
    return segment;
  }

  endOf(segment: number): number {
    if (segment === this.#open) return this.committed;
    return this.#start[(segment + 1) % this.#capacity]!;
  }

  addTrim(segment: number): void {
    this.#trims[segment % this.#capacity]! += 1;
  }

  /** A trim of the segment is behind; it is durable when `mark` is. */
  trimEnded(segment: number, mark: number): void {
    const index = segment % this.#capacity;
    assert(this.#trims[index]! > 0, 'a trim that ends has begun');
    this.#trims[index]! -= 1;
    this.raiseMark(segment, mark);
  }

  raiseMark(segment: number, mark: number): void {
    const index = segment % this.#capacity;
    this.#mark[index] = Math.max(this.#mark[index]!, mark);
  }

  /**
   * What was left out of the segment has newer copies, or trims, in records up to this sequence: a
   * power cut must not be able to take those while these are not needed any more.
   */
  supersededBy(segment: number, sequence: number): void {
    this.#superseded[segment % this.#capacity] = sequence;
  }

  /** The oldest segment needs a flush of the cache device before it can leave the ring. */
  get waitsForFlush(): boolean {
    return this.#superseded[this.#first % this.#capacity]! > this.flushedSequence;
  }

  /** The end of the oldest segment when nothing in it is needed any more; -1: it is. */
  releasable(settledMark: number): number {
    if (this.#first === this.#open) return -1;
    const index = this.#first % this.#capacity;
    const end = this.endOf(this.#first);
    if (end > this.drained || this.#trims[index]! > 0 || this.waitsForFlush) return -1;
    return this.#mark[index]! <= settledMark ? end : -1;
  }

  /** The tail moves to the next segment. */
  release(): void {
    this.#first += 1;
    const index = this.#first % this.#capacity;
    this.tail = this.#start[index]!;
    this.tailSequence = this.#sequence[index]!;
  }

  // end data path
}
