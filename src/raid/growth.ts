/**
 * Growth: an array uses what its members have gained.                               (control plane)
 *
 * At raid0 and raid1 blocks can be added at the end without moving any. The size follows the member
 * that offers least, so growing all but one changes nothing. Order, so that a cut at any point
 * leaves the old size or the new one:
 *
 *   bitmap for the larger size on every member (the labels still describe the smaller one)
 *   → superblock + 1 with the new sizes → the array serves the new size → labels with the bitmap
 *
 * What was added may differ between mirrors, so its regions begin with intent, unsynced. A member
 * that leaves in the middle ends it before the superblock, and is missed in the bitmap after it.
 */

import { OK } from '../block/status.ts';
import { type FailedPlace, statusOf } from './array-metadata.ts';
import { AwaitedLock } from './awaited-lock.ts';
import {
  BITMAP_BLOCKS_MAX,
  bitmapBlocks,
  plannedBitmap,
  REGION_ALL,
  REGION_INTENT,
  regionsOf,
} from './bitmap-format.ts';
import { writeBitmap } from './bitmap-io.ts';
import type { LabelBitmap } from './label.ts';
import { levelRules } from './level-rules.ts';
import type { RaidArray } from './raid-array.ts';
import type { RebuildContext } from './rebuild-steps.ts';
import { UNSYNCED } from './region-kind.ts';
import type { Superblock } from './superblock.ts';
import type { WriteIntent } from './write-intent.ts';

export interface Growth {
  readonly blockCount: number;
  readonly dataSizes: readonly number[];
}

export type GrowthContext = Omit<RebuildContext, 'intent'>;

export interface GrownIntent {
  readonly bitmap: LabelBitmap;
  readonly states: Uint8Array;
  readonly unsynced: Uint8Array;
}

/** What the array could be with its members as they are; null when that is not more. */
export function plannedGrowth({ spec, members }: RaidArray): Growth | null {
  if (spec.level !== 'raid0' && spec.level !== 'raid1') return null;
  if (members.some(({ device }) => device === null)) return null;
  const rules = levelRules(spec.level);
  const available = members.map(({ device, dataOffset }) => {
    return device!.geometry.blockCount - dataOffset;
  });
  const dataSizes = rules.dataSizes(available, spec.stripBlocks);
  const blockCount = rules.arraySize(dataSizes, spec.stripBlocks);
  return blockCount > spec.blockCount ? { blockCount, dataSizes } : null;
}

/** Grown members in the superblock. */
function grownSuperblock(growth: Growth): (superblock: Superblock) => Superblock {
  return (superblock) => ({
    ...superblock,
    raidSize: growth.blockCount,
    members: superblock.members.map((entry) => ({
      ...entry,
      dataSize: growth.dataSizes[entry.slot]!,
    })),
  });
}

/**
 * The bitmap of the larger array, or null when it does not fit its area. Without some member, that
 * one misses what is new.
 */
function grownIntent(
  intent: WriteIntent,
  blockCount: number,
  incomplete: boolean,
): GrownIntent | null {
  const { regionBlocks } = intent;
  const bits = incomplete ? REGION_ALL : REGION_INTENT;
  const regions = regionsOf(blockCount, regionBlocks);
  if (bitmapBlocks(regions) > BITMAP_BLOCKS_MAX) return null;
  const before = intent.states(false);
  const states = new Uint8Array(regions).fill(bits);
  states.set(before);
  const unsynced = new Uint8Array(regions).fill(UNSYNCED);
  // The last region was cut by the old end, so it is one of the new ones.
  const whole = before.length - 1;
  states[whole]! |= bits;
  for (let region = 0; region < whole; region += 1) {
    unsynced[region] = intent.unsyncedState(region);
  }
  return { bitmap: plannedBitmap(blockCount, regionBlocks), states, unsynced };
}

/**
 * Makes the growth durable; then `serve` makes it visible, while nothing is in flight. False when
 * it could not be recorded: the array is as it was.
 */
export async function grow(
  context: GrowthContext,
  growth: Growth,
  intent: WriteIntent | null,
  serve: (larger: GrownIntent | null) => void,
): Promise<boolean> {
  const { array, metadata, placesFailed } = context;
  const lock = new AwaitedLock(array.locks);
  await lock.acquire();
  try {
    let larger: GrownIntent | null = null;
    if (intent !== null) {
      larger = await writeBitmaps(context, growth, intent);
      if (larger === null || array.incomplete) return false;
    }
    if (!placesFailed(await metadata.writeSuperblock(grownSuperblock(growth)))) return false;
    if (intent !== null && array.incomplete) {
      // Who has left meanwhile lacks what was in use, and all that is new.
      larger = await writeBitmaps(context, growth, intent);
      if (larger === null) return false;
    }
    serve(larger);
    placesFailed(await metadata.writeLabels(larger === null ? {} : { bitmap: larger.bitmap }));
    return true;
  } finally {
    lock.release();
  }
}

/**
 * Puts the bitmap of the larger array on every member, as it is when the last of them has it: one
 * that leaves meanwhile changes what is in it. Null when there is none, or it cannot be written.
 */
async function writeBitmaps(
  { array, metadata, reactor, placesFailed }: GrowthContext,
  { blockCount }: Growth,
  intent: WriteIntent,
): Promise<GrownIntent | null> {
  for (;;) {
    const { absent } = array;
    if ((await intent.settled()) !== OK) return null;
    const larger = grownIntent(intent, blockCount, absent > 0);
    if (larger === null) return null;
    const { uuid } = metadata.superblock;
    const failed: FailedPlace[] = [];
    for (const place of [...metadata.places]) {
      try {
        await writeBitmap(reactor, place.device, larger.bitmap, uuid, larger.states);
      } catch (error) {
        failed.push({ place, status: statusOf(error) });
      }
    }
    if (!placesFailed(failed)) return null;
    if (array.absent === absent) return larger;
  }
}
