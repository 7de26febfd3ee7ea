/**
 * The stack that bench:cache measures in one process: an NV cache in front of an FTL over
 * raid5f(4), with the settings of a server.
 */

import { makeUuid } from '../src/block/uuid.ts';
import { FileDevice } from '../src/device/file-device.ts';
import { createCache } from '../src/nv-cache/create-cache.ts';
import { NvCache } from '../src/nv-cache/nv-cache.ts';
import type { RingReactor } from '../src/reactor/ring-reactor.ts';
import { BLOCK_BYTES, FtlStack, type StackSpec, UUID } from './ftl-stack.ts';

/** As a server on a machine with two processors or more. */
const POLL_US = 50;

export class CacheStack {
  readonly below: FtlStack;
  readonly cache: NvCache;
  readonly reactor: RingReactor;
  readonly #device: FileDevice;

  /** `path`: the cache device, of which everything is used. */
  constructor(path: string, spec: StackSpec) {
    this.below = new FtlStack({ ...spec, isCached: true, pollUs: POLL_US });
    this.reactor = this.below.reactor;
    this.#device = new FileDevice(path, { blockBytes: BLOCK_BYTES });
    this.cache = new NvCache(this.#device, this.below.ftl, { owner: UUID, keepsDevices: true });
  }

  /** An empty cache before an empty FTL. */
  async open(): Promise<void> {
    const { below, cache, reactor } = this;
    await below.open();
    await reactor.drive(this.#device.open(reactor));
    await reactor.drive(createCache(reactor, this.#device, { uuid: makeUuid(), owner: UUID }));
    await reactor.drive(cache.open(reactor));
  }

  async close(): Promise<void> {
    await this.reactor.drive(this.cache.close());
    await this.reactor.drive(this.#device.close());
    await this.below.close();
  }
}
