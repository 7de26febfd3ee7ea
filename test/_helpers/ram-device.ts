/**
 * RamDevice: a strict disk in memory for tests.
 *
 * It asserts what the layer above owes it (range, size, alignment, features, flags), completes
 * operations after random delays and out of order when asked to, keeps a log, and fails what the
 * test's `fault` says. The content survives close, so that a test can look at it and open it again.
 */

import { assert } from '../../src/block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  type DeviceObserver,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../src/block/block-device.ts';
import { type BlockIo, FLAG_FUA, OP_READ, OP_WRITE, type Op } from '../../src/block/block-io.ts';
import { type Reactor, Timer } from '../../src/block/reactor.ts';
import { OK } from '../../src/block/status.ts';

export interface LoggedIo {
  readonly op: Op;
  readonly flags: number;
  readonly block: number;
  readonly blockCount: number;
}

export interface RamOptions {
  readonly blockCount: number;
  readonly blockBytes?: number;
  /** Longest delay of a completion in microseconds; 0 completes in order, in the next turn. */
  readonly delayUsMax?: number;
  readonly geometry?: Partial<Geometry>;
  /** What it holds, and holds it in; zeroes when not given. */
  readonly bytes?: Uint8Array;
  /** A map of its own; none when not given. */
  readonly allocationAt?: NonNullable<BlockDevice['allocationAt']>;
}

class Delayed extends Timer {
  readonly done: () => void;

  constructor(done: () => void) {
    super();
    this.done = done;
  }

  expire(): void {
    this.done();
  }
}

export class RamDevice implements BlockDevice {
  readonly name: string;
  geometry: Geometry;
  bytes: Uint8Array;
  observer: DeviceObserver | null = null;
  readonly allocationAt?: NonNullable<BlockDevice['allocationAt']>;
  /** A status other than 0 fails the operation, which then has no effect. */
  fault: (io: BlockIo) => number = () => OK;
  readonly log: LoggedIo[] = [];
  inFlight = 0;
  isOpen = false;
  closes = 0;
  readonly #delayUsMax: number;
  #reactor: Reactor | null = null;
  #drained: () => void = () => {};

  constructor(name: string, options: RamOptions) {
    const blockBytes = options.blockBytes ?? 512;
    this.name = name;
    if (options.allocationAt !== undefined) this.allocationAt = options.allocationAt;
    this.geometry = {
      blockBytes,
      blockCount: options.blockCount,
      writeUnitBlocks: 1,
      optimalBoundaryBlocks: 0,
      requestBlocksMax: 2 ** 20 / blockBytes,
      physicalBlockBytes: blockBytes,
      rotational: false,
      volatileCache: false,
      features: FEATURE_TRIM | FEATURE_WRITE_ZEROES | FEATURE_FUA | FEATURE_TRIM_ZEROES,
      trimGranularityBlocks: 1,
      ...options.geometry,
    };
    this.bytes = options.bytes ?? new Uint8Array(options.blockCount * blockBytes);
    this.#delayUsMax = options.delayUsMax ?? 0;
  }

  async open(reactor: Reactor): Promise<void> {
    assert(!this.isOpen, 'a device is opened once');
    this.#reactor = reactor;
    this.isOpen = true;
  }

  /** Waits for what is in flight, as a file does. */
  async close(): Promise<void> {
    this.isOpen = false;
    this.closes += 1;
    if (this.inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** What a test has held back is over: a close that waits for it ends. */
  letGo(): void {
    this.inFlight -= 1;
    if (this.inFlight === 0 && !this.isOpen) this.#drained();
  }

  submit(io: BlockIo): void {
    const reactor = this.#reactor;
    assert(reactor !== null && this.isOpen, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    if ((io.flags & FLAG_FUA) !== 0) {
      assert((this.geometry.features & FEATURE_FUA) !== 0, 'FUA is native');
    }
    const { op, flags, block, blockCount } = io;
    this.log.push({ op, flags, block, blockCount });
    this.inFlight += 1;
    const status = this.fault(io);
    const done = (): void => {
      if (status === OK) this.#carryOut(io);
      this.inFlight -= 1;
      reactor.finish(io, status);
      if (this.inFlight === 0 && !this.isOpen) this.#drained();
    };
    if (this.#delayUsMax === 0) done();
    else reactor.schedule(new Delayed(done), reactor.random() % this.#delayUsMax);
  }

  /** Adds blocks at the end, and tells the observer. */
  grow(blocks: number): void {
    const blockCount = this.geometry.blockCount + blocks;
    const bytes = new Uint8Array(blockCount * this.geometry.blockBytes);
    bytes.set(this.bytes);
    this.bytes = bytes;
    this.geometry = { ...this.geometry, blockCount };
    this.observer?.deviceResized(this);
  }

  describe(): DeviceDescription {
    return { kind: 'ram', name: this.name, children: [], details: {} };
  }

  #carryOut(io: BlockIo): void {
    const { blockBytes } = this.geometry;
    const from = io.block * blockBytes;
    const length = io.blockCount * blockBytes;
    const memory = (this.#reactor as Reactor).arena.u8;
    if (io.op === OP_READ) memory.set(this.bytes.subarray(from, from + length), io.buffer);
    else if (io.op === OP_WRITE) {
      this.bytes.set(memory.subarray(io.buffer, io.buffer + length), from);
    } else if (length > 0) {
      this.bytes.fill(0, from, from + length);
    }
  }
}
