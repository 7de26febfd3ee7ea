/**
 * raid0: strips dealt out to the members in turn; no redundancy.                      (data plane)
 *
 * Strip number s of the array is strip floor(s / n) of member s mod n. Reads and writes are cut at
 * strip borders, so that a child touches one member; a trim or write-zeroes of any length is one
 * contiguous range on each member it touches, and is sent as that. Mapping and sizes are SPDK's.
 *
 * A strip is a power of two of blocks, so that dividing by it is an exact multiplication; n is any
 * number, so that its remainder is taken by multiplying back (block numbers exceed 31 bits).
 */

import { FEATURE_FUA } from '../block/block-device.ts';
import { type BlockIo, OP_READ, OP_WRITE, type Op } from '../block/block-io.ts';
import { isLastChild, type Level, type LevelHost } from './level.ts';
import { levelRules } from './level-rules.ts';
import type { Piece } from './piece.ts';

export class Raid0 implements Level {
  readonly rules = levelRules('raid0');
  readonly width: number;
  readonly writeUnitBlocks = 1;
  readonly optimalBoundaryBlocks: number;
  readonly #host: LevelHost;
  readonly #memberCount: number;
  readonly #stripBlocks: number;
  readonly #perStrip: number;
  #runBlocksMax = 0;

  constructor(host: LevelHost) {
    this.#host = host;
    this.#memberCount = host.members.length;
    this.#stripBlocks = host.stripBlocks;
    this.#perStrip = 1 / host.stripBlocks;
    this.width = this.#memberCount;
    this.optimalBoundaryBlocks = this.#memberCount > 1 ? host.stripBlocks : 0;
  }

  features(common: number): number {
    return common | FEATURE_FUA;
  }

  /** A member frees only whole granules, which are whole stripes when they exceed a strip. */
  trimGranularityBlocks(ofMember: number): number {
    return ofMember <= this.#stripBlocks ? ofMember : ofMember * this.#memberCount;
  }

  open(): void {
    this.#runBlocksMax = this.#host.memberBlocksMax;
  }

  close(): void {}

  pieceBlocks(op: Op, block: number, blockCount: number): number {
    if (op !== OP_READ && op !== OP_WRITE) return blockCount;
    const strip = Math.floor(block * this.#perStrip);
    const room = (strip + 1) * this.#stripBlocks - block;
    const run = Math.min(blockCount, room);
    return Math.min(run, this.#runBlocksMax);
  }

  start(piece: Piece): void {
    const stripBlocks = this.#stripBlocks;
    const strip = Math.floor(piece.block * this.#perStrip);
    const offset = piece.block - strip * stripBlocks;
    if (offset + piece.blockCount > stripBlocks) {
      this.#startSpread(piece, strip, offset);
      return;
    }
    const row = Math.floor(strip / this.#memberCount);
    const slot = strip - row * this.#memberCount;
    piece.pending = 1;
    this.#host.send(
      piece,
      piece.children[0]!,
      slot,
      piece.op,
      piece.flags,
      row * stripBlocks + offset,
      piece.blockCount,
      piece.buffer,
    );
  }

  /** A trim or write-zeroes over several strips: one range for each member it touches. */
  #startSpread(piece: Piece, firstStrip: number, firstOffset: number): void {
    const stripBlocks = this.#stripBlocks;
    const memberCount = this.#memberCount;
    const end = piece.block + piece.blockCount;
    const lastStrip = Math.floor((end - 1) * this.#perStrip);
    const lastBlocks = end - lastStrip * stripBlocks;
    const strips = lastStrip - firstStrip + 1;
    const touched = Math.min(strips, memberCount);
    piece.pending = touched;
    for (let index = 0; index < touched; index += 1) {
      const first = firstStrip + index;
      const row = Math.floor(first / memberCount);
      const slot = first - row * memberCount;
      const last = first + Math.floor((lastStrip - first) / memberCount) * memberCount;
      const lastRow = Math.floor(last / memberCount);
      const start = row * stripBlocks + (index === 0 ? firstOffset : 0);
      const stop = lastRow * stripBlocks + (last === lastStrip ? lastBlocks : stripBlocks);
      const child = piece.children[index]!;
      this.#host.send(piece, child, slot, piece.op, piece.flags, start, stop - start, 0);
    }
  }

  locked(piece: Piece): void {
    this.start(piece);
  }

  childDone(piece: Piece, _child: BlockIo, _slot: number): void {
    if (isLastChild(piece)) this.#host.finish(piece, piece.status);
  }
}
