/**
 * The format of the ring of an NV cache: headers and records.                         (both planes)
 *
 *   | header 0 | header 1 | record | record | … | skipped |
 *   record: | description | data block | data block | … |
 *   description: | record header 64 | 127 entries of 16 | 62 trim records of 32 |
 *
 * All in blocks of 4096 bytes. A record describes itself: it says where it lies, and the checksum
 * of each of its blocks binds data, block and sequence. It counts wholly or not at all. Within a
 * record trims come before data, and of two entries for a block the later one counts.
 *
 * The tables describe the bytes; the functions read and write them as 32-bit words in an arena,
 * which a test holds against the tables.
 */

import type { Kernels } from '../block/kernels.ts';
import { Layout } from '../block/layout.ts';
import {
  LOG_BLOCK_BYTES,
  LOG_ENTRY_BYTES,
  readU64,
  TRIM_RECORD_BYTES,
  writeU64,
} from '../block/log-entry.ts';

export const CACHE_BLOCK_BYTES = LOG_BLOCK_BYTES;
export const CACHE_SIGNATURE = 'BSNV';
export const CACHE_VERSION = 1;
/** ASCII `BSNR`, as a little-endian word. */
export const RECORD_SIGNATURE = 0x524e5342;
export const RECORD_VERSION = 1;
/** Blocks 0 and 1 are the header. */
export const RING_START = 2;
export const RECORD_HEADER_BYTES = 64;
export const RECORD_DATA_MAX = 127;
export const RECORD_TRIMS_MAX = 62;
export const RECORD_BLOCKS_MAX = 1 + RECORD_DATA_MAX;
/** Ranges of lost blocks that a header has room for. */
export const LOST_RANGES_MAX = 240;
export const LOST_RANGES_AT = 128;

const CRC_AT = CACHE_BLOCK_BYTES - 4;

export const CACHE_HEADER = new Layout('Cache header', CACHE_BLOCK_BYTES, [
  { name: 'signature', offset: 0, bytes: 4, type: 'bytes', meaning: 'ASCII `BSNV`' },
  { name: 'version', offset: 4, bytes: 2, type: 'u16', meaning: '1; any other is refused' },
  {
    name: 'phase',
    offset: 6,
    bytes: 1,
    type: 'u8',
    meaning: '0 while the ring is scrubbed, which then holds nothing; otherwise that of this lap',
  },
  { name: 'reserved', offset: 7, bytes: 1, type: 'zero', meaning: 'zero' },
  { name: 'uuid', offset: 8, bytes: 16, type: 'uuid', meaning: 'of this content' },
  { name: 'owner', offset: 24, bytes: 16, type: 'uuid', meaning: 'of the device that it is for' },
  {
    name: 'size_blocks',
    offset: 40,
    bytes: 8,
    type: 'u64',
    meaning: 'blocks of header and ring together',
  },
  {
    name: 'header_sequence',
    offset: 48,
    bytes: 8,
    type: 'u64',
    meaning: 'from 1, incremented before every write; copy = header_sequence mod 2',
  },
  {
    name: 'current_address',
    offset: 56,
    bytes: 8,
    type: 'u64',
    meaning: 'after a clean stop the block where the next record goes, otherwise all ones',
  },
  {
    name: 'head_sequence',
    offset: 64,
    bytes: 8,
    type: 'u64',
    meaning: 'records up to this sequence that count had been whole, and durable',
  },
  {
    name: 'tail_sequence',
    offset: 72,
    bytes: 8,
    type: 'u64',
    meaning: 'records with a lower sequence are not needed',
  },
  {
    name: 'tail_address',
    offset: 80,
    bytes: 8,
    type: 'u64',
    meaning: 'block where the oldest record that is needed lies, or will lie',
  },
  {
    name: 'epoch',
    offset: 88,
    bytes: 4,
    type: 'u32',
    meaning: 'starts for writing so far, and departures from a mirror below',
  },
  { name: 'tail_phase', offset: 92, bytes: 1, type: 'u8', meaning: 'phase of the tail' },
  { name: 'reserved_2', offset: 93, bytes: 3, type: 'zero', meaning: 'zero' },
  {
    name: 'lost_range_count',
    offset: 96,
    bytes: 4,
    type: 'u32',
    meaning: 'ranges of blocks of the owner that nobody has any more',
  },
  { name: 'reserved_3', offset: 100, bytes: 4, type: 'zero', meaning: 'zero' },
  {
    name: 'lost_sequence',
    offset: 104,
    bytes: 8,
    type: 'u64',
    meaning: 'records up to this sequence have only older copies of these blocks',
  },
  { name: 'reserved_4', offset: 112, bytes: 16, type: 'zero', meaning: 'zero' },
  {
    name: 'lost_ranges',
    offset: LOST_RANGES_AT,
    bytes: LOST_RANGES_MAX * 16,
    type: 'bytes',
    meaning: 'first block and number of blocks of each, 8 bytes each',
  },
  { name: 'reserved_end', offset: 3968, bytes: 124, type: 'zero', meaning: 'zero' },
  {
    name: 'crc',
    offset: CRC_AT,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the 4092 bytes before it',
  },
]);

export const RECORD_HEADER = new Layout('Record header', RECORD_HEADER_BYTES, [
  { name: 'signature', offset: 0, bytes: 4, type: 'bytes', meaning: 'ASCII `BSNR`' },
  { name: 'version', offset: 4, bytes: 2, type: 'u16', meaning: '1; others do not count' },
  { name: 'phase', offset: 6, bytes: 1, type: 'u8', meaning: 'lap of the ring: 1, 2, 3, 1 …' },
  { name: 'reserved', offset: 7, bytes: 1, type: 'zero', meaning: 'zero' },
  { name: 'uuid', offset: 8, bytes: 16, type: 'bytes', meaning: 'that of the cache header' },
  {
    name: 'sequence',
    offset: 24,
    bytes: 8,
    type: 'u64',
    meaning: 'epoch · 2^32 + number of the record in that epoch',
  },
  {
    name: 'tail_sequence',
    offset: 32,
    bytes: 8,
    type: 'u64',
    meaning: 'records with a lower sequence were not needed then',
  },
  { name: 'address', offset: 40, bytes: 8, type: 'u64', meaning: 'block where it lies itself' },
  { name: 'data_count', offset: 48, bytes: 4, type: 'u32', meaning: 'data blocks behind it' },
  { name: 'trim_count', offset: 52, bytes: 4, type: 'u32', meaning: 'trim records in it' },
  { name: 'reserved_end', offset: 56, bytes: 4, type: 'zero', meaning: 'zero' },
  {
    name: 'crc',
    offset: 60,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the block of the description without this field',
  },
]);

/** What the header of a record says. Fields of one that is read are filled in by `readRecord`. */
export class RecordHeader {
  phase = 0;
  sequence = 0;
  tailSequence = 0;
  address = 0;
  dataCount = 0;
  trimCount = 0;
}

const ALL_ONES = 0xffffffff;

/** The 16 bytes of a UUID as the four words that records have. */
export function uuidWords(uuid: Uint8Array): Uint32Array {
  const view = new DataView(uuid.buffer, uuid.byteOffset, 16);
  return Uint32Array.from([0, 4, 8, 12], (at) => view.getUint32(at, true));
}

// data path

/** Byte of the entry of data block `index` in the record at byte `record`. */
export function recordEntryAt(record: number, index: number): number {
  return record + RECORD_HEADER_BYTES + index * LOG_ENTRY_BYTES;
}

/** Byte of trim record `index`: they come behind the entries of a full record. */
export function recordTrimAt(record: number, index: number): number {
  const first = RECORD_HEADER_BYTES + RECORD_DATA_MAX * LOG_ENTRY_BYTES;
  return record + first + index * TRIM_RECORD_BYTES;
}

/** Byte of data block `index`. */
export function recordDataAt(record: number, index: number): number {
  return record + (1 + index) * CACHE_BLOCK_BYTES;
}

function descriptionCrc(kernels: Kernels, record: number): number {
  const seed = kernels.crc32cRaw(ALL_ONES, record, RECORD_HEADER_BYTES - 4);
  const rest = CACHE_BLOCK_BYTES - RECORD_HEADER_BYTES;
  return ~kernels.crc32cRaw(seed, record + RECORD_HEADER_BYTES, rest) >>> 0;
}

/** Completes the description at byte `record`, whose entries and trim records are there. */
export function writeRecord(
  u32: Uint32Array,
  kernels: Kernels,
  record: number,
  uuid: Uint32Array,
  header: RecordHeader,
): void {
  const word = record >>> 2;
  u32[word] = RECORD_SIGNATURE;
  u32[word + 1] = RECORD_VERSION + header.phase * 65536;
  for (let index = 0; index < 4; index += 1) u32[word + 2 + index] = uuid[index]!;
  writeU64(u32, word + 6, header.sequence);
  writeU64(u32, word + 8, header.tailSequence);
  writeU64(u32, word + 10, header.address);
  u32[word + 12] = header.dataCount;
  u32[word + 13] = header.trimCount;
  u32[word + 14] = 0;
  u32[word + 15] = descriptionCrc(kernels, record);
}

/** False when no whole description of a record of this content is at byte `record`. */
export function readRecord(
  u32: Uint32Array,
  kernels: Kernels,
  record: number,
  uuid: Uint32Array,
  header: RecordHeader,
): boolean {
  const word = record >>> 2;
  if (u32[word] !== RECORD_SIGNATURE || (u32[word + 1]! & 0xffff) !== RECORD_VERSION) return false;
  for (let index = 0; index < 4; index += 1) {
    if (u32[word + 2 + index] !== uuid[index]) return false;
  }
  if (u32[word + 15] !== descriptionCrc(kernels, record)) return false;
  header.phase = (u32[word + 1]! >>> 16) & 0xff;
  header.sequence = readU64(u32, word + 6);
  header.tailSequence = readU64(u32, word + 8);
  header.address = readU64(u32, word + 10);
  header.dataCount = u32[word + 12]!;
  header.trimCount = u32[word + 13]!;
  return header.dataCount <= RECORD_DATA_MAX && header.trimCount <= RECORD_TRIMS_MAX;
}

// end data path
