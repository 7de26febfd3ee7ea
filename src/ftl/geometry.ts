/**
 * Geometry of an FTL: how its base device is divided.                               (control plane)
 *
 *   | superblock 0 | superblock 1 | map pages, two slots each | band 0 | band 1 | … | rest |
 *
 * A device that has grown has more bands behind the last one, and the first of those hold the map
 * pages that it has more, two slots each (growth.ts):
 *
 *   | superblocks | map pages | band 0 | … | band n, n + 1: map pages | band n + 2 | … | rest |
 *
 * Everything is counted in write units: what one write to the base carries. A unit is the full
 * stripe of a base that has one, or as many as make 256 KiB. Its first blocks are its summary
 * (unit-format.ts), the others hold data. A band is a run of units that is filled from its start,
 * and that becomes free as a whole.
 *
 * Blocks are 4096 bytes, whatever the base has. A *place* is a block number counted from the start
 * of band 0: what the map of an FTL holds. Bands are contiguous, so that a place says where it is.
 *
 * Over-provisioning is (physical - logical) / logical in per cent; physical counts the data blocks
 * of all bands, including those that are open or kept in reserve.
 */

import { assert } from '../block/assert.ts';
import type { Geometry } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import { classCountFor } from './placement.ts';

export const FTL_BLOCK_BYTES = 4096;
export const OVER_PROVISIONING_DEFAULT = 20;
/** A smaller unit spends too much on its summary, a larger one delays what is flushed. */
const UNIT_BYTES_DEFAULT = 256 * 1024;
/** A stripe that is at least so large is a unit by itself. */
const UNIT_BYTES_LEAST = 128 * 1024;
export const UNIT_BLOCKS_MAX = 4096;
const BAND_BYTES_MAX = 2 ** 30;
/** So many bands are aimed at: enough for relocation to choose from, few enough to look at all. */
const BANDS_AIM = 1000;
/** A small device has fewer bands rather than bands of few units, which flushes leave empty. */
const BANDS_SMALL = 128;
const BAND_UNITS_AIM = 16;
export const BANDS_LEAST = 16;
const BAND_UNITS_LEAST = 4;
export const BAND_UNITS_MAX = 2 ** 20;
export const BANDS_MAX = 2 ** 22;
/** A copy that claims more bytes is damaged: no base has a map of so many pages. */
export const SUPERBLOCK_COPY_BYTES_MAX = 64 * 2 ** 20;
/** A superblock has room for a table of so many times the pages that it is made with. */
const TABLE_ROOM = 8;
/** Free bands that only relocation may open: one is filled, one is there in any case. */
const BANDS_FOR_RELOCATION = 2;
/**
 * Where a band that is relocated may win less than some units, it must not cost a unit that is left
 * unfilled so that the band becomes free soon: the next victims fill it, which takes room for two.
 */
const BANDS_FOR_SMALL_GAINS = 4;
const UNITS_WON_LEAST = 2;

export const UNIT_HEADER_BYTES = 64;
export const UNIT_ENTRY_BYTES = 16;
export const TRIM_RECORD_BYTES = 32;
/** Each unit has room for so many trims at least. */
const TRIMS_LEAST = 16;

export const MAP_PAGE_HEADER_BYTES = 64;
export const SUPERBLOCK_BYTES = 4096;

/** Bands one after another. */
export interface BandRun {
  readonly first: number;
  readonly count: number;
}

/** What is chosen at creation, or when the device grows, and stored in the superblock. */
export interface FtlShape {
  readonly unitBlocks: number;
  readonly bandUnits: number;
  readonly bandCount: number;
  readonly overProvisioning: number;
  readonly blockCount: number;
  /** Blocks whose places one page of the map holds. */
  readonly pageEntries: number;
  /** Bytes of a place in a page: 4, or 5 where places do not fit. */
  readonly placeBytes: number;
  /** Units of one superblock copy, with its table of pages and room for a larger one. */
  readonly superblockUnits: number;
  /** Pages of the map that lie before band 0. */
  readonly frontPages: number;
  /** Bands that hold the pages after those, in this order, and never data. */
  readonly mapBands: readonly BandRun[];
}

export interface FtlShapeOptions {
  readonly unitBytes?: number;
  readonly bandBytes?: number;
  readonly overProvisioning?: number;
  readonly pageEntries?: number;
}

/** What follows from a shape. */
export interface FtlGeometry extends FtlShape {
  readonly summaryBlocks: number;
  /** Data blocks per unit. */
  readonly dataBlocks: number;
  readonly trimsMax: number;
  /** Free bands that only relocation may open, so that it can always go on. */
  readonly relocationBands: number;
  /** Lifetime classes, each with an open band. */
  readonly classCount: number;
  readonly bandBlocks: number;
  /** Bands that can hold data. */
  readonly dataBandCount: number;
  readonly pageCount: number;
  readonly firstPageUnit: number;
  readonly firstBandUnit: number;
  /** Units of the base that are used. */
  readonly units: number;
}

/** Blocks of a unit that its summary takes. */
function summaryBlocksOf(unitBlocks: number): number {
  for (let blocks = 1; ; blocks += 1) {
    const entries = (unitBlocks - blocks) * UNIT_ENTRY_BYTES + TRIMS_LEAST * TRIM_RECORD_BYTES;
    if (UNIT_HEADER_BYTES + entries <= blocks * FTL_BLOCK_BYTES) return blocks;
  }
}

export function deriveGeometry(shape: FtlShape): FtlGeometry {
  const { unitBlocks, bandUnits, bandCount, blockCount, pageEntries } = shape;
  const { frontPages, mapBands, superblockUnits } = shape;
  const summaryBlocks = summaryBlocksOf(unitBlocks);
  const dataBlocks = unitBlocks - summaryBlocks;
  const used = UNIT_HEADER_BYTES + dataBlocks * UNIT_ENTRY_BYTES;
  const trimsMax = Math.floor((summaryBlocks * FTL_BLOCK_BYTES - used) / TRIM_RECORD_BYTES);
  const pageCount = Math.ceil(blockCount / pageEntries);
  const firstPageUnit = 2 * superblockUnits;
  const firstBandUnit = firstPageUnit + 2 * frontPages;
  const dataBandCount = mapBands.reduce((sum, { count }) => sum - count, bandCount);
  const spareBands = dataBandCount - Math.ceil(blockCount / (bandUnits * dataBlocks));
  return {
    ...shape,
    summaryBlocks,
    dataBlocks,
    trimsMax,
    relocationBands: relocationBandsOf(bandUnits, dataBandCount, spareBands),
    classCount: classCountFor(spareBands),
    bandBlocks: bandUnits * unitBlocks,
    dataBandCount,
    pageCount,
    firstPageUnit,
    firstBandUnit,
    units: firstBandUnit + bandCount * bandUnits,
  };
}

/** Units of a superblock with a table of so many pages. */
export function superblockUnitsOf(pageCount: number, unitBlocks: number): number {
  return Math.ceil((SUPERBLOCK_BYTES + 4 * pageCount) / (unitBlocks * FTL_BLOCK_BYTES));
}

/** With room for more pages, as far as a copy may be so large. */
function roomySuperblockUnits(pageCount: number, unitBlocks: number): number {
  const most = Math.floor(SUPERBLOCK_COPY_BYTES_MAX / (unitBlocks * FTL_BLOCK_BYTES));
  const roomy = Math.min(most, superblockUnitsOf(TABLE_ROOM * pageCount, unitBlocks));
  return Math.max(roomy, superblockUnitsOf(pageCount, unitBlocks));
}

/** Pages, two slots each, that a band holds instead of data. */
export function pagesPerBand(bandUnits: number): number {
  return Math.floor(bandUnits / 2);
}

/** Pages of the map that there is room for. */
export function pageRoom({ bandUnits, frontPages, mapBands }: FtlShape): number {
  const inBands = mapBands.reduce((sum, { count }) => sum + count, 0);
  return frontPages + inBands * pagesPerBand(bandUnits);
}

export function isMapBand({ mapBands }: FtlShape, band: number): boolean {
  return mapBands.some(({ first, count }) => band >= first && band < first + count);
}

/** Blocks that a device has with so many bands for data. */
export function blocksOf(
  { bandUnits, overProvisioning }: Pick<FtlShape, 'bandUnits' | 'overProvisioning'>,
  bandCount: number,
  dataBlocks: number,
): number {
  const perBand = bandUnits * dataBlocks;
  const wanted = Math.floor((bandCount * perBand * 100) / (100 + overProvisioning));
  const spareBands = bandCount - Math.ceil(wanted / perBand);
  return Math.min(wanted, (bandCount - reservedBands(bandUnits, bandCount, spareBands)) * perBand);
}

function relocationBandsOf(bandUnits: number, bandCount: number, spareBands: number): number {
  const won = (bandUnits * spareBands) / bandCount;
  return won < UNITS_WON_LEAST ? BANDS_FOR_SMALL_GAINS : BANDS_FOR_RELOCATION;
}

/** Bands that never hold data for good: an open one per class, and what relocation needs. */
function reservedBands(bandUnits: number, bandCount: number, spareBands: number): number {
  const kept = relocationBandsOf(bandUnits, bandCount, spareBands);
  return classCountFor(spareBands) + kept + BANDS_FOR_RELOCATION;
}

/** Entries that fit one page of a unit's size. */
export function pageEntriesMax(unitBlocks: number, placeBytes: number): number {
  return Math.floor((unitBlocks * FTL_BLOCK_BYTES - MAP_PAGE_HEADER_BYTES) / placeBytes);
}

/** Bytes of which everything that is written to the base is a multiple. */
export function writeStepBytes(base: Geometry): number {
  const unit = base.writeUnitBlocks * base.blockBytes;
  let step = unit;
  while (step % FTL_BLOCK_BYTES !== 0) step += unit;
  return step;
}

function chooseUnitBlocks(name: string, base: Geometry, wanted: number | undefined): number {
  const step = writeStepBytes(base);
  const aim = wanted ?? (step >= UNIT_BYTES_LEAST ? step : UNIT_BYTES_DEFAULT);
  const most = Math.min(base.requestBlocksMax * base.blockBytes, UNIT_BLOCKS_MAX * FTL_BLOCK_BYTES);
  if (step > most) throw stripesTooLarge(name, step, most);
  let bytes = Math.ceil(aim / step) * step;
  if (bytes > most) bytes = Math.floor(most / step) * step;
  // A summary and at least one block of data.
  while (bytes < 2 * FTL_BLOCK_BYTES && bytes + step <= most) bytes += step;
  return bytes / FTL_BLOCK_BYTES;
}

function chooseBandUnits(units: number, unitBytes: number, wanted: number | undefined): number {
  if (wanted !== undefined) return Math.max(BAND_UNITS_LEAST, Math.floor(wanted / unitBytes));
  const least = Math.min(BAND_UNITS_AIM, Math.floor(units / BANDS_SMALL));
  const most = Math.floor(BAND_BYTES_MAX / unitBytes);
  const aim = Math.max(least, Math.floor(units / BANDS_AIM));
  return Math.max(BAND_UNITS_LEAST, Math.min(most, aim));
}

/** The shape of a new FTL over a base of this geometry. Throws where it cannot have one. */
export function planShape(name: string, base: Geometry, options: FtlShapeOptions = {}): FtlShape {
  const overProvisioning = options.overProvisioning ?? OVER_PROVISIONING_DEFAULT;
  assert(overProvisioning > 0 && overProvisioning < 100, 'over-provisioning is within its limits');
  const unitBlocks = chooseUnitBlocks(name, base, options.unitBytes);
  const unitBytes = unitBlocks * FTL_BLOCK_BYTES;
  const baseUnits = Math.floor((base.blockCount * base.blockBytes) / unitBytes);
  const places = baseUnits * unitBlocks;
  const placeBytes = places < 2 ** 32 ? 4 : 5;
  const entriesMax = unitBlocks < 2 ? 1 : pageEntriesMax(unitBlocks, placeBytes);
  const pageEntries = Math.min(options.pageEntries ?? entriesMax, entriesMax);
  const perUnit = unitBlocks < 2 ? 1 : unitBlocks - summaryBlocksOf(unitBlocks);
  // Each unit of the bands takes its share of the map along, two slots for each page of it.
  const perPage = (perUnit * 100) / (100 + overProvisioning) / pageEntries;
  const fixed = 2 * roomySuperblockUnits(Math.ceil(baseUnits * perPage), unitBlocks) + 2;
  const left = Math.max(0, Math.floor((baseUnits - fixed) / (1 + 2 * perPage)));
  const pageCount = Math.max(1, Math.ceil(left * perPage));
  const bandUnits = chooseBandUnits(left, unitBytes, options.bandBytes);
  const bandCount = Math.min(BANDS_MAX, Math.floor(left / bandUnits));
  if (bandCount < BANDS_LEAST || unitBlocks < 2) throw tooSmall(name, base, bandUnits * unitBytes);
  const blockCount = Math.min(
    blocksOf({ bandUnits, overProvisioning }, bandCount, perUnit),
    pageCount * pageEntries,
  );
  const frontPages = Math.ceil(blockCount / pageEntries);
  return {
    unitBlocks,
    bandUnits,
    bandCount,
    overProvisioning,
    blockCount,
    pageEntries,
    placeBytes,
    superblockUnits: roomySuperblockUnits(frontPages, unitBlocks),
    frontPages,
    mapBands: [],
  };
}

function stripesTooLarge(name: string, bytes: number, most: number): BandstandError {
  return new BandstandError('BANDSTAND_STRIP_INVALID', {
    message: `cannot make a log-structured device on ${name}: it takes stripes of ${formatSize(bytes)} at once, and ${formatSize(most)} are the most that are written at once`,
    hint: 'use smaller strips, or fewer members',
    details: { device: name, stripe_bytes: bytes, stripe_bytes_max: most },
  });
}

function tooSmall(name: string, base: Geometry, bandBytes: number): BandstandError {
  const bytes = base.blockCount * base.blockBytes;
  const least = BANDS_LEAST * bandBytes;
  return new BandstandError('BANDSTAND_DEVICE_TOO_SMALL', {
    message: `cannot make a log-structured device on ${name}: it has ${formatSize(bytes)}, and ${BANDS_LEAST} bands of ${formatSize(bandBytes)} need ${formatSize(least)} and some for metadata`,
    hint: 'use larger members, or smaller strips',
    details: { device: name, bytes, bands_least: BANDS_LEAST, band_bytes: bandBytes },
  });
}
