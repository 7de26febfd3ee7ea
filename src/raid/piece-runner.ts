/**
 * PieceRunner: operations of any size, in pieces, from fixed pools.                   (data plane)
 *
 * The engine under RaidArray. It knows how many pieces there are and who waits for one; what a
 * piece is, and what becomes of it, is the array's and its level's. An operation that fits one
 * piece takes the short path. A larger one, and a flush, becomes an ArrayRequest that issues pieces
 * as they become free, at most REQUEST_PIECES_MAX at a time; with emulated FUA it ends in flushes
 * of the members that it wrote to. Operations that find the pools empty wait in order of arrival
 * behind the requests that do.
 */

import { type BlockIo, FLAG_FUA, OP_FLUSH, OP_READ } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import type { Level } from './level.ts';
import type { Member } from './member.ts';
import { ArrayRequest, type Piece, type PieceOwner, PiecePool, RequestList } from './piece.ts';

/** Children in all pieces together, so that wide arrays do not take the memory of many. */
const CHILDREN_MAX = 32768;
/** Pieces that one request has in flight. */
const REQUEST_PIECES_MAX = 64;
const PIECES_MIN = 16;

/** What the engine needs of the array that it runs. */
export interface PieceHost extends PieceOwner {
  readonly blockBytes: number;
  readonly members: readonly Member[];
  /** True when a FUA write has to be followed by a flush of some member. */
  readonly emulatesFua: boolean;
  /** Takes what the piece needs, then starts it. */
  begin(piece: Piece): void;
  beginFlush(piece: Piece, slot: number): void;
  answer(io: BlockIo, status: number): void;
}

export class PieceRunner {
  readonly #host: PieceHost;
  readonly #level: Level;
  readonly #pool: PiecePool;
  readonly #freeRequests = new RequestList();
  readonly #requestCount: number;
  /** Requests that need a piece, and operations that need a piece or a request. */
  readonly #stalled = new RequestList();
  readonly #waiting = new BlockIoQueue();

  constructor(host: PieceHost, level: Level, depth: number) {
    const { width } = level;
    const pieces = Math.max(PIECES_MIN, Math.min(depth, Math.floor(CHILDREN_MAX / width)));
    this.#host = host;
    this.#level = level;
    this.#pool = new PiecePool(pieces, width, host);
    this.#requestCount = pieces;
    while (this.#freeRequests.length < pieces) {
      this.#freeRequests.push(new ArrayRequest(host.members.length));
    }
  }

  /** True when no operation is in flight or waits. */
  get idle(): boolean {
    return (
      this.#pool.available === this.#pool.pieces.length &&
      this.#freeRequests.length === this.#requestCount &&
      this.#waiting.length === 0
    );
  }

  // data path

  piece(index: number): Piece {
    return this.#pool.pieces[index]!;
  }

  submit(io: BlockIo): void {
    if (this.#waiting.length !== 0 || !this.#start(io)) this.#waiting.push(io);
  }

  /** The piece has ended; gives back its place, and lets in what waits for one. */
  end(piece: Piece, status: number): void {
    const { request } = piece;
    this.#pool.give(piece);
    if (request !== null) this.#partDone(request, status);
    if (this.#stalled.length !== 0 || this.#waiting.length !== 0) this.#resume();
  }

  /** False when the pools are empty: the operation has to wait. */
  #start(io: BlockIo): boolean {
    const { op, blockCount } = io;
    const flushes =
      op === OP_FLUSH || (this.#host.emulatesFua && op !== OP_READ && (io.flags & FLAG_FUA) !== 0);
    if (flushes || this.#level.pieceBlocks(op, io.block, blockCount) !== blockCount) {
      return this.#startRequest(io);
    }
    const piece = this.#pool.take();
    if (piece === null) return false;
    piece.op = op;
    piece.flags = io.flags;
    piece.block = io.block;
    piece.blockCount = blockCount;
    piece.buffer = io.buffer;
    piece.io = io;
    this.#host.begin(piece);
    return true;
  }

  #startRequest(io: BlockIo): boolean {
    // Requests that stall come first; a new one could only queue up behind them.
    if (this.#stalled.length !== 0) return false;
    const request = this.#freeRequests.shift();
    if (request === null) return false;
    request.io = io;
    request.cursor = io.block;
    request.end = io.block + io.blockCount;
    request.pending = 0;
    request.status = 0;
    request.flushing = io.op === OP_FLUSH;
    request.flushSlot = 0;
    if (request.flushing) this.#touchPresent(request);
    else request.touched.fill(0);
    this.#pump(request);
    return true;
  }

  #touchPresent(request: ArrayRequest): void {
    for (let slot = 0; slot < this.#host.members.length; slot += 1) {
      request.touched[slot] = this.#host.members[slot]!.device === null ? 0 : 1;
    }
  }

  /** Issues what the request can issue now; queues it when pieces run out. */
  #pump(request: ArrayRequest): void {
    while (request.pending < REQUEST_PIECES_MAX && this.#hasMore(request)) {
      const piece = this.#pool.take();
      if (piece === null) {
        if (!request.waitsForPiece) {
          request.waitsForPiece = true;
          this.#stalled.push(request);
        }
        return;
      }
      request.pending += 1;
      piece.request = request;
      if (request.flushing) this.#startFlush(request, piece);
      else this.#startPart(request, piece);
    }
  }

  #hasMore(request: ArrayRequest): boolean {
    if (request.status !== 0) return false;
    if (!request.flushing) return request.cursor < request.end;
    const { touched } = request;
    const { members } = this.#host;
    for (; request.flushSlot < touched.length; request.flushSlot += 1) {
      const slot = request.flushSlot;
      if (touched[slot] === 1 && members[slot]!.device !== null) return true;
    }
    return false;
  }

  #startPart(request: ArrayRequest, piece: Piece): void {
    const io = request.io!;
    const blocks = this.#level.pieceBlocks(io.op, request.cursor, request.end - request.cursor);
    piece.op = io.op;
    piece.flags = io.flags;
    piece.block = request.cursor;
    piece.blockCount = blocks;
    piece.buffer = io.buffer + (request.cursor - io.block) * this.#host.blockBytes;
    request.cursor += blocks;
    this.#host.begin(piece);
  }

  #startFlush(request: ArrayRequest, piece: Piece): void {
    const slot = request.flushSlot;
    request.flushSlot += 1;
    piece.op = OP_FLUSH;
    this.#host.beginFlush(piece, slot);
  }

  #partDone(request: ArrayRequest, status: number): void {
    request.pending -= 1;
    if (status !== 0 && request.status === 0) request.status = status;
    // One that waits for pieces is in a queue; it goes on, or ends, when its turn comes.
    if (request.waitsForPiece) return;
    this.#pump(request);
    this.#settle(request);
  }

  /** Ends the request when nothing of it is outstanding or left to issue. */
  #settle(request: ArrayRequest): void {
    if (request.pending !== 0 || this.#hasMore(request)) return;
    if (this.#host.emulatesFua && !request.flushing && request.status === 0) {
      request.flushing = true;
      if (this.#hasMore(request)) {
        this.#pump(request);
        return;
      }
    }
    const io = request.io!;
    request.io = null;
    this.#freeRequests.push(request);
    this.#host.answer(io, request.status);
  }

  /** Pieces or requests have become free: the oldest requests first, then waiting operations. */
  #resume(): void {
    while (this.#stalled.length !== 0 && this.#pool.available !== 0) {
      const request = this.#stalled.shift()!;
      request.waitsForPiece = false;
      this.#pump(request);
      if (request.waitsForPiece) return;
      this.#settle(request);
    }
    while (this.#waiting.length !== 0) {
      const io = this.#waiting.shift()!;
      if (!this.#start(io)) {
        this.#waiting.unshift(io);
        return;
      }
    }
  }

  // end data path
}
