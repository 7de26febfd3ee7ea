/**
 * The two tables that describe SPDK's RAID superblock, and its sizes.               (control plane)
 *
 * Source of the format: SPDK, module/bdev/raid/bdev_raid.h (struct raid_bdev_superblock and
 * raid_bdev_sb_base_bdev). superblock.ts encodes, decodes and validates by these tables;
 * docs/on-disk-format.md is made from them.
 */

import { Layout } from '../block/layout.ts';
import { MEMBERS_MAX } from './level-rules.ts';

export const SIGNATURE = 'SPDKRAID';
export const VERSION_MAJOR = 1;
export const VERSION_MINOR = 0;
export const NAME_BYTES_MAX = 63;
/** With a superblock, data starts at least here. */
export const DATA_OFFSET_BYTES_MIN = 2 ** 20;

export const SUPERBLOCK_HEADER = new Layout('RAID superblock header', 256, [
  { name: 'signature', offset: 0, bytes: 8, type: 'bytes', meaning: 'ASCII `SPDKRAID`, no NUL' },
  { name: 'version_major', offset: 8, bytes: 2, type: 'u16', meaning: '1; any other is refused' },
  {
    name: 'version_minor',
    offset: 10,
    bytes: 2,
    type: 'u16',
    meaning: '0; a greater one is read with a warning',
  },
  {
    name: 'length',
    offset: 12,
    bytes: 4,
    type: 'u32',
    meaning: 'bytes of header and entries: 256 + 64 · base_bdevs_size',
  },
  {
    name: 'crc',
    offset: 16,
    bytes: 4,
    type: 'u32',
    meaning: 'CRC-32C, seed 0, not inverted, over `length` bytes with this field zero',
  },
  { name: 'flags', offset: 20, bytes: 4, type: 'u32', meaning: '0; no flag is defined' },
  {
    name: 'uuid',
    offset: 24,
    bytes: 16,
    type: 'uuid',
    meaning: 'UUID of the array in network byte order, not all zero',
  },
  {
    name: 'name',
    offset: 40,
    bytes: 64,
    type: 'bytes',
    meaning: 'UTF-8, 1 to 63 bytes, then NUL; the rest zero',
  },
  { name: 'raid_size', offset: 104, bytes: 8, type: 'u64', meaning: 'blocks of the array' },
  { name: 'block_size', offset: 112, bytes: 4, type: 'u32', meaning: 'bytes per block' },
  {
    name: 'level',
    offset: 116,
    bytes: 4,
    type: 'u32',
    meaning: '0 raid0, 1 raid1, 95 raid5f, 99 concat',
  },
  {
    name: 'strip_size',
    offset: 120,
    bytes: 4,
    type: 'u32',
    meaning: 'blocks, a power of two; 0 for raid1',
  },
  { name: 'state', offset: 124, bytes: 4, type: 'u32', meaning: '0; never filled in' },
  {
    name: 'seq_number',
    offset: 128,
    bytes: 8,
    type: 'u64',
    meaning: 'incremented before every write; the first write has 1',
  },
  { name: 'num_base_bdevs', offset: 136, bytes: 1, type: 'u8', meaning: 'number of slots' },
  { name: 'reserved', offset: 137, bytes: 118, type: 'zero', meaning: 'zero' },
  {
    name: 'base_bdevs_size',
    offset: 255,
    bytes: 1,
    type: 'u8',
    meaning: 'number of entries that follow, equal to num_base_bdevs',
  },
]);

export const SUPERBLOCK_ENTRY = new Layout('RAID superblock entry', 64, [
  { name: 'uuid', offset: 0, bytes: 16, type: 'uuid', meaning: 'UUID of the member' },
  {
    name: 'data_offset',
    offset: 16,
    bytes: 8,
    type: 'u64',
    meaning: 'blocks from the start of the member to its data, at least 1 MiB',
  },
  {
    name: 'data_size',
    offset: 24,
    bytes: 8,
    type: 'u64',
    meaning: 'blocks of the member used for data',
  },
  {
    name: 'state',
    offset: 32,
    bytes: 4,
    type: 'u32',
    meaning: '0 missing, 1 configured, 2 failed, 3 spare',
  },
  { name: 'flags', offset: 36, bytes: 4, type: 'u32', meaning: '0; no flag is defined' },
  { name: 'slot', offset: 40, bytes: 1, type: 'u8', meaning: 'slot number in the array' },
  { name: 'reserved', offset: 41, bytes: 23, type: 'zero', meaning: 'zero' },
]);

/** 16 576 bytes: the largest superblock. */
export const SUPERBLOCK_BYTES_MAX = SUPERBLOCK_HEADER.bytes + MEMBERS_MAX * SUPERBLOCK_ENTRY.bytes;

/** Bytes of a superblock with this many entries. */
export function superblockBytes(memberCount: number): number {
  return SUPERBLOCK_HEADER.bytes + memberCount * SUPERBLOCK_ENTRY.bytes;
}
