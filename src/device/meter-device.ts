/**
 * MeterDevice: counts and times every operation; the top of a stack.                  (data plane)
 *
 * Costs two additions, one clock value that the turn has read already, and one histogram increment
 * per operation. Times are from `submit` to completion, by the clock readings of the turns.
 */

import type { BlockDevice, DeviceDescription, Geometry } from '../block/block-device.ts';
import {
  type BlockIo,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../block/block-io.ts';
import { LatencyHistogram } from '../block/latency-histogram.ts';
import type { Reactor } from '../block/reactor.ts';
import { ForwardingDevice } from './forwarding-device.ts';

/** Statistics of one kind of operation since start or reset. */
export class OperationMeter {
  ios = 0;
  bytes = 0;
  errors = 0;
  readonly latency = new LatencyHistogram();

  reset(): void {
    this.ios = 0;
    this.bytes = 0;
    this.errors = 0;
    this.latency.reset();
  }
}

export class MeterDevice extends ForwardingDevice {
  readonly allocationAt?: NonNullable<BlockDevice['allocationAt']>;
  /** What it stands for may change. */
  readonly #isReplaceable: boolean;
  readonly #meters: readonly OperationMeter[];
  /** Kept apart from `reactor`, which is null while the last operations complete in `close`. */
  #clock: Reactor | null = null;

  /** `isReplaceable`: another device that has a map, too, may take the place of `lower`. */
  constructor(lower: BlockDevice, isReplaceable = false) {
    super(lower, lower.name);
    this.#isReplaceable = isReplaceable;
    if (lower.allocationAt !== undefined) {
      this.allocationAt = (block, blockCount) => this.lower.allocationAt!(block, blockCount);
    }
    this.#meters = [OP_READ, OP_WRITE, OP_FLUSH, OP_TRIM, OP_WRITE_ZEROES].map(
      () => new OperationMeter(),
    );
  }

  /** The live statistics of one kind of operation; control plane. */
  meter(op: Op): OperationMeter {
    return this.#meters[op]!;
  }

  reset(): void {
    for (const meter of this.#meters) meter.reset();
  }

  override async open(reactor: Reactor): Promise<void> {
    this.#clock = reactor;
    await super.open(reactor);
  }

  /** Whoever uses it is told once whether to flush, and the next device may need it. */
  protected override geometryOver(lower: Geometry): Geometry {
    return this.#isReplaceable ? { ...lower, volatileCache: true } : lower;
  }

  protected override starting(_io: BlockIo, child: BlockIo): void {
    child.stamp = this.#clock!.nowUs();
  }

  protected override ended(io: BlockIo, child: BlockIo): void {
    const meter = this.#meters[io.op]!;
    meter.ios += 1;
    if (io.status !== 0) meter.errors += 1;
    else if (io.op !== OP_FLUSH) meter.bytes += io.blockCount * this.geometry.blockBytes;
    meter.latency.record(this.#clock!.nowUs() - child.stamp);
  }

  describe(): DeviceDescription {
    return this.lower.describe();
  }
}
