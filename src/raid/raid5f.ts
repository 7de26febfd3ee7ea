/**
 * raid5f: data and rotating parity, written in full stripes only.                     (data plane)
 *
 * A stripe has n - 1 data chunks and their XOR. Parity of stripe s is on member (n-1) - (s mod n);
 * chunk c is on member c, or c + 1 from the parity's slot on (left-asymmetric, as SPDK). A write is
 * whole stripes, so parity comes from the payload alone and nothing is read first.
 *
 *   stripe   member 0   member 1   member 2        (n = 3)
 *      0        0          1          P
 *      1        2          P          3
 *      2        P          4          5
 *
 * Degraded: a read of the missing member's chunk, or one that failed on a present member, is the
 * XOR of the same range of all others; a write skips the missing member.
 *
 * Trim and write-zeroes cover whole stripes, parity included: the XOR of zeroes is zero, so a
 * stripe of zeroes is consistent. Trim is offered only when trimmed blocks of every member read as
 * zeroes; otherwise what members return would not match the parity.
 *
 * Scratch memory has a fixed size. A stripe is written, and a chunk reconstructed, in slices that
 * fit it; without a free buffer the piece waits. Who holds one waits for devices only.
 *
 * Not here: repair after a read error, ejection after a write error, and resync of a stripe that
 * was being written at a crash (until then a member lost *afterwards* makes its chunk garbage,
 * which is why FEATURE_ATOMIC_BLOCK is not passed on).
 */

import { BufferPool } from '../block/arena.ts';
import { assert } from '../block/assert.ts';
import {
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
} from '../block/block-device.ts';
import { type BlockIo, OP_READ, OP_WRITE, type Op } from '../block/block-io.ts';
import { isLastChild, type Level, type LevelHost } from './level.ts';
import { levelRules } from './level-rules.ts';
import { type Piece, PieceQueue } from './piece.ts';

/** A parity buffer is at most so large; larger strips are written slice by slice. */
const PARITY_SLICE_BYTES_MAX = 256 * 1024;
/** Memory for parity buffers, and how many at most. */
const PARITY_BYTES = 4 * 2 ** 20;
const PARITY_COUNT_MAX = 32;
/** A reconstruction reads at most so much of each member at once, and so much in all. */
const REBUILT_SLICE_BYTES_MAX = 64 * 1024;
const REBUILT_SET_BYTES_MAX = 2 ** 20;
const REBUILT_BYTES = 2 * 2 ** 20;
const REBUILT_COUNT_MAX = 16;

/** What a piece is doing (`Piece.step`). */
const STEP_READ = 0;
const STEP_RECONSTRUCT = 1;
const STEP_WRITE = 2;
const STEP_SPREAD = 3;

export class Raid5f implements Level {
  readonly rules = levelRules('raid5f');
  readonly width: number;
  readonly writeUnitBlocks: number;
  readonly optimalBoundaryBlocks: number;
  readonly #host: LevelHost;
  readonly #memberCount: number;
  readonly #chunkCount: number;
  readonly #stripBlocks: number;
  readonly #stripeBlocks: number;
  #paritySliceBlocks = 0;
  #rebuiltSliceBlocks = 0;
  #parityBuffers: BufferPool | null = null;
  #rebuiltBuffers: BufferPool | null = null;
  readonly #waitForParity = new PieceQueue();
  readonly #waitForRebuilt = new PieceQueue();
  /** Work area for the XOR kernel. */
  readonly #sources: Uint32Array;

  constructor(host: LevelHost) {
    this.#host = host;
    this.#memberCount = host.members.length;
    this.#chunkCount = this.#memberCount - 1;
    this.#stripBlocks = host.stripBlocks;
    this.#stripeBlocks = host.stripBlocks * this.#chunkCount;
    this.width = this.#memberCount;
    this.writeUnitBlocks = this.#stripeBlocks;
    this.optimalBoundaryBlocks = host.stripBlocks;
    this.#sources = new Uint32Array(this.#memberCount);
  }

  features(common: number): number {
    const zeroes = FEATURE_TRIM | FEATURE_TRIM_ZEROES;
    const trims = (common & zeroes) === zeroes;
    return ((trims ? common : common & ~zeroes) & ~FEATURE_ATOMIC_BLOCK) | FEATURE_FUA;
  }

  trimGranularityBlocks(ofMember: number): number {
    return Math.max(ofMember, this.#stripBlocks) * this.#chunkCount;
  }

  open(): void {
    const { blockBytes, memberBlocksMax, reactor } = this.#host;
    const largest = Math.min(this.#stripBlocks, memberBlocksMax);
    this.#paritySliceBlocks = Math.min(largest, PARITY_SLICE_BYTES_MAX / blockBytes);
    const parityBytes = this.#paritySliceBlocks * blockBytes;
    const parityCount = Math.min(PARITY_COUNT_MAX, Math.floor(PARITY_BYTES / parityBytes));
    // One source of a reconstruction is read straight into the payload.
    const setSources = this.#memberCount - 2;
    this.#rebuiltSliceBlocks = Math.min(
      largest,
      REBUILT_SLICE_BYTES_MAX / blockBytes,
      Math.max(1, Math.floor(REBUILT_SET_BYTES_MAX / setSources / blockBytes)),
    );
    const setBytes = this.#rebuiltSliceBlocks * blockBytes * setSources;
    const setCount = Math.min(REBUILT_COUNT_MAX, Math.max(2, Math.floor(REBUILT_BYTES / setBytes)));
    this.#parityBuffers = new BufferPool(reactor.arena, parityBytes, parityCount);
    try {
      this.#rebuiltBuffers = new BufferPool(reactor.arena, setBytes, setCount);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#parityBuffers?.dispose();
    this.#rebuiltBuffers?.dispose();
    this.#parityBuffers = null;
    this.#rebuiltBuffers = null;
  }

  pieceBlocks(op: Op, block: number, blockCount: number): number {
    if (op === OP_WRITE) return this.#stripeBlocks;
    if (op !== OP_READ) return blockCount;
    const strip = Math.floor(block / this.#stripBlocks);
    const room = (strip + 1) * this.#stripBlocks - block;
    const run = Math.min(blockCount, room);
    const most = this.#host.memberBlocksMax;
    return Math.min(run, most);
  }

  start(piece: Piece): void {
    if (piece.op === OP_READ) this.#startRead(piece);
    else if (piece.op === OP_WRITE) this.#startWrite(piece);
    else this.#startSpread(piece);
  }

  childDone(piece: Piece, child: BlockIo, slot: number): void {
    if (piece.step === STEP_READ) this.#readDone(piece, child, slot);
    else if (!isLastChild(piece, child)) return;
    else if (piece.step === STEP_RECONSTRUCT) this.#sliceRead(piece);
    else if (piece.step === STEP_WRITE) this.#sliceWritten(piece);
    else this.#host.finish(piece, piece.status);
  }

  // --- read -------------------------------------------------------------------------------------

  /** Leaves in the piece the member that holds its data and the first block there. */
  #startRead(piece: Piece): void {
    const stripe = Math.floor(piece.block / this.#stripeBlocks);
    const within = piece.block - stripe * this.#stripeBlocks;
    const chunk = Math.floor(within / this.#stripBlocks);
    const parity = this.#paritySlot(stripe);
    piece.slot = chunk < parity ? chunk : chunk + 1;
    piece.cursor = stripe * this.#stripBlocks + (within - chunk * this.#stripBlocks);
    piece.done = 0;
    piece.scratch = -1;
    piece.step = STEP_READ;
    if (this.#host.members[piece.slot]!.device === null) {
      this.#reconstruct(piece);
      return;
    }
    this.#host.send(
      piece,
      piece.children[0]!,
      piece.slot,
      OP_READ,
      piece.flags,
      piece.cursor,
      piece.blockCount,
      piece.buffer,
    );
  }

  #readDone(piece: Piece, child: BlockIo, slot: number): void {
    if (child.status !== 0 && this.#othersPresent(slot)) {
      piece.status = 0;
      this.#reconstruct(piece);
      return;
    }
    this.#host.finish(piece, child.status);
  }

  /** Takes scratch memory, or waits for it, and reads the first slice from all other members. */
  #reconstruct(piece: Piece): void {
    piece.step = STEP_RECONSTRUCT;
    piece.scratch = this.#rebuiltBuffers!.take();
    if (piece.scratch === -1) this.#waitForRebuilt.push(piece);
    else this.#readSlice(piece);
  }

  #readSlice(piece: Piece): void {
    const { blockBytes } = this.#host;
    const left = piece.blockCount - piece.done;
    const blocks = Math.min(left, this.#rebuiltSliceBlocks);
    const stride = this.#rebuiltSliceBlocks * blockBytes;
    let into = piece.buffer + piece.done * blockBytes;
    let scratch = piece.scratch;
    piece.pending = this.#memberCount - 1;
    for (let slot = 0; slot < this.#memberCount; slot += 1) {
      if (slot === piece.slot) continue;
      this.#host.send(
        piece,
        piece.children[slot]!,
        slot,
        OP_READ,
        piece.flags,
        piece.cursor + piece.done,
        blocks,
        into,
      );
      into = scratch;
      scratch += stride;
    }
  }

  #sliceRead(piece: Piece): void {
    if (piece.status === 0) {
      this.#xorSlice(piece);
      if (piece.done < piece.blockCount) {
        this.#readSlice(piece);
        return;
      }
    }
    const scratch = piece.scratch;
    const waiting = this.#waitForRebuilt.shift();
    if (waiting === null) {
      this.#rebuiltBuffers!.give(scratch);
    } else {
      waiting.scratch = scratch;
      this.#readSlice(waiting);
    }
    this.#host.finish(piece, piece.status);
  }

  #xorSlice(piece: Piece): void {
    const { blockBytes, reactor } = this.#host;
    const left = piece.blockCount - piece.done;
    const blocks = Math.min(left, this.#rebuiltSliceBlocks);
    const target = piece.buffer + piece.done * blockBytes;
    const stride = this.#rebuiltSliceBlocks * blockBytes;
    const sources = this.#sources;
    sources[0] = target;
    for (let index = 1; index < this.#chunkCount; index += 1) {
      sources[index] = piece.scratch + (index - 1) * stride;
    }
    reactor.kernels.xor(target, sources, this.#chunkCount, blocks * blockBytes);
    piece.done += blocks;
  }

  /** True when every member but `slot` is present, so that its chunk can be reconstructed. */
  #othersPresent(slot: number): boolean {
    const members = this.#host.members;
    for (let other = 0; other < members.length; other += 1) {
      if (other !== slot && members[other]!.device === null) return false;
    }
    return true;
  }

  // --- write ------------------------------------------------------------------------------------

  #startWrite(piece: Piece): void {
    assert(piece.blockCount === this.#stripeBlocks, 'a raid5f is written in full stripes');
    const stripe = Math.floor(piece.block / this.#stripeBlocks);
    piece.slot = this.#paritySlot(stripe);
    piece.cursor = stripe * this.#stripBlocks;
    piece.done = 0;
    piece.scratch = -1;
    piece.step = STEP_WRITE;
    if (this.#host.members[piece.slot]!.device !== null) {
      piece.scratch = this.#parityBuffers!.take();
      if (piece.scratch === -1) {
        this.#waitForParity.push(piece);
        return;
      }
    }
    this.#writeSlice(piece);
  }

  /** Writes the next slice of every chunk, and its parity. */
  #writeSlice(piece: Piece): void {
    const { blockBytes, members, reactor } = this.#host;
    const left = this.#stripBlocks - piece.done;
    const blocks = Math.min(left, this.#paritySliceBlocks);
    const chunkBytes = this.#stripBlocks * blockBytes;
    const sources = this.#sources;
    let from = piece.buffer + piece.done * blockBytes;
    for (let chunk = 0; chunk < this.#chunkCount; chunk += 1) {
      sources[chunk] = from;
      from += chunkBytes;
    }
    let pending = 0;
    for (let slot = 0; slot < this.#memberCount; slot += 1) {
      if (members[slot]!.device !== null) pending += 1;
    }
    piece.pending = pending;
    if (piece.scratch !== -1) {
      reactor.kernels.xor(piece.scratch, sources, this.#chunkCount, blocks * blockBytes);
    }
    for (let slot = 0; slot < this.#memberCount; slot += 1) {
      if (members[slot]!.device === null) continue;
      const chunk = slot < piece.slot ? slot : slot - 1;
      this.#host.send(
        piece,
        piece.children[slot]!,
        slot,
        OP_WRITE,
        piece.flags,
        piece.cursor + piece.done,
        blocks,
        slot === piece.slot ? piece.scratch : sources[chunk]!,
      );
    }
    piece.done += blocks;
  }

  #sliceWritten(piece: Piece): void {
    if (piece.status === 0 && piece.done < this.#stripBlocks) {
      this.#writeSlice(piece);
      return;
    }
    const scratch = piece.scratch;
    if (scratch !== -1) {
      const waiting = this.#waitForParity.shift();
      if (waiting === null) {
        this.#parityBuffers!.give(scratch);
      } else {
        waiting.scratch = scratch;
        this.#writeSlice(waiting);
      }
    }
    this.#host.finish(piece, piece.status);
  }

  // --- trim and write-zeroes --------------------------------------------------------------------

  /** Whole stripes are one contiguous range, the same on every member. */
  #startSpread(piece: Piece): void {
    const members = this.#host.members;
    const start = (piece.block / this.#stripeBlocks) * this.#stripBlocks;
    const blocks = piece.blockCount / this.#chunkCount;
    piece.step = STEP_SPREAD;
    let pending = 0;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device !== null) pending += 1;
    }
    piece.pending = pending;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device === null) continue;
      const child = piece.children[slot]!;
      this.#host.send(piece, child, slot, piece.op, piece.flags, start, blocks, 0);
    }
  }

  #paritySlot(stripe: number): number {
    const turn = stripe - Math.floor(stripe / this.#memberCount) * this.#memberCount;
    return this.#memberCount - 1 - turn;
  }
}
