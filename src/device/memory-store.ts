/**
 * Where a memory device keeps its bytes.                                              (data plane)
 *
 * On a ring reactor: anonymous memory mapped by the addon in chunks of 1 GiB, in huge pages where
 * there are any (a fault per 2 MiB instead of per 4 KiB), and one native copy per operation
 * (measured by the `mem` cases of bench/cases.ts). On any other reactor, which is to say in the
 * simulator: plain JavaScript arrays, made chunk by chunk when first written. Both start out as
 * zeroes.
 */

import type { Arena } from '../block/arena.ts';
import type { Reactor } from '../block/reactor.ts';
import type { NativeAddon } from '../native/addon.ts';
import type { Ring } from '../reactor/ring.ts';

export interface MemoryStore {
  /** Store → arena. */
  read(storeByte: number, at: number, bytes: number): void;
  /** Arena → store. */
  write(storeByte: number, at: number, bytes: number): void;
  zero(storeByte: number, bytes: number): void;
  dispose(): void;
}

const MAPPING_BYTES = 2 ** 30;
const CHUNK_BYTES = 2 ** 16;

export function createMemoryStore(reactor: Reactor, sizeBytes: number): MemoryStore {
  return 'native' in reactor
    ? new MappedStore((reactor as Ring).native, reactor.arena, sizeBytes)
    : new ScriptStore(reactor.arena);
}

class MappedStore implements MemoryStore {
  readonly #native: NativeAddon;
  readonly #arenaAddress: number;
  readonly #memories: ArrayBuffer[] = [];
  /** Address of each mapping. */
  readonly #addresses: Float64Array;

  constructor(native: NativeAddon, arena: Arena, sizeBytes: number) {
    this.#native = native;
    this.#arenaAddress = arena.address;
    this.#addresses = new Float64Array(Math.ceil(sizeBytes / MAPPING_BYTES));
    try {
      for (let index = 0; index < this.#addresses.length; index += 1) {
        const bytes = Math.min(MAPPING_BYTES, sizeBytes - index * MAPPING_BYTES);
        const mapping = native.memoryMap(bytes, true);
        this.#memories.push(mapping.memory);
        this.#addresses[index] = mapping.address;
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  read(storeByte: number, at: number, bytes: number): void {
    this.#copy(storeByte, at, bytes, false);
  }

  write(storeByte: number, at: number, bytes: number): void {
    this.#copy(storeByte, at, bytes, true);
  }

  zero(storeByte: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((storeByte + done) / MAPPING_BYTES);
      const offset = storeByte + done - index * MAPPING_BYTES;
      const length = Math.min(bytes - done, MAPPING_BYTES - offset);
      this.#native.zero(this.#addresses[index]! + offset, length);
      done += length;
    }
  }

  dispose(): void {
    for (const memory of this.#memories) this.#native.memoryUnmap(memory);
    this.#memories.length = 0;
  }

  #copy(storeByte: number, at: number, bytes: number, toStore: boolean): void {
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((storeByte + done) / MAPPING_BYTES);
      const offset = storeByte + done - index * MAPPING_BYTES;
      const length = Math.min(bytes - done, MAPPING_BYTES - offset);
      const store = this.#addresses[index]! + offset;
      const payload = this.#arenaAddress + at + done;
      this.#native.copy(toStore ? store : payload, toStore ? payload : store, length);
      done += length;
    }
  }
}

class ScriptStore implements MemoryStore {
  readonly #arena: Arena;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  read(storeByte: number, at: number, bytes: number): void {
    const u8 = this.#arena.u8;
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((storeByte + done) / CHUNK_BYTES);
      const offset = storeByte + done - index * CHUNK_BYTES;
      const length = Math.min(bytes - done, CHUNK_BYTES - offset);
      const chunk = this.#chunks.get(index);
      if (chunk === undefined) u8.fill(0, at + done, at + done + length);
      else u8.set(chunk.subarray(offset, offset + length), at + done);
      done += length;
    }
  }

  write(storeByte: number, at: number, bytes: number): void {
    const u8 = this.#arena.u8;
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((storeByte + done) / CHUNK_BYTES);
      const offset = storeByte + done - index * CHUNK_BYTES;
      const length = Math.min(bytes - done, CHUNK_BYTES - offset);
      this.#chunk(index).set(u8.subarray(at + done, at + done + length), offset);
      done += length;
    }
  }

  zero(storeByte: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const index = Math.floor((storeByte + done) / CHUNK_BYTES);
      const offset = storeByte + done - index * CHUNK_BYTES;
      const length = Math.min(bytes - done, CHUNK_BYTES - offset);
      if (length === CHUNK_BYTES) this.#chunks.delete(index);
      else this.#chunks.get(index)?.fill(0, offset, offset + length);
      done += length;
    }
  }

  dispose(): void {
    this.#chunks.clear();
  }

  #chunk(index: number): Uint8Array {
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK_BYTES);
      this.#chunks.set(index, chunk);
    }
    return chunk;
  }
}
