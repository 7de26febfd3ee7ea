/**
 * L2p: where each block of the device lies.                                           (data plane)
 *
 *   low    Uint32Array   place, or its lower 32 bits; all ones (in both) = unmapped
 *   high   Uint8Array    bits 32 to 39 of the place, only where places do not fit 32 bits
 *   dirty  Uint8Array    1 for each page of `pageEntries` blocks that was changed since the last
 *                        checkpoint began to copy it
 *
 * A place is final from the moment that a block is put into a unit: whether the unit is still in
 * memory is the write buffer's business. An unmapped block reads as zeroes.
 */

import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import type { Reactor, TableMemory } from '../block/reactor.ts';
import type { FtlGeometry } from './geometry.ts';

export const UNMAPPED = -1;

const NONE = 0xffffffff;
const TWO_32 = 2 ** 32;

/** No memory, or more entries than an array can have. */
function tooLarge(blockCount: number, placeBytes: number, cause: unknown): BandstandError {
  const bytes = blockCount * placeBytes;
  return new BandstandError('BANDSTAND_FTL_MEMORY', {
    message: `cannot hold the map of a log-structured device of ${blockCount} blocks: it takes ${formatSize(bytes)} of memory`,
    hint: 'use a machine with more memory, or make several smaller devices',
    details: { blocks: blockCount, bytes },
    cause,
  });
}

const PLAIN: Pick<Reactor, 'table'> = {
  table: (bytes) => ({ memory: new ArrayBuffer(bytes), release: () => {} }),
};

export class L2p {
  readonly pageEntries: number;
  readonly blockCount: number;
  readonly low: Uint32Array;
  readonly high: Uint8Array | null;
  readonly dirty: Uint8Array;
  mapped = 0;
  readonly #memory: TableMemory;

  /** Throws BANDSTAND_FTL_MEMORY. */
  constructor(geometry: FtlGeometry, reactor: Pick<Reactor, 'table'> = PLAIN) {
    const { blockCount, pageEntries, pageCount, placeBytes } = geometry;
    this.blockCount = blockCount;
    this.pageEntries = pageEntries;
    try {
      this.#memory = reactor.table(blockCount * placeBytes);
      const { memory } = this.#memory;
      this.low = new Uint32Array(memory, 0, blockCount).fill(NONE);
      const highAt = this.low.byteLength;
      this.high = placeBytes === 5 ? new Uint8Array(memory, highAt, blockCount).fill(0xff) : null;
    } catch (error) {
      throw tooLarge(blockCount, placeBytes, error);
    }
    this.dirty = new Uint8Array(pageCount);
  }

  /** Nobody looks at it any more. */
  dispose(): void {
    this.#memory.release();
  }

  /**
   * Pages in which a block may be mapped: those that a checkpoint has (entries that are not 0), and
   * those changed since. A device that was never full is mostly other pages.
   */
  pagesInUse(entries: ArrayLike<number>): number[] {
    const pages: number[] = [];
    for (let page = 0; page < this.dirty.length; page += 1) {
      if (this.dirty[page] === 1 || (entries[page] ?? 0) !== 0) pages.push(page);
    }
    return pages;
  }

  /** The block after the last one of a page. */
  pageEnd(page: number): number {
    return Math.min((page + 1) * this.pageEntries, this.blockCount);
  }

  /** The first mapped block from `block` on; `end` when there is none before it. */
  nextMapped(block: number, end: number): number {
    const { high, low } = this;
    let next = block;
    if (high === null) while (next < end && low[next] === NONE) next += 1;
    else while (next < end && low[next] === NONE && high[next] === 0xff) next += 1;
    return next;
  }

  // data path

  /** The place of a block, or UNMAPPED. */
  get(block: number): number {
    const low = this.low[block]!;
    if (this.high === null) return low === NONE ? UNMAPPED : low;
    const high = this.high[block]!;
    return low === NONE && high === 0xff ? UNMAPPED : low + high * TWO_32;
  }

  /** How many blocks from `block` on are alike: mapped (above zero), or not (below zero). */
  alike(block: number, blockCount: number): number {
    const isMapped = this.get(block) !== UNMAPPED;
    let count = 1;
    while (count < blockCount && (this.get(block + count) !== UNMAPPED) === isMapped) count += 1;
    return isMapped ? count : -count;
  }

  set(block: number, place: number): void {
    if (this.get(block) === UNMAPPED) this.mapped += 1;
    this.low[block] = place;
    if (this.high !== null) this.high[block] = Math.floor(place / TWO_32);
    this.dirty[Math.floor(block / this.pageEntries)] = 1;
  }

  unmap(block: number): void {
    if (this.get(block) !== UNMAPPED) this.mapped -= 1;
    this.low[block] = NONE;
    if (this.high !== null) this.high[block] = 0xff;
    this.dirty[Math.floor(block / this.pageEntries)] = 1;
  }

  // end data path
}
