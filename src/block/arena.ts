/**
 * The arena: one page-aligned memory region that holds every payload of a reactor.    (data plane)
 *
 * A buffer is a byte position in it (a uint32, so that it stays a small integer in V8), never a
 * pointer, view or copy. Devices, the kernel and the native kernels touch the bytes; JavaScript
 * looks only at metadata, through `u8`, `u32` and `view`, which cover the whole arena and are
 * created once.
 *
 * Allocation is control plane (first fit over a sorted free list): devices and exporters allocate
 * when they open and release when they close; nothing is allocated per operation.
 *
 * Invariants: allocations never overlap, are aligned to `alignment`, and do not move.
 */

import { assert } from './assert.ts';
import { BandstandError } from './errors.ts';

const ALIGNMENT_DEFAULT = 4096;
export const ARENA_BYTES_MAX = 2 ** 31;

interface FreeRange {
  at: number;
  bytes: number;
}

export class Arena {
  readonly bytes: number;
  /** Address of byte 0 as the kernel sees it (exact: below 2^53), 0 if the memory has none. */
  readonly address: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  #free: FreeRange[];

  constructor(memory: ArrayBuffer, address: number) {
    assert(memory.byteLength <= ARENA_BYTES_MAX, 'an arena is at most 2 GiB');
    this.bytes = memory.byteLength;
    this.address = address;
    this.u8 = new Uint8Array(memory);
    this.u16 = new Uint16Array(memory);
    this.u32 = new Uint32Array(memory);
    this.view = new DataView(memory);
    this.#free = [{ at: 0, bytes: this.bytes }];
  }

  get freeBytes(): number {
    return this.#free.reduce((sum, range) => sum + range.bytes, 0);
  }

  /**
   * Reserves `bytes` (rounded up to 64) at a multiple of `alignment` (a power of two).
   * The content is undefined. Throws BANDSTAND_ARENA_FULL when no range is large enough.
   */
  allocate(bytes: number, alignment = ALIGNMENT_DEFAULT): number {
    const size = Math.ceil(bytes / 64) * 64;
    for (let index = 0; index < this.#free.length; index += 1) {
      const range = this.#free[index]!;
      const at = Math.ceil(range.at / alignment) * alignment;
      if (at + size > range.at + range.bytes) continue;
      const after = { at: at + size, bytes: range.at + range.bytes - at - size };
      const rest: FreeRange[] = [];
      if (at > range.at) rest.push({ at: range.at, bytes: at - range.at });
      if (after.bytes > 0) rest.push(after);
      this.#free.splice(index, 1, ...rest);
      return at;
    }
    throw new BandstandError('BANDSTAND_ARENA_FULL', {
      message: `cannot reserve ${bytes} bytes of buffer memory: ${this.freeBytes} of ${this.bytes} bytes are free`,
      hint: 'use a smaller --depth or fewer --queues',
      details: { bytes, free_bytes: this.freeBytes, arena_bytes: this.bytes },
    });
  }

  /** Takes a certain range (multiples of 64) out of what can be allocated; it has to be free. */
  reserve(at: number, bytes: number): void {
    assert(at % 64 === 0 && bytes % 64 === 0, 'a reserved range has multiples of 64 as its ends');
    const index = this.#free.findIndex((range) => at < range.at + range.bytes);
    const range = this.#free[index];
    assert(
      range !== undefined && range.at <= at && at + bytes <= range.at + range.bytes,
      'a reserved range is free',
    );
    const before = { at: range.at, bytes: at - range.at };
    const after = { at: at + bytes, bytes: range.at + range.bytes - at - bytes };
    this.#free.splice(index, 1, ...[before, after].filter((rest) => rest.bytes > 0));
  }

  /** Gives back a range that `allocate(bytes)` returned. */
  release(at: number, bytes: number): void {
    const size = Math.ceil(bytes / 64) * 64;
    const index = this.#free.findIndex((range) => range.at > at);
    const position = index === -1 ? this.#free.length : index;
    const before = this.#free[position - 1];
    const after = this.#free[position];
    assert(before === undefined || before.at + before.bytes <= at, 'a range is released once');
    assert(after === undefined || at + size <= after.at, 'a range is released once');
    this.#free.splice(position, 0, { at, bytes: size });
    this.#merge(position);
    if (position > 0) this.#merge(position - 1);
  }

  #merge(index: number): void {
    const range = this.#free[index];
    const next = this.#free[index + 1];
    if (range === undefined || next === undefined || range.at + range.bytes !== next.at) return;
    range.bytes += next.bytes;
    this.#free.splice(index + 1, 1);
  }
}

/** A fixed number of equal buffers in an arena; take and give are O(1) and do not allocate. */
export class BufferPool {
  readonly arena: Arena;
  readonly bufferBytes: number;
  readonly count: number;
  available: number;
  readonly #base: number;
  readonly #stride: number;
  readonly #free: Uint32Array;

  constructor(arena: Arena, bufferBytes: number, count: number, alignment = ALIGNMENT_DEFAULT) {
    this.arena = arena;
    this.bufferBytes = bufferBytes;
    this.count = count;
    this.available = count;
    this.#stride = Math.ceil(bufferBytes / alignment) * alignment;
    this.#base = arena.allocate(this.#stride * count, alignment);
    this.#free = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) {
      this.#free[index] = this.#base + (count - 1 - index) * this.#stride;
    }
  }

  /** A buffer, or -1 when all are out. */
  take(): number {
    if (this.available === 0) return -1;
    this.available -= 1;
    return this.#free[this.available]!;
  }

  give(buffer: number): void {
    assert(this.available < this.count, 'a buffer is given back once');
    this.#free[this.available] = buffer;
    this.available += 1;
  }

  /** Returns the memory to the arena; every buffer must be back. */
  dispose(): void {
    assert(this.available === this.count, 'all buffers are back');
    this.arena.release(this.#base, this.#stride * this.count);
    this.available = 0;
  }
}
