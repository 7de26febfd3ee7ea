/**
 * CRC-32C (Castagnoli) in JavaScript: for metadata codecs, and the oracle of the native kernel.
 *                                                                                     (both planes)
 * Reflected polynomial 0x82F63B78, eight bytes at a time by eight tables ("slicing by 8", Kounavis
 * and Berry, 2005). `crc32c` is the usual form (RFC 3720: starts with all ones, inverted at the
 * end); `crc32cRaw` is SPDK's form with a caller's seed and neither step, so that the checksum of
 * any run of zero bytes with seed 0 is 0.
 */

const SLICES = 8;
const ENTRIES = 256;

/** Table `n` gives what a byte does to the checksum when `n` more bytes follow it. */
const TABLES = new Uint32Array(SLICES * ENTRIES);
for (let index = 0; index < ENTRIES; index += 1) {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  TABLES[index] = value >>> 0;
}
for (let index = ENTRIES; index < TABLES.length; index += 1) {
  const value = TABLES[index - ENTRIES]!;
  TABLES[index] = TABLES[value & 0xff]! ^ (value >>> 8);
}

export function crc32cRaw(seed: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = seed | 0;
  let index = start;
  for (; index + SLICES <= end; index += SLICES) {
    crc ^=
      bytes[index]! |
      (bytes[index + 1]! << 8) |
      (bytes[index + 2]! << 16) |
      (bytes[index + 3]! << 24);
    crc =
      TABLES[7 * ENTRIES + (crc & 0xff)]! ^
      TABLES[6 * ENTRIES + ((crc >>> 8) & 0xff)]! ^
      TABLES[5 * ENTRIES + ((crc >>> 16) & 0xff)]! ^
      TABLES[4 * ENTRIES + (crc >>> 24)]! ^
      TABLES[3 * ENTRIES + bytes[index + 4]!]! ^
      TABLES[2 * ENTRIES + bytes[index + 5]!]! ^
      TABLES[ENTRIES + bytes[index + 6]!]! ^
      TABLES[bytes[index + 7]!]!;
  }
  for (; index < end; index += 1) crc = TABLES[(crc ^ bytes[index]!) & 0xff]! ^ (crc >>> 8);
  return crc >>> 0;
}

export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  return ~crc32cRaw(0xffffffff, bytes, start, end) >>> 0;
}

const FOUR_ZEROES = new Uint8Array(4);

/** The checksum of a structure that holds it in its four bytes at `at`, which count as zeroes. */
export function crc32cAround(bytes: Uint8Array, at: number): number {
  const before = crc32cRaw(0xffffffff, bytes, 0, at);
  const across = crc32cRaw(before, FOUR_ZEROES);
  return ~crc32cRaw(across, bytes, at + FOUR_ZEROES.length) >>> 0;
}
