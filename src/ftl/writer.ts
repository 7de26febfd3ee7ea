/**
 * Writer: writes, trims and write-zeroes, in the order in which they came.            (data plane)
 *
 * The operation at the head of the queue is put into the log block by block; where the log has no
 * room it waits, and everything behind it. A write is answered when it is in a write buffer that
 * outlives the process, or that holds nothing which is not held above, too; with FUA, or with
 * another buffer, when it is on the base.
 *
 * A trim is recorded piece by piece, so that a large one does not hold the turn; a piece that is
 * not mapped anyway needs no record.
 */

import { type BlockIo, FLAG_FUA, OP_WRITE } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';
import type { Durability } from './durability.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { UNMAPPED } from './l2p.ts';
import { type Log, STALL_BAND, STALL_NONE, STALL_SLOT } from './log.ts';

/** Blocks that are trimmed at once, and the map entries that are looked at in one turn. */
const TRIM_BLOCKS_MAX = 65536;

export interface WriterHost {
  answer(io: BlockIo, status: number): void;
}

export class Writer {
  readonly #core: FtlCore;
  readonly #log: Log;
  readonly #durability: Durability;
  readonly #host: WriterHost;
  /** Writes are answered when they are in the write buffer. */
  answersAtOnce: boolean;
  readonly #queue = new BlockIoQueue();
  /** Blocks of the operation at the head that are done. */
  #done = 0;
  /** Map entries that may still be trimmed in this turn. */
  #budget = TRIM_BLOCKS_MAX;
  /** What the head waits for: STALL_*. */
  stall = STALL_NONE;

  constructor(
    core: FtlCore,
    log: Log,
    durability: Durability,
    host: WriterHost,
    answersAtOnce: boolean,
  ) {
    this.#core = core;
    this.#log = log;
    this.#durability = durability;
    this.#host = host;
    this.answersAtOnce = answersAtOnce;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  // data path

  submit(io: BlockIo): void {
    this.#queue.push(io);
    if (this.#queue.length > 1) return;
    this.pump();
    if (this.stall !== STALL_NONE) this.#core.wake();
  }

  /** Once per turn, at its end. */
  nextTurn(): void {
    this.#budget = TRIM_BLOCKS_MAX;
    this.pump();
  }

  pump(): void {
    this.stall = STALL_NONE;
    for (;;) {
      const io = this.#queue.peek();
      if (io === null) return;
      if (this.#core.failureStatus !== 0) {
        this.#end(this.#core.failureStatus);
        continue;
      }
      const isDone = io.op === OP_WRITE ? this.#write(io) : this.#trim(io);
      if (!isDone) return;
      this.#end(OK);
    }
  }

  #end(status: number): void {
    const io = this.#queue.shift()!;
    this.#done = 0;
    const waits = !this.answersAtOnce || (io.flags & FLAG_FUA) !== 0;
    if (status === OK && waits) this.#durability.wait(io);
    else this.#host.answer(io, status);
  }

  #write(io: BlockIo): boolean {
    while (this.#done < io.blockCount) {
      const from = io.buffer + this.#done * FTL_BLOCK_BYTES;
      if (!this.#log.putUser(io.block + this.#done, from)) return this.#stalled();
      this.#done += 1;
    }
    return true;
  }

  #stalled(): boolean {
    const { statistics } = this.#core;
    this.stall = this.#log.stall;
    if (this.stall === STALL_BAND) statistics.bandStalls += 1;
    else if (this.stall === STALL_SLOT) statistics.slotStalls += 1;
    return false;
  }

  #trim(io: BlockIo): boolean {
    while (this.#done < io.blockCount) {
      if (this.#budget === 0) {
        this.#core.wake();
        return false;
      }
      const first = io.block + this.#done;
      const count = Math.min(io.blockCount - this.#done, this.#budget);
      if (this.#isMapped(first, count) && !this.#log.putTrim(first, count)) return this.#stalled();
      this.#budget -= count;
      this.#done += count;
    }
    return true;
  }

  #isMapped(first: number, count: number): boolean {
    const { l2p } = this.#core;
    for (let block = first; block < first + count; block += 1) {
      if (l2p.get(block) !== UNMAPPED) return true;
    }
    return false;
  }

  // end data path
}
