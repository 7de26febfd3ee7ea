/**
 * LostBlocks: blocks of which nobody has the newest copy any more.                    (data plane)
 *
 * Reading them is an error until they are written again, or trimmed: an older copy is never given
 * instead. They are few or the cache device is gone; the header names them in ranges.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { BlockRange } from './cache-header.ts';

export class LostBlocks {
  readonly #blocks = new Set<number>();
  /** Grows with every block that was lost, ever. */
  everLost = 0;

  constructor(ranges: readonly BlockRange[] = []) {
    for (const { block, blockCount } of ranges) {
      for (let index = 0; index < blockCount; index += 1) this.add(block + index);
    }
  }

  // data path

  get count(): number {
    return this.#blocks.size;
  }

  has(block: number): boolean {
    return this.#blocks.size > 0 && this.#blocks.has(block);
  }

  add(block: number): void {
    if (this.#blocks.has(block)) return;
    this.#blocks.add(block);
    this.everLost += 1;
  }

  delete(block: number): void {
    if (this.#blocks.size > 0) this.#blocks.delete(block);
  }

  /** `kept` stay. */
  deleteRange(block: number, blockCount: number, kept: LostBlocks | null = null): void {
    if (this.#blocks.size === 0) return;
    for (const lost of this.#blocks) {
      if (lost < block || lost >= block + blockCount || kept?.has(lost) === true) continue;
      this.#blocks.delete(lost);
    }
  }

  // end data path

  /** In ascending order; `most` at most. */
  ranges(most: number): readonly BlockRange[] {
    const found: { block: number; blockCount: number }[] = [];
    for (const block of [...this.#blocks].sort((a, b) => a - b)) {
      const last = found.at(-1);
      if (last !== undefined && last.block + last.blockCount === block) last.blockCount += 1;
      else if (found.length === most) break;
      else found.push({ block, blockCount: 1 });
    }
    return found;
  }

  /** True when a header has room for all of them. */
  fits(rangesMax: number): boolean {
    const named = this.ranges(rangesMax).reduce((sum, { blockCount }) => sum + blockCount, 0);
    return named === this.count;
  }
}

/** A header has no room for what `cache` has lost. */
export function lossesTooMany(cache: BlockDevice): BandstandError {
  return new BandstandError('BANDSTAND_CACHE_READ_ONLY', {
    message: `cannot put on record which blocks ${cache.name} has lost: they are too many`,
    hint: 'look at the kernel log for this device (dmesg)',
    details: { device: cache.name },
  });
}
