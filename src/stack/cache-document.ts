/**
 * The NV cache of a stack in the words of status.                                   (control plane)
 */

import type {
  ActivityStatus,
  CacheHealth,
  CacheRecoveryDocument,
  CacheState,
  CacheStatusDocument,
  Pace,
} from '../control/schema.ts';
import { IDLE } from '../control/schema.ts';
import { CACHE_BLOCK_BYTES, RING_START } from '../nv-cache/cache-format.ts';
import { CACHE_STEPS } from '../nv-cache/cache-restore.ts';
import type { NvCache } from '../nv-cache/nv-cache.ts';
import type { NvCacheStatus } from '../nv-cache/nv-cache-status.ts';
import type { NvRecovery } from '../nv-cache/nv-recovery.ts';
import type { CacheBase } from './cache-base.ts';
import type { CacheMirror } from './cache-mirror.ts';

function healthOf({ cache_failed: hasFailed, state }: NvCacheStatus): CacheHealth {
  if (state === 'retiring') return 'failing';
  if (state === 'through') return 'detached';
  // Where nothing is changed any more it is the cache that has failed, or the FTL, which says so.
  return state === 'stopped' && hasFailed ? 'failed' : 'ok';
}

const STATES: Readonly<Record<string, CacheState>> = {
  [CACHE_STEPS.scan]: 'scan',
  [CACHE_STEPS.recover]: 'recover',
  [CACHE_STEPS.scrub]: 'scrub',
  [CACHE_STEPS.epoch]: 'recover',
};

export type DescribedCache = Pick<NvCache, 'status' | 'recovery'>;

/** Null while it is closed. */
export function cacheDocument(
  cache: DescribedCache,
  { mirror, name }: Pick<CacheBase, 'mirror' | 'name'>,
): CacheStatusDocument | null {
  const recovery = cache.recovery();
  if (recovery === null) return null;
  const status = cache.status();
  const document =
    status === null ? startingDocument(recovery, name) : documentOf(status, recovery, name);
  return mirror === null ? document : mirrored(document, mirror);
}

function mirrored(document: CacheStatusDocument, mirror: CacheMirror): CacheStatusDocument {
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

const bytes = (blocks: number): number => blocks * CACHE_BLOCK_BYTES;

function documentOf(
  status: NvCacheStatus,
  recovery: NvRecovery,
  device: string,
): CacheStatusDocument {
  return {
    device,
    uuid: status.uuid,
    health: healthOf(status),
    reason: status.reason,
    action: null,
    activity: null,
    array: null,
    state: stateOf(status, recovery),
    size_bytes: bytes(status.ring_blocks),
    used_bytes: bytes(status.used_blocks),
    undrained_bytes: bytes(status.undrained_blocks),
    phase: status.phase,
    epoch: status.epoch,
    ring: {
      first_block: RING_START,
      block_count: status.ring_blocks,
      tail_block: status.tail_block,
      drained_block: status.drained_block,
      head_block: status.head_block,
    },
    user_blocks_written: status.user_blocks,
    drained_blocks: status.drained_blocks,
    dropped_blocks: status.dropped_blocks,
    read_blocks: status.read_blocks_ring,
    lost_blocks: status.lost_blocks,
    lost_ranges: status.lost_ranges.map(({ block, blockCount }) => ({
      block,
      block_count: blockCount,
    })),
    recovery: recovery.clean ? null : recoveryDocument(recovery),
  };
}

function stateOf({ drain, state }: NvCacheStatus, recovery: NvRecovery): CacheState {
  if (state === 'through') return 'detached';
  if (state === 'retiring' || drain !== null) return 'draining';
  return recovery.isOver ? 'ready' : 'recover';
}

/** What is not known before the start is over is null. */
function startingDocument(recovery: NvRecovery, device: string): CacheStatusDocument {
  return {
    device,
    uuid: null,
    health: 'ok',
    reason: null,
    action: null,
    activity: null,
    array: null,
    state: STATES[recovery.step] ?? 'header',
    size_bytes: null,
    used_bytes: null,
    undrained_bytes: null,
    phase: null,
    epoch: null,
    ring: null,
    user_blocks_written: 0,
    drained_blocks: 0,
    dropped_blocks: 0,
    read_blocks: 0,
    lost_blocks: recovery.lostBlocks,
    lost_ranges: [],
    recovery: recoveryDocument(recovery),
  };
}

function recoveryDocument(recovery: NvRecovery): CacheRecoveryDocument {
  const { etaSeconds: eta, rateBytesPerSecond: rate } = recovery;
  return {
    step: recovery.step,
    over: recovery.isOver,
    clean: recovery.clean,
    blocks_done: recovery.doneBlocks,
    blocks_total: recovery.totalBlocks,
    rate_bytes_per_second: rate === null ? null : Math.round(rate),
    eta_seconds: eta === null ? null : Math.round(eta),
    scanned_blocks: recovery.scannedBlocks,
    unreadable_blocks: recovery.unreadableBlocks,
    lost_blocks: recovery.lostBlocks,
    trims: recovery.trims,
    ranges: recovery.ranges.map(({ valid, old, torn, ...range }) => ({
      phase: range.phase,
      first: range.first,
      last: range.last,
      records_valid: valid,
      records_old: old,
      records_torn: torn,
      blocks: range.blocks,
      recovered: range.recovered,
    })),
  };
}

/** What the cache does, where the array does nothing: that comes first. */
export function cacheActivity(array: ActivityStatus, cache: DescribedCache | null): ActivityStatus {
  if (array.kind !== 'idle' || cache === null) return array;
  const drain = cache.status()?.drain ?? null;
  if (drain !== null) {
    const { done_blocks, eta_seconds, rate_bytes_per_second, total_blocks } = drain;
    return activityOf('drain', null, done_blocks, total_blocks, rate_bytes_per_second, eta_seconds);
  }
  const recovery = cache.recovery();
  if (recovery === null || recovery.isOver) return array;
  const { doneBlocks, etaSeconds, rateBytesPerSecond, step, totalBlocks } = recovery;
  return activityOf('recovery', step, doneBlocks, totalBlocks, rateBytesPerSecond, etaSeconds);
}

function activityOf(
  kind: 'drain' | 'recovery',
  step: string | null,
  done: number,
  total: number,
  rate: number | null,
  eta: number | null,
): ActivityStatus {
  const pace: Pace = rate === 0 ? 'stalled' : eta === null ? 'estimating' : 'running';
  return {
    ...IDLE,
    kind,
    step,
    pace,
    // A step that counts nothing has no share.
    done_bytes: total === 0 ? null : bytes(Math.min(done, total)),
    total_bytes: total === 0 ? null : bytes(total),
    rate_bytes_per_second: rate === null ? null : Math.round(rate),
    eta_seconds: eta === null ? null : Math.max(0, Math.round(eta)),
  };
}
