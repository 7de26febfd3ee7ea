/**
 * CacheContent: which blocks of the device an open cache has.                       (control plane)
 *
 * For those who want to know what would be lost with it. Walks over the ring once.
 */

import type { BlockRange } from './cache-header.ts';
import type { NvCore } from './nv-core.ts';
import type { TrimRange } from './pending-trims.ts';

export interface CacheContent {
  /** Blocks of the device whose newest copy is in the ring, in ascending order. */
  readonly blocks: Float64Array;
  /** What was trimmed in the ring, of a cache that is opened to be read; oldest first. */
  readonly trims: readonly TrimRange[];
  /** Blocks of which nobody has the newest copy any more. */
  readonly lost: readonly BlockRange[];
}

export function cacheContent(core: NvCore, trims: readonly TrimRange[]): CacheContent {
  const { lost, map, ring } = core;
  const blocks = new Float64Array(map.count);
  let count = 0;
  for (let position = ring.tail; position < ring.head; ) {
    const address = ring.addressOf(position);
    const length = map.recordAt(address);
    if (length === -1) {
      position = ring.nextLap(position);
      continue;
    }
    for (let index = 1; index <= length; index += 1) {
      if (map.isNothing(address + index) || !map.isNewest(address + index)) continue;
      blocks[count] = map.blockAt(address + index);
      count += 1;
    }
    position += 1 + length;
  }
  return { blocks: blocks.subarray(0, count).sort(), trims, lost: lost.ranges(lost.count) };
}
