/**
 * Piece and ArrayRequest: the units in which an array carries out operations.         (data plane)
 *
 * A *piece* is what a level does in one go: a read inside one strip, a mirrored write, a write of
 * one stripe. It owns its child operations, so that a piece that has been taken can always proceed.
 * An operation that is one piece (nearly all are) needs nothing else. A larger one has an *array
 * request* that takes pieces as they become free. Requests wait for pieces; pieces wait for locks
 * on their range, then for their write intent to be on disk, then for scratch memory, in this
 * order and never the other way round, so that exhaustion delays operations and cannot deadlock
 * (law 8).
 *
 * Both come from fixed pools; nothing is allocated per operation.
 */

import { assert } from '../block/assert.ts';
import { BlockIo, type Completer, OP_READ, type Op } from '../block/block-io.ts';
import { type LockOwner, RangeLock } from './range-locks.ts';

/** Children find their piece and slot in `cookie`: piece index · 256 + slot. */
export const SLOT_BITS = 8;
export const SLOT_MASK = 255;
/** In place of a slot: the target of a rebuild. There are at most 255 slots. */
export const SLOT_TARGET = 255;

/** What a member did with its part of a piece (`Piece.failures`). */
export const FAILED_READ = 1;
export const FAILED_WRITE = 2;

/** Whoever is told that a piece may go on: its array. */
export interface PieceOwner extends Completer {
  pieceLocked(piece: Piece): void;
  pieceIntended(piece: Piece): void;
}

export class Piece implements LockOwner {
  readonly index: number;
  readonly children: readonly BlockIo[];
  op: Op = OP_READ;
  flags = 0;
  /** Range in the array. */
  block = 0;
  blockCount = 0;
  buffer = 0;
  /** The operation that ends with this piece, when it is the only one. */
  io: BlockIo | null = null;
  /** The request that this piece is a part of, otherwise. */
  request: ArrayRequest | null = null;
  /** When the operation came, in microseconds, while somebody wants to know its latency; else 0. */
  startUs = 0;
  /** Children outstanding. */
  pending = 0;
  /** The first error of a child. */
  status = 0;
  /** Held, or waited for, while the piece changes its range or computes from it. */
  readonly lock: RangeLock;
  /** True while the write intent counts this piece. */
  intended = false;
  /** Not 0: the intent could not be written. */
  intentStatus = 0;
  /** By slot: FAILED_* of a child of this piece, 0 for none; and how many slots are not 0. */
  readonly failures: Uint8Array;
  failureCount = 0;
  /** The following are the level's: what it is doing, to which member, how far it got. */
  step = 0;
  slot = 0;
  cursor = 0;
  done = 0;
  /** Blocks that are read or computed at a time, from `done` on. */
  span = 0;
  /** Position of scratch memory in the arena, or -1. */
  scratch = -1;
  next: Piece | null = null;
  readonly #owner: PieceOwner;

  constructor(index: number, width: number, completer: PieceOwner) {
    this.index = index;
    this.#owner = completer;
    this.lock = new RangeLock(this);
    this.failures = new Uint8Array(width);
    const children: BlockIo[] = [];
    for (let child = 0; child < width; child += 1) {
      const io = new BlockIo();
      io.completer = completer;
      widen(io);
      children.push(io);
    }
    this.children = children;
    widen(this);
  }

  locked(_lock: RangeLock): void {
    this.#owner.pieceLocked(this);
  }

  /** Its write intent is on disk. */
  proceed(): void {
    this.#owner.pieceIntended(this);
  }

  /** Notes that the member in `slot` failed its part with `status`. */
  noteFailure(slot: number, kind: number, status: number): void {
    if (this.failures[slot] === 0) this.failureCount += 1;
    this.failures[slot] = kind;
    if (this.status === 0) this.status = status;
  }
}

/** A value above 2^31 once, so that V8 settles on doubles for `block` before serving. */
function widen(target: { block: number }): void {
  target.block = 2 ** 40 + 0.5;
  target.block = 0;
}

export class PiecePool {
  readonly pieces: readonly Piece[];
  available = 0;
  #free: Piece | null = null;

  constructor(count: number, width: number, completer: PieceOwner) {
    const pieces: Piece[] = [];
    for (let index = 0; index < count; index += 1) pieces.push(new Piece(index, width, completer));
    this.pieces = pieces;
    for (let index = count - 1; index >= 0; index -= 1) this.give(pieces[index]!);
  }

  /** A piece without request, status and scratch, or null when all are out. */
  take(): Piece | null {
    const piece = this.#free;
    if (piece === null) return null;
    this.#free = piece.next;
    piece.next = null;
    piece.request = null;
    piece.startUs = 0;
    piece.status = 0;
    piece.intentStatus = 0;
    if (piece.failureCount !== 0) {
      piece.failures.fill(0);
      piece.failureCount = 0;
    }
    this.available -= 1;
    return piece;
  }

  give(piece: Piece): void {
    piece.io = null;
    piece.next = this.#free;
    this.#free = piece;
    this.available += 1;
  }
}

/** First in, first out, over `Piece.next`: pieces that wait for scratch memory or their intent. */
export class PieceQueue {
  #head: Piece | null = null;
  #tail: Piece | null = null;
  length = 0;

  push(piece: Piece): void {
    piece.next = null;
    if (this.#tail === null) this.#head = piece;
    else this.#tail.next = piece;
    this.#tail = piece;
    this.length += 1;
  }

  shift(): Piece | null {
    const piece = this.#head;
    if (piece === null) return null;
    this.#head = piece.next;
    if (this.#head === null) this.#tail = null;
    piece.next = null;
    this.length -= 1;
    return piece;
  }
}

/** An operation that takes more than one piece, or flushes members. */
export class ArrayRequest {
  io: BlockIo | null = null;
  /** What remains to be issued: [cursor, end). */
  cursor = 0;
  end = 0;
  /** Pieces outstanding. */
  pending = 0;
  /** The first error of a piece; nothing is issued after it. */
  status = 0;
  /** True while members are being flushed: by OP_FLUSH, or after a write that had to be durable. */
  flushing = false;
  flushSlot = 0;
  /** The members that the flush has to reach: 1 per slot. */
  readonly touched: Uint8Array;
  waitsForPiece = false;
  next: ArrayRequest | null = null;

  constructor(memberCount: number) {
    this.touched = new Uint8Array(memberCount);
    this.cursor = 2 ** 40 + 0.5;
    this.cursor = 0;
    this.end = 2 ** 40 + 0.5;
    this.end = 0;
  }
}

/** A pool, and a queue, of requests over `ArrayRequest.next`. */
export class RequestList {
  #head: ArrayRequest | null = null;
  #tail: ArrayRequest | null = null;
  length = 0;

  push(request: ArrayRequest): void {
    request.next = null;
    if (this.#tail === null) this.#head = request;
    else this.#tail.next = request;
    this.#tail = request;
    this.length += 1;
  }

  shift(): ArrayRequest | null {
    const request = this.#head;
    if (request === null) return null;
    this.#head = request.next;
    if (this.#head === null) this.#tail = null;
    request.next = null;
    this.length -= 1;
    assert(this.length >= 0, 'a list of requests knows its length');
    return request;
  }
}
