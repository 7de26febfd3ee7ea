/**
 * CRC-32C (Castagnoli) in JavaScript: for metadata codecs, and the oracle of the native kernel.
 *                                                                                     (both planes)
 * Reflected polynomial 0x82F63B78, one table lookup per byte. `crc32c` is the usual form (RFC 3720:
 * starts with all ones, inverted at the end); `crc32cRaw` is SPDK's form with a caller's seed and
 * neither step, so that the checksum of any run of zero bytes with seed 0 is 0.
 */

const TABLE = new Uint32Array(256);
for (let index = 0; index < 256; index += 1) {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  TABLE[index] = value >>> 0;
}

export function crc32cRaw(seed: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = seed >>> 0;
  for (let index = start; index < end; index += 1) {
    crc = (TABLE[(crc ^ bytes[index]!) & 0xff]! ^ (crc >>> 8)) >>> 0;
  }
  return crc;
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
