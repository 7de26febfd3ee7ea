/**
 * LeafDevice: what null and memory devices share.                                     (data plane)
 *
 * Their operations complete through the reactor's completion queue, which is first in, first out:
 * a marker that goes through it after them proves that they have completed. So they need not count
 * what is in flight, and `close` still waits for it.
 */

import { assert } from '../block/assert.ts';
import type {
  BlockDevice,
  DeviceDescription,
  DeviceObserver,
  Geometry,
} from '../block/block-device.ts';
import { BlockIo } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';

/** Resolves when everything that went to `reactor.finish` before has completed. */
export function afterCompletions(reactor: Reactor): Promise<void> {
  return new Promise((resolve) => {
    const marker = new BlockIo();
    marker.completer = { complete: () => resolve() };
    reactor.finish(marker, OK);
  });
}

export abstract class LeafDevice implements BlockDevice {
  readonly name: string;
  readonly geometry: Geometry;
  observer: DeviceObserver | null = null;
  protected reactor: Reactor | null = null;

  constructor(name: string, geometry: Geometry) {
    assert(geometry.blockBytes === 512 || geometry.blockBytes === 4096, 'a block is 512 or 4096');
    this.name = name;
    this.geometry = geometry;
  }

  async open(reactor: Reactor): Promise<void> {
    assert(this.reactor === null, 'a device is opened once');
    this.reactor = reactor;
  }

  async close(): Promise<void> {
    const reactor = this.reactor;
    if (reactor === null) return;
    this.reactor = null;
    await afterCompletions(reactor);
  }

  abstract submit(io: BlockIo): void;
  abstract describe(): DeviceDescription;
}
