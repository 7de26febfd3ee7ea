/**
 * concat: the members one after another; no redundancy.                               (data plane)
 *
 * Each member contributes its size rounded down to whole strips, in slot order. The strip only
 * rounds the sizes and is reported as the optimal boundary, as in SPDK; operations are cut where a
 * member ends.
 */

import { FEATURE_FUA } from '../block/block-device.ts';
import { type BlockIo, OP_READ, OP_WRITE, type Op } from '../block/block-io.ts';
import type { Level, LevelHost } from './level.ts';
import { levelRules } from './level-rules.ts';
import type { Piece } from './piece.ts';

export class Concat implements Level {
  readonly rules = levelRules('concat');
  readonly width = 1;
  readonly writeUnitBlocks = 1;
  readonly optimalBoundaryBlocks: number;
  readonly #host: LevelHost;
  /** Where each member's data begins in the array, and at last the size of the array. */
  readonly #starts: Float64Array;
  #runBlocksMax = 0;

  constructor(host: LevelHost) {
    this.#host = host;
    this.optimalBoundaryBlocks = host.stripBlocks;
    const starts = new Float64Array(host.members.length + 1);
    host.members.forEach((member, slot) => {
      starts[slot + 1] = starts[slot]! + member.dataSize;
    });
    this.#starts = starts;
  }

  features(common: number): number {
    return common | FEATURE_FUA;
  }

  trimGranularityBlocks(ofMember: number): number {
    return ofMember;
  }

  open(): void {
    this.#runBlocksMax = this.#host.memberBlocksMax;
  }

  close(): void {}

  pieceBlocks(op: Op, block: number, blockCount: number): number {
    const room = this.#starts[this.#slotOf(block) + 1]! - block;
    const run = Math.min(blockCount, room);
    if (op !== OP_READ && op !== OP_WRITE) return run;
    return Math.min(run, this.#runBlocksMax);
  }

  start(piece: Piece): void {
    const slot = this.#slotOf(piece.block);
    this.#host.send(
      piece,
      piece.children[0]!,
      slot,
      piece.op,
      piece.flags,
      piece.block - this.#starts[slot]!,
      piece.blockCount,
      piece.buffer,
    );
  }

  locked(piece: Piece): void {
    this.start(piece);
  }

  childDone(piece: Piece, child: BlockIo, _slot: number): void {
    this.#host.finish(piece, child.status);
  }

  /** The last member that begins at or before `block`, by bisection. */
  #slotOf(block: number): number {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= block) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
