/**
 * MemoryDevice: a disk in memory, for benchmarks and tests.                           (data plane)
 *
 * The copy happens in `submit`, the completion in a later turn, so operations take effect in the
 * order of submission, which the laws allow but do not promise. The content is lost at close.
 */

import { assert } from '../block/assert.ts';
import {
  checkIo,
  type DeviceDescription,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../block/block-device.ts';
import { type BlockIo, OP_FLUSH, OP_READ, OP_WRITE } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import { LeafDevice } from './leaf-device.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';

const REQUEST_BYTES_MAX = 32 * 2 ** 20;

export interface MemoryDeviceOptions {
  readonly sizeBytes: number;
  /** 512 or 4096 (default). */
  readonly blockBytes?: number;
}

export class MemoryDevice extends LeafDevice {
  readonly #blockBytes: number;
  #store: MemoryStore | null = null;

  constructor(name: string, options: MemoryDeviceOptions) {
    const blockBytes = options.blockBytes ?? 4096;
    super(name, {
      blockBytes,
      blockCount: Math.floor(options.sizeBytes / blockBytes),
      writeUnitBlocks: 1,
      optimalBoundaryBlocks: 0,
      requestBlocksMax: REQUEST_BYTES_MAX / blockBytes,
      physicalBlockBytes: blockBytes,
      rotational: false,
      volatileCache: false,
      features: FEATURE_TRIM | FEATURE_WRITE_ZEROES | FEATURE_FUA | FEATURE_TRIM_ZEROES,
      trimGranularityBlocks: 1,
    });
    this.#blockBytes = blockBytes;
  }

  override async open(reactor: Reactor): Promise<void> {
    await super.open(reactor);
    try {
      this.#store = createMemoryStore(reactor, this.geometry.blockCount * this.#blockBytes);
    } catch (error) {
      this.reactor = null;
      throw error;
    }
  }

  override async close(): Promise<void> {
    await super.close();
    this.#store?.dispose();
    this.#store = null;
  }

  submit(io: BlockIo): void {
    const reactor = this.reactor;
    const store = this.#store;
    assert(reactor !== null && store !== null, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    const op = io.op;
    const byte = io.block * this.#blockBytes;
    const bytes = io.blockCount * this.#blockBytes;
    if (op === OP_READ) store.read(byte, io.buffer, bytes);
    else if (op === OP_WRITE) store.write(byte, io.buffer, bytes);
    else if (op !== OP_FLUSH) store.zero(byte, bytes);
    reactor.finish(io, OK);
  }

  describe(): DeviceDescription {
    return { kind: 'memory', name: this.name, children: [], details: {} };
  }
}
