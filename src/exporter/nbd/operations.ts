/**
 * NbdOperations: takes a request through its device operations.                       (data plane)
 *
 * One per exporter, shared by its connections. A request on whole blocks of a capable device is one
 * device operation. The rest is done here, one device operation after the other:
 *
 *   - FUA on a device without it: the operation, then a flush;
 *   - WRITE_ZEROES on a device without it: writes from one shared buffer of zeroes;
 *   - WRITE and WRITE_ZEROES that cover a block in part: read, modify, write, behind the gate;
 *   - TRIM that covers a block in part: only the whole blocks are trimmed (it is a hint).
 *
 * A partial write needs one block of room behind its rounded-out payload (the "margin"), where the
 * old content of the first and the last block is read to.
 *
 * Invariants: at most one device operation per request is in flight; a request that entered the
 * gate leaves it before its owner hears that it is done.
 */

import {
  type BlockDevice,
  checkIo,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
} from '../../block/block-device.ts';
import {
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../block/block-io.ts';
import type { Kernels } from '../../block/kernels.ts';
import { EINVAL, OK } from '../../block/status.ts';
import { writeBlockStatus } from './block-status.ts';
import type { NbdRequest, RequestOperations } from './nbd-request.ts';
import {
  CMD_FLAG_FUA,
  CMD_FLAG_NO_HOLE,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE,
  CMD_WRITE_ZEROES,
} from './protocol.ts';
import { type GateOwner, WriteGate } from './write-gate.ts';

/** The operation in flight is the last one. */
const STEP_LAST = 0;
/** A flush comes after it. */
const STEP_FLUSH = 1;
/** Partial write: the first or the last block is being read into the margin. */
const STEP_HEAD_READ = 2;
const STEP_TAIL_READ = 3;
/** Partial zeroing: the first or last block is being read, or written back. */
const STEP_ZERO_HEAD_READ = 4;
const STEP_ZERO_HEAD_WRITE = 5;
const STEP_ZERO_TAIL_READ = 6;
const STEP_ZERO_TAIL_WRITE = 7;
/** Zeroes are being written from `cursor` on. */
const STEP_ZERO_CHUNK = 8;

export class NbdOperations implements RequestOperations, GateOwner {
  readonly blockBytes: number;
  readonly zeroNative: boolean;
  readonly fuaNative: boolean;
  /** The device knows which of its blocks hold data. */
  readonly hasMap: boolean;
  readonly #device: BlockDevice;
  readonly #kernels: Kernels;
  readonly #gate: WriteGate;
  readonly #trimNative: boolean;
  readonly #zeroBuffer: number;
  readonly #zeroBlocks: number;

  /** `zeroBuffer`: `zeroBlocks` blocks of zeroes in the arena. */
  constructor(device: BlockDevice, kernels: Kernels, zeroBuffer: number, zeroBlocks: number) {
    this.#device = device;
    this.#kernels = kernels;
    this.#gate = new WriteGate(this);
    this.#zeroBuffer = zeroBuffer;
    this.#zeroBlocks = zeroBlocks;
    const { blockBytes, features } = device.geometry;
    this.blockBytes = blockBytes;
    this.hasMap = device.allocationAt !== undefined;
    this.fuaNative = (features & FEATURE_FUA) !== 0;
    this.zeroNative = (features & FEATURE_WRITE_ZEROES) !== 0;
    this.#trimNative = (features & FEATURE_TRIM) !== 0;
  }

  // data path

  /** Starts a checked request whose blocks, buffer and payload are set. */
  begin(request: NbdRequest): void {
    switch (request.type) {
      case CMD_READ:
        request.step = STEP_LAST;
        this.#submit(request, OP_READ, 0, request.block, request.blockCount, request.buffer);
        return;
      case CMD_WRITE:
      case CMD_WRITE_ZEROES:
      case CMD_TRIM:
        if (this.#gate.enter(request, this.#needsReading(request))) this.gateOpened(request);
        return;
      case CMD_FLUSH:
        this.flush(request);
        return;
      default:
        this.#finish(request, EINVAL);
    }
  }

  /** Puts the answer to BLOCK_STATUS into the request's buffer. */
  readMap(request: NbdRequest, view: DataView): void {
    request.payload = request.buffer;
    request.statusBytes = writeBlockStatus(this.#device, request, view, request.buffer);
  }

  /** Flushes the device: a request for it, or the last step of one with FUA. */
  flush(request: NbdRequest): void {
    request.step = STEP_LAST;
    this.#submit(request, OP_FLUSH, 0, 0, 0, 0);
  }

  gateOpened(request: NbdRequest): void {
    if (request.type === CMD_WRITE) this.#beginWrite(request);
    else if (request.type === CMD_TRIM) this.#trim(request);
    else this.#beginZeroes(request);
  }

  deviceCompleted(request: NbdRequest): void {
    const status = request.io.status;
    if (status !== OK || request.step === STEP_LAST) {
      this.#finish(request, status);
      return;
    }
    switch (request.step) {
      case STEP_FLUSH:
        this.flush(request);
        return;
      case STEP_HEAD_READ:
      case STEP_TAIL_READ:
        this.#merge(request);
        return;
      case STEP_ZERO_HEAD_READ:
      case STEP_ZERO_TAIL_READ:
        this.#zeroEdge(request);
        return;
      case STEP_ZERO_HEAD_WRITE:
        this.#beginZeroTail(request);
        return;
      case STEP_ZERO_TAIL_WRITE:
        this.#zeroInterior(request);
        return;
      default:
        this.#zeroNext(request);
    }
  }

  #needsReading(request: NbdRequest): boolean {
    if (request.type === CMD_TRIM) return false;
    return this.#headBytes(request) + this.#tailGapBytes(request) > 0;
  }

  /** Bytes of the first block before the client's. */
  #headBytes(request: NbdRequest): number {
    return request.offset - request.block * this.blockBytes;
  }

  /** Bytes of the last block behind the client's. */
  #tailGapBytes(request: NbdRequest): number {
    const end = (request.block + request.blockCount) * this.blockBytes;
    return end - (request.offset + request.length);
  }

  #beginWrite(request: NbdRequest): void {
    if (this.#headBytes(request) > 0) this.#readEdge(request, STEP_HEAD_READ, request.block);
    else if (this.#tailGapBytes(request) > 0) this.#readTail(request);
    else this.#write(request);
  }

  #write(request: NbdRequest): void {
    this.#last(request);
    this.#submit(
      request,
      OP_WRITE,
      this.#fuaFlag(request),
      request.block,
      request.blockCount,
      request.buffer,
    );
  }

  #readTail(request: NbdRequest): void {
    this.#readEdge(request, STEP_TAIL_READ, request.block + request.blockCount - 1);
  }

  #readEdge(request: NbdRequest, step: number, block: number): void {
    request.step = step;
    this.#submit(request, OP_READ, 0, block, 1, this.#margin(request));
  }

  #margin(request: NbdRequest): number {
    return request.buffer + request.blockCount * this.blockBytes;
  }

  /** Puts the old bytes of an edge block, now in the margin, around the client's. */
  #merge(request: NbdRequest): void {
    const margin = this.#margin(request);
    const gap = this.#tailGapBytes(request);
    const oneBlock = request.blockCount === 1;
    if (request.step === STEP_HEAD_READ) {
      this.#kernels.copy(request.buffer, margin, this.#headBytes(request));
    }
    if (gap > 0 && (request.step === STEP_TAIL_READ || oneBlock)) {
      this.#kernels.copy(margin - gap, margin + this.blockBytes - gap, gap);
    } else if (gap > 0) {
      this.#readTail(request);
      return;
    }
    this.#write(request);
  }

  /** Only whole blocks: what a partial block holds must survive. */
  #trim(request: NbdRequest): void {
    const first = Math.ceil(request.offset / this.blockBytes);
    const end = Math.floor((request.offset + request.length) / this.blockBytes);
    if (end <= first || !this.#trimNative) {
      this.#finish(request, OK);
      return;
    }
    this.#last(request);
    this.#submit(request, OP_TRIM, this.#fuaFlag(request), first, end - first, 0);
  }

  #beginZeroes(request: NbdRequest): void {
    if (this.#headBytes(request) > 0) {
      request.step = STEP_ZERO_HEAD_READ;
      this.#submit(request, OP_READ, 0, request.block, 1, request.buffer);
      return;
    }
    this.#beginZeroTail(request);
  }

  #beginZeroTail(request: NbdRequest): void {
    const headDidAll = request.blockCount === 1 && this.#headBytes(request) > 0;
    if (this.#tailGapBytes(request) > 0 && !headDidAll) {
      const last = request.block + request.blockCount - 1;
      request.step = STEP_ZERO_TAIL_READ;
      this.#submit(request, OP_READ, 0, last, 1, request.buffer);
      return;
    }
    this.#zeroInterior(request);
  }

  /** Zeroes the client's part of the edge block in the buffer, and writes the block back. */
  #zeroEdge(request: NbdRequest): void {
    const head = request.step === STEP_ZERO_HEAD_READ;
    const block = head ? request.block : request.block + request.blockCount - 1;
    const blockByte = block * this.blockBytes;
    const from = Math.max(0, request.offset - blockByte);
    const to = Math.min(this.blockBytes, request.offset + request.length - blockByte);
    this.#kernels.zero(request.buffer + from, to - from);
    request.step = head ? STEP_ZERO_HEAD_WRITE : STEP_ZERO_TAIL_WRITE;
    this.#submit(request, OP_WRITE, this.#fuaFlag(request), block, 1, request.buffer);
  }

  /** The whole blocks: natively, or chunk by chunk. */
  #zeroInterior(request: NbdRequest): void {
    const first = Math.ceil(request.offset / this.blockBytes);
    const end = this.#zeroEnd(request);
    if (end <= first) {
      this.#afterZeroes(request);
      return;
    }
    if (!this.zeroNative) {
      request.cursor = first;
      this.#zeroNext(request);
      return;
    }
    const noHole = (request.flags & CMD_FLAG_NO_HOLE) !== 0 ? FLAG_NOUNMAP : 0;
    this.#last(request);
    this.#submit(request, OP_WRITE_ZEROES, this.#fuaFlag(request) | noHole, first, end - first, 0);
  }

  #zeroEnd(request: NbdRequest): number {
    return Math.floor((request.offset + request.length) / this.blockBytes);
  }

  #zeroNext(request: NbdRequest): void {
    const block = request.cursor;
    const left = this.#zeroEnd(request) - block;
    if (left <= 0) {
      this.#afterZeroes(request);
      return;
    }
    const count = Math.min(left, this.#zeroBlocks);
    request.cursor = block + count;
    request.step = STEP_ZERO_CHUNK;
    this.#submit(request, OP_WRITE, this.#fuaFlag(request), block, count, this.#zeroBuffer);
  }

  #afterZeroes(request: NbdRequest): void {
    if (this.needsFlush(request)) this.flush(request);
    else this.#finish(request, OK);
  }

  /** True when FUA is asked for and has to be done by a flush at the end of the whole request. */
  needsFlush(request: NbdRequest): boolean {
    return !this.fuaNative && (request.flags & CMD_FLAG_FUA) !== 0 && request.parent === null;
  }

  #last(request: NbdRequest): void {
    request.step = this.needsFlush(request) ? STEP_FLUSH : STEP_LAST;
  }

  #fuaFlag(request: NbdRequest): number {
    return this.fuaNative && (request.flags & CMD_FLAG_FUA) !== 0 ? FLAG_FUA : 0;
  }

  /** Everything goes to the device through here, checked against its geometry as it is now. */
  #submit(
    request: NbdRequest,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const io = request.io;
    io.op = op;
    io.flags = flags;
    io.block = block;
    io.blockCount = blockCount;
    io.buffer = buffer;
    io.status = OK;
    const refused = checkIo(this.#device.geometry, io);
    if (refused === OK) this.#device.submit(io);
    else this.#finish(request, refused);
  }

  #finish(request: NbdRequest, status: number): void {
    request.status = status;
    if (this.#gate.holds(request)) this.#gate.leave(request);
    request.owner.requestDone(request);
  }
  // end data path
}
