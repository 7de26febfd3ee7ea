/**
 * SettlingBacking: a stand-in for a log-structured device behind an NV cache, for tests.
 *
 * It answers writes from ordinary memory and settles in units: what was accepted becomes durable
 * when its unit is full and `settle` or a flush comes by; a flush pads the unit. A kill loses what
 * was not settled, as a power cut does: of each such write it is chance whether it is there. Writes
 * take effect when they complete, after random delays, so that two that overlap are in no order.
 */

import { assert } from '../../src/block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  type DeviceObserver,
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../src/block/block-device.ts';
import { type BlockIo, OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { type Reactor, Timer } from '../../src/block/reactor.ts';
import type { Settling } from '../../src/block/settling.ts';
import { OK } from '../../src/block/status.ts';

const BLOCK = 4096;
const ZERO_BLOCK = new Uint8Array(BLOCK);

const FEATURES =
  FEATURE_TRIM | FEATURE_TRIM_ZEROES | FEATURE_WRITE_ZEROES | FEATURE_FUA | FEATURE_ATOMIC_BLOCK;

interface Unsettled {
  readonly mark: number;
  readonly block: number;
  /** Null: zeroes, of so many blocks. */
  readonly bytes: Uint8Array | null;
  readonly blockCount: number;
}

export interface SettlingOptions {
  readonly blockCount: number;
  /** Blocks that make a unit full. */
  readonly unitBlocks?: number;
  readonly delayUsMax?: number;
  readonly requestBlocksMax?: number;
  readonly features?: number;
}

class Later extends Timer {
  readonly expire: () => void;

  constructor(expire: () => void) {
    super();
    this.expire = expire;
  }
}

/** What is on its disks: it outlives the process. */
export class BackingContent {
  readonly durable = new Map<number, Uint8Array>();
  unsettled: Unsettled[] = [];

  /** The process has died, or the power: what was not settled is there or not. */
  crash(isThere: () => boolean): void {
    for (const write of this.unsettled) if (isThere()) this.apply(this.durable, write);
    this.unsettled = [];
  }

  apply(map: Map<number, Uint8Array>, { block, blockCount, bytes }: Unsettled): void {
    for (let index = 0; index < blockCount; index += 1) {
      if (bytes === null) map.delete(block + index);
      else map.set(block + index, bytes.subarray(index * BLOCK, (index + 1) * BLOCK));
    }
  }
}

export class SettlingBacking implements BlockDevice, Settling {
  readonly name = 'backing';
  readonly geometry: Geometry;
  readonly content: BackingContent;
  observer: DeviceObserver | null = null;
  acceptedMark = 0;
  settledMark = 0;
  flushes = 0;
  settles = 0;
  writes = 0;
  blocksWritten = 0;
  isOpen = false;
  isDead = false;
  fault: (io: BlockIo) => number = () => OK;
  /** Called for each operation as it is submitted. */
  submitted: (io: BlockIo) => void = () => {};
  readonly #unitBlocks: number;
  readonly #delayUsMax: number;
  #reactor: Reactor | null = null;
  #now = new Map<number, Uint8Array>();
  /** Blocks in the unit that is being filled. */
  #filling = 0;
  /** Everything up to here is in units that are full. */
  #fullMark = 0;
  #inFlight = new Set<BlockIo>();
  #drained: () => void = () => {};

  constructor(options: SettlingOptions, content = new BackingContent()) {
    this.content = content;
    this.#unitBlocks = options.unitBlocks ?? 64;
    this.#delayUsMax = options.delayUsMax ?? 0;
    this.geometry = {
      blockBytes: BLOCK,
      blockCount: options.blockCount,
      writeUnitBlocks: 1,
      optimalBoundaryBlocks: 0,
      requestBlocksMax: options.requestBlocksMax ?? 256,
      physicalBlockBytes: BLOCK,
      rotational: true,
      volatileCache: true,
      features: options.features ?? FEATURES,
      trimGranularityBlocks: 1,
    };
  }

  async open(reactor: Reactor): Promise<void> {
    assert(!this.isOpen, 'a device is opened once');
    this.#reactor = reactor;
    this.isOpen = true;
    this.#now = new Map(this.content.durable);
    for (const write of this.content.unsettled) this.content.apply(this.#now, write);
  }

  /** A clean stop: everything is durable. */
  async close(): Promise<void> {
    if (!this.isOpen) return;
    if (this.#inFlight.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.isOpen = false;
    this.#settleTo(this.acceptedMark);
  }

  /** The process has died: nothing completes any more. */
  die(): void {
    this.isDead = true;
    this.isOpen = false;
  }

  async settle(): Promise<void> {
    this.settles += 1;
    const mark = this.#fullMark;
    await new Promise<void>((resolve) => this.#later(resolve));
    if (!this.isDead) this.#settleTo(mark);
  }

  submit(io: BlockIo): void {
    if (this.isDead) return;
    assert(this.isOpen, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    this.submitted(io);
    if (io.op === OP_WRITE) this.#assertAlone(io);
    this.#inFlight.add(io);
    const status = this.fault(io);
    const mark = this.acceptedMark;
    this.#later(() => this.#finish(io, status, mark));
  }

  allocationAt(block: number, blockCount: number): number {
    const isData = this.#now.has(block);
    let run = 1;
    while (run < blockCount && this.#now.has(block + run) === isData) run += 1;
    return isData ? run : -run;
  }

  describe(): DeviceDescription {
    return { kind: 'settling', name: this.name, children: [], details: {} };
  }

  /** The byte that a block is filled with now. */
  byteOf(block: number): number {
    return this.#now.get(block)?.[0] ?? 0;
  }

  /** Blocks that hold something. */
  get filled(): number {
    return this.#now.size;
  }

  /** Two changes of a block on their way together have no order. */
  #assertAlone(io: BlockIo): void {
    for (const other of this.#inFlight) {
      if (other.op === OP_READ || other.op === OP_FLUSH) continue;
      const isApart =
        other.block + other.blockCount <= io.block || io.block + io.blockCount <= other.block;
      assert(isApart, 'changes of a block are sent one after the other');
    }
  }

  #finish(io: BlockIo, status: number, flushMark: number): void {
    if (this.isDead) return;
    if (status === OK) this.#carryOut(io, flushMark);
    this.#inFlight.delete(io);
    this.#reactor!.finish(io, status);
    if (this.#inFlight.size === 0) this.#drained();
  }

  #carryOut(io: BlockIo, flushMark: number): void {
    const { u8 } = this.#reactor!.arena;
    if (io.op === OP_FLUSH) {
      this.flushes += 1;
      this.#fullMark = Math.max(this.#fullMark, flushMark);
      this.#settleTo(flushMark);
    } else if (io.op === OP_READ) {
      for (let index = 0; index < io.blockCount; index += 1) {
        u8.set(this.#now.get(io.block + index) ?? ZERO_BLOCK, io.buffer + index * BLOCK);
      }
    } else {
      const isWrite = io.op === OP_WRITE;
      const bytes = isWrite ? u8.slice(io.buffer, io.buffer + io.blockCount * BLOCK) : null;
      this.#accept({ block: io.block, blockCount: io.blockCount, bytes });
    }
  }

  #accept(write: Omit<Unsettled, 'mark'>): void {
    this.acceptedMark += 1;
    this.writes += 1;
    if (write.bytes !== null) {
      this.blocksWritten += write.blockCount;
      this.#filling += write.blockCount;
    }
    const whole = { ...write, mark: this.acceptedMark };
    this.content.unsettled.push(whole);
    this.content.apply(this.#now, whole);
    if (this.#filling < this.#unitBlocks) return;
    this.#filling = 0;
    this.#fullMark = this.acceptedMark;
  }

  #settleTo(mark: number): void {
    const { content } = this;
    const rest = content.unsettled.findIndex((write) => write.mark > mark);
    const count = rest === -1 ? content.unsettled.length : rest;
    for (const write of content.unsettled.splice(0, count)) content.apply(content.durable, write);
    this.settledMark = Math.max(this.settledMark, mark);
  }

  #later(work: () => void): void {
    const reactor = this.#reactor!;
    const us = this.#delayUsMax === 0 ? 0 : reactor.random() % this.#delayUsMax;
    reactor.schedule(new Later(work), us);
  }
}
