/**
 * Configurations of histories with an NV cache. It is as small as one may be, so that a history
 * goes round its ring several times.
 */

import { CACHE_BLOCK_BYTES } from '../../src/nv-cache/cache-format.ts';
import { CACHE_BLOCKS_LEAST } from '../../src/nv-cache/cache-header.ts';
import type { Random } from './random.ts';
import type { CacheConfig } from './step.ts';

/** Shares of the ring above which draining begins, and to which it goes. */
const MARKS = [
  { highMark: 0.75, lowMark: 0.7 },
  { highMark: 0.5, lowMark: 0.1 },
  { highMark: 0.1, lowMark: 0 },
  { highMark: 1, lowMark: 1 },
] as const;

export function drawCache(random: Random): CacheConfig {
  const blocks = CACHE_BLOCKS_LEAST + random.pick([0, random.between(1, 200)]);
  return {
    bytes: blocks * CACHE_BLOCK_BYTES,
    blockBytes: random.pick([512, 4096]),
    unitBytes: random.pick([512, 4096]),
    volatileCache: random.chance(0.7),
    nativeFua: random.chance(0.6),
    ...random.pick(MARKS),
    drainBlocks: random.pick([128, 128, 256]),
    halves: [],
  };
}
