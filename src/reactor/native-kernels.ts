/**
 * Kernels by the native addon: the contract of portable-kernels.ts, at AVX2 speed.   (data plane)
 *
 * The addon works on addresses and refuses (RangeError) what lies outside mapped memory; positions
 * in the arena become addresses here. Nothing is allocated per call.
 */

import type { Arena } from '../block/arena.ts';
import type { Kernels } from '../block/kernels.ts';
import type { NativeAddon } from '../native/addon.ts';

const XOR_SOURCES_START = 64;

export class NativeKernels implements Kernels {
  readonly #native: NativeAddon;
  readonly #base: number;
  /** Addresses of the sources of the current `xor`. */
  #addresses = new Float64Array(XOR_SOURCES_START);

  constructor(native: NativeAddon, arena: Arena) {
    this.#native = native;
    this.#base = arena.address;
  }

  xor(target: number, sources: Uint32Array, sourceCount: number, bytes: number): void {
    if (sourceCount > this.#addresses.length) this.#addresses = new Float64Array(sourceCount);
    const addresses = this.#addresses;
    const base = this.#base;
    for (let index = 0; index < sourceCount; index += 1) addresses[index] = base + sources[index]!;
    this.#native.xor(base + target, addresses, sourceCount, bytes);
  }

  crc32c(at: number, bytes: number): number {
    return this.#native.crc32c(this.#base + at, bytes);
  }

  crc32cRaw(seed: number, at: number, bytes: number): number {
    return this.#native.crc32cRaw(seed, this.#base + at, bytes);
  }

  copyCrc32cRaw(seed: number, to: number, from: number, bytes: number): number {
    return this.#native.copyCrc32cRaw(seed, this.#base + to, this.#base + from, bytes);
  }

  copy(to: number, from: number, bytes: number): void {
    this.#native.copy(this.#base + to, this.#base + from, bytes);
  }

  zero(at: number, bytes: number): void {
    this.#native.zero(this.#base + at, bytes);
  }

  isZero(at: number, bytes: number): boolean {
    return this.#native.isZero(this.#base + at, bytes);
  }

  equal(a: number, b: number, bytes: number): boolean {
    return this.#native.equal(this.#base + a, this.#base + b, bytes);
  }
}
