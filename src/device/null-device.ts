/**
 * NullDevice: an infinitely fast disk that stores nothing, for benchmarks.            (data plane)
 *
 * Writes are discarded and reads leave the buffer as it was, so that what is measured is the stack
 * above and not a memory fill. It therefore breaks law 5 on purpose, alone of all devices, and
 * nothing but `bandstand bench` and tests may build on it.
 */

import { assert } from '../block/assert.ts';
import {
  checkIo,
  type DeviceDescription,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
} from '../block/block-device.ts';
import type { BlockIo } from '../block/block-io.ts';
import { OK } from '../block/status.ts';
import { LeafDevice } from './leaf-device.ts';

const REQUEST_BYTES_MAX = 32 * 2 ** 20;

export interface NullDeviceOptions {
  readonly sizeBytes: number;
  /** 512 or 4096 (default). */
  readonly blockBytes?: number;
}

export class NullDevice extends LeafDevice {
  constructor(name: string, options: NullDeviceOptions) {
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
      features: FEATURE_TRIM | FEATURE_WRITE_ZEROES | FEATURE_FUA,
      trimGranularityBlocks: 1,
    });
  }

  submit(io: BlockIo): void {
    const reactor = this.reactor;
    assert(reactor !== null, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    reactor.finish(io, OK);
  }

  describe(): DeviceDescription {
    return { kind: 'null', name: this.name, children: [], details: {} };
  }
}
