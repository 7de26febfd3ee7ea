/**
 * OffsetDevice: a window of another device.                                           (data plane)
 *
 * For partitions, and for arrays whose members hold the data behind a header. The window starts and
 * ends on a write unit of the lower device.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice, DeviceDescription, Geometry } from '../block/block-device.ts';
import { type BlockIo, OP_FLUSH } from '../block/block-io.ts';
import { BandstandError } from '../block/errors.ts';
import { ForwardingDevice } from './forwarding-device.ts';

export interface OffsetDeviceOptions {
  /** In blocks of the lower device. */
  readonly firstBlock: number;
  /** To the end of the lower device when absent. */
  readonly blockCount?: number;
  readonly name?: string;
}

export class OffsetDevice extends ForwardingDevice {
  readonly #firstBlock: number;
  readonly #blockCount: number | null;

  constructor(lower: BlockDevice, options: OffsetDeviceOptions) {
    super(lower, options.name ?? lower.name);
    assert(options.firstBlock >= 0, 'a window starts inside the device');
    this.#firstBlock = options.firstBlock;
    this.#blockCount = options.blockCount ?? null;
  }

  protected override geometryOver(lower: Geometry): Geometry {
    const unit = lower.writeUnitBlocks;
    const rest = lower.blockCount - this.#firstBlock;
    const blockCount = this.#blockCount ?? Math.floor(rest / unit) * unit;
    if (blockCount < 1 || blockCount > rest) {
      throw new BandstandError('BANDSTAND_DEVICE_TOO_SMALL', {
        message: `cannot use a window of ${this.name}: it ends at block ${this.#firstBlock + Math.max(blockCount, 1)}, the device at block ${lower.blockCount}`,
        hint: 'use a larger device',
        details: { device: this.name, block_count: lower.blockCount },
      });
    }
    if (this.#firstBlock % unit !== 0 || blockCount % unit !== 0) {
      throw new BandstandError('BANDSTAND_DEVICE_INVALID', {
        message: `cannot use a window of ${this.name}: its start ${this.#firstBlock} and length ${blockCount} are not multiples of the write unit of ${unit} blocks`,
        hint: 'align the window to the write unit',
        details: { device: this.name, write_unit_blocks: unit },
      });
    }
    const boundary = lower.optimalBoundaryBlocks;
    const aligned = boundary > 0 && this.#firstBlock % boundary === 0;
    return { ...lower, blockCount, optimalBoundaryBlocks: aligned ? boundary : 0 };
  }

  protected override starting(io: BlockIo, child: BlockIo): void {
    if (io.op !== OP_FLUSH) child.block = io.block + this.#firstBlock;
  }

  protected override ended(): void {}

  describe(): DeviceDescription {
    return {
      kind: 'offset',
      name: this.name,
      children: [this.lower.describe()],
      details: { first_block: this.#firstBlock, block_count: this.geometry.blockCount },
    };
  }
}
