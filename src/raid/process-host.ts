/**
 * ProcessHost and its companions: what the background process needs of its array.     (data plane)
 *
 * The process (process.ts) knows nothing of superblocks, labels, user I/O or ejection. RaidArray
 * shows it the members, the locks and a way to send I/O, and hears through the observer what came
 * of it. All positions here are *member blocks*: blocks of a member's data area, the same on every
 * member.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { BlockIo, Op } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { RangeLocks } from './range-locks.ts';
import type { WorkRanges } from './work-ranges.ts';

export interface ProcessMember {
  /** Not null: in service. May change between any two turns, and within `memberWriteFailed`. */
  readonly device: BlockDevice | null;
}

/** What the process asks of the array whose members it works on. */
export interface ProcessHost {
  readonly reactor: Reactor;
  readonly blockBytes: number;
  readonly redundancy: 'mirror' | 'parity';
  /** 0 for mirrors. */
  readonly stripBlocks: number;
  /** Length of the member-block space; whole strips. */
  readonly memberDataBlocks: number;
  /** The largest read or write that every member, and the target, takes. */
  readonly memberBlocksMax: number;
  readonly members: readonly ProcessMember[];
  /** The slot that is being filled (by `replace`: the slot in question), or -1 without target. */
  readonly targetSlot: number;
  readonly locks: RangeLocks;
  /** First array block of a member block (of the first block of a strip). */
  arrayBlock(memberBlock: number): number;
  /** Parity levels: the slot that holds the parity of a stripe. */
  paritySlot(stripe: number): number;
  /**
   * Sends to the member in `slot`, which is in service. Completes to `io.completer`, never inline,
   * with `io.cookie` as it was; the host may use `parent`, `pending` and `stamp`. It counts errors.
   */
  sendToMember(
    io: BlockIo,
    slot: number,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void;
  /** Sends to the target; `targetSlot` is not -1. */
  sendToTarget(
    io: BlockIo,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void;
  /** A read of the process from a member failed: to be counted. */
  memberReadFailed(slot: number, status: number): void;
  /**
   * A write of the process to a member failed, and may yet land there with whatever its memory
   * holds by then. The host ejects the member now, if it has not and the level bears that, and
   * sees to it that these blocks are copied when it returns.
   */
  memberWriteFailed(slot: number, status: number, memberBlock: number, count: number): void;
}

export type ProcessKind = 'rebuild' | 'resync' | 'check';

export interface ProcessTuning {
  /** What is locked and moved at once, per member; whole strips for parity levels. */
  readonly chunkBytes: number;
  /** Chunks in flight. */
  readonly depth: number;
  /** Null: adaptive (pacer.ts). */
  readonly limitBytesPerSecond: number | null;
  /** How many times its idle p99 the p99 latency of the foreground may become. */
  readonly latencyFactor: number;
}

export const PROCESS_TUNING: ProcessTuning = {
  chunkBytes: 256 * 1024,
  depth: 8,
  limitBytesPerSecond: null,
  latencyFactor: 2,
};

export type ProcessOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'stopped' }
  | {
      readonly kind: 'failed';
      readonly status: number;
      /** The member that could not be read, written or done without; null: the target. */
      readonly slot: number | null;
      readonly memberBlock: number;
    };

/** What a chunk asks of its process. */
export interface ChunkWork {
  readonly host: ProcessHost;
  readonly ranges: WorkRanges;
  /** Blocks that a chunk reads and writes at once; the distance of its buffers. */
  readonly sliceBlocks: number;
  /** The slot that is being filled, remembered: the host's may become -1. */
  readonly targetSlot: number;
  /** The slot whose member is read first because it is being replaced, or -1. */
  readonly replaceSlot: number;
  /** A verification writes what differs. */
  readonly repairs: boolean;
  /** What a resync writes even where it agrees, because it may not last; null: nothing. */
  readonly unflushed: WorkRanges | null;
  /** Of three or more mirrors that differ, what most of them say is right. */
  readonly majority: boolean;
  /** The process has failed: chunks end at their next step. */
  readonly aborting: boolean;
  /** Ends the process as failed, as soon as the I/O in flight is back. */
  fail(status: number, slot: number | null, memberBlock: number): void;
  /** A block cannot be read anywhere. A copy starts no new chunks and will end as failed. */
  lossFound(status: number, slot: number, memberBlock: number): void;
  /** Reports blocks that cannot be read anywhere. */
  lost(memberBlock: number, count: number): void;
  /** Reports blocks that are not as redundancy wants them, or were not until now. */
  mismatch(memberBlock: number, count: number, repaired: boolean): void;
  /** Too few members are in service for anything to be compared. */
  cannotVerify(memberBlock: number): void;
  /** A chunk has left CHUNK_BUSY; the process looks at it at the end of the turn. */
  chunkEnded(): void;
}

/** The lowest slot without a member in service, other than `except`; -1 when there is none. */
export function missingSlot(host: ProcessHost, except: number): number {
  const { members } = host;
  for (let slot = 0; slot < members.length; slot += 1) {
    if (slot !== except && members[slot]!.device === null) return slot;
  }
  return -1;
}

/** True when enough members are in service for their contents to be compared. */
export function canVerify(host: ProcessHost): boolean {
  const { members } = host;
  let present = 0;
  for (let slot = 0; slot < members.length; slot += 1) {
    if (members[slot]!.device !== null) present += 1;
  }
  return host.redundancy === 'mirror' ? present >= 2 : present === members.length;
}
