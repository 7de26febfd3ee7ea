/**
 * NvCore: what the parts of an NV cache share.                                        (data plane)
 *
 * The ring and the map of it, what is lost, trims on their way, and in what state the cache is:
 *
 *   online    writes go to the ring
 *   retiring  the ring is being emptied for good; writes wait
 *   through   the ring is empty; writes go to the device behind, which is flushed for each
 *   stopped   the device behind cannot be written any more: nothing is changed
 *
 * Parts tell each other by `wake` that something has changed; what follows from it is done once, at
 * the end of the turn.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import type { Settling } from '../block/settling.ts';
import type { BlockMap } from './block-map.ts';
import { CACHE_BLOCK_BYTES } from './cache-format.ts';
import type { LostBlocks } from './lost-blocks.ts';
import type { NvCacheStatistics } from './nv-cache-statistics.ts';
import type { PendingTrims } from './pending-trims.ts';
import { ReadGrace } from './read-grace.ts';
import type { RingSpace } from './ring-space.ts';

export const STATE_ONLINE = 0;
export const STATE_RETIRING = 1;
export const STATE_THROUGH = 2;
export const STATE_STOPPED = 3;
export const STATE_NAMES = ['online', 'retiring', 'through', 'stopped'] as const;
export type NvState = 0 | 1 | 2 | 3;

/** What is behind an NV cache: it says which writes are durable by now. */
export type Backing = BlockDevice & Settling;

export interface NvCoreHost {
  /** Something has changed: look at the end of the turn what can go on. */
  wake(): void;
  /** The cache device cannot be relied on any more. */
  cacheFailed(status: number, reason: string): void;
  /** The device behind cannot be changed any more. */
  backingFailed(status: number, reason: string): void;
}

export interface NvCoreParts {
  readonly reactor: Reactor;
  readonly cache: BlockDevice;
  readonly backing: Backing;
  readonly uuid: Uint32Array;
  readonly ring: RingSpace;
  readonly map: BlockMap;
  readonly trims: PendingTrims;
  readonly lost: LostBlocks;
  readonly statistics: NvCacheStatistics;
  readonly host: NvCoreHost;
}

export class NvCore {
  readonly reactor: Reactor;
  readonly cache: BlockDevice;
  readonly backing: Backing;
  readonly uuid: Uint32Array;
  readonly ring: RingSpace;
  readonly map: BlockMap;
  readonly trims: PendingTrims;
  readonly lost: LostBlocks;
  readonly grace = new ReadGrace();
  readonly statistics: NvCacheStatistics;
  readonly host: NvCoreHost;
  /** Blocks of the cache device per block. */
  readonly factor: number;
  state: NvState = STATE_ONLINE;
  /** Why it is in this state; null while everything is well. */
  reason: string | null = null;
  /** A flush of the cache device proves nothing any more. */
  isCacheFailed = false;
  /** Nothing is written to either device; the only changes that come are flushes. */
  readOnly = false;
  /** With which operations that change something are refused in state `stopped`. */
  stoppedStatus = 0;
  /** Number of this life of the cache. */
  epoch = 0;
  /** What the header says: as great, or greater where it was renewed meanwhile. */
  headerEpoch = 0;
  /** A write waits for room in the ring, or for a slot for its trim. */
  roomWanted = false;

  constructor(parts: NvCoreParts) {
    this.reactor = parts.reactor;
    this.cache = parts.cache;
    this.backing = parts.backing;
    this.uuid = parts.uuid;
    this.ring = parts.ring;
    this.map = parts.map;
    this.trims = parts.trims;
    this.lost = parts.lost;
    this.statistics = parts.statistics;
    this.host = parts.host;
    this.factor = CACHE_BLOCK_BYTES / parts.cache.geometry.blockBytes;
  }
}
