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

/** So much of each member is compared at once; only where it differs one looks closer. */
const PIECE_BYTES = 4096;

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
  const bytes = (arrayBlocks / (parity ? layout.sizes.length - 1 : 1)) * blockBytes;
  const start = dataOffset * blockBytes;
  let count = 0;
  for (let at = start; at < start + bytes; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, start + bytes - at);
    const differences = differ(used, parity, at, length);
    if (differences === null) continue;
    for (let from = 0; from < length; from += blockBytes) {
      const block = (at + from - start) / blockBytes;
      if (compared !== null && !isCompared(layout, block, compared)) continue;
      const words = differences.subarray(from / 4, (from + blockBytes) / 4);
      if (words.some((word) => word !== 0)) count += 1;
    }
  }
  return count;
}

const $pieces = Array.from({ length: 8 }, () => new Uint8Array(PIECE_BYTES));

/** Words that are not 0 where mirrors differ, or where the XOR of the members is not 0; or null. */
function differ(
  used: readonly SimMedium[],
  parity: boolean,
  at: number,
  length: number,
): Uint32Array | null {
  used.forEach(({ now }, index) => {
    now.read(at, $pieces[index]!, 0, length);
  });
  const [first, ...others] = $pieces.slice(0, used.length);
  if (!parity && others.every((piece) => Buffer.compare(piece, first!) === 0)) return null;
  const words = new Uint32Array(length / 4);
  if (parity) {
    for (const piece of $pieces.slice(0, used.length)) xor(words, piece);
  } else {
    for (const piece of others) {
      const against = new Uint32Array(length / 4);
      xor(against, first!);
      xor(against, piece);
      against.forEach((word, index) => {
        words[index]! |= word;
      });
    }
  }
  return words.some((word) => word !== 0) ? words : null;
}

function xor(into: Uint32Array, piece: Uint8Array): void {
  const words = new Uint32Array(piece.buffer, piece.byteOffset, into.length);
  for (let index = 0; index < into.length; index += 1) into[index]! ^= words[index]!;
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
