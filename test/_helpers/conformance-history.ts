/**
 * A seeded random history of operations on a device, checked against a model.
 *
 * The model holds the version of every block of a region: what the last completed write, trim or
 * write-zeroes left there. Writes do not overlap anything else in flight, so that the model is
 * exact; reads may overlap writes, and then only their other blocks are compared. Every payload is
 * unique per (block, version), lies between guard zones, and is looked at again after a write.
 */

import {
  type BlockDevice,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import {
  BlockIo,
  type Completer,
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
  opName,
} from '../../src/block/block-io.ts';
import type { Reactor } from '../../src/block/reactor.ts';

const GUARD_BYTES = 4096;
const GUARD_WORD = 0xa5a5a5a5;
const REQUEST_BYTES_MAX = 256 * 1024;
const REGION_BLOCKS_MAX = 8192;
const VIOLATIONS_MAX = 5;

const UNKNOWN = -1;
const ZEROES = 0;

export interface HistoryOptions {
  readonly seed: number;
  readonly operations: number;
  readonly depth?: number;
}

class Slot extends BlockIo {
  busy = false;
  /** Version that a read expects of each of its blocks. */
  expected = new Int32Array(0);
  version = 0;
}

export class History implements Completer {
  readonly violations: string[] = [];
  /** Completed operations by kind. */
  readonly completed = [0, 0, 0, 0, 0];
  readonly #reactor: Reactor;
  readonly #device: BlockDevice;
  readonly #slots: Slot[] = [];
  readonly #slotBytes: number;
  readonly #blockBytes: number;
  readonly #unit: number;
  readonly #first: number;
  readonly #blocks: number;
  readonly #requestBlocksMax: number;
  readonly #versions: Int32Array;
  readonly #writers: Uint8Array;
  readonly #readers: Uint16Array;
  #version = 0;
  #random: number;
  #left: number;
  #inFlight = 0;
  #submitting = false;
  #resolve: (() => void) | null = null;

  constructor(reactor: Reactor, device: BlockDevice, options: HistoryOptions) {
    const { geometry } = device;
    this.#reactor = reactor;
    this.#device = device;
    this.#random = options.seed >>> 0 || 1;
    this.#left = options.operations;
    this.#blockBytes = geometry.blockBytes;
    this.#unit = geometry.writeUnitBlocks;
    const units = Math.max(1, Math.floor(REGION_BLOCKS_MAX / this.#unit));
    this.#blocks = Math.min(geometry.blockCount, units * this.#unit);
    this.#first = geometry.blockCount - this.#blocks;
    this.#requestBlocksMax = Math.max(
      this.#unit,
      Math.min(geometry.requestBlocksMax, REQUEST_BYTES_MAX / this.#blockBytes),
    );
    this.#versions = new Int32Array(this.#blocks).fill(UNKNOWN);
    this.#writers = new Uint8Array(this.#blocks);
    this.#readers = new Uint16Array(this.#blocks);
    this.#slotBytes = this.#requestBlocksMax * this.#blockBytes + 2 * GUARD_BYTES;
    for (let count = options.depth ?? 16; count > 0; count -= 1) this.#addSlot();
  }

  /** Resolves when every operation has completed; look at `violations` then. */
  run(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#fill();
    });
  }

  dispose(): void {
    for (const slot of this.#slots) {
      this.#reactor.arena.release(slot.buffer - GUARD_BYTES, this.#slotBytes);
    }
  }

  complete(io: BlockIo): void {
    const slot = io as Slot;
    if (!slot.busy) this.#violation(slot, 'completed twice');
    if (this.#submitting) this.#violation(slot, 'completed inside submit');
    if (slot.status !== 0) this.#violation(slot, `failed with status ${slot.status}`);
    else this.#check(slot);
    this.#forget(slot);
    slot.busy = false;
    this.#inFlight -= 1;
    this.completed[slot.op]! += 1;
    this.#fill();
  }

  #addSlot(): void {
    const slot = new Slot();
    const at = this.#reactor.arena.allocate(this.#slotBytes);
    slot.completer = this;
    slot.buffer = at + GUARD_BYTES;
    slot.expected = new Int32Array(this.#requestBlocksMax);
    this.#reactor.arena.u32.fill(GUARD_WORD, at / 4, (at + this.#slotBytes) / 4);
    this.#slots.push(slot);
  }

  #fill(): void {
    if (this.#submitting) return;
    for (const slot of this.#slots) {
      if (slot.busy || this.#left === 0 || this.violations.length > 0) continue;
      this.#left -= 1;
      this.#prepare(slot);
      slot.busy = true;
      this.#inFlight += 1;
      this.#submitting = true;
      this.#device.submit(slot);
      this.#submitting = false;
    }
    const over = this.#left === 0 || this.violations.length > 0;
    if (over && this.#inFlight === 0) this.#resolve?.();
  }

  #below(limit: number): number {
    let value = this.#random;
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    this.#random = value >>> 0;
    return this.#random % limit;
  }

  #chooseOp(): Op {
    const { features } = this.#device.geometry;
    const dice = this.#below(100);
    if (dice < 5) return OP_FLUSH;
    if (dice < 12 && (features & FEATURE_TRIM) !== 0) return OP_TRIM;
    if (dice < 20 && (features & FEATURE_WRITE_ZEROES) !== 0) return OP_WRITE_ZEROES;
    return dice < 58 ? OP_WRITE : OP_READ;
  }

  #prepare(slot: Slot): void {
    slot.op = this.#chooseOp();
    slot.flags = 0;
    slot.status = 0;
    slot.blockCount = 0;
    if (slot.op === OP_FLUSH) return;
    if (slot.op !== OP_READ && !this.#chooseWriteRange(slot)) slot.op = OP_READ;
    if (slot.op === OP_READ) this.#prepareRead(slot);
    else this.#prepareWrite(slot);
  }

  /** A range of whole write units that nothing in flight touches. */
  #chooseWriteRange(slot: Slot): boolean {
    const unit = this.#unit;
    const units = Math.floor(this.#blocks / unit);
    const most = Math.max(1, Math.floor(this.#requestBlocksMax / unit));
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const count = 1 + this.#below(this.#below(8) === 0 ? most : Math.min(most, 8));
      const start = this.#below(units);
      const blockCount = Math.min(count, units - start) * unit;
      const block = start * unit;
      if (this.#idle(block, blockCount)) {
        slot.block = this.#first + block;
        slot.blockCount = blockCount;
        return true;
      }
    }
    return false;
  }

  #idle(block: number, blockCount: number): boolean {
    for (let index = block; index < block + blockCount; index += 1) {
      if (this.#writers[index] !== 0 || this.#readers[index] !== 0) return false;
    }
    return true;
  }

  #prepareRead(slot: Slot): void {
    const most =
      this.#below(8) === 0 ? this.#requestBlocksMax : Math.min(this.#requestBlocksMax, 9);
    const start = this.#below(this.#blocks);
    slot.block = this.#first + start;
    slot.blockCount = Math.min(1 + this.#below(most), this.#blocks - start);
    for (let index = 0; index < slot.blockCount; index += 1) {
      const at = start + index;
      this.#readers[at]! += 1;
      slot.expected[index] = this.#writers[at] !== 0 ? UNKNOWN : this.#versions[at]!;
    }
  }

  #prepareWrite(slot: Slot): void {
    const start = slot.block - this.#first;
    this.#writers.fill(1, start, start + slot.blockCount);
    if (this.#below(8) === 0) slot.flags |= FLAG_FUA;
    if (slot.op === OP_WRITE_ZEROES && this.#below(2) === 0) slot.flags |= FLAG_NOUNMAP;
    if (slot.op !== OP_WRITE) return;
    this.#version += 1;
    slot.version = this.#version;
    const words = this.#blockBytes / 4;
    for (let index = 0; index < slot.blockCount; index += 1) {
      const at = slot.buffer / 4 + index * words;
      fillBlock(this.#reactor.arena.u32, at, words, slot.block + index, slot.version);
    }
  }

  #check(slot: Slot): void {
    if (slot.op === OP_READ || slot.op === OP_WRITE) this.#checkPayload(slot);
  }

  /** A read gives what the model holds; a write leaves its payload, and both the guards, alone. */
  #checkPayload(slot: Slot): void {
    const u32 = this.#reactor.arena.u32;
    const words = this.#blockBytes / 4;
    for (let index = 0; index < slot.blockCount; index += 1) {
      const version = slot.op === OP_WRITE ? slot.version : slot.expected[index]!;
      if (version === UNKNOWN) continue;
      const at = slot.buffer / 4 + index * words;
      if (!holdsBlock(u32, at, words, slot.block + index, version)) {
        const what = slot.op === OP_WRITE ? 'payload changed' : 'wrong content';
        this.#violation(slot, `${what} at block ${slot.block + index}, version ${version}`);
        return;
      }
    }
    const before = slot.buffer / 4;
    const after = before + slot.blockCount * words;
    if (u32[before - 1] !== GUARD_WORD) this.#violation(slot, 'memory before the payload changed');
    if (slot.blockCount === this.#requestBlocksMax && u32[after] !== GUARD_WORD) {
      this.#violation(slot, 'memory after the payload changed');
    }
  }

  #forget(slot: Slot): void {
    if (slot.op === OP_FLUSH) return;
    const start = slot.block - this.#first;
    for (let at = start; at < start + slot.blockCount; at += 1) {
      if (slot.op === OP_READ) this.#readers[at]! -= 1;
      else {
        this.#writers[at] = 0;
        this.#versions[at] = slot.status === 0 ? this.#versionAfter(slot) : UNKNOWN;
      }
    }
  }

  #versionAfter(slot: Slot): number {
    if (slot.op === OP_WRITE) return slot.version;
    if (slot.op === OP_WRITE_ZEROES) return ZEROES;
    const trimsToZeroes = (this.#device.geometry.features & FEATURE_TRIM_ZEROES) !== 0;
    return trimsToZeroes ? ZEROES : UNKNOWN;
  }

  #violation(slot: Slot, what: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    const range = `block ${slot.block}, ${slot.blockCount} blocks`;
    this.violations.push(`${opName(slot.op)} of ${range}: ${what}`);
  }
}

function wordOf(block: number, version: number, index: number): number {
  const seed = Math.imul(block + 1, 0x9e3779b1) ^ Math.imul(version, 0x85ebca6b);
  return (seed + Math.imul(index, 0xc2b2ae35)) >>> 0;
}

export function fillBlock(
  u32: Uint32Array,
  at: number,
  words: number,
  block: number,
  version: number,
): void {
  for (let index = 0; index < words; index += 1) u32[at + index] = wordOf(block, version, index);
}

/** Version 0 is a block of zeroes. */
export function holdsBlock(
  u32: Uint32Array,
  at: number,
  words: number,
  block: number,
  version: number,
): boolean {
  for (let index = 0; index < words; index += 1) {
    const expected = version === ZEROES ? 0 : wordOf(block, version, index);
    if (u32[at + index] !== expected) return false;
  }
  return true;
}
