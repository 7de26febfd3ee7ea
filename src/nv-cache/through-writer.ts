/**
 * ThroughWriter: what an NV cache does without its ring.                              (data plane)
 *
 * Writes go to the device behind, and are answered when it has been flushed: that device answers
 * from memory which dies with the process, and a write that was answered has to outlive it. What
 * comes while a flush is under way shares the next one. Where that has made blocks anew that were
 * lost, the header says so before anybody is answered: else they would be lost again after a crash.
 */

import { BlockIo, type Completer, FLAG_FUA, OP_FLUSH } from '../block/block-io.ts';
import { BlockIoPool, BlockIoQueue } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';
import type { NvCore } from './nv-core.ts';

const CHILDREN = 256;

export interface ThroughWriterHost {
  answer(io: BlockIo, status: number): void;
  /** Blocks are lost no more: `noted` is to be called when that is on record, or cannot be. */
  mended(): void;
}

export class ThroughWriter implements Completer {
  readonly #core: NvCore;
  readonly #host: ThroughWriterHost;
  readonly #waiting = new BlockIoQueue();
  /** Answered by the device behind, or a flush; not durable yet. */
  readonly #written = new BlockIoQueue();
  readonly #riding = new BlockIoQueue();
  readonly #children = new BlockIoPool(CHILDREN, this);
  readonly #flush = new BlockIo();
  #flushes = false;

  constructor(core: NvCore, host: ThroughWriterHost) {
    this.#core = core;
    this.#host = host;
    this.#flush.op = OP_FLUSH;
    this.#flush.completer = this;
  }

  // data path

  submit(io: BlockIo): void {
    if (io.op === OP_FLUSH) this.#written.push(io);
    else this.#waiting.push(io);
    this.#core.host.wake();
  }

  /** At the end of a turn. */
  pump(): void {
    while (this.#children.available > 0 && this.#waiting.length > 0) {
      const io = this.#waiting.shift()!;
      const child = this.#children.take()!;
      child.op = io.op;
      child.flags = io.flags & ~FLAG_FUA;
      child.block = io.block;
      child.blockCount = io.blockCount;
      child.buffer = io.buffer;
      child.parent = io;
      this.#core.backing.submit(child);
    }
    if (this.#flushes || this.#written.length === 0) return;
    for (let io = this.#written.shift(); io !== null; io = this.#written.shift()) {
      this.#riding.push(io);
    }
    this.#flushes = true;
    this.#core.backing.submit(this.#flush);
  }

  complete(child: BlockIo): void {
    if (child === this.#flush) {
      if (child.status === OK && this.#mend()) this.#host.mended();
      else this.#end(child.status);
    } else {
      const io = child.parent!;
      const { status } = child;
      this.#children.give(child);
      if (status === OK) this.#written.push(io);
      else this.#host.answer(io, status);
    }
    this.#core.host.wake();
  }

  noted(): void {
    this.#end(OK);
    this.#core.host.wake();
  }

  #end(status: number): void {
    this.#flushes = false;
    for (let io = this.#riding.shift(); io !== null; io = this.#riding.shift()) {
      this.#host.answer(io, status);
    }
  }

  /** What was lost is there again; false where nothing was. */
  #mend(): boolean {
    const { lost } = this.#core;
    const before = lost.count;
    if (before === 0) return false;
    for (let left = this.#riding.length; left > 0; left -= 1) {
      const io = this.#riding.shift()!;
      if (io.op !== OP_FLUSH) lost.deleteRange(io.block, io.blockCount);
      this.#riding.push(io);
    }
    return lost.count < before;
  }

  // end data path
}
