/**
 * What a world is made of and for, and what a power cut that is left open has kept of it.
 */

import type { SimMedium, SimWrite } from './medium.ts';
import type { Random } from './random.ts';
import type { Config, CrashKind, FtlConfig } from './step.ts';
import type { Promises, SimArray, SubjectFactory } from './subject.ts';
import type { Trace } from './trace.ts';

/** An index, and the units. */
export function survivingBytes({ slotCount, unitBytes }: FtlConfig): number {
  return 4096 + slotCount * unitBytes;
}

/** Something that happens at one member I/O of the whole history, counted from 0. */
export interface Trigger {
  readonly kind: 'fail' | 'tear' | CrashKind;
  readonly at: number;
}

export interface WorldOptions {
  readonly config: Config;
  readonly array: SimArray;
  readonly promises: Promises;
  readonly factory: SubjectFactory;
  readonly random: Random;
  readonly trace: Trace;
  readonly trigger: Trigger | null;
  /** What the array grows to at most, or what the FTL has. */
  readonly blocksMax: number;
  /** Keep the disks as they were right before a power cut, and end there. */
  readonly keepsCut: boolean;
}

/** The disks at a power cut whose outcome is still open. */
export interface OpenCut {
  readonly media: readonly SimMedium[];
  /** For each disk the writes in flight that did not happen yet. */
  readonly flying: readonly (readonly SimWrite[])[];
}
