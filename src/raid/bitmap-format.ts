/**
 * The write-intent bitmap: two bits for each region of an array.                    (control plane)
 *
 * A region is a power of two of array blocks, at least 1 MiB. Its bits:
 *
 *   intent  it may be written at present: after a crash the members may differ there
 *   missed  it was written while a member was away: the member needs it when it comes back
 *
 * The bitmap lies between 128 KiB and 1 MiB on every member, in blocks of 4096 bytes that are
 * written one by one. Each carries a checksum, its index, the array and the region size, so that a
 * torn, misplaced or foreign block is never believed, and neither is one of zeroes, which is what a
 * disk gives that has lost it: a label names a bitmap only once all of it is written.
 *
 * In memory a bitmap is one byte for each region (`states`), 0 to 3. A block that cannot be
 * believed counts as all set, which costs time and never data. Reading and writing whole bitmaps,
 * and putting the members' copies together: bitmap-io.ts.
 */

import { assert } from '../block/assert.ts';
import { crc32cAround } from '../block/crc32c.ts';
import { firstNonZero, Layout } from '../block/layout.ts';
import {
  BITMAP_AREA_END,
  BITMAP_AREA_START,
  BITMAP_BLOCK_BYTES,
  type LabelBitmap,
} from './label.ts';
import { isPowerOfTwo } from './level-rules.ts';

export const BITMAP_SIGNATURE = 'BANDSTBM';
export const REGION_INTENT = 1;
export const REGION_MISSED = 2;
/** Both: what is assumed where nothing is known. */
export const REGION_ALL = 3;

export const BITMAP_BLOCK = new Layout('Bitmap block', BITMAP_BLOCK_BYTES, [
  { name: 'signature', offset: 0, bytes: 8, type: 'bytes', meaning: 'ASCII `BANDSTBM`, no NUL' },
  {
    name: 'crc',
    offset: 8,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the block with this field zero',
  },
  { name: 'index', offset: 12, bytes: 4, type: 'u32', meaning: 'number of the block, from 0' },
  { name: 'array_uuid', offset: 16, bytes: 16, type: 'uuid', meaning: 'UUID of the array' },
  {
    name: 'region_blocks',
    offset: 32,
    bytes: 8,
    type: 'u64',
    meaning: 'blocks of the array per region, as in the label',
  },
  { name: 'reserved', offset: 40, bytes: 24, type: 'zero', meaning: 'zero' },
  {
    name: 'regions',
    offset: 64,
    bytes: 4032,
    type: 'bytes',
    meaning:
      'region r of the block: byte r / 4, bit 2 · (r mod 4) intent, the bit above it missed; 0 beyond the last region of the array',
  },
]);

const CRC = BITMAP_BLOCK.field('crc');
const REGIONS = BITMAP_BLOCK.field('regions');
/** 16 128 regions in a block. */
export const REGIONS_PER_BLOCK = REGIONS.bytes * 4;
/** 224 blocks at most. */
export const BITMAP_BLOCKS_MAX = (BITMAP_AREA_END - BITMAP_AREA_START) / BITMAP_BLOCK_BYTES;
const REGION_BYTES_MIN = 2 ** 20;
/** Keeps the bitmap of a huge array small enough to be read, searched and written quickly. */
const REGIONS_MAX = 2 ** 20;
const SIGNATURE_BYTES = new TextEncoder().encode(BITMAP_SIGNATURE);

assert(REGIONS_MAX <= BITMAP_BLOCKS_MAX * REGIONS_PER_BLOCK, 'all regions fit into the area');

/** The region size for an array: the least that keeps to both limits above. */
export function regionBlocksFor(arrayBlocks: number, blockBytes: number): number {
  assert(arrayBlocks > 0 && blockBytes > 0, 'an array has blocks');
  let blocks = 1;
  while (blocks * blockBytes < REGION_BYTES_MIN || regionsOf(arrayBlocks, blocks) > REGIONS_MAX) {
    blocks *= 2;
  }
  return blocks;
}

export function regionsOf(arrayBlocks: number, regionBlocks: number): number {
  return Math.ceil(arrayBlocks / regionBlocks);
}

export function bitmapBlocks(regions: number): number {
  return Math.ceil(regions / REGIONS_PER_BLOCK);
}

export function bitmapBytes(regions: number): number {
  return bitmapBlocks(regions) * BITMAP_BLOCK_BYTES;
}

/** What the label of a member says about the bitmap of an array of this size. */
export function plannedBitmap(arrayBlocks: number, regionBlocks: number): LabelBitmap {
  assert(isPowerOfTwo(regionBlocks), 'a region is a power of two of blocks');
  const bytes = bitmapBytes(regionsOf(arrayBlocks, regionBlocks));
  assert(bytes <= BITMAP_AREA_END - BITMAP_AREA_START, 'the bitmap fits into its area');
  return { offsetBytes: BITMAP_AREA_START, bytes, regionBlocks };
}

/** What a block has to say of itself. */
export interface BitmapBlockKey {
  readonly arrayUuid: string;
  readonly regionBlocks: number;
  readonly index: number;
}

/** Puts block `key.index` of the bitmap with these `states` at byte `at` of `target`. */
export function encodeBitmapBlock(
  states: Uint8Array,
  key: BitmapBlockKey,
  target: Uint8Array,
  at = 0,
): void {
  const first = key.index * REGIONS_PER_BLOCK;
  const end = Math.min(first + REGIONS_PER_BLOCK, states.length);
  assert(first < end, 'a block of a bitmap has regions');
  const regions = packRegions(states, first, end);
  BITMAP_BLOCK.encode(
    {
      signature: SIGNATURE_BYTES,
      crc: 0,
      index: key.index,
      array_uuid: key.arrayUuid,
      region_blocks: key.regionBlocks,
      regions,
    },
    target,
    at,
  );
  const view = new DataView(target.buffer, target.byteOffset + at, BITMAP_BLOCK_BYTES);
  view.setUint32(
    CRC.offset,
    crc32cAround(target.subarray(at, at + BITMAP_BLOCK_BYTES), CRC.offset),
    true,
  );
}

/** Four regions to a byte. A block is packed for few changed bits, so it has to be quick. */
function packRegions(states: Uint8Array, first: number, end: number): Uint8Array {
  const regions = new Uint8Array(Math.ceil((end - first) / 4));
  const whole = first + Math.floor((end - first) / 4) * 4;
  let all = 0;
  let place = 0;
  for (let at = first; at < whole; at += 4) {
    const one = states[at]!;
    const two = states[at + 1]!;
    const three = states[at + 2]!;
    const four = states[at + 3]!;
    all |= one | two | three | four;
    regions[place] = one | (two << 2) | (three << 4) | (four << 6);
    place += 1;
  }
  for (let at = whole; at < end; at += 1) {
    all |= states[at]!;
    regions[place]! |= states[at]! << (2 * (at - whole));
  }
  assert(all <= REGION_ALL, 'a region has two bits');
  return regions;
}

/**
 * Fills the regions of block `key.index` in `states` (all regions of the array) from `bytes`.
 * Damaged: the block cannot be believed, and `states` is as it was.
 */
export function decodeBitmapBlock(
  bytes: Uint8Array,
  key: BitmapBlockKey,
  states: Uint8Array,
): 'ok' | 'damaged' {
  const first = key.index * REGIONS_PER_BLOCK;
  const end = Math.min(first + REGIONS_PER_BLOCK, states.length);
  assert(first < end, 'a block of a bitmap has regions');
  if (bytes.length !== BITMAP_BLOCK_BYTES) return 'damaged';
  const values = BITMAP_BLOCK.decode(bytes);
  const believed =
    Buffer.compare(values.signature, SIGNATURE_BYTES) === 0 &&
    values.crc === crc32cAround(bytes, CRC.offset) &&
    values.index === key.index &&
    values.array_uuid === key.arrayUuid &&
    values.region_blocks === BigInt(key.regionBlocks) &&
    firstNonZero(values.reserved) === -1 &&
    isClearFrom(values.regions, end - first);
  if (!believed) return 'damaged';
  for (let region = first; region < end; region += 1) {
    const place = region - first;
    states[region] = (values.regions[place >> 2]! >> (2 * (place & 3))) & REGION_ALL;
  }
  return 'ok';
}

/** True when no bit of region `from` and later ones is set. */
function isClearFrom(regions: Uint8Array, from: number): boolean {
  const within = from & 3;
  const byte = from >> 2;
  if (within !== 0 && regions[byte]! >> (2 * within) !== 0) return false;
  return firstNonZero(regions.subarray(within === 0 ? byte : byte + 1)) === -1;
}
