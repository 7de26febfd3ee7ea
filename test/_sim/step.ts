/**
 * A history is data: a configuration and a list of steps. That is what lets a failing one be
 * printed, replayed, and made shorter by leaving out steps. A step that makes no sense where it
 * comes (an unplugged disk is unplugged, nothing is running) is passed over.
 */

import type { FaultKind, FaultOp } from './disk-fault.ts';
import type { Latency } from './sim-disk.ts';

export type LevelName = 'raid0' | 'raid1' | 'raid5f' | 'concat';

export type Step =
  | { readonly do: 'write'; readonly block: number; readonly count: number; readonly fua: boolean }
  | { readonly do: 'zeroes'; readonly block: number; readonly count: number; readonly fua: boolean }
  | { readonly do: 'trim'; readonly block: number; readonly count: number; readonly fua: boolean }
  | { readonly do: 'read'; readonly block: number; readonly count: number }
  | { readonly do: 'flush' }
  /** Lets virtual time pass. */
  | { readonly do: 'wait'; readonly us: number }
  /** Waits until nothing is in flight. */
  | { readonly do: 'drain' }
  /** Reads everything, twice. */
  | { readonly do: 'verify' }
  /** A clean stop and, at once, a start. */
  | { readonly do: 'restart' }
  /**
   * When so many more member I/Os have been done, the program dies or all power fails; then again
   * during the recovery, after so many I/Os each time.
   */
  | (Crash & { readonly do: 'crash'; readonly again: readonly Crash[] })
  | {
      readonly do: 'fault';
      readonly disk: number;
      readonly kind: FaultKind;
      readonly op: FaultOp;
      readonly skip: number;
    }
  /** Blocks of a member's data area become unreadable until they are written. */
  | { readonly do: 'latent'; readonly disk: number; readonly block: number; readonly count: number }
  /** The disk is pulled out, its cache with it when `power` is lost. */
  | { readonly do: 'unplug'; readonly disk: number; readonly power: boolean }
  /** The same of the disk of an NV cache: in blocks of 4096 bytes; it is back at the next start. */
  | { readonly do: 'cache-fault'; readonly op: FaultOp; readonly skip: number }
  | { readonly do: 'cache-latent'; readonly block: number; readonly count: number }
  | { readonly do: 'cache-unplug' }
  /** The same of a disk of a mirrored NV cache, while the other one has everything. */
  | {
      readonly do: 'half-fault';
      readonly slot: number;
      readonly kind: FaultKind;
      readonly op: FaultOp;
      readonly skip: number;
    }
  | {
      readonly do: 'half-latent';
      readonly slot: number;
      readonly block: number;
      readonly count: number;
    }
  | { readonly do: 'half-unplug'; readonly slot: number; readonly power: boolean }
  | { readonly do: 'half-plug'; readonly slot: number }
  /** What an administrator asks for, as with `member` and `process`. */
  | {
      readonly do: 'half';
      readonly what: 'add' | 'fail' | 'remove' | 'replace' | 'pause' | 'resume' | 'cancel';
      readonly slot: number;
      readonly disk: number;
    }
  /** The disk in this slot becomes larger while it is in use; the array may grow with it. */
  | { readonly do: 'grow'; readonly disk: number; readonly blocks: number }
  /**
   * A clean stop; then the array is erased from all disks, until that has succeeded, and another
   * one is made on them. Only in a history that has made the first one, too (`blank`).
   */
  | { readonly do: 'recreate' }
  /** It is there again, for the next start. */
  | { readonly do: 'plug'; readonly disk: number }
  /**
   * What an administrator asks for. `disk` chooses among those that the array does not use; it
   * counts for add and replace.
   */
  | {
      readonly do: 'member';
      readonly what: 'add' | 'fail' | 'remove' | 'replace';
      readonly slot: number;
      readonly disk: number;
    }
  /** What is in the NV cache is drained; it is taken away; or there is another one, on its disk. */
  | { readonly do: 'cache'; readonly what: 'drain' | 'detach' | 'attach' }
  | { readonly do: 'process'; readonly what: 'pause' | 'resume' | 'cancel' }
  /** `alone`: nothing else goes on, so that what it finds can be counted beforehand. */
  | { readonly do: 'check'; readonly repair: boolean; readonly alone: boolean }
  /** A block of one member changes by itself, and a check with repair has to put it right. */
  | { readonly do: 'corrupt'; readonly slot: number; readonly block: number };

export type CrashKind = 'power' | 'kill';

export interface Crash {
  readonly how: CrashKind;
  /** Member I/Os until it comes. */
  readonly ios: number;
  /** The disk in this slot is not there any more at the start after it; null: all are. */
  readonly loses: number | null;
  /** The same of a disk of a mirrored NV cache. */
  readonly losesHalf?: number;
}

export function powerCut(ios: number): Crash {
  return { how: 'power', ios, loses: null };
}

/** An FTL over the array. */
export interface FtlConfig {
  readonly unitBytes: number;
  readonly bandUnits: number;
  readonly overProvisioning: number;
  readonly pageEntries: number;
  /** Units between two checkpoints. */
  readonly checkpointUnits: number;
  /** The write buffer outlives a kill. */
  readonly survives: boolean;
  /** Units that it holds. */
  readonly slotCount: number;
}

/** An NV cache in front of the FTL, on a disk of its own. */
export interface CacheConfig {
  readonly bytes: number;
  /** Of its disk, as the fields of the same names below are of the others. */
  readonly blockBytes: number;
  readonly unitBytes: number;
  readonly volatileCache: boolean;
  readonly nativeFua: boolean;
  /** Shares of the ring above which draining begins, and to which it goes. */
  readonly highMark: number;
  readonly lowMark: number;
  readonly drainBlocks: number;
  /** Of a mirror: two disks and what takes the place of one; none: it is on one disk. */
  readonly halves: readonly HalfConfig[];
}

/** Its blocks are those of the ring. */
export interface HalfConfig {
  readonly unitBytes: number;
  readonly volatileCache: boolean;
  readonly nativeFua: boolean;
}

export interface Config {
  readonly level: LevelName;
  readonly members: number;
  readonly blockBytes: number;
  readonly stripBlocks: number;
  /** Blocks for data on each member before the level rounds them. */
  readonly dataBlocks: readonly number[];
  readonly unitBytes: number;
  readonly volatileCache: boolean;
  readonly nativeFua: boolean;
  readonly trim: 'none' | 'undefined' | 'zeroes';
  readonly latency: Latency;
  /** Operations of the user in flight at most. */
  readonly concurrency: number;
  /** What the stack works on at once. */
  readonly depth: number;
  /** The disks are blank: the subject creates the array at the first start. */
  readonly blank: boolean;
  /** Power fails already during the first starts: member I/Os until each cut. */
  readonly earlyCuts: readonly number[];
  /** Disks beside the members, which know nothing of the array at first. */
  readonly spares: number;
  /** Null: the array itself is what the user sees. */
  readonly ftl: FtlConfig | null;
  /** Null: there is none in front of the FTL. */
  readonly cache: CacheConfig | null;
}

export interface History {
  readonly seed: number;
  readonly config: Config;
  readonly steps: readonly Step[];
}

export function stepText(step: Step): string {
  const { do: name, ...rest } = step;
  const words = Object.entries(rest).map(([key, value]) => `${key} ${wordOf(value)}`);
  return words.length === 0 ? name : `${name}: ${words.join(', ')}`;
}

function wordOf(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
