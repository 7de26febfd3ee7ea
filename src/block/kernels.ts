/**
 * Kernels: the byte loops of the data path.                                           (data plane)
 *
 * XOR, CRC-32C, copy and zero over arena ranges. The native addon implements them with AVX2 and
 * SSE4.2 (and a portable fallback); `portable-kernels.ts` is the JavaScript oracle that the tests
 * compare with, and what the simulator may use where the addon is not wanted.
 *
 * Positions and lengths are bytes; a range outside the arena is a RangeError.
 */

export interface Kernels {
  /**
   * target = XOR of sources[0 .. sourceCount-1], each `bytes` long. The target may be one of the
   * sources; ranges otherwise do not overlap. sourceCount ≥ 1; one source is a copy.
   */
  xor(target: number, sources: Uint32Array, sourceCount: number, bytes: number): void;
  /** The usual CRC-32C (RFC 3720): starts with all ones, is inverted. "123456789" → 0xE3069283. */
  crc32c(at: number, bytes: number): number;
  /** SPDK's raw form: no initial or final inversion. Seed 0: "123456789" → 0x58E3FA20. */
  crc32cRaw(seed: number, at: number, bytes: number): number;
  /** Copies within the arena, and gives the raw CRC-32C of it; the ranges do not overlap. */
  copyCrc32cRaw(seed: number, to: number, from: number, bytes: number): number;
  /** Copies within the arena; the ranges do not overlap. */
  copy(to: number, from: number, bytes: number): void;
  zero(at: number, bytes: number): void;
  isZero(at: number, bytes: number): boolean;
  equal(a: number, b: number, bytes: number): boolean;
}
