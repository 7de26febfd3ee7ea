/** NV caches as status shows them, for tests of what is made of that. */

import type { CacheRecoveryDocument, CacheStatusDocument } from '../../src/control/schema.ts';

const MIB_BLOCKS = 256;

export function recoveryOf(change: Partial<CacheRecoveryDocument> = {}): CacheRecoveryDocument {
  return {
    step: 'Drain what the NV cache had',
    over: false,
    clean: false,
    blocks_done: 8 * MIB_BLOCKS,
    blocks_total: 32 * MIB_BLOCKS,
    rate_bytes_per_second: 2 ** 22,
    eta_seconds: 6,
    scanned_blocks: 64 * MIB_BLOCKS,
    unreadable_blocks: 0,
    lost_blocks: 0,
    trims: 0,
    ranges: [],
    ...change,
  };
}

/** A cache of 64 MiB that is well, and half full of what is not drained. */
export function cacheOf(change: Partial<CacheStatusDocument> = {}): CacheStatusDocument {
  return {
    device: '/dev/nvme0n1',
    uuid: '0ca40ca4-0000-4000-8000-000000000001',
    health: 'ok',
    reason: null,
    action: null,
    activity: null,
    array: null,
    state: 'ready',
    size_bytes: 2 ** 26,
    used_bytes: 2 ** 25,
    undrained_bytes: 2 ** 25,
    phase: 2,
    epoch: 3,
    ring: null,
    user_blocks_written: 0,
    drained_blocks: 0,
    dropped_blocks: 0,
    read_blocks: 0,
    lost_blocks: 0,
    lost_ranges: [],
    recovery: null,
    ...change,
  };
}
