/**
 * loadIntent: what the bitmaps on the members say at assembly.                      (control plane)
 *
 * The label of each member says whether the array was stopped cleanly and where the bitmap is. It
 * is believed only if it goes with the superblock that the array is assembled from. Then
 *
 *   clean                      nothing differs; intent that is still on disk means nothing
 *   not clean                  regions with intent may differ between members, and what they show
 *                              may not last: unsynced and unflushed
 *   created, never started     nobody has made the members equal yet: everything is unsynced
 *   labels of another time     a change of the superblock was interrupted: everything is unsynced
 *                              and unflushed
 *   no label                   (made or written by SPDK): everything is unsynced
 *
 * A slot without a member in service may have missed whatever was being written when the array
 * stopped, so intent becomes missed there too. What cannot be compared (parity with a member out,
 * a mirror of one) is not unsynced: there is nothing to resync from.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import type { AssembledSlot, Assembly } from './assemble.ts';
import {
  plannedBitmap,
  REGION_INTENT,
  REGION_MISSED,
  regionBlocksFor,
  regionsOf,
} from './bitmap-format.ts';
import { type BitmapCopy, mergeBitmaps, readBitmap } from './bitmap-io.ts';
import type { LabelBitmap } from './label.ts';
import { needsRecord } from './record-loss.ts';
import { UNFLUSHED, UNSYNCED } from './region-kind.ts';

export interface LoadedIntent {
  readonly bitmap: LabelBitmap;
  /** One byte for each region, to be written to every member. */
  readonly states: Uint8Array;
  /** UNSYNCED, and UNFLUSHED, for each region that a resync has to visit; null: none. */
  readonly unsynced: Uint8Array | null;
  /** See Label.missedSince. */
  readonly missedSince: number;
}

/** `assembly` is as examined: losses that are recorded now are not in it yet. */
export async function loadIntent(
  reactor: Reactor,
  assembly: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
  regionBlocks: number | null,
): Promise<LoadedIntent> {
  const { superblock, slots } = assembly;
  const inService = slots.filter(({ device }) => device !== null);
  const known = inService.every(({ label }) => label?.superblockSeq === superblock.seq);
  const before = known ? commonBitmap(inService) : null;
  const wanted =
    before?.regionBlocks ??
    regionBlocks ??
    regionBlocksFor(superblock.raidSize, superblock.blockBytes);
  const bitmap = plannedBitmap(superblock.raidSize, wanted);
  const regions = regionsOf(superblock.raidSize, wanted);
  const states = new Uint8Array(regions);
  if (before !== null) {
    const copies: BitmapCopy[] = [];
    for (const { device } of inService) {
      copies.push(
        await readBitmap(reactor, devices.get(device!)!, before, superblock.uuid, regions),
      );
    }
    states.set(mergeBitmaps(copies, regions).states);
  }
  const clean = known && inService.every(({ label }) => label?.state === 'clean');
  const fresh = clean && inService.every(({ label }) => label?.eventCount === 0);
  const ours = inService.some(({ label }) => label !== null);
  const kind = !clean && ours ? UNSYNCED | UNFLUSHED : UNSYNCED;
  const unsynced = new Uint8Array(regions);
  for (let region = 0; region < regions; region += 1) {
    const intent = (states[region]! & REGION_INTENT) !== 0;
    const differs = before === null ? !clean || fresh : !clean && intent;
    if (differs) unsynced[region] = kind;
    if (differs) states[region]! |= REGION_INTENT;
    else states[region]! &= ~REGION_INTENT;
  }
  return {
    bitmap,
    states:
      inService.length < slots.length || assembly.target !== null ? withMissed(states) : states,
    unsynced: canCompare(assembly, inService.length) ? unsynced : dropIntent(states),
    missedSince: missedSince(assembly, before !== null || clean),
  };
}

/** The bitmap that the labels agree on, or null. */
function commonBitmap(slots: readonly AssembledSlot[]): LabelBitmap | null {
  const first = slots[0]?.label?.bitmap ?? null;
  const same = slots.every(
    ({ label }) =>
      label?.bitmap != null &&
      label.bitmap.bytes === first?.bytes &&
      label.bitmap.offsetBytes === first.offsetBytes &&
      label.bitmap.regionBlocks === first.regionBlocks,
  );
  return same ? first : null;
}

function withMissed(states: Uint8Array): Uint8Array {
  for (let region = 0; region < states.length; region += 1) {
    if ((states[region]! & REGION_INTENT) !== 0) states[region]! |= REGION_MISSED;
  }
  return states;
}

function dropIntent(states: Uint8Array): null {
  for (let region = 0; region < states.length; region += 1) states[region]! &= ~REGION_INTENT;
  return null;
}

function canCompare({ superblock, slots }: Assembly, present: number): boolean {
  return superblock.level === 'raid1' ? present > 1 : present === slots.length;
}

/**
 * A member that was in service at the last stop lacks nothing but what was missed since then, so
 * the sequence of that time will do; with members out already, what the labels say goes on. Without
 * a history it begins with the record that is made of the members missing now, or, when all of them
 * are on record, with that record: none of them has it.
 */
function missedSince(assembly: Assembly, hasHistory: boolean): number {
  const { superblock } = assembly;
  const complete = superblock.members.every(({ state }) => state === 'configured');
  if (hasHistory && complete) return superblock.seq;
  if (hasHistory && assembly.missedSince > 0) return assembly.missedSince;
  return needsRecord(assembly) ? superblock.seq + 1 : superblock.seq;
}
