/**
 * raid1: the same blocks on every member.                                             (data plane)
 *
 * A write, trim or write-zeroes goes to every member in service and to the target of a rebuild.
 * What it means when one of them fails is decided by the array (raid-array.ts).
 *
 * A read goes to the member in service with the fewest blocks of reads in flight, the first of
 * equals, as in SPDK. If that member cannot deliver, the range is locked against writes and the
 * others are asked in slot order; the good data is given to the reader, and written back to those
 * that could not deliver it. When no member can deliver the whole range, it is taken block by
 * block: two members with different unreadable blocks still make one whole copy.
 */

import { assert } from '../block/assert.ts';
import { FEATURE_FUA } from '../block/block-device.ts';
import { type BlockIo, OP_READ, OP_WRITE, type Op } from '../block/block-io.ts';
import { isLastChild, type Level, type LevelHost } from './level.ts';
import { levelRules } from './level-rules.ts';
import { FAILED_READ, type Piece } from './piece.ts';

/** What a piece is doing (`Piece.step`). */
const STEP_READ = 0;
/** Reading a span under the lock; `cursor` is the slot that is asked. */
const STEP_SALVAGE = 1;
/** Writing a span back to the members that could not deliver it. */
const STEP_REPAIR = 2;
const STEP_WRITE = 3;

export class Raid1 implements Level {
  readonly rules = levelRules('raid1');
  readonly width: number;
  readonly writeUnitBlocks = 1;
  readonly optimalBoundaryBlocks = 0;
  readonly #host: LevelHost;
  readonly #memberCount: number;

  constructor(host: LevelHost) {
    this.#host = host;
    this.#memberCount = host.members.length;
    this.width = this.#memberCount + 1;
  }

  features(common: number): number {
    return common | FEATURE_FUA;
  }

  trimGranularityBlocks(ofMember: number): number {
    return ofMember;
  }

  open(): void {}

  close(): void {}

  /** A member that came later may take less at once than the array has promised. */
  pieceBlocks(op: Op, _block: number, blockCount: number): number {
    return op > OP_WRITE ? blockCount : Math.min(blockCount, this.#host.memberBlocksMax);
  }

  // data path

  start(piece: Piece): void {
    if (piece.op !== OP_READ) {
      this.#write(piece);
      return;
    }
    piece.step = STEP_READ;
    piece.done = 0;
    piece.span = piece.blockCount;
    this.#read(piece, this.#chooseReader(piece));
  }

  /** Only for reads that have failed somewhere: the range is ours. */
  locked(piece: Piece): void {
    piece.step = STEP_SALVAGE;
    piece.done = 0;
    piece.span = piece.blockCount;
    piece.cursor = -1;
    this.#salvage(piece);
  }

  childDone(piece: Piece, child: BlockIo, slot: number): void {
    if (piece.step === STEP_WRITE) {
      if (isLastChild(piece)) this.#host.finish(piece, piece.status);
    } else if (piece.step === STEP_REPAIR) {
      if (child.status === 0) this.#host.repaired(slot, piece.span);
      if (isLastChild(piece)) this.#spanDone(piece);
    } else {
      this.#host.members[slot]!.readingBlocks -= child.blockCount;
      if (piece.step === STEP_READ) this.#readDone(piece, child);
      else if (child.status === 0) this.#repair(piece);
      else this.#salvage(piece);
    }
  }

  #write(piece: Piece): void {
    const host = this.#host;
    const members = host.members;
    const { op, flags, block, blockCount, buffer } = piece;
    const toTarget = host.targetSlot !== -1;
    let pending = toTarget ? 1 : 0;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device !== null) pending += 1;
    }
    piece.step = STEP_WRITE;
    piece.pending = pending;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device === null) continue;
      host.send(piece, piece.children[slot]!, slot, op, flags, block, blockCount, buffer);
    }
    if (toTarget) host.sendToTarget(piece, op, flags, block, blockCount, buffer);
  }

  #read(piece: Piece, slot: number): void {
    const { blockBytes, members } = this.#host;
    const { done, span } = piece;
    piece.slot = slot;
    members[slot]!.readingBlocks += span;
    this.#host.send(
      piece,
      piece.children[0]!,
      slot,
      OP_READ,
      piece.flags,
      piece.block + done,
      span,
      piece.buffer + done * blockBytes,
    );
  }

  #readDone(piece: Piece, child: BlockIo): void {
    const host = this.#host;
    if (child.status === 0) {
      host.finish(piece, 0);
    } else if (host.mayRepair) {
      host.lock(piece, false);
    } else {
      this.locked(piece);
    }
  }

  /** Asks the next member in slot order for the span; `cursor` is the one that was asked last. */
  #salvage(piece: Piece): void {
    const members = this.#host.members;
    for (let slot = piece.cursor + 1; slot < members.length; slot += 1) {
      if (members[slot]!.device === null) continue;
      // As a whole the range was tried there before; single blocks are tried anew.
      if (piece.span === piece.blockCount && piece.failures[slot] !== 0) continue;
      piece.cursor = slot;
      this.#read(piece, slot);
      return;
    }
    if (piece.span === 1) {
      this.#host.finish(piece, piece.status);
      return;
    }
    piece.span = 1;
    piece.cursor = -1;
    piece.failures.fill(0);
    piece.failureCount = 0;
    this.#salvage(piece);
  }

  /** `slot` has delivered the span: writes it to those that were asked before and could not. */
  #repair(piece: Piece): void {
    const host = this.#host;
    const { members, blockBytes } = host;
    let pending = 0;
    if (host.mayRepair && piece.lock.held) {
      for (let slot = 0; slot < members.length; slot += 1) {
        if (piece.failures[slot] === FAILED_READ && members[slot]!.device !== null) pending += 1;
      }
    }
    if (pending === 0) {
      this.#spanDone(piece);
      return;
    }
    piece.step = STEP_REPAIR;
    piece.pending = pending;
    const block = piece.block + piece.done;
    const buffer = piece.buffer + piece.done * blockBytes;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (piece.failures[slot] !== FAILED_READ || members[slot]!.device === null) continue;
      host.send(piece, piece.children[slot]!, slot, OP_WRITE, 0, block, piece.span, buffer);
    }
  }

  #spanDone(piece: Piece): void {
    piece.done += piece.span;
    if (piece.done === piece.blockCount) {
      this.#host.finish(piece, 0);
      return;
    }
    // The next block is judged by itself; a failed write-back stays noted for the array.
    for (let slot = 0; slot < this.#memberCount; slot += 1) {
      if (piece.failures[slot] !== FAILED_READ) continue;
      piece.failures[slot] = 0;
      piece.failureCount -= 1;
    }
    piece.step = STEP_SALVAGE;
    piece.cursor = -1;
    this.#salvage(piece);
  }

  /**
   * The member with the fewest blocks being read, the first of several (SPDK's choice); or always
   * the first, while the members may differ: then alternating could show two contents in turn.
   */
  #chooseReader(piece: Piece): number {
    const members = this.#host.members;
    const steady = this.#host.readsSteadily(piece.block, piece.blockCount);
    let best = -1;
    let least = Number.MAX_SAFE_INTEGER;
    for (let slot = 0; slot < members.length; slot += 1) {
      const member = members[slot]!;
      if (member.device === null || member.readingBlocks >= least) continue;
      least = member.readingBlocks;
      best = slot;
      if (steady) break;
    }
    assert(best !== -1, 'a raid1 has a member to read from');
    return best;
  }

  // end data path
}
