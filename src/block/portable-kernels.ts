/**
 * Kernels in plain JavaScript over an arena: the oracle of the native ones.           (data plane)
 *
 * Slower, with the same contract and the same range errors.
 */

import type { Arena } from './arena.ts';
import { crc32c, crc32cRaw } from './crc32c.ts';
import type { Kernels } from './kernels.ts';

export class PortableKernels implements Kernels {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  #check(at: number, bytes: number): void {
    if (!(at >= 0 && bytes >= 0 && at + bytes <= this.#arena.bytes)) {
      throw new RangeError('kernel range lies outside the arena');
    }
  }

  xor(target: number, sources: Uint32Array, sourceCount: number, bytes: number): void {
    this.#check(target, bytes);
    let places = target | bytes;
    for (let source = 0; source < sourceCount; source += 1) {
      this.#check(sources[source]!, bytes);
      places |= sources[source]!;
    }
    // Nearly all of them lie at multiples of four bytes.
    const inWords = places % 4 === 0;
    const array = inWords ? this.#arena.u32 : this.#arena.u8;
    const scale = inWords ? 4 : 1;
    const to = target / scale;
    const count = bytes / scale;
    for (let index = 0; index < count; index += 1) {
      let value = 0;
      for (let source = 0; source < sourceCount; source += 1) {
        value ^= array[sources[source]! / scale + index]!;
      }
      array[to + index] = value;
    }
  }

  crc32c(at: number, bytes: number): number {
    this.#check(at, bytes);
    return crc32c(this.#arena.u8, at, at + bytes);
  }

  crc32cRaw(seed: number, at: number, bytes: number): number {
    this.#check(at, bytes);
    return crc32cRaw(seed, this.#arena.u8, at, at + bytes);
  }

  copyCrc32cRaw(seed: number, to: number, from: number, bytes: number): number {
    this.copy(to, from, bytes);
    return crc32cRaw(seed, this.#arena.u8, to, to + bytes);
  }

  copy(to: number, from: number, bytes: number): void {
    this.#check(to, bytes);
    this.#check(from, bytes);
    this.#arena.u8.copyWithin(to, from, from + bytes);
  }

  zero(at: number, bytes: number): void {
    this.#check(at, bytes);
    this.#arena.u8.fill(0, at, at + bytes);
  }

  isZero(at: number, bytes: number): boolean {
    this.#check(at, bytes);
    const u8 = this.#arena.u8;
    for (let index = at; index < at + bytes; index += 1) if (u8[index] !== 0) return false;
    return true;
  }

  equal(a: number, b: number, bytes: number): boolean {
    this.#check(a, bytes);
    this.#check(b, bytes);
    const { u8 } = this.#arena;
    return Buffer.compare(u8.subarray(a, a + bytes), u8.subarray(b, b + bytes)) === 0;
  }
}
