/**
 * The format of a write unit: every write to the base says what it carries.           (both planes)
 *
 *   | header 64 | entry 16 per data block | trim records 32 each | zeroes | data blocks … |
 *   '----------------------------- summary ------------------------------'
 *
 * An entry names the block, the sequence of the write that made it, and a checksum over these and
 * the data: a block that is torn, stale or lies elsewhere shows. Trim records name a range. Both
 * check themselves, so that a unit which was still being filled can be read from memory; the header
 * is complete, with its checksum over the summary, only in a unit that was sent to the base.
 *
 * The tables describe the bytes; the functions read and write them as 32-bit words in an arena,
 * which a test holds against the tables. What stands in entries and trim records is in
 * src/block/log-entry.ts, because an NV cache has the same ones.
 */

import type { Kernels } from '../block/kernels.ts';
import { Layout } from '../block/layout.ts';
import { readU64, writeU64 } from '../block/log-entry.ts';
import {
  FTL_BLOCK_BYTES,
  type FtlGeometry,
  TRIM_RECORD_BYTES,
  UNIT_ENTRY_BYTES,
  UNIT_HEADER_BYTES,
} from './geometry.ts';

// Entries, trim records and sequences are those of every log.
export {
  blockCrc,
  blockCrcOf,
  clearEntry,
  copyBlock,
  EPOCHS_MAX,
  entryCrc,
  epochOf,
  LOG_ENTRY as UNIT_ENTRY,
  makeSequence,
  nameBlock,
  nameSequence,
  TRIM_RECORD,
  trimBlockCount,
  trimIsIntact,
  writeEntryCrc,
  writeName,
  writeTrim,
} from '../block/log-entry.ts';

/** ASCII `BSUN`, as a little-endian word. */
export const UNIT_SIGNATURE = 0x4e555342;
export const UNIT_VERSION = 1;

export const UNIT_HEADER = new Layout('Unit header', UNIT_HEADER_BYTES, [
  { name: 'signature', offset: 0, bytes: 4, type: 'bytes', meaning: 'ASCII `BSUN`' },
  { name: 'version', offset: 4, bytes: 2, type: 'u16', meaning: '1; any other is refused' },
  { name: 'class', offset: 6, bytes: 2, type: 'u16', meaning: 'lifetime class of its band' },
  {
    name: 'device',
    offset: 8,
    bytes: 8,
    type: 'bytes',
    meaning: 'the first 8 bytes of the UUID in the superblock',
  },
  {
    name: 'unit_sequence',
    offset: 16,
    bytes: 8,
    type: 'u64',
    meaning: 'epoch · 2^32 + number of the unit in that epoch, in the order of sealing',
  },
  {
    name: 'band_sequence',
    offset: 24,
    bytes: 8,
    type: 'u64',
    meaning: 'unit_sequence of the first unit of the band: units of one filling have the same',
  },
  { name: 'band', offset: 32, bytes: 4, type: 'u32', meaning: 'number of the band' },
  { name: 'unit', offset: 36, bytes: 4, type: 'u32', meaning: 'number of the unit in the band' },
  { name: 'data_count', offset: 40, bytes: 4, type: 'u32', meaning: 'data blocks in the unit' },
  { name: 'trim_count', offset: 44, bytes: 4, type: 'u32', meaning: 'trim records in the unit' },
  {
    name: 'durable_below',
    offset: 48,
    bytes: 8,
    type: 'u64',
    meaning: 'units with a lower unit_sequence, of those that a start plays, had been flushed then',
  },
  { name: 'reserved', offset: 56, bytes: 4, type: 'zero', meaning: 'zero' },
  {
    name: 'crc',
    offset: 60,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over all blocks of the summary without this field',
  },
]);

const ALL_ONES = 0xffffffff;

/** What the header of a unit says. Fields of a unit that is read are filled in by `readHeader`. */
export class UnitHeader {
  classNumber = 0;
  /** The first 8 bytes of the UUID, as two words. */
  deviceLow = 0;
  deviceHigh = 0;
  sequence = 0;
  bandSequence = 0;
  band = 0;
  unit = 0;
  dataCount = 0;
  trimCount = 0;
  durableBelow = 0;
}

/** The two words by which units know their device. */
export function deviceWords(uuid: Uint8Array): readonly [low: number, high: number] {
  const view = new DataView(uuid.buffer, uuid.byteOffset, 8);
  return [view.getUint32(0, true), view.getUint32(4, true)];
}

// data path

/** Byte of the entry of data block `index` in the unit at byte `unit`. */
export function entryAt(unit: number, index: number): number {
  return unit + UNIT_HEADER_BYTES + index * UNIT_ENTRY_BYTES;
}

/** Byte of trim record `index`: they come behind the entries of a full unit. */
export function trimAt(geometry: FtlGeometry, unit: number, index: number): number {
  const first = UNIT_HEADER_BYTES + geometry.dataBlocks * UNIT_ENTRY_BYTES;
  return unit + first + index * TRIM_RECORD_BYTES;
}

/** Byte of data block `index`. */
export function dataAt(geometry: FtlGeometry, unit: number, index: number): number {
  return unit + (geometry.summaryBlocks + index) * FTL_BLOCK_BYTES;
}

function summaryCrc(kernels: Kernels, unit: number, summaryBytes: number): number {
  const seed = kernels.crc32cRaw(ALL_ONES, unit, UNIT_HEADER_BYTES - 4);
  const rest = summaryBytes - UNIT_HEADER_BYTES;
  return ~kernels.crc32cRaw(seed, unit + UNIT_HEADER_BYTES, rest) >>> 0;
}

/** Completes the unit at byte `unit`, whose entries are there. */
export function writeHeader(
  u32: Uint32Array,
  kernels: Kernels,
  geometry: FtlGeometry,
  unit: number,
  header: UnitHeader,
): void {
  const word = unit >>> 2;
  u32[word] = UNIT_SIGNATURE;
  u32[word + 1] = UNIT_VERSION + header.classNumber * 65536;
  u32[word + 2] = header.deviceLow;
  u32[word + 3] = header.deviceHigh;
  writeU64(u32, word + 4, header.sequence);
  writeU64(u32, word + 6, header.bandSequence);
  u32[word + 8] = header.band;
  u32[word + 9] = header.unit;
  u32[word + 10] = header.dataCount;
  u32[word + 11] = header.trimCount;
  writeU64(u32, word + 12, header.durableBelow);
  u32[word + 14] = 0;
  u32[word + 15] = summaryCrc(kernels, unit, geometry.summaryBlocks * FTL_BLOCK_BYTES);
}

/** False when there is no whole summary of this device at byte `unit`. */
export function readHeader(
  u32: Uint32Array,
  kernels: Kernels,
  geometry: FtlGeometry,
  unit: number,
  header: UnitHeader,
): boolean {
  const word = unit >>> 2;
  if (u32[word] !== UNIT_SIGNATURE || (u32[word + 1]! & 0xffff) !== UNIT_VERSION) return false;
  if (u32[word + 2] !== header.deviceLow || u32[word + 3] !== header.deviceHigh) return false;
  const crc = summaryCrc(kernels, unit, geometry.summaryBlocks * FTL_BLOCK_BYTES);
  if (u32[word + 15] !== crc) return false;
  header.classNumber = u32[word + 1]! >>> 16;
  header.sequence = readU64(u32, word + 4);
  header.bandSequence = readU64(u32, word + 6);
  header.band = u32[word + 8]!;
  header.unit = u32[word + 9]!;
  header.dataCount = u32[word + 10]!;
  header.trimCount = u32[word + 11]!;
  header.durableBelow = readU64(u32, word + 12);
  return header.dataCount <= geometry.dataBlocks && header.trimCount <= geometry.trimsMax;
}

// end data path
