/**
 * ArrayKeeper: who an array tells what happens to its members.                        (data plane)
 *
 * The array decides on the data path; what it decides has to be written down, and what follows from
 * it has to be begun. That is the keeper's, outside the data path (metadata-keeper.ts).
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Op } from '../block/block-io.ts';
import type { Target } from './member.ts';

/** Told about single members; called from a reactor turn. */
export interface MemberObserver {
  /** A child operation has failed on a member that is present. */
  memberError(slot: number, op: Op, status: number): void;
}

/** Keeps an array's metadata true; without one no member is ejected. Called from reactor turns. */
export interface ArrayKeeper extends MemberObserver {
  /** A member has left service. To be recorded; then `lossRecorded`, before which answers wait. */
  memberEjected(slot: number, status: number): void;
  /** The target of a rebuild has failed; the array has let go of it. */
  targetLost(target: Target, status: number): void;
  /** Blocks of a member that could not be read have been written again. */
  blocksRepaired(slot: number, blockCount: number): void;
  /** The device of a member, or of one that is being made whole, has another size. */
  memberResized(device: BlockDevice): void;
  /** Members may differ in a range since a write that failed: a resync is due. */
  rangeDistrusted(): void;
  /** While it asks for it: how long an operation of the layer above took. */
  readonly wantsLatency: boolean;
  foregroundDone(latencyUs: number): void;
}
