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
 * which a test holds against the tables. Sequences of units consist of an epoch, which is one life
 * of the device, and a counter within it; sequences of writes have 53 bits of 56.
 */

import type { Arena } from '../block/arena.ts';
import { crc32cRaw } from '../block/crc32c.ts';
import type { Kernels } from '../block/kernels.ts';
import { Layout } from '../block/layout.ts';
import {
  FTL_BLOCK_BYTES,
  type FtlGeometry,
  TRIM_RECORD_BYTES,
  UNIT_ENTRY_BYTES,
  UNIT_HEADER_BYTES,
} from './geometry.ts';

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

export const UNIT_ENTRY = new Layout('Entry of a data block', UNIT_ENTRY_BYTES, [
  { name: 'block', offset: 0, bytes: 5, type: 'bytes', meaning: 'block of the device, 40 bits' },
  { name: 'sequence', offset: 5, bytes: 7, type: 'bytes', meaning: 'of the write, 56 bits' },
  {
    name: 'crc',
    offset: 12,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the 12 bytes before it and the 4096 bytes of the block',
  },
]);

export const TRIM_RECORD = new Layout('Trim record', TRIM_RECORD_BYTES, [
  { name: 'block', offset: 0, bytes: 5, type: 'bytes', meaning: 'first block, 40 bits' },
  { name: 'sequence', offset: 5, bytes: 7, type: 'bytes', meaning: 'of the write, 56 bits' },
  { name: 'block_count', offset: 12, bytes: 8, type: 'u64', meaning: 'blocks that read as zeroes' },
  { name: 'reserved', offset: 20, bytes: 8, type: 'zero', meaning: 'zero' },
  {
    name: 'crc',
    offset: 28,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the 28 bytes before it',
  },
]);

/** So that sequences are safe integers, also of a life that has numbered into the next epoch. */
export const EPOCHS_MAX = 2 ** 21 - 2;

const TWO_32 = 2 ** 32;
const TWO_24 = 2 ** 24;
const ALL_ONES = 0xffffffff;
/** Block and sequence, which come before everything else in entries and trim records. */
const NAME_BYTES = 12;

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

export function makeSequence(epoch: number, number: number): number {
  return epoch * TWO_32 + number;
}

export function epochOf(sequence: number): number {
  return Math.floor(sequence / TWO_32);
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

/** Writes block and sequence, the first 12 bytes of an entry or a trim record. */
export function writeName(u32: Uint32Array, at: number, block: number, sequence: number): void {
  const word = at >>> 2;
  const high = Math.floor(sequence / TWO_24);
  u32[word] = block;
  u32[word + 1] = Math.floor(block / TWO_32) + (sequence - high * TWO_24) * 256;
  u32[word + 2] = high;
}

export function nameBlock(u32: Uint32Array, at: number): number {
  const word = at >>> 2;
  return u32[word]! + (u32[word + 1]! & 0xff) * TWO_32;
}

export function nameSequence(u32: Uint32Array, at: number): number {
  const word = at >>> 2;
  return (u32[word + 1]! >>> 8) + u32[word + 2]! * TWO_24;
}

/** The checksum that the entry at `entry` has to have for the data at `data`. */
export function blockCrc(kernels: Kernels, entry: number, data: number): number {
  const seed = kernels.crc32cRaw(ALL_ONES, entry, NAME_BYTES);
  return ~kernels.crc32cRaw(seed, data, FTL_BLOCK_BYTES) >>> 0;
}

/** Copies the data of a block, and gives the checksum that the entry at `entry` has to have. */
export function copyBlock(
  arena: Arena,
  kernels: Kernels,
  to: number,
  from: number,
  entry: number,
): number {
  const seed = crc32cRaw(ALL_ONES, arena.u8, entry, entry + NAME_BYTES);
  return ~kernels.copyCrc32cRaw(seed, to, from, FTL_BLOCK_BYTES) >>> 0;
}

/** As if nothing had been put there. */
export function clearEntry(u32: Uint32Array, at: number): void {
  const word = at >>> 2;
  u32.fill(0, word, word + UNIT_ENTRY_BYTES / 4);
}

export function entryCrc(u32: Uint32Array, at: number): number {
  return u32[(at >>> 2) + 3]!;
}

export function writeEntryCrc(u32: Uint32Array, at: number, crc: number): void {
  u32[(at >>> 2) + 3] = crc;
}

export function writeTrim(
  u32: Uint32Array,
  kernels: Kernels,
  at: number,
  block: number,
  blockCount: number,
  sequence: number,
): void {
  const word = at >>> 2;
  writeName(u32, at, block, sequence);
  u32[word + 3] = blockCount;
  u32[word + 4] = Math.floor(blockCount / TWO_32);
  u32[word + 5] = 0;
  u32[word + 6] = 0;
  u32[word + 7] = kernels.crc32c(at, TRIM_RECORD_BYTES - 4);
}

export function trimBlockCount(u32: Uint32Array, at: number): number {
  const word = at >>> 2;
  return u32[word + 3]! + u32[word + 4]! * TWO_32;
}

export function trimIsIntact(u32: Uint32Array, kernels: Kernels, at: number): boolean {
  return u32[(at >>> 2) + 7] === kernels.crc32c(at, TRIM_RECORD_BYTES - 4);
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

function writeU64(u32: Uint32Array, word: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  u32[word] = value - high * TWO_32;
  u32[word + 1] = high;
}

function readU64(u32: Uint32Array, word: number): number {
  return u32[word]! + u32[word + 1]! * TWO_32;
}

// end data path

/** The usual CRC-32C of bytes outside an arena, for tests and tools. */
export function blockCrcOf(name: Uint8Array, data: Uint8Array): number {
  return ~crc32cRaw(crc32cRaw(ALL_ONES, name), data) >>> 0;
}
