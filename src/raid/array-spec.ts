/**
 * ArraySpec: everything that RaidArray has to know, devices included.               (control plane)
 *
 * Made by plan.ts (a new array, or one without superblock) or assemble.ts (from superblocks).
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { LevelName } from './level-rules.ts';

export interface ArrayMemberSpec {
  /** Null for an array without superblock. */
  readonly uuid: string | null;
  /** Null when the member is missing. */
  readonly device: BlockDevice | null;
  /** Blocks from the start of the device to its data. */
  readonly dataOffset: number;
  /** Blocks of data. */
  readonly dataSize: number;
}

export interface ArraySpec {
  readonly name: string;
  /** Null for an array without superblock. */
  readonly uuid: string | null;
  readonly level: LevelName;
  readonly blockBytes: number;
  /** Blocks; 0 for raid1. */
  readonly stripBlocks: number;
  /** Blocks of the array. */
  readonly blockCount: number;
  /** One per slot, in slot order. */
  readonly members: readonly ArrayMemberSpec[];
}
