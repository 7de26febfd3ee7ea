/**
 * DelayDevice: a slower device than the one below; for tests and drills.              (data plane)
 *
 * Each operation waits on a reactor timer before it goes down: a fixed time, or a random one from a
 * generator with its own seed, which also reorders. The number of operations that wait at once is
 * bounded; more queue, in order, and start their wait when there is room.
 */

import { assert } from '../block/assert.ts';
import { type BlockDevice, checkIo, type DeviceDescription } from '../block/block-device.ts';
import type { BlockIo } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { type Reactor, Timer } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import { FilterDevice } from './filter-device.ts';

const DEPTH_DEFAULT = 1024;

export interface DelayDeviceOptions {
  readonly minUs: number;
  /** Uniform between minUs and maxUs; fixed when absent. */
  readonly maxUs?: number;
  readonly seed?: number;
  /** Operations that wait at once. */
  readonly depth?: number;
}

class DelayedIo extends Timer {
  io: BlockIo | null = null;
  next: DelayedIo | null = null;
  readonly #device: DelayDevice;

  constructor(device: DelayDevice) {
    super();
    this.#device = device;
  }

  expire(): void {
    this.#device.expired(this);
  }
}

export class DelayDevice extends FilterDevice {
  readonly #minUs: number;
  readonly #rangeUs: number;
  #randomState: number;
  readonly #waiting = new BlockIoQueue();
  /** Kept apart from `reactor`, which is null while the last operations leave in `close`. */
  #clock: Reactor | null = null;
  #free: DelayedIo | null = null;
  #inFlight = 0;
  #drained: (() => void) | null = null;

  constructor(lower: BlockDevice, options: DelayDeviceOptions) {
    super(lower);
    const maxUs = options.maxUs ?? options.minUs;
    assert(options.minUs >= 0 && maxUs >= options.minUs, 'a delay is a range of times');
    this.#minUs = options.minUs;
    this.#rangeUs = maxUs - options.minUs;
    this.#randomState = (options.seed ?? 1) >>> 0;
    for (let count = options.depth ?? DEPTH_DEFAULT; count > 0; count -= 1) {
      this.#give(new DelayedIo(this));
    }
  }

  override async open(reactor: Reactor): Promise<void> {
    this.#clock = reactor;
    await super.open(reactor);
  }

  submit(io: BlockIo): void {
    assert(this.reactor !== null, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    this.#inFlight += 1;
    const delayed = this.#free;
    if (delayed === null) {
      this.#waiting.push(io);
      return;
    }
    this.#free = delayed.next;
    this.#start(delayed, io);
  }

  /** The timer's: hands the operation down. */
  expired(delayed: DelayedIo): void {
    const io = delayed.io;
    assert(io !== null, 'a delay holds an operation');
    delayed.io = null;
    const next = this.#waiting.shift();
    if (next === null) this.#give(delayed);
    else this.#start(delayed, next);
    this.lower.submit(io);
    this.#inFlight -= 1;
    if (this.#inFlight === 0 && this.#drained !== null) this.#drained();
  }

  protected override async drain(): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#drained = null;
  }

  describe(): DeviceDescription {
    return {
      kind: 'delay',
      name: this.name,
      children: [this.lower.describe()],
      details: { min_us: this.#minUs, max_us: this.#minUs + this.#rangeUs },
    };
  }

  #start(delayed: DelayedIo, io: BlockIo): void {
    delayed.io = io;
    this.#clock!.schedule(delayed, this.#delayUs());
  }

  #give(delayed: DelayedIo): void {
    delayed.next = this.#free;
    this.#free = delayed;
  }

  #delayUs(): number {
    if (this.#rangeUs === 0) return this.#minUs;
    // A linear congruential generator (Numerical Recipes' constants) is plenty for delays.
    this.#randomState = (Math.imul(this.#randomState, 1664525) + 1013904223) >>> 0;
    return this.#minUs + Math.floor((this.#randomState / 2 ** 32) * (this.#rangeUs + 1));
  }
}
