/**
 * Workload: a closed-loop load generator over any block device.                       (data plane)
 *
 * Keeps `depth` operations in flight: each completion submits the next, from a fixed set of
 * operations with a buffer each, so nothing is allocated per operation. Positions come from a
 * generator of its own (xorshift128), so that the same seed gives the same sequence on any device.
 * Payloads are filled once, with bytes that are not zero and not equal, so that nothing below can
 * take a short cut for zeroes.
 *
 * `start` is called with the reactor turning or about to turn; the end is a call-back from a turn,
 * so that a reactor at full speed (RingReactor.run) need not serve promises meanwhile.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { FEATURE_READ_ONLY } from '../block/block-device.ts';
import { BlockIo, type Completer, OP_READ, OP_WRITE } from '../block/block-io.ts';
import { BandstandError } from '../block/errors.ts';
import { LatencyHistogram, type LatencySummary } from '../block/latency-histogram.ts';
import type { Reactor } from '../block/reactor.ts';

export type WorkloadKind = 'read' | 'write' | 'randread' | 'randwrite' | 'randrw';

export interface WorkloadOptions {
  readonly rw: WorkloadKind;
  /** Reads in percent, for randrw. Default 50. */
  readonly mixPercent?: number;
  /** Bytes per operation: a multiple of the device's block size (writes: of its write unit). */
  readonly requestBytes: number;
  readonly depth: number;
  /** Ends after this time … */
  readonly timeUs?: number;
  /** … or after this many operations, whichever comes first; one of them is needed. */
  readonly ios?: number;
  /** Uses the first bytes of the device; all of it when absent. */
  readonly regionBytes?: number;
  readonly seed?: number;
  /** CPU time of this thread in microseconds; the process's when absent. */
  readonly cpuUs?: () => number;
}

/** JSON-ready: the `data` of `bandstand bench --json`. */
export interface WorkloadResult {
  readonly iops: number;
  readonly bytes_per_second: number;
  readonly latency_us: LatencySummary;
  readonly cpu_seconds: number;
  readonly ios: number;
  readonly errors: number;
}

export class Workload implements Completer {
  readonly #reactor: Reactor;
  readonly #device: BlockDevice;
  readonly #options: WorkloadOptions;
  readonly #ios: BlockIo[] = [];
  readonly #buffer: number;
  readonly #requestBlocks: number;
  /** Positions are multiples of the request size; this many. */
  readonly #positions: number;
  readonly #sequential: boolean;
  /** An operation is a read when a random number below 2^32 is below this. */
  readonly #readBelow: number;
  readonly #endIos: number;
  readonly #latency = new LatencyHistogram();
  #startUs = 0;
  #endUs = 0;
  #finishedUs = -1;
  #cpuUs = 0;
  #submitted = 0;
  #completed = 0;
  #errors = 0;
  #position = 0;
  #x: number;
  #y = 362436069;
  #z = 521288629;
  #w = 88675123;
  #whenDone: (() => void) | null = null;

  /** The device is open. Throws BANDSTAND_USAGE when the options do not suit it. */
  constructor(reactor: Reactor, device: BlockDevice, options: WorkloadOptions) {
    checkOptions(device, options);
    const { blockBytes, blockCount } = device.geometry;
    const region = Math.min(
      options.regionBytes ?? Number.MAX_SAFE_INTEGER,
      blockCount * blockBytes,
    );
    this.#reactor = reactor;
    this.#device = device;
    this.#options = options;
    this.#requestBlocks = options.requestBytes / blockBytes;
    this.#positions = Math.floor(region / options.requestBytes);
    this.#sequential = options.rw === 'read' || options.rw === 'write';
    this.#readBelow = readShare(options) * 2 ** 32;
    this.#endIos = options.ios ?? Number.POSITIVE_INFINITY;
    this.#x = (options.seed ?? 1) >>> 0;
    this.#buffer = reactor.arena.allocate(options.depth * options.requestBytes);
    this.#fillPayload();
    for (let index = 0; index < options.depth; index += 1) {
      const io = new BlockIo();
      io.completer = this;
      io.blockCount = this.#requestBlocks;
      io.buffer = this.#buffer + index * options.requestBytes;
      io.block = 2 ** 40 + 0.5;
      io.stamp = 2 ** 40 + 0.5;
      this.#ios.push(io);
    }
  }

  /** Begins; `whenDone` is called once, from a turn, when the last operation has completed. */
  start(whenDone: () => void): void {
    assert(this.#whenDone === null, 'a workload runs once');
    this.#whenDone = whenDone;
    this.#cpuUs = this.#readCpuUs();
    this.#startUs = this.#reactor.nowUs();
    this.#endUs = this.#startUs + (this.#options.timeUs ?? Number.POSITIVE_INFINITY);
    for (const io of this.#ios) {
      if (this.#submitted < this.#endIos) this.#submit(io);
    }
  }

  complete(io: BlockIo): void {
    const nowUs = this.#reactor.nowUs();
    this.#completed += 1;
    if (io.status === 0) this.#latency.record(nowUs - io.stamp);
    else this.#errors += 1;
    if (nowUs < this.#endUs && this.#submitted < this.#endIos) this.#submit(io);
    else if (this.#completed === this.#submitted) this.#finish(nowUs);
  }

  /** After the end. */
  result(): WorkloadResult {
    assert(this.#finishedUs >= 0, 'the workload has ended');
    const seconds = Math.max((this.#finishedUs - this.#startUs) / 1e6, 1e-9);
    const good = this.#completed - this.#errors;
    return {
      iops: Math.round(good / seconds),
      bytes_per_second: Math.round((good * this.#options.requestBytes) / seconds),
      latency_us: this.#latency.summary(),
      cpu_seconds: this.#cpuUs / 1e6,
      ios: this.#completed,
      errors: this.#errors,
    };
  }

  /** Gives the buffers back; after the end. */
  dispose(): void {
    this.#reactor.arena.release(this.#buffer, this.#options.depth * this.#options.requestBytes);
  }

  #submit(io: BlockIo): void {
    this.#submitted += 1;
    io.op = this.#random() < this.#readBelow ? OP_READ : OP_WRITE;
    io.flags = 0;
    io.block = this.#nextPosition() * this.#requestBlocks;
    io.stamp = this.#reactor.nowUs();
    this.#device.submit(io);
  }

  #nextPosition(): number {
    if (!this.#sequential) return Math.floor((this.#random() / 2 ** 32) * this.#positions);
    const position = this.#position;
    this.#position = position + 1 === this.#positions ? 0 : position + 1;
    return position;
  }

  /** Marsaglia's xorshift128: a uint32. */
  #random(): number {
    const t = this.#x ^ (this.#x << 11);
    this.#x = this.#y;
    this.#y = this.#z;
    this.#z = this.#w;
    this.#w = this.#w ^ (this.#w >>> 19) ^ t ^ (t >>> 8);
    return this.#w >>> 0;
  }

  #fillPayload(): void {
    const u32 = this.#reactor.arena.u32;
    const words = (this.#options.depth * this.#options.requestBytes) / 4;
    for (let index = 0; index < words; index += 1) {
      u32[this.#buffer / 4 + index] = this.#random() | 1;
    }
  }

  #finish(nowUs: number): void {
    this.#finishedUs = nowUs;
    this.#cpuUs = this.#readCpuUs() - this.#cpuUs;
    this.#whenDone?.();
  }

  #readCpuUs(): number {
    if (this.#options.cpuUs !== undefined) return this.#options.cpuUs();
    const { user, system } = process.cpuUsage();
    return user + system;
  }
}

/** Runs a workload while something else turns the reactor, for example `drive`. */
export function runWorkload(
  reactor: Reactor,
  device: BlockDevice,
  options: WorkloadOptions,
): Promise<WorkloadResult> {
  return new Promise((resolve) => {
    const workload = new Workload(reactor, device, options);
    workload.start(() => {
      workload.dispose();
      resolve(workload.result());
    });
  });
}

function readShare(options: WorkloadOptions): number {
  if (options.rw === 'read' || options.rw === 'randread') return 1;
  if (options.rw === 'write' || options.rw === 'randwrite') return 0;
  return (options.mixPercent ?? 50) / 100;
}

function checkOptions(device: BlockDevice, options: WorkloadOptions): void {
  const { blockBytes, blockCount, requestBlocksMax, writeUnitBlocks, features } = device.geometry;
  const { requestBytes, depth } = options;
  const mix = options.mixPercent ?? 50;
  const writes = readShare(options) < 1;
  const unit = (writes ? writeUnitBlocks : 1) * blockBytes;
  const region = Math.min(options.regionBytes ?? Number.MAX_SAFE_INTEGER, blockCount * blockBytes);
  if (!(mix >= 0 && mix <= 100)) throw usage(device, `a mix of ${mix} is not a percentage`);
  if (!(Number.isInteger(depth) && depth >= 1))
    throw usage(device, `depth ${depth} is not positive`);
  if (!(requestBytes > 0 && requestBytes % unit === 0)) {
    throw usage(device, `${requestBytes} bytes are not a multiple of ${unit}`);
  }
  if (requestBytes > requestBlocksMax * blockBytes) {
    throw usage(
      device,
      `${requestBytes} bytes exceed its limit of ${requestBlocksMax * blockBytes}`,
    );
  }
  if (region < requestBytes) {
    throw usage(
      device,
      `a region of ${region} bytes is less than one operation of ${requestBytes}`,
    );
  }
  if (writes && (features & FEATURE_READ_ONLY) !== 0) throw usage(device, 'it is read-only');
  if (options.timeUs === undefined && options.ios === undefined) {
    throw usage(device, 'neither a time nor a number of operations is given');
  }
}

function usage(device: BlockDevice, why: string): BandstandError {
  return new BandstandError('BANDSTAND_USAGE', {
    message: `cannot run this load on ${device.name}: ${why}`,
    hint: 'choose other values for --bs, --depth, --size or --time',
    details: { device: device.name },
  });
}
