/**
 * Level: what distinguishes one RAID level from another, on the data path.            (data plane)
 *
 * RaidArray does what all levels share (members, splitting, pools, locks, flush, FUA, failures,
 * life cycle). A level says how many blocks it can take in one piece, sends the children of a
 * piece, and decides what follows when a child comes back. A new level is one file with one class
 * and one entry in level-rules.ts.
 *
 * What a failure means is not the level's to decide. Every child that fails is noted in its piece
 * by the array; a level that has redundancy goes on, ends the piece when all children are back, and
 * the array then decides at one place (array-core.ts, `#verdict`) whether members are ejected and
 * the operation has succeeded, or it has failed.
 *
 * A level never completes a piece from `start` or `locked`: children complete in a later turn
 * (law 2).
 */

import type { BlockIo, Op } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { LevelRules } from './level-rules.ts';
import type { Member } from './member.ts';
import type { Piece } from './piece.ts';

/** What a level may ask of its array. Set up completely before `Level.open`. */
export interface LevelHost {
  readonly reactor: Reactor;
  readonly members: readonly Member[];
  readonly blockBytes: number;
  /** 0 for raid1. */
  readonly stripBlocks: number;
  /** The slot that a rebuild fills, or -1: it gets what the slot's member would get. */
  readonly targetSlot: number;
  /** True when what a read has found unreadable may be written again. */
  readonly mayRepair: boolean;
  /** The largest read or write that every present member takes. */
  readonly memberBlocksMax: number;
  /**
   * Sends `child` of `piece` to the member in `slot`, which is present. `block` counts from the
   * start of the member's data. The operation and its flags are given apart from the piece's,
   * because a piece may read in order to write.
   */
  send(
    piece: Piece,
    child: BlockIo,
    slot: number,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void;
  /** The same to the target of a rebuild; only while `targetSlot` is not -1. */
  sendToTarget(
    piece: Piece,
    op: Op,
    flags: number,
    block: number,
    blocks: number,
    at: number,
  ): void;
  /**
   * Takes the lock on the piece's range, exclusive (to repair it) or shared (to compute from it);
   * then calls `Level.locked`, at once or later. `finish` lets go of it.
   */
  lock(piece: Piece, shared: boolean): void;
  /** True when mirrors may differ there since a crash: reads then stay with one member. */
  readsSteadily(block: number, blockCount: number): boolean;
  /** `blockCount` blocks that the member in `slot` could not read have been written again. */
  repaired(slot: number, blockCount: number): void;
  /** Ends the piece; it must not be used afterwards. Only from a completion. */
  finish(piece: Piece, status: number): void;
}

export interface Level {
  readonly rules: LevelRules;
  /** Children that one piece needs; with redundancy the last one is the target's. */
  readonly width: number;
  /** Writes are multiples of it at multiples of it. */
  readonly writeUnitBlocks: number;
  readonly optimalBoundaryBlocks: number;
  /** The array's features, from those that all present members share. */
  features(common: number): number;
  /** Smallest trim that frees anything, from the largest granularity of a member. */
  trimGranularityBlocks(ofMember: number): number;
  /** Reserves scratch memory. Throws BANDSTAND_ARENA_FULL. */
  open(): void;
  close(): void;
  /** Of the `blockCount` blocks from `block` on, how many the first piece takes: at least 1. */
  pieceBlocks(op: Op, block: number, blockCount: number): number;
  /** Sends the first children of a piece whose range `pieceBlocks` allowed. */
  start(piece: Piece): void;
  /** The lock that the level asked for is held. */
  locked(piece: Piece): void;
  /** `child`, sent to `slot`, has come back. Ends the piece or sends what follows. */
  childDone(piece: Piece, child: BlockIo, slot: number): void;
}

/** For levels that wait for all children: true when `piece` was waiting for this one only. */
export function isLastChild(piece: Piece): boolean {
  piece.pending -= 1;
  return piece.pending === 0;
}
