/**
 * What a world is made of and for, and what a power cut that is left open has kept of it.
 */

import { FTL_BLOCK_BYTES } from '../../src/ftl/geometry.ts';
import { SimulatedMemory } from '../../src/reactor/simulated-memory.ts';
import type { SimMedium, SimWrite } from './medium.ts';
import type { ModelOptions } from './model.ts';
import type { Random } from './random.ts';
import type { Config, CrashKind } from './step.ts';
import type { Promises, SimArray, SubjectFactory } from './subject.ts';
import type { Trace } from './trace.ts';

const INDEX_BYTES = 4096;

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
  /** What the user's device grows to at most. */
  readonly blocksMax: number;
  /** What the FTL has at first; null: there is none. */
  readonly ftlBlocks: number | null;
  /** Keep the disks as they were right before the trigger's power cut, and end there. */
  readonly keepsCut: boolean;
}

/** The disks at a power cut whose outcome is still open. */
export interface OpenCut {
  readonly media: readonly SimMedium[];
  /** For each disk the writes in flight that did not happen yet. */
  readonly flying: readonly (readonly SimWrite[])[];
}

/** What the device that the user sees promises of each block. */
export function modelOptions({ blocksMax, config, promises }: WorldOptions): ModelOptions {
  const { blockBytes, ftl, level, unitBytes } = config;
  return {
    blockCount: blocksMax,
    blockBytes: ftl === null ? blockBytes : FTL_BLOCK_BYTES,
    atomicBlocks: promises.log || (unitBytes >= blockBytes && level !== 'raid5f'),
    volatileCache: isVolatile(config, promises.cached),
  };
}

/** Whether a power cut may take what was answered, with an NV cache in use or without. */
export function isVolatile({ cache, ftl, volatileCache }: Config, isCached: boolean): boolean {
  if (cache !== null && isCached) {
    return [cache, ...cache.halves].some((disk) => disk.volatileCache);
  }
  return volatileCache || ftl?.survives === true;
}

/** An index, and the units of the write buffer. */
export function survivingMemory({ ftl }: Config): SimulatedMemory | null {
  if (ftl === null || !ftl.survives) return null;
  return new SimulatedMemory(INDEX_BYTES + ftl.slotCount * ftl.unitBytes);
}
