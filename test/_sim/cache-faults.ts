/**
 * What goes wrong with the disk of an NV cache, and what may follow from it: reads of users fail
 * where the newest copy cannot be read, and then flushes may, because what they stand for is lost;
 * an older copy must never show. A write or a flush of the cache that fails harms nobody.
 */

import { type BlockIo, OP_FLUSH, OP_READ } from '../../src/block/block-io.ts';
import { type DiskFault, type FaultOp, strike } from './disk-fault.ts';
import type { SimMedium } from './medium.ts';

export class CacheFaults {
  readonly medium: SimMedium | null;
  readonly #waiting: DiskFault[] = [];
  /** Something in it could not be read, once. */
  #hurts = false;

  /** `from`: those of a world of which this one is a copy. */
  constructor(medium: SimMedium | null, from?: CacheFaults) {
    this.medium = medium;
    this.#hurts = from?.hurts ?? false;
  }

  get hurts(): boolean {
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
    if (io.op === OP_READ) this.#hurts = true;
  }

  /** Blocks of 4096 bytes cannot be read until they are written. */
  spoil(block: number, count: number): void {
    const { bad, options } = this.medium!;
    const factor = 4096 / options.blockBytes;
    this.#hurts = true;
    for (let index = 0; index < count * factor; index += 1) bad.add(block * factor + index);
  }

  /** The disk is pulled out: what only it has is lost. */
  pulled(): void {
    this.#hurts = true;
  }

  /** What cannot be read is copied to another disk as far as it can, and that is all of it. */
  mend(): void {
    this.medium?.bad.clear();
  }

  /** True when such an operation of a user may fail. */
  excuses({ op }: BlockIo): boolean {
    return this.#hurts && (op === OP_READ || op === OP_FLUSH);
  }
}
