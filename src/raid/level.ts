/**
 * Level: what distinguishes one RAID level from another, on the data path.            (data plane)
 *
 * RaidArray does what all levels share (members, splitting, pools, flush, FUA, error counting,
 * life cycle). A level says how many blocks it can take in one piece, sends the children of a
 * piece, and decides what follows when a child comes back. A new level is one file with one class
 * and one entry in level-rules.ts.
 *
 * A level never completes a piece from `start`: children complete in a later turn (law 2).
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { BlockIo, Op } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { LevelRules } from './level-rules.ts';
import type { Piece } from './piece.ts';

/** One slot of an array and the device that fills it. */
export class Member {
  readonly slot: number;
  /** Null in a file-level array without superblock. */
  readonly uuid: string | null;
  /** Null when the member is missing. */
  readonly device: BlockDevice | null;
  /** Blocks from the start of the device to its data. */
  readonly dataOffset: number;
  /** Blocks of data. */
  readonly dataSize: number;
  readErrors = 0;
  writeErrors = 0;
  /** Blocks of reads in flight: what raid1 balances by. */
  readingBlocks = 0;
  /** The status of its last failed flush: every later flush fails with it. */
  flushStatus = 0;
  /** The status with which the device reported that it has failed, or 0. */
  failedStatus = 0;

  constructor(
    slot: number,
    uuid: string | null,
    device: BlockDevice | null,
    dataOffset: number,
    dataSize: number,
  ) {
    this.slot = slot;
    this.uuid = uuid;
    this.device = device;
    this.dataOffset = dataOffset;
    this.dataSize = dataSize;
  }
}

/** What a level may ask of its array. Set up completely before `Level.open`. */
export interface LevelHost {
  readonly reactor: Reactor;
  readonly members: readonly Member[];
  readonly blockBytes: number;
  /** 0 for raid1. */
  readonly stripBlocks: number;
  /** True when mirrors may differ since a crash: reads then stay with one member. */
  readonly steadyReads: boolean;
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
  /** Ends the piece; it must not be used afterwards. Only from a completion. */
  finish(piece: Piece, status: number): void;
}

export interface Level {
  readonly rules: LevelRules;
  /** Children that one piece needs. */
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
  /** `child`, sent to `slot`, has come back. Ends the piece or sends what follows. */
  childDone(piece: Piece, child: BlockIo, slot: number): void;
}

/** For levels that wait for all children: notes the outcome of one; true when it was the last. */
export function isLastChild(piece: Piece, child: BlockIo): boolean {
  if (child.status !== 0 && piece.status === 0) piece.status = child.status;
  piece.pending -= 1;
  return piece.pending === 0;
}
