/**
 * WriteLoad: writers that each write a block, wait, and go on; with a flush after each write if so
 * wanted, which is waited for as well.
 *
 * Which block comes next is told by a Load (waf-load.ts). Every block has the same payload.
 */

import type { BlockDevice } from '../src/block/block-device.ts';
import { BlockIo, type Completer, OP_FLUSH, OP_WRITE } from '../src/block/block-io.ts';
import { OK } from '../src/block/status.ts';
import type { RingReactor } from '../src/reactor/ring-reactor.ts';
import { PAYLOAD_WORD } from './forgetful-device.ts';
import { BLOCK_BYTES } from './ftl-stack.ts';
import type { Load } from './waf-load.ts';

export interface WriteLoadOptions {
  readonly load: Load;
  readonly writers: number;
  /** After each write. */
  readonly flushes: boolean;
  /** Ends after so many milliseconds, or so many writes, whichever comes first. */
  readonly ms?: number;
  readonly writes?: number;
}

export class WriteLoad implements Completer {
  readonly #reactor: RingReactor;
  readonly #device: BlockDevice;
  readonly #options: WriteLoadOptions;
  #endUs = Number.POSITIVE_INFINITY;
  #begun = 0;
  #done = 0;
  #working = 0;
  #failed = OK;

  constructor(reactor: RingReactor, device: BlockDevice, options: WriteLoadOptions) {
    this.#reactor = reactor;
    this.#device = device;
    this.#options = options;
  }

  /** Gives writes per second. */
  async run(): Promise<number> {
    const { ms = Number.POSITIVE_INFINITY, writers } = this.#options;
    const { arena } = this.#reactor;
    const bytes = writers * BLOCK_BYTES;
    const buffer = arena.allocate(bytes);
    arena.u32.fill(PAYLOAD_WORD, buffer / 4, (buffer + bytes) / 4);
    const start = performance.now();
    this.#endUs = (start + ms) * 1000;
    this.#working = writers;
    for (let writer = 0; writer < writers; writer += 1) {
      const io = new BlockIo();
      io.completer = this;
      io.buffer = buffer + writer * BLOCK_BYTES;
      this.#write(io);
    }
    await this.#reactor.run();
    const seconds = (performance.now() - start) / 1000;
    arena.release(buffer, bytes);
    if (this.#failed !== OK) throw new Error(`an operation has failed: status ${this.#failed}`);
    return this.#done / seconds;
  }

  #write(io: BlockIo): void {
    const { load, writes = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#begun === writes || this.#reactor.nowUs() >= this.#endUs) {
      this.#working -= 1;
      if (this.#working === 0) this.#reactor.stop();
      return;
    }
    this.#begun += 1;
    io.op = OP_WRITE;
    io.block = load.next();
    io.blockCount = 1;
    this.#device.submit(io);
  }

  complete(io: BlockIo): void {
    if (io.status !== OK) this.#failed = io.status;
    if (io.op === OP_WRITE && this.#options.flushes) {
      io.op = OP_FLUSH;
      io.block = 0;
      io.blockCount = 0;
      this.#device.submit(io);
      return;
    }
    this.#done += 1;
    this.#write(io);
  }
}
