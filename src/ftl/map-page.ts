/**
 * Pages of the map on the base.                                                       (both planes)
 *
 * A page holds the places of `pageEntries` consecutive blocks and fills one write unit. It has two
 * slots: a checkpoint writes to the one that the newest superblock does not name, so that a page
 * which counts is never overwritten. The header names page and checkpoint, and its checksum covers
 * all of the page: one that is read must be exactly the one that the superblock names.
 *
 *   | header 64 | lower 32 bits of each place | bits 32 to 39 of each, where places have 5 bytes |
 *
 * All ones is a block that is not mapped.
 */

import { assert } from '../block/assert.ts';
import type { Kernels } from '../block/kernels.ts';
import { Layout } from '../block/layout.ts';
import type { Reactor } from '../block/reactor.ts';
import {
  FTL_BLOCK_BYTES,
  type FtlGeometry,
  MAP_PAGE_HEADER_BYTES,
  pagesPerBand,
} from './geometry.ts';
import type { L2p } from './l2p.ts';

/** ASCII `BSMP`, as a little-endian word. */
const PAGE_SIGNATURE = 0x504d5342;
const PAGE_VERSION = 1;
const ALL_ONES = 0xffffffff;

export const MAP_PAGE_HEADER = new Layout('Header of a map page', MAP_PAGE_HEADER_BYTES, [
  { name: 'signature', offset: 0, bytes: 4, type: 'bytes', meaning: 'ASCII `BSMP`' },
  { name: 'version', offset: 4, bytes: 4, type: 'u32', meaning: '1; any other is refused' },
  {
    name: 'device',
    offset: 8,
    bytes: 8,
    type: 'bytes',
    meaning: 'the first 8 bytes of the UUID in the superblock',
  },
  { name: 'page', offset: 16, bytes: 4, type: 'u32', meaning: 'number of the page' },
  { name: 'checkpoint', offset: 20, bytes: 4, type: 'u32', meaning: 'that wrote the page' },
  { name: 'entry_count', offset: 24, bytes: 4, type: 'u32', meaning: 'places that follow' },
  { name: 'reserved', offset: 28, bytes: 32, type: 'zero', meaning: 'zero' },
  {
    name: 'crc',
    offset: 60,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the whole unit without this field',
  },
]);

/** Blocks whose places the page holds: fewer in the last one. */
export function pageEntryCount(geometry: FtlGeometry, page: number): number {
  const first = page * geometry.pageEntries;
  return Math.min(geometry.pageEntries, geometry.blockCount - first);
}

/** The unit of the base, counted from its start, that holds the page in this slot. */
export function pageUnit(geometry: FtlGeometry, page: number, slot: number): number {
  const { bandUnits, firstBandUnit, firstPageUnit, frontPages, mapBands } = geometry;
  if (page < frontPages) return firstPageUnit + 2 * page + slot;
  const perBand = pagesPerBand(bandUnits);
  let left = page - frontPages;
  for (const { first, count } of mapBands) {
    if (left < count * perBand) {
      const band = Math.floor(left / perBand);
      return firstBandUnit + (first + band) * bandUnits + 2 * (left - band * perBand) + slot;
    }
    left -= count * perBand;
  }
  assert(false, 'there is room for each page of the map');
}

function pageCrc(kernels: Kernels, at: number, bytes: number): number {
  const seed = kernels.crc32cRaw(ALL_ONES, at, MAP_PAGE_HEADER_BYTES - 4);
  const rest = bytes - MAP_PAGE_HEADER_BYTES;
  return ~kernels.crc32cRaw(seed, at + MAP_PAGE_HEADER_BYTES, rest) >>> 0;
}

export interface PageName {
  readonly device: readonly [low: number, high: number];
  readonly page: number;
  readonly checkpoint: number;
}

/** Writes the page, a whole unit, to byte `at` of the arena. */
export function encodePage(
  { arena, kernels }: Reactor,
  geometry: FtlGeometry,
  at: number,
  { device, page, checkpoint }: PageName,
  l2p: L2p,
): void {
  const bytes = geometry.unitBlocks * FTL_BLOCK_BYTES;
  const count = pageEntryCount(geometry, page);
  const first = page * geometry.pageEntries;
  const word = at >>> 2;
  const { u8, u32 } = arena;
  kernels.zero(at, bytes);
  u32[word] = PAGE_SIGNATURE;
  u32[word + 1] = PAGE_VERSION;
  u32[word + 2] = device[0];
  u32[word + 3] = device[1];
  u32[word + 4] = page;
  u32[word + 5] = checkpoint;
  u32[word + 6] = count;
  const content = (at + MAP_PAGE_HEADER_BYTES) >>> 2;
  u32.set(l2p.low.subarray(first, first + count), content);
  if (l2p.high !== null) {
    u8.set(l2p.high.subarray(first, first + count), (content + count) * 4);
  }
  u32[word + 15] = pageCrc(kernels, at, bytes);
}

/** What is wrong with the page at byte `at`, or null. */
export function pageProblem(
  { arena, kernels }: Reactor,
  geometry: FtlGeometry,
  at: number,
  { device, page, checkpoint }: PageName,
): string | null {
  const bytes = geometry.unitBlocks * FTL_BLOCK_BYTES;
  const count = pageEntryCount(geometry, page);
  const word = at >>> 2;
  const { u32 } = arena;
  if (u32[word] !== PAGE_SIGNATURE) return 'it has no signature';
  if (u32[word + 1] !== PAGE_VERSION) return `its version is ${u32[word + 1]}`;
  if (u32[word + 15] !== pageCrc(kernels, at, bytes)) return 'its checksum is wrong';
  if (u32[word + 2] !== device[0] || u32[word + 3] !== device[1]) return 'it is of another device';
  if (u32[word + 4] !== page) return `it is page ${u32[word + 4]}`;
  if (u32[word + 5] !== checkpoint) return `it is of checkpoint ${u32[word + 5]}`;
  // One that was the last before the device grew may be shorter: what it lacks is not mapped.
  if (u32[word + 6]! > count) return `it has ${u32[word + 6]} entries, more than ${count}`;
  return null;
}

/** Takes the page at byte `at` into the map. What is wrong with it, or null. */
export function decodePage(
  reactor: Reactor,
  geometry: FtlGeometry,
  at: number,
  name: PageName,
  l2p: L2p,
): string | null {
  const problem = pageProblem(reactor, geometry, at, name);
  if (problem !== null) return problem;
  const { u8, u32 } = reactor.arena;
  const count = u32[(at >>> 2) + 6]!;
  const content = (at + MAP_PAGE_HEADER_BYTES) >>> 2;
  const first = name.page * geometry.pageEntries;
  l2p.low.set(u32.subarray(content, content + count), first);
  if (l2p.high !== null) {
    const high = (content + count) * 4;
    l2p.high.set(u8.subarray(high, high + count), first);
  }
  return null;
}
