/**
 * raid1: the same blocks on every member.                                             (data plane)
 *
 * A write, trim or write-zeroes goes to every present member and succeeds only if all of them
 * succeed. A read goes to the present member with the fewest blocks of reads in flight, the first
 * of equals, as in SPDK; if it fails, the other members are asked in slot order, and the operation
 * fails with the first error only when none can deliver.
 *
 * Not here: writing the good data back after a read error, and ejecting a member after a write
 * error. Until then a failed write leaves the members different in its range, like a torn write.
 */

import { assert } from '../block/assert.ts';
import { FEATURE_FUA } from '../block/block-device.ts';
import { type BlockIo, OP_READ, type Op } from '../block/block-io.ts';
import { isLastChild, type Level, type LevelHost } from './level.ts';
import { levelRules } from './level-rules.ts';
import type { Piece } from './piece.ts';

export class Raid1 implements Level {
  readonly rules = levelRules('raid1');
  readonly width: number;
  readonly writeUnitBlocks = 1;
  readonly optimalBoundaryBlocks = 0;
  readonly #host: LevelHost;

  constructor(host: LevelHost) {
    this.#host = host;
    this.width = host.members.length;
  }

  features(common: number): number {
    return common | FEATURE_FUA;
  }

  trimGranularityBlocks(ofMember: number): number {
    return ofMember;
  }

  open(): void {}

  close(): void {}

  /** The array takes no larger request than its members do. */
  pieceBlocks(_op: Op, _block: number, blockCount: number): number {
    return blockCount;
  }

  start(piece: Piece): void {
    if (piece.op === OP_READ) {
      piece.slot = this.#leastReading();
      piece.cursor = 0;
      this.#read(piece, piece.slot);
      return;
    }
    const members = this.#host.members;
    let present = 0;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device !== null) present += 1;
    }
    piece.pending = present;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (members[slot]!.device === null) continue;
      const child = piece.children[slot]!;
      this.#host.send(
        piece,
        child,
        slot,
        piece.op,
        piece.flags,
        piece.block,
        piece.blockCount,
        piece.buffer,
      );
    }
  }

  childDone(piece: Piece, child: BlockIo, slot: number): void {
    if (piece.op !== OP_READ) {
      if (isLastChild(piece, child)) this.#host.finish(piece, piece.status);
      return;
    }
    this.#host.members[slot]!.readingBlocks -= piece.blockCount;
    if (child.status === 0) {
      this.#host.finish(piece, 0);
      return;
    }
    if (piece.status === 0) piece.status = child.status;
    this.#readElsewhere(piece);
  }

  #read(piece: Piece, slot: number): void {
    this.#host.members[slot]!.readingBlocks += piece.blockCount;
    this.#host.send(
      piece,
      piece.children[0]!,
      slot,
      OP_READ,
      piece.flags,
      piece.block,
      piece.blockCount,
      piece.buffer,
    );
  }

  /** Tries the next member in slot order that was not tried; `cursor` is the first such slot. */
  #readElsewhere(piece: Piece): void {
    const members = this.#host.members;
    for (let slot = piece.cursor; slot < members.length; slot += 1) {
      if (slot === piece.slot || members[slot]!.device === null) continue;
      piece.cursor = slot + 1;
      this.#read(piece, slot);
      return;
    }
    this.#host.finish(piece, piece.status);
  }

  /**
   * The member with the fewest blocks being read, the first of several (SPDK's choice); or always
   * the first, while the members may differ: then alternating could show two contents in turn.
   */
  #leastReading(): number {
    const members = this.#host.members;
    const steady = this.#host.steadyReads;
    let best = -1;
    let least = Number.MAX_SAFE_INTEGER;
    for (let slot = 0; slot < members.length; slot += 1) {
      const member = members[slot]!;
      if (member.device === null || member.readingBlocks >= least) continue;
      least = member.readingBlocks;
      best = slot;
      if (steady) break;
    }
    assert(best !== -1, 'a raid1 has a member to read from');
    return best;
  }
}
