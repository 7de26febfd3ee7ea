/**
 * Creating an NV cache: what its device holds before the first start.               (control plane)
 *
 * Both headers are wiped first, so that a creation which is interrupted leaves no cache rather than
 * half of an old one. Then the header has phase 0 while the ring is scrubbed, and in the end two
 * copies that say it is empty. What an older cache has left behind has another UUID, and is zeroed
 * as well.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice, writeBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { CACHE_BLOCK_BYTES, RING_START } from './cache-format.ts';
import {
  CACHE_BLOCKS_LEAST,
  CACHE_BLOCKS_MAX,
  type CacheHeader,
  encodeCacheHeader,
  headerCopy,
} from './cache-header.ts';
import { scrubRing } from './scrub.ts';

/** A record with fewer blocks would be description more than data. */
const REQUEST_BLOCKS_LEAST = 16;

export interface CreateCacheOptions {
  /** Of the new content. */
  readonly uuid: string;
  /** UUID of the device that it is for. */
  readonly owner: string;
  /** Told how much of the ring was scrubbed. */
  readonly progress?: (doneBlocks: number, totalBlocks: number) => void;
}

/** Blocks that a cache on the device has. Throws when it cannot have one. */
export function cacheBlocksOf(cache: BlockDevice): number {
  const { blockBytes, blockCount, requestBlocksMax, writeUnitBlocks } = cache.geometry;
  const refuse = (why: string, hint: string): never => {
    throw new BandstandError('BANDSTAND_CACHE_UNSUITABLE', {
      message: `cannot use ${cache.name} as an NV cache: ${why}`,
      hint,
      details: { device: cache.name },
    });
  };
  if (writeUnitBlocks * blockBytes > CACHE_BLOCK_BYTES) {
    const unit = writeUnitBlocks * blockBytes;
    refuse(`it takes writes of ${unit} bytes only`, 'use one device, or a mirror of two');
  }
  if (requestBlocksMax * blockBytes < REQUEST_BLOCKS_LEAST * CACHE_BLOCK_BYTES) {
    refuse(`it takes writes of ${requestBlocksMax * blockBytes} bytes at most`, 'use another one');
  }
  const blocks = Math.floor((blockCount * blockBytes) / CACHE_BLOCK_BYTES);
  if (blocks < CACHE_BLOCKS_LEAST) {
    refuse(`it has ${blocks} blocks of 4096 bytes`, `use one of ${CACHE_BLOCKS_LEAST} or more`);
  }
  return Math.min(blocks, CACHE_BLOCKS_MAX);
}

export async function writeCacheHeader(
  reactor: Reactor,
  cache: BlockDevice,
  header: CacheHeader,
): Promise<void> {
  const factor = CACHE_BLOCK_BYTES / cache.geometry.blockBytes;
  const block = headerCopy(header.sequence) * factor;
  await writeBlocks(reactor, cache, block, encodeCacheHeader(header));
  await flushDevice(cache);
}

/** Makes an empty cache of an open device; what was there is lost. */
export async function createCache(
  reactor: Reactor,
  cache: BlockDevice,
  options: CreateCacheOptions,
): Promise<CacheHeader> {
  const sizeBlocks = cacheBlocksOf(cache);
  const total = sizeBlocks - RING_START;
  assert(total > 0, 'a cache has a ring');
  await wipeCache(reactor, cache);
  const first: CacheHeader = {
    uuid: options.uuid,
    owner: options.owner,
    sizeBlocks,
    sequence: 1,
    epoch: 0,
    phase: 0,
    currentAddress: null,
    headSequence: 0,
    tailSequence: 0,
    tailAddress: RING_START,
    tailPhase: 1,
    lost: [],
    lostSequence: 0,
  };
  await writeCacheHeader(reactor, cache, first);
  await scrubRing(reactor, cache, sizeBlocks, (done) => options.progress?.(done, total));
  const ready = { ...first, phase: 1, currentAddress: RING_START };
  await writeCacheHeader(reactor, cache, { ...ready, sequence: 2 });
  const last = { ...ready, sequence: 3 };
  await writeCacheHeader(reactor, cache, last);
  return last;
}

/** Takes the headers away: the device holds no cache any more. */
export async function wipeCache(reactor: Reactor, cache: BlockDevice): Promise<void> {
  await writeBlocks(reactor, cache, 0, new Uint8Array(RING_START * CACHE_BLOCK_BYTES));
  await flushDevice(cache);
}
