/**
 * RandomLoad: blocks of a device read or written at random, or in order, so many at a time.
 *
 * As src/bench/workload.ts, with two differences: its payload is the same in all blocks, which
 * forgetful members need; and it counts processor time, of the reactor's thread alone and of the
 * whole process, to which the kernel's workers for files in memory belong.
 */

import type { BlockDevice } from '../src/block/block-device.ts';
import { BlockIo, type Completer, OP_READ, OP_WRITE } from '../src/block/block-io.ts';
import { OK } from '../src/block/status.ts';
import type { RingReactor } from '../src/reactor/ring-reactor.ts';
import { PAYLOAD_WORD } from './forgetful-device.ts';

export interface LoadOptions {
  readonly op: typeof OP_READ | typeof OP_WRITE;
  readonly isRandom: boolean;
  readonly depth: number;
  /** Blocks of one operation, and how many operations. */
  readonly blockCount: number;
  readonly ios: number;
}

export interface LoadResult {
  readonly ios: number;
  readonly iops: number;
  /** Operations per second of processor time, of the reactor's thread and of the process. */
  readonly iopsPerCore: number;
  readonly iopsPerCpu: number;
}

/** Of the next load: each has addresses of its own, the same in every run. */
let seed = 0x2545f491;

export class RandomLoad implements Completer {
  readonly #reactor: RingReactor;
  readonly #devices: readonly BlockDevice[];
  readonly #options: LoadOptions;
  readonly #positions: number;
  readonly #fixed: boolean;
  #submitted = 0;
  #completed = 0;
  #state: number;
  #failed = OK;

  /** Operations go to the devices, which are alike, in turn. */
  constructor(reactor: RingReactor, devices: readonly BlockDevice[], options: LoadOptions) {
    this.#reactor = reactor;
    this.#devices = devices;
    this.#options = options;
    this.#positions = Math.floor(devices[0]!.geometry.blockCount / options.blockCount);
    this.#fixed = !options.isRandom;
    this.#state = seed;
    seed = (seed + 0x9e3779b9) >>> 0;
  }

  async run(): Promise<LoadResult> {
    const { depth, blockCount, ios } = this.#options;
    const { arena, native } = this.#reactor;
    const bytes = depth * blockCount * this.#devices[0]!.geometry.blockBytes;
    const buffer = arena.allocate(bytes);
    arena.u32.fill(PAYLOAD_WORD, buffer / 4, (buffer + bytes) / 4);
    const cpuUs = native.threadCpuUs();
    const usage = process.cpuUsage();
    const start = performance.now();
    for (let index = 0; index < Math.min(depth, ios); index += 1) {
      const io = new BlockIo();
      io.completer = this;
      io.op = this.#options.op;
      io.buffer = buffer + (index * bytes) / depth;
      io.blockCount = blockCount;
      this.#submit(io);
    }
    await this.#reactor.run();
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(usage);
    const cpuSeconds = (native.threadCpuUs() - cpuUs) / 1e6;
    arena.release(buffer, bytes);
    if (this.#failed !== OK) throw new Error(`an operation has failed: status ${this.#failed}`);
    return {
      ios,
      iops: ios / seconds,
      iopsPerCore: ios / cpuSeconds,
      iopsPerCpu: (ios * 1e6) / (user + system),
    };
  }

  #submit(io: BlockIo): void {
    const devices = this.#devices;
    const device = devices[this.#submitted % devices.length]!;
    io.block = this.#next() * io.blockCount;
    this.#submitted += 1;
    device.submit(io);
  }

  complete(io: BlockIo): void {
    this.#completed += 1;
    if (io.status !== OK) this.#failed = io.status;
    if (this.#submitted < this.#options.ios) this.#submit(io);
    else if (this.#completed === this.#submitted) this.#reactor.stop();
  }

  #next(): number {
    if (this.#fixed) return Math.floor(this.#submitted / this.#devices.length) % this.#positions;
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 2 ** 32) * this.#positions);
  }
}

/** Blocks one after the other, in requests of so many. */
export function fill(reactor: RingReactor, device: BlockDevice, blockCount: number) {
  const ios = Math.floor(device.geometry.blockCount / blockCount);
  const options = { op: OP_WRITE, isRandom: false, depth: 8, blockCount, ios } as const;
  return new RandomLoad(reactor, [device], options).run();
}

export function random(
  reactor: RingReactor,
  device: BlockDevice,
  op: LoadOptions['op'],
  ios: number,
  depth = 64,
): Promise<LoadResult> {
  const options = { op, isRandom: true, depth, blockCount: 1, ios };
  return new RandomLoad(reactor, [device], options).run();
}

export { OP_READ, OP_WRITE };
