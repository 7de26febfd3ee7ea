/**
 * CacheReader: reads from the ring and from the device behind it.                     (data plane)
 *
 * A read is cut into runs: blocks whose newest copy is in the ring, as far as they lie one behind
 * the other there; blocks that were trimmed are zeroes; lost blocks are an error; what is left is
 * read from the device behind. What goes to the ring has a place, which is not used again before
 * the read is over. Where operations or tasks run out, reads wait in their order.
 */

import { type BlockIo, type Completer, OP_READ } from '../block/block-io.ts';
import { BlockIoPool, BlockIoQueue } from '../block/block-io-pool.ts';
import { EIO, OK } from '../block/status.ts';
import { NOT_CACHED } from './block-map.ts';
import { CACHE_BLOCK_BYTES } from './cache-format.ts';
import type { NvCore } from './nv-core.ts';

const TASKS = 256;
const CHILDREN = 512;
/** In place of a generation of readers: the child reads the device behind. */
const FROM_BACKING = -1;

export interface CacheReaderHost {
  answer(io: BlockIo, status: number): void;
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

export class CacheReader implements Completer {
  readonly #core: NvCore;
  readonly #host: CacheReaderHost;
  readonly #waiting = new BlockIoQueue();
  readonly #tasks: ReadTask[] = [];
  readonly #children = new BlockIoPool(CHILDREN, this);
  readonly #ringRunMax: number;
  readonly #backingRunMax: number;
  #freeTask: ReadTask | null = null;
  /** The task that waits for children, if one does; no other begins before it goes on. */
  #stalled: ReadTask | null = null;

  constructor(core: NvCore, host: CacheReaderHost) {
    this.#core = core;
    this.#host = host;
    this.#ringRunMax = Math.floor(core.cache.geometry.requestBlocksMax / core.factor);
    this.#backingRunMax = core.backing.geometry.requestBlocksMax;
    for (let index = 0; index < TASKS; index += 1) {
      const task = new ReadTask(index);
      task.next = this.#freeTask;
      this.#freeTask = task;
      this.#tasks.push(task);
    }
  }

  // data path

  submit(io: BlockIo): void {
    this.#waiting.push(io);
    this.#pump();
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
    const { lost, map, reactor, trims } = this.#core;
    const io = task.io!;
    while (task.done < io.blockCount) {
      const block = io.block + task.done;
      const ringBlock = map.get(block);
      if (ringBlock !== NOT_CACHED) {
        if (!this.#readRing(task, ringBlock)) return false;
      } else if (trims.covers(block)) {
        reactor.kernels.zero(io.buffer + task.done * CACHE_BLOCK_BYTES, CACHE_BLOCK_BYTES);
        task.done += 1;
      } else if (lost.has(block)) {
        task.status = EIO;
        task.done += 1;
      } else if (!this.#readBacking(task)) {
        return false;
      }
    }
    return true;
  }

  #readRing(task: ReadTask, ringBlock: number): boolean {
    const child = this.#children.take();
    if (child === null) return false;
    const { cache, factor, grace, map, statistics } = this.#core;
    const { block, blockCount } = task.io!;
    const most = Math.min(blockCount - task.done, this.#ringRunMax);
    let run = 1;
    while (run < most && map.get(block + task.done + run) === ringBlock + run) run += 1;
    child.stamp = grace.enter();
    child.block = ringBlock * factor;
    child.blockCount = run * factor;
    statistics.readFromRing += run;
    this.#begin(task, child, run);
    cache.submit(child);
    return true;
  }

  #readBacking(task: ReadTask): boolean {
    const child = this.#children.take();
    if (child === null) return false;
    const { backing, statistics } = this.#core;
    const { block, blockCount } = task.io!;
    const most = Math.min(blockCount - task.done, this.#backingRunMax);
    let run = 1;
    while (run < most && this.#isBehind(block + task.done + run)) run += 1;
    child.stamp = FROM_BACKING;
    child.block = block + task.done;
    child.blockCount = run;
    statistics.readFromBacking += run;
    this.#begin(task, child, run);
    backing.submit(child);
    return true;
  }

  #isBehind(block: number): boolean {
    const { lost, map, trims } = this.#core;
    return map.get(block) === NOT_CACHED && !trims.covers(block) && !lost.has(block);
  }

  #begin(task: ReadTask, child: BlockIo, run: number): void {
    child.op = OP_READ;
    child.buffer = task.io!.buffer + task.done * CACHE_BLOCK_BYTES;
    child.cookie = task.index;
    task.done += run;
    task.pending += 1;
  }

  complete(child: BlockIo): void {
    const { grace, host, statistics } = this.#core;
    const task = this.#tasks[child.cookie]!;
    if (child.stamp !== FROM_BACKING) {
      grace.leave(child.stamp);
      if (child.status !== OK) statistics.ringReadErrors += 1;
      if (grace.waits) host.wake();
    }
    if (child.status !== OK && task.status === OK) task.status = child.status;
    this.#children.give(child);
    task.pending -= 1;
    if (task.pending === 0 && task !== this.#stalled) this.#end(task);
    this.#pump();
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
