/**
 * Scrub: makes the ring empty.                                                      (control plane)
 *
 * Before a cache is used for the first time, and after a start that finds an interrupted one. The
 * header has phase 0 for as long: then nothing in the ring counts, and the next start begins anew.
 * Pieces are zeroed by the device where it can do so, otherwise written.
 */

import { type BlockDevice, FEATURE_WRITE_ZEROES } from '../block/block-device.ts';
import { OP_WRITE, OP_WRITE_ZEROES } from '../block/block-io.ts';
import { flushDevice, submitOrThrow } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { CACHE_BLOCK_BYTES, RING_START } from './cache-format.ts';

const PIECE_BLOCKS = 256;
/** Devices that can zero by themselves do so in larger pieces. */
const ZEROES_BLOCKS = 65_536;

/** Zeroes the ring up to `ringEnd`, and flushes. Throws BANDSTAND_DEVICE_IO. */
export async function scrubRing(
  reactor: Reactor,
  cache: BlockDevice,
  ringEnd: number,
  progress: (doneBlocks: number) => void = () => {},
): Promise<void> {
  const { blockBytes, features, requestBlocksMax } = cache.geometry;
  const factor = CACHE_BLOCK_BYTES / blockBytes;
  const isNative = (features & FEATURE_WRITE_ZEROES) !== 0;
  const most = isNative ? ZEROES_BLOCKS : Math.min(PIECE_BLOCKS, requestBlocksMax / factor);
  const bytes = isNative ? CACHE_BLOCK_BYTES : Math.floor(most) * CACHE_BLOCK_BYTES;
  const buffer = reactor.arena.allocate(bytes);
  try {
    reactor.kernels.zero(buffer, bytes);
    for (let block = RING_START; block < ringEnd; ) {
      const count = Math.min(Math.floor(most), ringEnd - block);
      const op = isNative ? OP_WRITE_ZEROES : OP_WRITE;
      await submitOrThrow(cache, op, block * factor, count * factor, buffer);
      block += count;
      progress(block - RING_START);
    }
    await flushDevice(cache);
  } finally {
    reactor.arena.release(buffer, bytes);
  }
}
