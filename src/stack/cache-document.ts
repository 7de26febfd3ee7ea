/**
 * The NV cache of a stack in the words of status.                                   (control plane)
 */

import type { CacheStatusDocument } from '../control/schema.ts';
import { CACHE_BLOCK_BYTES } from '../nv-cache/cache-format.ts';
import type { NvCache } from '../nv-cache/nv-cache.ts';
import type { NvCacheStatus } from '../nv-cache/nv-cache-status.ts';
import type { CacheBase } from './cache-base.ts';

const HEALTH = {
  online: 'ok',
  retiring: 'failing',
  through: 'detached',
  stopped: 'ok',
} as const satisfies Readonly<Record<NvCacheStatus['state'], string>>;

/** Null while it is closed. */
export function cacheDocument(
  cache: NvCache,
  { mirror, name }: CacheBase,
): CacheStatusDocument | null {
  const status = cache.status();
  if (status === null) return null;
  const document = documentOf(status, name);
  if (mirror === null) return document;
  const part = mirror.status();
  const isWhole = document.health !== 'ok' || part.health === 'healthy';
  return {
    ...document,
    ...(isWhole ? {} : { health: 'degraded' }),
    reason: document.reason ?? part.reason,
    action: part.action,
    activity: part.activity,
    array: mirror.arrayStatus(part),
  };
}

function documentOf(status: NvCacheStatus, device: string): CacheStatusDocument {
  const bytes = (blocks: number): number => blocks * CACHE_BLOCK_BYTES;
  return {
    device,
    uuid: status.uuid,
    health: HEALTH[status.state],
    reason: status.reason,
    action: null,
    activity: null,
    array: null,
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
