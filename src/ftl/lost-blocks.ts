/**
 * LostBlocks: which blocks lie in units whose summary is nowhere.                   (control plane)
 *
 * The summary says which blocks are in a unit; without it only the map does, and the map is asked
 * the other way round: from front to back, in slices, while the device is in use.
 */

import { nextTurn } from '../block/next-turn.ts';
import type { FtlCore } from './ftl-core.ts';

const SLICE_BLOCKS = 2 ** 18;
/** So many of them are named. */
const NAMED_MAX = 16;

export interface LostBlocks {
  readonly band: number;
  readonly count: number;
  /** The first ones. */
  readonly blocks: readonly number[];
}

/** `units` has 1 for each unit of the band that is meant. `stopped` ends it early. */
export async function lostBlocksOf(
  core: FtlCore,
  band: number,
  units: Uint8Array,
  stopped: () => boolean,
): Promise<LostBlocks> {
  const { geometry, l2p, reactor } = core;
  const first = band * geometry.bandBlocks;
  const end = first + geometry.bandBlocks;
  const blocks: number[] = [];
  let count = 0;
  for (let block = 0; block < l2p.blockCount; block += 1) {
    if (block % SLICE_BLOCKS === SLICE_BLOCKS - 1) {
      await nextTurn(reactor);
      if (stopped()) break;
    }
    const place = l2p.get(block);
    if (place < first || place >= end) continue;
    if (units[Math.floor((place - first) / geometry.unitBlocks)] === 0) continue;
    count += 1;
    if (blocks.length < NAMED_MAX) blocks.push(block);
  }
  return { band, count, blocks };
}
