/**
 * Looks at the members themselves, past the code under test: every certain block is where the
 * level's published formula puts it, on every member in service, and the parity of every stripe of
 * certain blocks is their XOR.
 */

import type { LiveRanges } from '../../src/block/live-ranges.ts';
import { type Layout, referenceParity, referencePlaces } from '../_helpers/raid-reference.ts';
import type { SimMedium } from './medium.ts';
import type { Model } from './model.ts';
import type { SimArray } from './subject.ts';

/** What is wrong, or null. `inService` has one entry per slot; the array has so many blocks. */
export function checkMembers(
  array: SimArray,
  media: readonly SimMedium[],
  inService: readonly boolean[],
  model: Model,
  blocks: number,
): string | null {
  const { layout, blockBytes, dataOffset } = array;
  const bytes = new Uint8Array(blockBytes);
  const words = new Uint32Array(bytes.buffer);
  for (let block = 0; block < blocks; block += 1) {
    if (!model.isCertain(block)) continue;
    for (const { member, block: at } of referencePlaces(layout, block)) {
      if (!inService[member]) continue;
      media[member]!.now.read((dataOffset + at) * blockBytes, bytes, 0, blockBytes);
      const wrong = model.checkCopy(block, words, 0);
      if (wrong !== null) return `slot ${member}: ${wrong}`;
    }
  }
  if (layout.level !== 'raid5f' || inService.includes(false)) return null;
  return checkParity(array, media, model, blocks);
}

function checkParity(
  array: SimArray,
  media: readonly SimMedium[],
  model: Model,
  blocks: number,
): string | null {
  const { layout, blockBytes, dataOffset } = array;
  const stripe = layout.strip * (layout.sizes.length - 1);
  const stripBytes = layout.strip * blockBytes;
  const strip = new Uint8Array(stripBytes);
  const words = new Uint32Array(strip.buffer);
  const sum = new Uint32Array(stripBytes / 4);
  const stripes = blocks / stripe;
  for (let number = 0; number < stripes; number += 1) {
    let certain = true;
    for (let index = 0; index < stripe; index += 1) {
      certain &&= model.isCertain(number * stripe + index);
    }
    if (!certain) continue;
    sum.fill(0);
    for (const medium of media) {
      const at = (dataOffset + number * layout.strip) * blockBytes;
      medium.now.read(at, strip, 0, stripBytes);
      for (let index = 0; index < sum.length; index += 1) sum[index]! ^= words[index]!;
    }
    const wrong = sum.findIndex((word) => word !== 0);
    if (wrong === -1) continue;
    const parity = referenceParity(layout, number);
    return `the parity of stripe ${number} (slot ${parity}) is wrong at byte ${wrong * 4} of its strips`;
  }
  return null;
}

/**
 * Member blocks in which a check has to find that the members in service disagree. It looks at what
 * is in `compared`, of parity levels at whole strips; null: at everything.
 */
export function countMismatches(
  { layout, blockBytes, dataOffset }: SimArray,
  media: readonly SimMedium[],
  inService: readonly boolean[],
  arrayBlocks: number,
  compared: LiveRanges | null = null,
): number {
  const used = media.filter((_, slot) => inService[slot]);
  const parity = layout.level === 'raid5f';
  const perMember = parity ? layout.sizes.length - 1 : 1;
  const blocks = arrayBlocks / perMember;
  const sum = new Uint8Array(blockBytes);
  const bytes = new Uint8Array(blockBytes);
  let count = 0;
  for (let block = 0; block < blocks; block += 1) {
    if (compared !== null && !isCompared(layout, block, compared)) continue;
    sum.fill(0);
    let differ = false;
    used.forEach(({ now }, index) => {
      now.read((dataOffset + block) * blockBytes, bytes, 0, blockBytes);
      if (!parity && index > 0) differ ||= Buffer.compare(bytes, sum) !== 0;
      else for (let at = 0; at < blockBytes; at += 1) sum[at]! ^= bytes[at]!;
    });
    if (parity ? sum.some((byte) => byte !== 0) : differ) count += 1;
  }
  return count;
}

/** True when a check looks at the member block. */
export function isCompared(
  { level, sizes, strip }: Layout,
  block: number,
  set: LiveRanges,
): boolean {
  const parity = level === 'raid5f';
  const first = parity ? Math.floor(block / strip) * strip * (sizes.length - 1) : block;
  const end = parity ? first + strip * (sizes.length - 1) : block + 1;
  const live = set.nextLive(first);
  return live !== -1 && live < end;
}
