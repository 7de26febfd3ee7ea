/**
 * Histories of an FTL, as data: a configuration and a list of steps. The steps are those of array
 * histories as far as they make sense over one device.
 */

import type { Latency } from './sim-disk.ts';
import type { CrashKind } from './step.ts';

export type FtlBase = 'disk' | 'raid0' | 'raid1' | 'raid5f';

export interface FtlConfig {
  readonly base: FtlBase;
  /** Bytes per block of the disks. */
  readonly blockBytes: number;
  readonly unitBytes: number;
  readonly bandUnits: number;
  /** About so many. */
  readonly bandCount: number;
  readonly overProvisioning: number;
  readonly pageEntries: number;
  readonly checkpointUnits: number;
  /** The write buffer outlives a kill. */
  readonly survives: boolean;
  readonly slotCount: number;
  readonly atomicBytes: number;
  readonly volatileCache: boolean;
  readonly latency: Latency;
  readonly concurrency: number;
}

export type FtlStep =
  | { readonly do: 'write'; readonly block: number; readonly count: number; readonly fua: boolean }
  | { readonly do: 'zeroes'; readonly block: number; readonly count: number; readonly fua: boolean }
  | { readonly do: 'trim'; readonly block: number; readonly count: number; readonly fua: boolean }
  | { readonly do: 'read'; readonly block: number; readonly count: number }
  | { readonly do: 'flush' }
  | { readonly do: 'wait'; readonly us: number }
  | { readonly do: 'drain' }
  | { readonly do: 'verify' }
  | { readonly do: 'restart' }
  | {
      readonly do: 'crash';
      readonly how: CrashKind;
      readonly ios: number;
      /** Crashes during the starts that follow: member I/Os until each. */
      readonly again: readonly { readonly how: CrashKind; readonly ios: number }[];
    }
  /** The write of a unit fails after so many others. */
  | { readonly do: 'fail-write'; readonly disk: number; readonly skip: number }
  /** A flush fails after so many others; from then on the power cut is certain. */
  | { readonly do: 'fail-flush'; readonly disk: number; readonly skip: number };

export interface FtlHistory {
  readonly seed: number;
  readonly config: FtlConfig;
  readonly steps: readonly FtlStep[];
}

export function ftlStepText(step: FtlStep): string {
  return JSON.stringify(step);
}
