/**
 * Reader: reads from the write buffer and from the base.                              (data plane)
 *
 * A read is cut into runs: blocks that are not mapped are zeroes; blocks of units in memory are
 * copied; blocks that lie one behind the other on the base are read in one operation. What goes to
 * the base has a place; the band there is not overwritten while it is being read, because reads in
 * flight are counted. Where operations or tasks run out, reads wait in their order. A read of one
 * block needs no task: its operation on the base remembers it (`parent`).
 */

import { assert } from '../block/assert.ts';
import { type BlockIo, type Completer, OP_READ } from '../block/block-io.ts';
import { BlockIoPool, BlockIoQueue } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { UNMAPPED } from './l2p.ts';

const TASKS = 256;
const CHILDREN = 512;

export interface ReaderHost {
  /** In a later turn: a device never completes what is being submitted. */
  answer(io: BlockIo, status: number): void;
  /** At once, from a completion of the base. */
  answerNow(io: BlockIo, status: number): void;
}

/** A read under way. */
class ReadTask {
  io: BlockIo | null = null;
  /** Blocks that were dealt with. */
  done = 0;
  pending = 0;
  status = OK;
  next: ReadTask | null = null;
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

export class Reader implements Completer {
  readonly #core: FtlCore;
  readonly #host: ReaderHost;
  readonly #waiting = new BlockIoQueue();
  readonly #tasks: ReadTask[] = [];
  readonly #children = new BlockIoPool(CHILDREN, this);
  readonly #blocksMax: number;
  #freeTask: ReadTask | null = null;
  /** The task that waits for children, if one does; no other begins before it goes on. */
  #stalled: ReadTask | null = null;

  constructor(core: FtlCore, host: ReaderHost) {
    const { blockBytes, requestBlocksMax } = core.base.geometry;
    this.#core = core;
    this.#host = host;
    this.#blocksMax = Math.floor((requestBlocksMax * blockBytes) / FTL_BLOCK_BYTES);
    for (let index = 0; index < TASKS; index += 1) {
      const task = new ReadTask(index);
      task.next = this.#freeTask;
      this.#freeTask = task;
      this.#tasks.push(task);
    }
  }

  // data path

  submit(io: BlockIo): void {
    const waits = io.blockCount !== 1 || this.#stalled !== null || this.#waiting.length > 0;
    if (!waits && this.#readBlock(io)) return;
    this.#waiting.push(io);
    this.#pump();
  }

  /** Reads one block from the base, without a task; false when it is not there or has to wait. */
  #readBlock(io: BlockIo): boolean {
    const { buffer, l2p } = this.#core;
    const place = l2p.get(io.block);
    if (place === UNMAPPED || buffer.slotOf(place) !== -1) return false;
    const child = this.#children.take();
    if (child === null) return false;
    child.parent = io;
    this.#send(child, place, 1, io.buffer);
    return true;
  }

  #pump(): void {
    for (;;) {
      let task = this.#stalled;
      if (task === null) {
        task = this.#freeTask;
        const io = task === null ? null : this.#waiting.shift();
        if (task === null || io === null) return;
        this.#freeTask = task.next;
        task.io = io;
        task.done = 0;
        task.pending = 0;
        task.status = OK;
      }
      if (!this.#advance(task)) {
        this.#stalled = task;
        return;
      }
      this.#stalled = null;
      if (task.pending === 0) this.#end(task);
    }
  }

  /** False when it has to wait for a child. */
  #advance(task: ReadTask): boolean {
    const { buffer, l2p, reactor } = this.#core;
    const io = task.io!;
    while (task.done < io.blockCount) {
      const place = l2p.get(io.block + task.done);
      const into = io.buffer + task.done * FTL_BLOCK_BYTES;
      if (place === UNMAPPED) {
        reactor.kernels.zero(into, FTL_BLOCK_BYTES);
        task.done += 1;
        continue;
      }
      const slot = buffer.slotOf(place);
      if (slot !== -1) {
        reactor.kernels.copy(into, buffer.byteOf(slot, place), FTL_BLOCK_BYTES);
        task.done += 1;
      } else if (!this.#readBase(task, place, into)) {
        return false;
      }
    }
    return true;
  }

  #readBase(task: ReadTask, place: number, into: number): boolean {
    const child = this.#children.take();
    if (child === null) return false;
    const run = this.#runOf(task, place);
    child.cookie = task.index;
    task.done += run;
    task.pending += 1;
    this.#send(child, place, run, into);
    return true;
  }

  #send(child: BlockIo, place: number, blocks: number, into: number): void {
    const { base, bands, factor } = this.#core;
    const band = bands.bandOf(place);
    bands.readers[band]! += 1;
    child.op = OP_READ;
    child.block = this.#core.baseBlock(place);
    child.blockCount = blocks * factor;
    child.buffer = into;
    child.stamp = band;
    base.submit(child);
  }

  /** How many blocks from `task.done` on lie one behind the other in the same unit. */
  #runOf(task: ReadTask, place: number): number {
    const { geometry, l2p } = this.#core;
    const { block, blockCount } = task.io!;
    const unitEnd = (Math.floor(place / geometry.unitBlocks) + 1) * geometry.unitBlocks;
    const most = Math.min(blockCount - task.done, unitEnd - place, this.#blocksMax);
    let run = 1;
    while (run < most && l2p.get(block + task.done + run) === place + run) run += 1;
    return run;
  }

  complete(child: BlockIo): void {
    const { bands } = this.#core;
    const { parent } = child;
    const band = child.stamp;
    assert(bands.readers[band]! > 0, 'a band that was read has a reader');
    bands.readers[band]! -= 1;
    if (bands.readers[band] === 0 && bands.emptiedCount > 0) this.#core.wake();
    const { cookie, status } = child;
    this.#children.give(child);
    if (parent === null) this.#partDone(this.#tasks[cookie]!, status);
    if (this.#stalled !== null || this.#waiting.length > 0) this.#pump();
    // Last, because whoever has asked may ask for more.
    if (parent !== null) this.#host.answerNow(parent, status);
  }

  #partDone(task: ReadTask, status: number): void {
    if (status !== OK && task.status === OK) task.status = status;
    task.pending -= 1;
    if (task.pending === 0 && task !== this.#stalled) this.#end(task);
  }

  #end(task: ReadTask): void {
    const io = task.io!;
    task.io = null;
    task.next = this.#freeTask;
    this.#freeTask = task;
    this.#host.answer(io, task.status);
  }

  // end data path
}
