/**
 * WriteBuffer: the units that are not on the base yet.                                (data plane)
 *
 *   memory   | index | unit of slot 0 | unit of slot 1 | …
 *   index    | header 64 | 16 bytes per slot: state and class, data blocks, trims, unit |
 *
 * A slot is the image of a unit from the moment that it is opened: data and entries are put where
 * they will be on the base. A block counts once the index counts it; entries check themselves. So
 * memory that outlives the process can be taken over by the next one, which writes each unit to the
 * place that it had anyway (survivors.ts).
 *
 * A block is copied on the way of its checksum, in one pass (copyCrc32cRaw of the kernels).
 *
 * Columns, one entry per slot:
 *   state      free; open (being filled); sealed (complete, waits for its band); flying
 *   unit       the unit's number, counted from the start of band 0
 *   sealing    number in the order of sealing: what a flush waits for
 *   sequence   unit sequence in the header
 *   userData   1 when it holds something that no other unit holds
 *   firstWrite sequence of the first write that a user put into it, or Infinity
 */

import { crc32c } from '../block/crc32c.ts';
import { Layout } from '../block/layout.ts';
import type { Reactor } from '../block/reactor.ts';
import { FTL_BLOCK_BYTES, type FtlGeometry } from './geometry.ts';
import {
  clearEntry,
  copyBlock,
  dataAt,
  entryAt,
  trimAt,
  writeEntryCrc,
  writeName,
  writeTrim,
} from './unit-format.ts';

export const SLOT_FREE = 0;
export const SLOT_OPEN = 1;
export const SLOT_SEALED = 2;
export const SLOT_FLYING = 3;

/** In place of a place: a block is not what its checksum says. */
export const WRONG_BLOCK = -1;

const INDEX_HEADER_BYTES = 64;
const INDEX_ENTRY_BYTES = 16;
export const SLOTS_MAX = 1024;
/** ASCII `BSWB`, as a little-endian word. */
const BUFFER_SIGNATURE = 0x42575342;

export const BUFFER_INDEX = new Layout('Index of the write buffer', INDEX_HEADER_BYTES, [
  { name: 'signature', offset: 0, bytes: 4, type: 'bytes', meaning: 'ASCII `BSWB`' },
  { name: 'version', offset: 4, bytes: 4, type: 'u32', meaning: '1; any other is not taken over' },
  { name: 'uuid', offset: 8, bytes: 16, type: 'uuid', meaning: 'UUID of the device' },
  { name: 'slot_count', offset: 24, bytes: 4, type: 'u32', meaning: 'units that it holds' },
  { name: 'unit_blocks', offset: 28, bytes: 4, type: 'u32', meaning: 'blocks of each' },
  { name: 'epoch', offset: 32, bytes: 4, type: 'u32', meaning: 'epoch of the device' },
  { name: 'reserved', offset: 36, bytes: 24, type: 'zero', meaning: 'zero' },
  {
    name: 'crc',
    offset: 60,
    bytes: 4,
    type: 'u32',
    meaning: 'the usual CRC-32C over the 60 bytes before it',
  },
]);

export const BUFFER_VERSION = 1;

/** Bytes before slot 0. */
export function bufferIndexBytes(slotCount: number): number {
  const bytes = INDEX_HEADER_BYTES + slotCount * INDEX_ENTRY_BYTES;
  return Math.ceil(bytes / FTL_BLOCK_BYTES) * FTL_BLOCK_BYTES;
}

export function bufferBytes(geometry: FtlGeometry, slotCount: number): number {
  return bufferIndexBytes(slotCount) + slotCount * geometry.unitBlocks * FTL_BLOCK_BYTES;
}

/** Byte of the index entry of a slot. */
export function indexEntryAt(memory: number, slot: number): number {
  return memory + INDEX_HEADER_BYTES + slot * INDEX_ENTRY_BYTES;
}

export class WriteBuffer {
  readonly slotCount: number;
  readonly state: Uint8Array;
  readonly classOf: Uint8Array;
  readonly unit: Float64Array;
  readonly sealing: Float64Array;
  readonly sequence: Float64Array;
  readonly dataCount: Uint32Array;
  readonly trimCount: Uint32Array;
  readonly userData: Uint8Array;
  readonly firstWrite: Float64Array;
  /** Slot of each unit of the device, or -1. */
  readonly slotOfUnit: Int16Array;
  freeCount: number;
  readonly #geometry: FtlGeometry;
  readonly #reactor: Reactor;
  readonly #memory: number;
  readonly #first: number;
  readonly #unitBytes: number;

  /** `memory` is the arena position of `bufferBytes(geometry, slotCount)` bytes, all free. */
  constructor(reactor: Reactor, geometry: FtlGeometry, memory: number, slotCount: number) {
    this.#reactor = reactor;
    this.#geometry = geometry;
    this.#memory = memory;
    this.#first = memory + bufferIndexBytes(slotCount);
    this.#unitBytes = geometry.unitBlocks * FTL_BLOCK_BYTES;
    this.slotCount = slotCount;
    this.freeCount = slotCount;
    this.state = new Uint8Array(slotCount);
    this.classOf = new Uint8Array(slotCount);
    this.unit = new Float64Array(slotCount);
    this.sealing = new Float64Array(slotCount);
    this.sequence = new Float64Array(slotCount);
    this.dataCount = new Uint32Array(slotCount);
    this.trimCount = new Uint32Array(slotCount);
    this.userData = new Uint8Array(slotCount);
    this.firstWrite = new Float64Array(slotCount).fill(Number.POSITIVE_INFINITY);
    this.slotOfUnit = new Int16Array(geometry.bandCount * geometry.bandUnits).fill(-1);
  }

  // data path

  /** Byte of the slot's unit. */
  at(slot: number): number {
    return this.#first + slot * this.#unitBytes;
  }

  /** A slot that is open now, with an empty summary; -1 when all are taken. */
  take(lifetimeClass: number): number {
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      if (this.state[slot] !== SLOT_FREE) continue;
      this.#reactor.kernels.zero(this.at(slot), this.#geometry.summaryBlocks * FTL_BLOCK_BYTES);
      this.dataCount[slot] = 0;
      this.trimCount[slot] = 0;
      this.userData[slot] = 0;
      this.firstWrite[slot] = Number.POSITIVE_INFINITY;
      this.classOf[slot] = lifetimeClass;
      this.#noteCounts(slot);
      this.#setState(slot, SLOT_OPEN);
      this.freeCount -= 1;
      return slot;
    }
    return -1;
  }

  give(slot: number): void {
    this.firstWrite[slot] = Number.POSITIVE_INFINITY;
    this.#setState(slot, SLOT_FREE);
    this.freeCount += 1;
  }

  setClass(slot: number, lifetimeClass: number): void {
    this.classOf[slot] = lifetimeClass;
    this.#setState(slot, this.state[slot]!);
  }

  seal(slot: number): void {
    this.#setState(slot, SLOT_SEALED);
  }

  fly(slot: number): void {
    this.#setState(slot, SLOT_FLYING);
  }

  /** The unit that place is in is in memory: its slot, or -1. */
  slotOf(place: number): number {
    return this.slotOfUnit[Math.floor(place / this.#geometry.unitBlocks)]!;
  }

  /** Byte of the block at `place`, which is in the unit of `slot`. */
  byteOf(slot: number, place: number): number {
    const within = place - this.unit[slot]! * this.#geometry.unitBlocks;
    return this.at(slot) + within * FTL_BLOCK_BYTES;
  }

  /**
   * Puts a block into the open unit of `slot`; gives its place. `crc` is the checksum that it has
   * to have, or -1; if it has another one nothing is put there, and the answer is WRONG_BLOCK.
   */
  addBlock(slot: number, block: number, sequence: number, from: number, crc: number): number {
    const { arena, kernels } = this.#reactor;
    const geometry = this.#geometry;
    const index = this.dataCount[slot]!;
    const at = this.at(slot);
    const entry = entryAt(at, index);
    writeName(arena.u32, entry, block, sequence);
    const found = copyBlock(arena, kernels, dataAt(geometry, at, index), from, entry);
    if (crc !== -1 && found !== crc) {
      clearEntry(arena.u32, entry);
      return WRONG_BLOCK;
    }
    writeEntryCrc(arena.u32, entry, found);
    this.dataCount[slot] = index + 1;
    this.#noteCounts(slot);
    return this.unit[slot]! * geometry.unitBlocks + geometry.summaryBlocks + index;
  }

  addTrim(slot: number, block: number, blockCount: number, sequence: number): void {
    const index = this.trimCount[slot]!;
    const { arena, kernels } = this.#reactor;
    const at = trimAt(this.#geometry, this.at(slot), index);
    writeTrim(arena.u32, kernels, at, block, blockCount, sequence);
    this.trimCount[slot] = index + 1;
    this.#noteCounts(slot);
  }

  /** The smallest `sealing` of the units that were sealed and are not on the base; or Infinity. */
  oldestSealing(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      if (this.state[slot]! < SLOT_SEALED) continue;
      oldest = Math.min(oldest, this.sealing[slot]!);
    }
    return oldest;
  }

  /** The smallest `sequence` of the units that were sealed and are not on the base; or Infinity. */
  oldestSequence(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      if (this.state[slot]! < SLOT_SEALED) continue;
      oldest = Math.min(oldest, this.sequence[slot]!);
    }
    return oldest;
  }

  /** The write of a user with this sequence goes into the slot. */
  noteUserWrite(slot: number, sequence: number): void {
    if (this.userData[slot] === 0) this.firstWrite[slot] = sequence;
    this.userData[slot] = 1;
  }

  /** The smallest sequence of the writes of users that are not on the base; or Infinity. */
  oldestWrite(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      oldest = Math.min(oldest, this.firstWrite[slot]!);
    }
    return oldest;
  }

  #setState(slot: number, state: number): void {
    this.state[slot] = state;
    const word = indexEntryAt(this.#memory, slot) >>> 2;
    this.#reactor.arena.u32[word] = state + this.classOf[slot]! * 256;
  }

  /** The slot's unit is from now on this one. */
  assign(slot: number, unit: number): void {
    this.unit[slot] = unit;
    this.slotOfUnit[unit] = slot;
    this.#reactor.arena.u32[(indexEntryAt(this.#memory, slot) >>> 2) + 3] = unit;
  }

  #noteCounts(slot: number): void {
    const word = indexEntryAt(this.#memory, slot) >>> 2;
    const { u32 } = this.#reactor.arena;
    u32[word + 1] = this.dataCount[slot]!;
    u32[word + 2] = this.trimCount[slot]!;
  }

  // end data path

  /**
   * Makes the memory a buffer of this life without content. The signature comes last: a process
   * that dies meanwhile leaves memory that nobody takes for a buffer.
   */
  format(uuid: string, epoch: number): void {
    const { u8, u32 } = this.#reactor.arena;
    const first = this.#memory >>> 2;
    u32[first] = 0;
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      const word = indexEntryAt(this.#memory, slot) >>> 2;
      u32.fill(0, word, word + INDEX_ENTRY_BYTES / 4);
    }
    const values = {
      signature: new TextEncoder().encode('BSWB'),
      version: BUFFER_VERSION,
      uuid,
      slot_count: this.slotCount,
      unit_blocks: this.#geometry.unitBlocks,
      epoch,
      crc: 0,
    };
    const header = new Uint8Array(INDEX_HEADER_BYTES);
    BUFFER_INDEX.encode(values, header);
    const crc = crc32c(header, 0, INDEX_HEADER_BYTES - 4);
    u8.set(header.subarray(4), this.#memory + 4);
    u32[first + INDEX_HEADER_BYTES / 4 - 1] = crc;
    u32[first] = BUFFER_SIGNATURE;
  }

  /** The memory is no buffer any more. */
  wipe(): void {
    this.#reactor.arena.u32[this.#memory >>> 2] = 0;
  }
}
