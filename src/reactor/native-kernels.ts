/**
 * Kernels by the native addon: the contract of portable-kernels.ts, at AVX2 speed.   (data plane)
 *
 * The addon works on addresses and refuses (RangeError) what lies outside mapped memory; positions
 * in the arena become addresses here. Nothing is allocated per call.
 */

import type { Arena } from '../block/arena.ts';
import type { Kernels } from '../block/kernels.ts';
import type { NativeAddon, NativeHotKernels } from '../native/addon.ts';

const SOURCES_AT = 8;

export class NativeKernels implements Kernels {
  readonly #native: NativeAddon;
  readonly #hot: NativeHotKernels;
  /** Arguments and results of `#hot`. */
  readonly #words: Float64Array;
  readonly #base: number;

  constructor(native: NativeAddon, arena: Arena) {
    this.#native = native;
    this.#hot = native.hotKernels;
    this.#words = new Float64Array(native.hotKernels.words);
    this.#base = arena.address;
  }

  xor(target: number, sources: Uint32Array, sourceCount: number, bytes: number): void {
    const words = this.#words;
    const base = this.#base;
    words[0] = base + target;
    words[1] = sourceCount;
    words[2] = bytes;
    // What is beyond the words is not written; more sources than there may be are refused.
    for (let index = 0; index < sourceCount; index += 1) {
      words[SOURCES_AT + index] = base + sources[index]!;
    }
    this.#hot.xor();
  }

  crc32c(at: number, bytes: number): number {
    return this.#native.crc32c(this.#base + at, bytes);
  }

  crc32cRaw(seed: number, at: number, bytes: number): number {
    const words = this.#words;
    words[0] = seed;
    words[1] = this.#base + at;
    words[2] = bytes;
    this.#hot.crc32cRaw();
    return words[3]!;
  }

  copyCrc32cRaw(seed: number, to: number, from: number, bytes: number): number {
    const words = this.#words;
    words[0] = seed;
    words[1] = this.#base + to;
    words[2] = this.#base + from;
    words[3] = bytes;
    this.#hot.copyCrc32cRaw();
    return words[4]!;
  }

  copy(to: number, from: number, bytes: number): void {
    const words = this.#words;
    words[0] = this.#base + to;
    words[1] = this.#base + from;
    words[2] = bytes;
    this.#hot.copy();
  }

  zero(at: number, bytes: number): void {
    const words = this.#words;
    words[0] = this.#base + at;
    words[1] = bytes;
    this.#hot.zero();
  }

  isZero(at: number, bytes: number): boolean {
    return this.#native.isZero(this.#base + at, bytes);
  }

  equal(a: number, b: number, bytes: number): boolean {
    return this.#native.equal(this.#base + a, this.#base + b, bytes);
  }
}
