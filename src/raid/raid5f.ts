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
 * Degraded: a read of the missing member's chunk is the XOR of the same range of all others, under
 * a shared lock, so that it never mixes two versions of a stripe; a write skips the missing member.
 * A read that a member in service could not deliver is computed in the same way under an exclusive
 * lock, and written back to it; where the others cannot deliver the whole range either, it is done
 * block by block. The target of a rebuild gets what the member in its slot would get.
 *
 * Trim and write-zeroes cover whole stripes, parity included: the XOR of zeroes is zero, so a
 * stripe of zeroes is consistent. Trim is offered only when trimmed blocks of every member read as
 * zeroes; otherwise what members return would not match the parity.
 *
 * Scratch memory has a fixed size. A stripe is written, and a chunk reconstructed, in slices that
 * fit it; without a free buffer the piece waits. Who holds one waits for devices only.
 *
 * A stripe that was being written at a crash may be torn between its chunks. Its parity is made
 * right again by the resync that follows; a member lost before that makes its chunk of that stripe
 * garbage, which is why FEATURE_ATOMIC_BLOCK is not passed on. Nothing but the operation that was
 * in flight can be hit, because operations are whole stripes.
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
import { EIO } from '../block/status.ts';
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
/** Reading a single block from its own member, after a wider range could not be computed. */
const STEP_RETRY = 4;
/** Writing back what was computed. */
const STEP_REPAIR = 5;

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
    this.width = this.#memberCount + 1;
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

  // data path

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

  /** Only for reads: the stripe does not change meanwhile. */
  locked(piece: Piece): void {
    piece.span = piece.blockCount;
    this.#reconstruct(piece);
  }

  childDone(piece: Piece, child: BlockIo, _slot: number): void {
    if (piece.step === STEP_READ) this.#readDone(piece, child);
    else if (piece.step === STEP_RETRY) this.#retried(piece, child);
    else if (piece.step === STEP_REPAIR) this.#repairDone(piece, child);
    else if (!isLastChild(piece)) return;
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
    const parity = this.paritySlot(stripe);
    piece.slot = chunk < parity ? chunk : chunk + 1;
    piece.cursor = stripe * this.#stripBlocks + (within - chunk * this.#stripBlocks);
    piece.done = 0;
    piece.span = piece.blockCount;
    piece.scratch = -1;
    piece.step = STEP_READ;
    if (this.#host.members[piece.slot]!.device === null) this.#host.lock(piece, true);
    else this.#readDirectly(piece);
  }

  #readDirectly(piece: Piece): void {
    const { done } = piece;
    this.#host.send(
      piece,
      piece.children[0]!,
      piece.slot,
      OP_READ,
      piece.flags,
      piece.cursor + done,
      piece.span,
      piece.buffer + done * this.#host.blockBytes,
    );
  }

  #readDone(piece: Piece, child: BlockIo): void {
    if (child.status === 0) this.#host.finish(piece, 0);
    else if (!this.#othersPresent(piece.slot)) this.#host.finish(piece, child.status);
    else this.#host.lock(piece, !this.#mayRepair(piece));
  }

  #mayRepair(piece: Piece): boolean {
    return this.#host.mayRepair && this.#host.members[piece.slot]!.device !== null;
  }

  /** Takes scratch memory, or waits for it, and reads the first slice from all other members. */
  #reconstruct(piece: Piece): void {
    piece.step = STEP_RECONSTRUCT;
    piece.done = 0;
    piece.scratch = this.#rebuiltBuffers!.take();
    if (piece.scratch === -1) this.#waitForRebuilt.push(piece);
    else this.#readSlice(piece);
  }

  #readSlice(piece: Piece): void {
    if (!this.#othersPresent(piece.slot)) {
      // Another member has left since, so nothing can be computed; but its own may have come.
      const came = piece.step !== STEP_RETRY && this.#host.members[piece.slot]!.device !== null;
      if (came) this.#narrow(piece);
      else this.#endReconstruction(piece, piece.status === 0 ? EIO : piece.status);
      return;
    }
    const { blockBytes } = this.#host;
    const blocks = this.#sliceBlocks(piece);
    const stride = this.#rebuiltSliceBlocks * blockBytes;
    let into = piece.buffer + piece.done * blockBytes;
    let scratch = piece.scratch;
    piece.step = STEP_RECONSTRUCT;
    piece.status = 0;
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

  /** How much is computed at once from `done` on: 1 block once the range as a whole has failed. */
  #sliceBlocks(piece: Piece): number {
    const left = piece.blockCount - piece.done;
    return Math.min(left, this.#rebuiltSliceBlocks, piece.span);
  }

  #sliceRead(piece: Piece): void {
    if (piece.status !== 0) {
      if (piece.span > 1 || this.#ownIsUnasked(piece)) this.#narrow(piece);
      else if (this.#othersPresent(piece.slot)) this.#endReconstruction(piece, piece.status);
      else this.#readSlice(piece);
      return;
    }
    this.#xorSlice(piece);
    // Block by block each is written back by itself, else the range in one go at the end.
    const single = piece.span === 1;
    if (single || piece.done === piece.blockCount) this.#repair(piece, single);
    else this.#readSlice(piece);
  }

  /** A piece of one block waited for its lock while a rebuild brought its own member back. */
  #ownIsUnasked(piece: Piece): boolean {
    const { slot } = piece;
    return this.#host.members[slot]!.device !== null && piece.failures[slot] === 0;
  }

  /** Starts over, block by block: each from its own member if that can deliver it after all. */
  #narrow(piece: Piece): void {
    piece.span = 1;
    piece.done = 0;
    this.#nextBlock(piece);
  }

  #nextBlock(piece: Piece): void {
    if (piece.done === piece.blockCount) {
      this.#endReconstruction(piece, 0);
    } else if (this.#host.members[piece.slot]!.device === null) {
      this.#readSlice(piece);
    } else {
      piece.step = STEP_RETRY;
      this.#readDirectly(piece);
    }
  }

  #retried(piece: Piece, child: BlockIo): void {
    if (child.status !== 0) {
      this.#readSlice(piece);
      return;
    }
    piece.done += 1;
    this.#nextBlock(piece);
  }

  /** Writes back what was computed: the block before `done`, or the whole range. */
  #repair(piece: Piece, single: boolean): void {
    if (!this.#mayRepair(piece) || piece.lock.shared) {
      this.#repaired(piece);
      return;
    }
    const first = single ? piece.done - 1 : 0;
    const count = single ? 1 : piece.blockCount;
    const at = piece.buffer + first * this.#host.blockBytes;
    const child = piece.children[piece.slot]!;
    piece.step = STEP_REPAIR;
    this.#host.send(piece, child, piece.slot, OP_WRITE, 0, piece.cursor + first, count, at);
  }

  #repairDone(piece: Piece, child: BlockIo): void {
    if (child.status === 0) this.#host.repaired(piece.slot, child.blockCount);
    this.#repaired(piece);
  }

  #repaired(piece: Piece): void {
    if (piece.span === 1) this.#nextBlock(piece);
    else this.#endReconstruction(piece, 0);
  }

  #endReconstruction(piece: Piece, status: number): void {
    const scratch = piece.scratch;
    const waiting = this.#waitForRebuilt.shift();
    if (waiting === null) {
      this.#rebuiltBuffers!.give(scratch);
    } else {
      waiting.scratch = scratch;
      this.#readSlice(waiting);
    }
    this.#host.finish(piece, status);
  }

  #xorSlice(piece: Piece): void {
    const { blockBytes, reactor } = this.#host;
    const blocks = this.#sliceBlocks(piece);
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
    piece.slot = this.paritySlot(stripe);
    piece.cursor = stripe * this.#stripBlocks;
    piece.done = 0;
    piece.scratch = -1;
    piece.step = STEP_WRITE;
    const { members, targetSlot } = this.#host;
    if (members[piece.slot]!.device !== null || targetSlot === piece.slot) {
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
    const { blockBytes, members, reactor, targetSlot } = this.#host;
    const left = this.#stripBlocks - piece.done;
    const blocks = Math.min(left, this.#paritySliceBlocks);
    const chunkBytes = this.#stripBlocks * blockBytes;
    const sources = this.#sources;
    let from = piece.buffer + piece.done * blockBytes;
    for (let chunk = 0; chunk < this.#chunkCount; chunk += 1) {
      sources[chunk] = from;
      from += chunkBytes;
    }
    if (piece.scratch !== -1) {
      reactor.kernels.xor(piece.scratch, sources, this.#chunkCount, blocks * blockBytes);
    }
    piece.pending = this.#receivers(piece);
    const start = piece.cursor + piece.done;
    piece.done += blocks;
    for (let slot = 0; slot < this.#memberCount; slot += 1) {
      const at =
        slot === piece.slot ? piece.scratch : sources[slot < piece.slot ? slot : slot - 1]!;
      if (at === -1) continue;
      if (members[slot]!.device !== null) {
        const child = piece.children[slot]!;
        this.#host.send(piece, child, slot, OP_WRITE, piece.flags, start, blocks, at);
      }
      if (slot === targetSlot) {
        this.#host.sendToTarget(piece, OP_WRITE, piece.flags, start, blocks, at);
      }
    }
  }

  /**
   * How many get a part of this piece: members in service, and the target. Without a parity buffer
   * (a target has come for the parity's slot since the piece began) nobody gets parity; the target
   * does not need it, because its rebuild waits for the lock on this stripe.
   */
  #receivers(piece: Piece): number {
    const { members, targetSlot } = this.#host;
    const without = piece.op === OP_WRITE && piece.scratch === -1 ? piece.slot : -1;
    let count = targetSlot !== -1 && targetSlot !== without ? 1 : 0;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (slot !== without && members[slot]!.device !== null) count += 1;
    }
    return count;
  }

  #sliceWritten(piece: Piece): void {
    // Also after an error: the other members get the whole stripe; the array decides at the end.
    if (piece.done < this.#stripBlocks) {
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
    const { members, targetSlot } = this.#host;
    const start = (piece.block / this.#stripeBlocks) * this.#stripBlocks;
    const blocks = piece.blockCount / this.#chunkCount;
    piece.step = STEP_SPREAD;
    piece.pending = this.#receivers(piece);
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device !== null) {
        const child = piece.children[slot]!;
        this.#host.send(piece, child, slot, piece.op, piece.flags, start, blocks, 0);
      }
      if (slot === targetSlot) {
        this.#host.sendToTarget(piece, piece.op, piece.flags, start, blocks, 0);
      }
    }
  }

  // end data path

  /** The member that holds the parity of a stripe. */
  paritySlot(stripe: number): number {
    const turn = stripe - Math.floor(stripe / this.#memberCount) * this.#memberCount;
    return this.#memberCount - 1 - turn;
  }
}
