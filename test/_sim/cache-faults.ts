/**
 * What goes wrong with the disk of an NV cache, and what may follow from it: reads of users fail
 * where the newest copy cannot be read, and then flushes may, because what they stand for is lost,
 * and writes, where that cannot be put on record; an older copy must never show. A write or a flush
 * of the cache that fails harms nobody by itself.
 */

import { type BlockIo, OP_READ } from '../../src/block/block-io.ts';
import { CACHE_BLOCK_BYTES } from '../../src/nv-cache/cache-format.ts';
import { type DiskFault, type FaultOp, strike } from './disk-fault.ts';
import type { SimMedium } from './medium.ts';
import type { UserIo } from './user-io.ts';

export class CacheFaults {
  readonly medium: SimMedium | null;
  readonly #waiting: DiskFault[] = [];
  /** How often something could not be read. */
  #hurts = 0;
  /** Blocks of the device that were written since it happened last. */
  readonly #written = new Set<number>();

  /** `from`: those of a world of which this one is a copy. */
  constructor(medium: SimMedium | null, from?: CacheFaults) {
    this.medium = medium;
    if (from === undefined) return;
    this.#hurts = from.#hurts;
    for (const block of from.#written) this.#written.add(block);
  }

  get hurts(): number {
    return this.#hurts;
  }

  add(op: FaultOp, skip: number): void {
    this.#waiting.push({ kind: 'fail', op, skip, dataOnly: false });
  }

  /** The fault that strikes this operation of the cache disk, or null. */
  strike(io: BlockIo): DiskFault | null {
    const fault = strike(this.#waiting, io, 0);
    if (fault !== null) this.struck(io);
    return fault;
  }

  /** The operation fails. */
  struck(io: BlockIo): void {
    if (io.op === OP_READ) this.#hurt();
  }

  /** Blocks of 4096 bytes cannot be read until they are written. */
  spoil(block: number, count: number): void {
    const { bad, options } = this.medium!;
    const factor = CACHE_BLOCK_BYTES / options.blockBytes;
    for (let index = 0; index < count * factor; index += 1) bad.add(block * factor + index);
    this.#hurt();
  }

  /** The disk is pulled out: what only it has is lost. */
  pulled(): void {
    this.#hurt();
  }

  #hurt(): void {
    this.#hurts += 1;
    this.#written.clear();
  }

  /** The list of what is lost may be as it was before some of it was written. */
  forgetWritten(): void {
    this.#written.clear();
  }

  /** What cannot be read is copied to another disk as far as it can, and that is all of it. */
  mend(): void {
    this.medium?.bad.clear();
  }

  /** A user's operation has succeeded that began when it had been hurt so often. */
  succeeded({ block, blockCount }: BlockIo, hurts: number): void {
    if (this.#hurts === 0 || hurts < this.#hurts) return;
    for (let index = 0; index < blockCount; index += 1) this.#written.add(block + index);
  }

  /** True when some of these blocks were not written since something could not be read. */
  mayBeLost({ block, blockCount }: BlockIo): boolean {
    if (this.#hurts === 0) return false;
    for (let index = 0; index < blockCount; index += 1) {
      if (!this.#written.has(block + index)) return true;
    }
    return false;
  }

  /** True when the operation of a user may fail. What is written after a read has begun is late. */
  excuses({ hurts, op, wasLost }: UserIo): boolean {
    if (this.#hurts === 0) return false;
    return hurts < this.#hurts || op !== OP_READ || wasLost;
  }
}
