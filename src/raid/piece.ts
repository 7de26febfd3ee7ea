/**
 * Piece and ArrayRequest: the units in which an array carries out operations.         (data plane)
 *
 * A *piece* is what a level does in one go: a read inside one strip, a mirrored write, a write of
 * one stripe. It owns its child operations, so that a piece that has been taken can always proceed.
 * An operation that is one piece (nearly all are) needs nothing else. A larger one has an *array
 * request* that takes pieces as they become free. Requests wait for pieces and pieces wait for
 * nobody (raid5f: only for scratch memory, which is held by pieces in flight), so that exhaustion
 * delays operations and cannot deadlock (law 8).
 *
 * Both come from fixed pools; nothing is allocated per operation.
 */

import { assert } from '../block/assert.ts';
import { BlockIo, type Completer, OP_READ, type Op } from '../block/block-io.ts';

/** Children find their piece and slot in `cookie`: piece index · 256 + slot. */
export const SLOT_BITS = 8;
export const SLOT_MASK = 255;

export class Piece {
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
  /** Children outstanding. */
  pending = 0;
  /** The first error of a child. */
  status = 0;
  /** The following are the level's: what it is doing, to which member, how far it got. */
  step = 0;
  slot = 0;
  cursor = 0;
  done = 0;
  /** Position of scratch memory in the arena, or -1. */
  scratch = -1;
  next: Piece | null = null;

  constructor(index: number, width: number, completer: Completer) {
    this.index = index;
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

  constructor(count: number, width: number, completer: Completer) {
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
    piece.status = 0;
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

/** First in, first out, over `Piece.next`: pieces that wait for scratch memory. */
export class PieceQueue {
  #head: Piece | null = null;
  #tail: Piece | null = null;

  push(piece: Piece): void {
    piece.next = null;
    if (this.#tail === null) this.#head = piece;
    else this.#tail.next = piece;
    this.#tail = piece;
  }

  shift(): Piece | null {
    const piece = this.#head;
    if (piece === null) return null;
    this.#head = piece.next;
    if (this.#head === null) this.#tail = null;
    piece.next = null;
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

  /** The oldest request, left in place. */
  peek(): ArrayRequest | null {
    return this.#head;
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
