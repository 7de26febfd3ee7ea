/**
 * RaidArray: several block devices as one, at any level.                              (data plane)
 *
 * What all levels share is here: the table of members, cutting operations into pieces, pools and
 * queues, flush, FUA over members that lack it, error counting, geometry and life cycle. What a
 * piece does is the level's (level.ts).
 *
 * An operation that fits one piece takes the short path: one piece, its children, done. A larger
 * one becomes an ArrayRequest that issues pieces as they become free. When pools are empty,
 * operations wait in order of arrival; what completes lets the next one in.
 *
 * Errors
 *   - A read error is retried from redundancy by the level and counted for its member.
 *   - A write, trim, write-zeroes or flush that fails on a present member fails the operation with
 *     that errno, after all its children are back, and is counted. No write is acknowledged that a
 *     present member missed. Ejecting the member instead, and writing good data back after a read
 *     error, come with failure handling; `#memberFailed` and the counters are where they attach.
 *   - A member that reports its own failure is counted as gone for the verdict on the array: when
 *     the level cannot do without it, the array reports failure to its observer, once (law 9).
 *
 * FUA is always offered. Members that lack it are flushed after the write, each once.
 */

import { assert } from '../block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  type DeviceObserver,
  FEATURE_FUA,
  type Geometry,
} from '../block/block-device.ts';
import { type BlockIo, FLAG_FUA, OP_FLUSH, OP_READ, type Op } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO, OK } from '../block/status.ts';
import { arrayGeometry, checkMember, memberBlocksMax } from './array-geometry.ts';
import type { ArraySpec } from './array-spec.ts';
import { Concat } from './concat.ts';
import { type Level, type LevelHost, Member } from './level.ts';
import { levelRules } from './level-rules.ts';
import { ArrayRequest, type Piece, PiecePool, RequestList, SLOT_BITS, SLOT_MASK } from './piece.ts';
import { Raid0 } from './raid0.ts';
import { Raid1 } from './raid1.ts';
import { Raid5f } from './raid5f.ts';

/** Operations that an array works on at once; more wait. */
const DEPTH_DEFAULT = 256;
/** Children in all pieces together, so that wide arrays do not take the memory of many. */
const CHILDREN_MAX = 32768;
/** Pieces that one request has in flight. */
const REQUEST_PIECES_MAX = 64;

/** What becomes of FLAG_FUA: passed on; replaced by a flush; dropped, where there is no cache. */
const FUA_PASS = 0;
const FUA_FLUSH = 1;
const FUA_DROP = 2;

export interface RaidArrayOptions {
  readonly depth?: number;
  /** True when the caller has opened the members (it read their superblocks); close closes them. */
  readonly membersOpened?: boolean;
  /** True when members may differ since a crash, so that reads must not alternate between them. */
  readonly steadyReads?: boolean;
}

/** Told about single members; called from a reactor turn. */
export interface MemberObserver {
  /** A child operation has failed on a member that is present. */
  memberError(array: RaidArray, slot: number, op: Op, status: number): void;
}

export interface MemberStatus {
  readonly slot: number;
  readonly device: string | null;
  readonly uuid: string | null;
  readonly health: 'ok' | 'failed' | 'missing';
  readonly read_errors: number;
  readonly write_errors: number;
}

export class RaidArray implements BlockDevice, LevelHost, DeviceObserver {
  readonly name: string;
  readonly spec: ArraySpec;
  readonly members: readonly Member[];
  readonly blockBytes: number;
  readonly stripBlocks: number;
  /** Set by a crash, and by a write that one member has and another has not. */
  steadyReads: boolean;
  memberBlocksMax = 0;
  observer: DeviceObserver | null = null;
  memberObserver: MemberObserver | null = null;
  readonly #level: Level;
  readonly #depth: number;
  #membersOpened: boolean;
  #geometry: Geometry | null = null;
  #reactor: Reactor | null = null;
  #pool: PiecePool;
  readonly #freeRequests = new RequestList();
  #requestCount = 0;
  /** Requests that need a piece, and operations that need a piece or a request. */
  readonly #stalled = new RequestList();
  readonly #waiting = new BlockIoQueue();
  /** FUA_* for each slot. */
  readonly #fua: Uint8Array;
  #emulatesFua = false;
  #isOpen = false;
  #failed = false;
  #drained: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  constructor(spec: ArraySpec, options: RaidArrayOptions = {}) {
    this.name = spec.name;
    this.spec = spec;
    this.blockBytes = spec.blockBytes;
    this.stripBlocks = spec.stripBlocks;
    this.steadyReads = options.steadyReads ?? false;
    this.members = spec.members.map(
      (member, slot) =>
        new Member(slot, member.uuid, member.device, member.dataOffset, member.dataSize),
    );
    this.#level = makeLevel(this);
    this.#depth = options.depth ?? DEPTH_DEFAULT;
    this.#membersOpened = options.membersOpened ?? false;
    this.#pool = new PiecePool(0, 0, this);
    this.#fua = new Uint8Array(spec.members.length);
    const missing = this.members.filter((member) => member.device === null).length;
    assert(
      missing <= levelRules(spec.level).tolerates(spec.members.length),
      'an array has the members that its level needs',
    );
  }

  get geometry(): Geometry {
    assert(this.#geometry !== null, 'an array that is asked for its geometry was opened');
    return this.#geometry;
  }

  get reactor(): Reactor {
    assert(this.#reactor !== null, 'an array that works is open');
    return this.#reactor;
  }

  // --- life cycle -------------------------------------------------------------------------------

  /** Throws BANDSTAND_MEMBER_MISMATCH when a device does not fit its slot. */
  async open(reactor: Reactor): Promise<void> {
    assert(this.#reactor === null, 'an array that is opened is closed');
    const opened: BlockDevice[] = [];
    try {
      for (const { device } of this.members) {
        if (device === null) continue;
        if (!this.#membersOpened) await device.open(reactor);
        opened.push(device);
      }
      for (const member of this.members) checkMember(this.spec, member);
      this.memberBlocksMax = memberBlocksMax(this.members);
      this.#reactor = reactor;
      this.#level.open();
    } catch (error) {
      this.#reactor = null;
      for (const device of opened.reverse()) await device.close();
      throw error;
    }
    this.#membersOpened = false;
    this.#closing = null;
    this.#drained = null;
    this.#failed = false;
    this.#emulatesFua = false;
    this.#geometry = arrayGeometry(this.spec, this.#level, this.members);
    const { width } = this.#level;
    const pieces = Math.max(16, Math.min(this.#depth, Math.floor(CHILDREN_MAX / width)));
    this.#pool = new PiecePool(pieces, width, this);
    this.#requestCount = pieces;
    while (this.#freeRequests.length < pieces) {
      this.#freeRequests.push(new ArrayRequest(this.members.length));
    }
    for (const { slot, device } of this.members) {
      if (device === null) continue;
      device.observer = this;
      const { features, volatileCache } = device.geometry;
      const passes = (features & FEATURE_FUA) !== 0;
      this.#fua[slot] = passes ? FUA_PASS : volatileCache ? FUA_FLUSH : FUA_DROP;
      this.#emulatesFua ||= this.#fua[slot] === FUA_FLUSH;
    }
    this.#isOpen = true;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#reactor === null) return;
    if (!this.#idle) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.#isOpen = false;
    this.#level.close();
    for (const { device } of this.members) {
      if (device === null) continue;
      device.observer = null;
      await device.close();
    }
    this.#reactor = null;
  }

  get #idle(): boolean {
    return (
      this.#pool.available === this.#pool.pieces.length &&
      this.#freeRequests.length === this.#requestCount &&
      this.#waiting.length === 0
    );
  }

  describe(): DeviceDescription {
    const { spec } = this;
    return {
      kind: spec.level,
      name: spec.name,
      children: this.members.flatMap(({ device }) => (device === null ? [] : [device.describe()])),
      details: {
        uuid: spec.uuid,
        block_size: spec.blockBytes,
        blocks: spec.blockCount,
        strip_size_bytes: spec.stripBlocks * spec.blockBytes,
        members: this.members.length,
        missing: this.members.filter(({ device }) => device === null).length,
      },
    };
  }

  memberStatus(): MemberStatus[] {
    return this.members.map((member) => ({
      slot: member.slot,
      device: member.device?.name ?? null,
      uuid: member.uuid,
      health: member.device === null ? 'missing' : member.failedStatus === 0 ? 'ok' : 'failed',
      read_errors: member.readErrors,
      write_errors: member.writeErrors,
    }));
  }

  // --- operations -------------------------------------------------------------------------------

  submit(io: BlockIo): void {
    assert(this.#isOpen, 'an array that is submitted to is open');
    assert(checkIo(this.#geometry!, io) === OK, 'the operation fits the array');
    if (this.#waiting.length !== 0 || !this.#start(io)) this.#waiting.push(io);
  }

  /** False when the pools are empty: the operation has to wait. */
  #start(io: BlockIo): boolean {
    const { op, blockCount } = io;
    const flushes =
      op === OP_FLUSH || (this.#emulatesFua && op !== OP_READ && (io.flags & FLAG_FUA) !== 0);
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
    this.#level.start(piece);
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
    for (let slot = 0; slot < this.members.length; slot += 1) {
      request.touched[slot] = this.members[slot]!.device === null ? 0 : 1;
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
    while (request.flushSlot < touched.length && touched[request.flushSlot] === 0) {
      request.flushSlot += 1;
    }
    return request.flushSlot < touched.length;
  }

  #startPart(request: ArrayRequest, piece: Piece): void {
    const io = request.io!;
    const blocks = this.#level.pieceBlocks(io.op, request.cursor, request.end - request.cursor);
    piece.op = io.op;
    piece.flags = io.flags;
    piece.block = request.cursor;
    piece.blockCount = blocks;
    piece.buffer = io.buffer + (request.cursor - io.block) * this.blockBytes;
    request.cursor += blocks;
    this.#level.start(piece);
  }

  #startFlush(request: ArrayRequest, piece: Piece): void {
    const slot = request.flushSlot;
    request.flushSlot += 1;
    piece.op = OP_FLUSH;
    this.send(piece, piece.children[0]!, slot, OP_FLUSH, 0, 0, 0, 0);
  }

  send(
    piece: Piece,
    child: BlockIo,
    slot: number,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const member = this.members[slot]!;
    child.op = op;
    child.flags = flags;
    child.block = op === OP_FLUSH ? 0 : member.dataOffset + block;
    child.blockCount = blockCount;
    child.buffer = buffer;
    child.cookie = (piece.index << SLOT_BITS) | slot;
    if ((flags & FLAG_FUA) !== 0) {
      const fua = op === OP_READ ? FUA_DROP : this.#fua[slot]!;
      if (fua !== FUA_PASS) child.flags = flags & ~FLAG_FUA;
      if (fua === FUA_FLUSH) piece.request!.touched[slot] = 1;
    }
    member.device!.submit(child);
  }

  /** A child has come back. */
  complete(child: BlockIo): void {
    const piece = this.#pool.pieces[child.cookie >>> SLOT_BITS]!;
    const slot = child.cookie & SLOT_MASK;
    if (child.status !== 0) this.#childFailed(child, slot);
    if (piece.op === OP_FLUSH) this.finish(piece, this.members[slot]!.flushStatus);
    else this.#level.childDone(piece, child, slot);
  }

  finish(piece: Piece, status: number): void {
    const { io, request } = piece;
    this.#pool.give(piece);
    if (request !== null) this.#partDone(request, status);
    if (this.#stalled.length !== 0 || this.#waiting.length !== 0) this.#resume();
    if (io !== null) {
      io.status = status;
      io.completer.complete(io);
    }
    if (this.#drained !== null && this.#idle) this.#drained();
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
    if (this.#emulatesFua && !request.flushing && request.status === 0) {
      request.flushing = true;
      if (this.#hasMore(request)) {
        this.#pump(request);
        return;
      }
    }
    const io = request.io!;
    io.status = request.status;
    request.io = null;
    this.#freeRequests.push(request);
    io.completer.complete(io);
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

  // --- failures ---------------------------------------------------------------------------------

  #childFailed(child: BlockIo, slot: number): void {
    const member = this.members[slot]!;
    if (child.op === OP_READ) member.readErrors += 1;
    else member.writeErrors += 1;
    // What a failed flush has lost, the next one does not bring back: it is never trusted again.
    if (child.op === OP_FLUSH) member.flushStatus = child.status;
    else if (child.op !== OP_READ) this.steadyReads = true;
    this.memberObserver?.memberError(this, slot, child.op, child.status);
  }

  deviceFailed(device: BlockDevice, status: number): void {
    for (const member of this.members) {
      if (member.device === device && member.failedStatus === 0)
        member.failedStatus = status || EIO;
    }
    const lost = this.members.filter(
      (member) => member.device === null || member.failedStatus !== 0,
    );
    if (this.#failed || lost.length <= this.#level.rules.tolerates(this.members.length)) return;
    this.#failed = true;
    this.observer?.deviceFailed(this, status);
  }

  /** The size of an array follows its superblock, not its members. */
  deviceResized(_device: BlockDevice): void {}
}

function makeLevel(host: RaidArray): Level {
  const { level } = host.spec;
  if (level === 'raid0') return new Raid0(host);
  if (level === 'raid1') return new Raid1(host);
  if (level === 'raid5f') return new Raid5f(host);
  return new Concat(host);
}
