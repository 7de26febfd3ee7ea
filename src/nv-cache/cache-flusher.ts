/**
 * CacheFlusher: flushes of the cache device, shared by all who wait for one.          (data plane)
 *
 * What comes while a flush is under way waits for the next one: that covers what was answered
 * before. A flush that has failed is not repeated: what it should have made durable is unknown, and
 * so the cache is given up; who waited gets an answer from the device behind. In that state, and
 * where there is no cache any more, `surrender` hands over who waits.
 */

import { BlockIo, type Completer, OP_FLUSH } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';
import { type NvCore, STATE_ONLINE, STATE_STOPPED } from './nv-core.ts';

export interface CacheFlusherHost {
  answer(io: BlockIo, status: number): void;
  /** What counted when a flush began is durable: the tail in records, and records so far. */
  flushed(tail: number, sequence: number): void;
  /** The tail of the newest record that counts. */
  recordedTail(): number;
}

export class CacheFlusher implements Completer {
  readonly #core: NvCore;
  readonly #host: CacheFlusherHost;
  readonly #waiting = new BlockIoQueue();
  readonly #riding = new BlockIoQueue();
  readonly #io = new BlockIo();
  #tail = 0;
  #sequence = 0;
  #isDemanded = false;
  busy = false;

  constructor(core: NvCore, host: CacheFlusherHost) {
    this.#core = core;
    this.#host = host;
    this.#io.op = OP_FLUSH;
    this.#io.completer = this;
  }

  // data path

  wait(io: BlockIo): void {
    this.#waiting.push(io);
    this.#core.host.wake();
  }

  /** What counts now is to become durable, though no user waits for it. */
  demand(): void {
    if (!this.busy) this.#isDemanded = true;
  }

  /** At the end of a turn. */
  pump(): void {
    const { cache, state, statistics } = this.#core;
    const works = state === STATE_ONLINE || state === STATE_STOPPED;
    if (this.busy || !works || (this.#waiting.length === 0 && !this.#isDemanded)) return;
    this.#isDemanded = false;
    for (let io = this.#waiting.shift(); io !== null; io = this.#waiting.shift()) {
      this.#riding.push(io);
    }
    if (!cache.geometry.volatileCache) {
      this.#end(OK);
      return;
    }
    this.busy = true;
    this.#tail = this.#host.recordedTail();
    this.#sequence = this.#core.ring.committedSequence;
    statistics.cacheFlushes += 1;
    cache.submit(this.#io);
  }

  complete(io: BlockIo): void {
    this.busy = false;
    if (io.status === OK) {
      this.#host.flushed(this.#tail, this.#sequence);
      this.#end(OK);
    } else if (this.#core.state === STATE_STOPPED) {
      this.#end(io.status);
    } else {
      this.#core.host.cacheFailed(io.status, 'a flush of it has failed');
    }
    this.#core.host.wake();
  }

  #end(status: number): void {
    for (let io = this.#riding.shift(); io !== null; io = this.#riding.shift()) {
      this.#host.answer(io, status);
    }
  }

  /** Nothing is under way: puts all who wait into `into`. */
  surrender(into: BlockIoQueue): void {
    for (let io = this.#riding.shift(); io !== null; io = this.#riding.shift()) into.push(io);
    for (let io = this.#waiting.shift(); io !== null; io = this.#waiting.shift()) into.push(io);
  }

  // end data path
}
