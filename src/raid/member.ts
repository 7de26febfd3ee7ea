/**
 * Member: one slot of an array and the device that fills it.                          (data plane)
 *
 * A member is *in service* while `device` is set: it gets every write and may be read. It leaves
 * service in one step (`device` becomes null), after which nothing new is sent to it; what is in
 * flight comes back and is ignored. The device itself stays in `gone` until somebody lets go of it.
 *
 * A *target* is a device that a rebuild fills for a slot. It gets every write, is never read, and
 * becomes the slot's member when everything is on it.
 */

import type { BlockDevice } from '../block/block-device.ts';

/** What becomes of FLAG_FUA: passed on; replaced by a flush; dropped, where there is no cache. */
export const FUA_PASS = 0;
export const FUA_FLUSH = 1;
export const FUA_DROP = 2;
export type FuaWay = 0 | 1 | 2;

export type MemberHealth = 'ok' | 'rebuilding' | 'failed' | 'missing';

export class Member {
  readonly slot: number;
  /** Null in an array without superblock. */
  uuid: string | null;
  /** Null when the slot has no member in service. */
  device: BlockDevice | null;
  /** Blocks from the start of the device to its data. */
  dataOffset: number;
  /** Blocks of data. */
  dataSize: number;
  /** The device that left service and is still open, or null. */
  gone: BlockDevice | null = null;
  /** Why the slot has no member in service: it failed, or it is not there. */
  lostAs: 'failed' | 'missing' = 'missing';
  readErrors = 0;
  writeErrors = 0;
  /** Blocks that could not be read, were computed from the others, and written again. */
  repairedBlocks = 0;
  /** Blocks of reads in flight: what raid1 balances by. */
  readingBlocks = 0;
  /** The status of its last failed flush: every later flush fails with it. */
  flushStatus = 0;
  /** The status with which the device reported that it has failed, or 0. */
  failedStatus = 0;
  fua: FuaWay = FUA_DROP;

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

/** What a rebuild fills. */
export class Target {
  readonly slot: number;
  readonly uuid: string;
  readonly device: BlockDevice;
  readonly dataOffset: number;
  /** True when the slot's old member stays in service until the copy is complete. */
  readonly replaces: boolean;

  constructor(
    slot: number,
    uuid: string,
    device: BlockDevice,
    dataOffset: number,
    replaces: boolean,
  ) {
    this.slot = slot;
    this.uuid = uuid;
    this.device = device;
    this.dataOffset = dataOffset;
    this.replaces = replaces;
  }
}
