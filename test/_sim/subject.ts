/**
 * Subject: what the simulator asks of the stack under test, and what the stack promises.
 *
 * One subject object is one life of a program: it is made over freshly opened disks, and dies with
 * `close`, or without a word when the world crashes. Whatever knows how to store blocks on disks
 * can be one: a plain RaidArray, an array with its manager, an FTL over one.
 */

import type { BlockDevice } from '../../src/block/block-device.ts';
import type { LiveRanges } from '../../src/block/live-ranges.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import type { Layout } from '../_helpers/raid-reference.ts';
import type { SimDisk } from './sim-disk.ts';
import type { CacheConfig, FtlConfig } from './step.ts';

/** What a subject promises beyond the ten laws; the model and the atlas go by it. */
export interface Promises {
  /** Overlapping writes in flight leave one of them, the same everywhere. */
  readonly overlap: boolean;
  /** Once read, a value that a crash left undecided stays. */
  readonly settles: boolean;
  /** A failed write or flush of a member is dealt with where the level bears it. */
  readonly ejects: boolean;
  /** Members that were away can be made current again. */
  readonly rebuilds: boolean;
  /** raid0 and raid1 become larger with their members. */
  readonly grows: boolean;
  /**
   * An FTL lies on the array: nothing relies on what was in flight, so that a crash makes no hole;
   * a write that fails gets another place; what was read once stays, whoever is lost.
   */
  readonly log: boolean;
  /** An NV cache lies in front of it: what was answered is in there, whatever becomes of an FTL. */
  readonly cached: boolean;
}

export type SlotState = 'in-service' | 'target' | 'out';

export interface SubjectHealth {
  /** One per slot. */
  readonly slots: readonly SlotState[];
  /** A rebuild, resync or check is under way, or members may still differ. */
  readonly settling: boolean;
  readonly failed: boolean;
  /** It takes no changes any more. */
  readonly readOnly: boolean;
}

export interface OpenOptions {
  /** Starting without members is meant. */
  readonly degraded: boolean;
  /** No start has succeeded yet: there need not be an array. */
  readonly mayCreate: boolean;
  /** What lies on the disks may be an array that is not complete: creating one overwrites it. */
  readonly mayOverwrite: boolean;
  /** Of the machine; another one after each power cut. */
  readonly bootId: string;
  /** There are disks that need not be members. */
  readonly scan: boolean;
  /** Called when an array was made, which replaces what may have run before. */
  arrayCreated(): void;
  /** Called when the array runs; what lies on it may not be there yet. */
  arrayRuns(): void;
  /** The same of the mirror of an NV cache: starting it without half of it is meant. */
  readonly cacheDegraded: boolean;
  /** Called when the mirror runs, also when it was made in this life. */
  cacheRuns(): void;
}

/** What an administrator can do and see. Requests throw BandstandError where they are refused. */
export interface SubjectAdmin {
  /** The name of the device that is in service in the slot, or null. */
  deviceIn(slot: number): string | null;
  /** What goes on, if anything does. */
  readonly process: { readonly kind: string; readonly paused: boolean } | null;
  /** The disk is closed; it is open when the array has taken it. */
  addMember(disk: SimDisk): Promise<void>;
  failMember(slot: number): Promise<void>;
  removeMember(slot: number): Promise<void>;
  replaceMember(slot: number, disk: SimDisk): Promise<void>;
  startCheck(repair: boolean): Promise<void>;
  pauseProcess(): Promise<void>;
  resumeProcess(): Promise<void>;
  cancelProcess(): Promise<void>;
  /** Mismatches that the last check found, or null when none has ended since one was begun. */
  readonly mismatches: number | null;
}

/** The array of two below an NV cache. */
export interface SubjectMirror {
  readonly admin: SubjectAdmin;
  health(): SubjectHealth;
}

/** What an administrator can do with an NV cache. Requests throw BandstandError. */
export interface SubjectCache {
  /** What it lies on, while that is open; null: one device. */
  readonly mirror: SubjectMirror | null;
  /** It is in front of the FTL. */
  readonly inUse: boolean;
  /** All that is in it now gets behind it; false: that is not possible. */
  drain(): Promise<boolean>;
  /** Empties it, and lets everything pass; false: that is not possible. */
  retire(): Promise<boolean>;
  /** It is in front no more. It was retired, and no operation of a user is in flight. */
  leave(): Promise<void>;
  /** Makes one; none is in use. */
  make(): Promise<void>;
  /** What was made is in front from now on. No operation of a user is in flight. */
  join(): Promise<void>;
}

export interface Subject {
  readonly promises: Promises;
  /** Throws BandstandError where it refuses; nothing is left open then. */
  open(options: OpenOptions): Promise<void>;
  /** Valid after `open`. */
  readonly device: BlockDevice;
  /** Blocks of the array, whatever lies on it. */
  readonly arrayBlocks: number;
  /** Looks at its own data: what is wrong with it, or null. */
  check(): Promise<string | null>;
  /** Array blocks that are the same on all members once nothing is settling; null: all of them. */
  compared(): Promise<LiveRanges | null>;
  health(): SubjectHealth;
  readonly admin: SubjectAdmin | null;
  /** Null without an NV cache. */
  readonly cache: SubjectCache | null;
  /** A clean stop. Disks are closed when it resolves. */
  close(): Promise<void>;
}

/** The array that a subject works on, fixed for the whole history. */
export interface SimArray {
  readonly uuid: string;
  readonly layout: Layout;
  readonly blockBytes: number;
  /** Blocks before the data area of each member. */
  readonly dataOffset: number;
  /** Operations that the subject works on at once. */
  readonly depth: number;
  /** Blocks of a region of the bitmap. */
  readonly regionBlocks: number;
  /** What a rebuild, resync or check reads at once. */
  readonly chunkBytes: number;
  readonly ftl: FtlConfig | null;
  readonly cache: CacheConfig | null;
}

export type SubjectFactory = (
  reactor: Reactor,
  disks: readonly SimDisk[],
  array: SimArray,
) => Subject;
