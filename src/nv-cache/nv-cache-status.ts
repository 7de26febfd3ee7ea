/**
 * NvCacheStatus: an NV cache's numbers as plain data, for status and events.        (control plane)
 */

import type { BlockRange } from './cache-header.ts';
import type { HeaderKeeper } from './cache-header-io.ts';
import type { CacheRestoreReport } from './cache-restore.ts';
import { STATE_NAMES } from './nv-core.ts';
import type { NvEngine } from './nv-engine.ts';

/** Ranges of lost blocks that status names. */
const RANGES_NAMED = 16;

export interface NvCacheStatus {
  readonly state: (typeof STATE_NAMES)[number];
  readonly reason: string | null;
  /** In whatever state: the cache device has failed. */
  readonly cache_failed: boolean;
  readonly uuid: string;
  readonly epoch: number;
  readonly phase: number;
  readonly ring_blocks: number;
  readonly used_blocks: number;
  /** Of them: not sent to the device behind yet. */
  readonly undrained_blocks: number;
  /** Ring blocks: the oldest in use, the next to be drained, and the next to be written. */
  readonly tail_block: number;
  readonly drained_block: number;
  readonly head_block: number;
  /** Blocks of the device whose newest copy is in the ring. */
  readonly cached_blocks: number;
  readonly user_blocks: number;
  readonly trims: number;
  readonly records: number;
  readonly ring_blocks_written: number;
  readonly drained_blocks: number;
  readonly dropped_blocks: number;
  readonly drain_runs: number;
  readonly read_blocks_ring: number;
  readonly read_blocks_behind: number;
  readonly cache_flushes: number;
  readonly header_writes: number;
  readonly settles: number;
  readonly forced_flushes: number;
  readonly space_waits: number;
  readonly records_failed: number;
  readonly ring_read_errors: number;
  readonly lost_blocks: number;
  /** The first ones. */
  readonly lost_ranges: readonly BlockRange[];
  readonly start: CacheRestoreReport;
  /** What somebody has asked for; null while nobody has, and when it is done. */
  readonly drain: NvDrain | null;
}

export interface NvDrain {
  readonly done_blocks: number;
  readonly total_blocks: number;
  /** Null where an answer would be a guess. */
  readonly rate_bytes_per_second: number | null;
  readonly eta_seconds: number | null;
}

export function nvCacheStatus(
  engine: NvEngine,
  keeper: HeaderKeeper,
  start: CacheRestoreReport,
): NvCacheStatus {
  const { core } = engine;
  const { lost, map, ring, statistics } = core;
  return {
    state: STATE_NAMES[core.state],
    reason: core.reason,
    cache_failed: core.isCacheFailed,
    uuid: keeper.current.uuid,
    epoch: core.epoch,
    phase: ring.phaseOf(ring.head),
    ring_blocks: ring.blocks,
    used_blocks: ring.used,
    undrained_blocks: ring.head - ring.drained,
    tail_block: ring.addressOf(ring.tail),
    drained_block: ring.addressOf(ring.drained),
    head_block: ring.addressOf(ring.head),
    cached_blocks: map.count,
    user_blocks: statistics.userBlocks,
    trims: statistics.trims,
    records: statistics.records,
    ring_blocks_written: statistics.ringBlocks,
    drained_blocks: statistics.drainedBlocks,
    dropped_blocks: statistics.droppedBlocks,
    drain_runs: statistics.drainRuns,
    read_blocks_ring: statistics.readFromRing,
    read_blocks_behind: statistics.readFromBacking,
    cache_flushes: statistics.cacheFlushes,
    header_writes: keeper.writes,
    settles: statistics.settles,
    forced_flushes: statistics.backingFlushes,
    space_waits: statistics.spaceWaits,
    records_failed: statistics.recordsFailed,
    ring_read_errors: statistics.ringReadErrors,
    lost_blocks: lost.count,
    lost_ranges: lost.ranges(RANGES_NAMED),
    start,
    drain: drainOf(engine),
  };
}

function drainOf({ core, draining }: NvEngine): NvDrain | null {
  if (draining.isOver) return null;
  const nowUs = core.reactor.nowUs();
  return {
    done_blocks: draining.done,
    total_blocks: draining.to - draining.from,
    rate_bytes_per_second: draining.meter!.rateBytesPerSecond(nowUs),
    eta_seconds: draining.meter!.etaSeconds(nowUs),
  };
}
