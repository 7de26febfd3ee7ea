/**
 * The NV cache of a stack in the words of status.                                   (control plane)
 */

import type { CacheHealth, CacheStatusDocument } from '../control/schema.ts';
import { CACHE_BLOCK_BYTES } from '../nv-cache/cache-format.ts';
import type { NvCache } from '../nv-cache/nv-cache.ts';
import type { NvCacheStatus } from '../nv-cache/nv-cache-status.ts';

function healthOf({ cache_failed: hasFailed, state }: NvCacheStatus): CacheHealth {
  if (state === 'retiring') return 'failing';
  if (state === 'through') return 'detached';
  // Where nothing is changed any more it is the cache that has failed, or the FTL, which says so.
  return state === 'stopped' && hasFailed ? 'failed' : 'ok';
}

/** Null while it is closed. */
export function cacheDocument(cache: NvCache, device: string): CacheStatusDocument | null {
  const status = cache.status();
  return status === null ? null : documentOf(status, device);
}

function documentOf(status: NvCacheStatus, device: string): CacheStatusDocument {
  const bytes = (blocks: number): number => blocks * CACHE_BLOCK_BYTES;
  return {
    device,
    uuid: status.uuid,
    health: healthOf(status),
    reason: status.reason,
    size_bytes: bytes(status.ring_blocks),
    used_bytes: bytes(status.used_blocks),
    undrained_bytes: bytes(status.undrained_blocks),
    phase: status.phase,
    epoch: status.epoch,
    user_blocks_written: status.user_blocks,
    drained_blocks: status.drained_blocks,
    dropped_blocks: status.dropped_blocks,
    read_blocks: status.read_blocks_ring,
    lost_blocks: status.lost_blocks,
    lost_ranges: status.lost_ranges.map(({ block, blockCount }) => ({
      block,
      block_count: blockCount,
    })),
  };
}
