/**
 * What a log says of each block and trim in it: their entries, and sequences.         (both planes)
 *
 * The write units of an FTL and the records of an NV cache have the same ones. An entry names the
 * block, the sequence of the write that made it, and a checksum over these and the data: a block
 * that is torn, stale or lies elsewhere shows. A trim record names a range. Both check themselves.
 *
 * The tables describe the bytes; the functions read and write them as 32-bit words in an arena.
 * Sequences of units and records consist of an epoch, which is one life of the device, and a
 * counter within it; sequences have 53 bits of 56.
 */

import type { Arena } from './arena.ts';
import { crc32cRaw } from './crc32c.ts';
import type { Kernels } from './kernels.ts';
import { Layout } from './layout.ts';

export const LOG_BLOCK_BYTES = 4096;
export const LOG_ENTRY_BYTES = 16;
export const TRIM_RECORD_BYTES = 32;

export const LOG_ENTRY = new Layout('Entry of a data block', LOG_ENTRY_BYTES, [
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

export function makeSequence(epoch: number, number: number): number {
  return epoch * TWO_32 + number;
}

export function epochOf(sequence: number): number {
  return Math.floor(sequence / TWO_32);
}

// data path

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
export function blockCrc(arena: Arena, kernels: Kernels, entry: number, data: number): number {
  // Of so few bytes it costs less here than a call of the kernels.
  const seed = crc32cRaw(ALL_ONES, arena.u8, entry, entry + NAME_BYTES);
  return ~kernels.crc32cRaw(seed, data, LOG_BLOCK_BYTES) >>> 0;
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
  return ~kernels.copyCrc32cRaw(seed, to, from, LOG_BLOCK_BYTES) >>> 0;
}

/** As if nothing had been put there. */
export function clearEntry(u32: Uint32Array, at: number): void {
  const word = at >>> 2;
  u32.fill(0, word, word + LOG_ENTRY_BYTES / 4);
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

export function writeU64(u32: Uint32Array, word: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  u32[word] = value - high * TWO_32;
  u32[word + 1] = high;
}

export function readU64(u32: Uint32Array, word: number): number {
  return u32[word]! + u32[word + 1]! * TWO_32;
}

// end data path

/** The usual CRC-32C of bytes outside an arena, for tests and tools. */
export function blockCrcOf(name: Uint8Array, data: Uint8Array): number {
  return ~crc32cRaw(crc32cRaw(ALL_ONES, name), data) >>> 0;
}
