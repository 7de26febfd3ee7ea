/**
 * ForwardingDevice: a filter that must see completions.                               (data plane)
 *
 * An operation belongs to its submitter, so a filter that changes it or wants it back forwards a
 * child from a fixed pool instead; when all children are out, operations queue (law 8). Since it
 * knows what is in flight it can also be put over another device while it is in use.
 */

import { assert } from '../block/assert.ts';
import { type BlockDevice, checkIo } from '../block/block-device.ts';
import type { BlockIo, Completer } from '../block/block-io.ts';
import { BlockIoPool, BlockIoQueue } from '../block/block-io-pool.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import { FilterDevice } from './filter-device.ts';

/** Operations of one filter in flight below it. */
export const FORWARD_DEPTH_DEFAULT = 1024;

export abstract class ForwardingDevice extends FilterDevice implements Completer {
  readonly #pool: BlockIoPool;
  readonly #waiting = new BlockIoQueue();
  #inFlight = 0;
  #drained: (() => void) | null = null;
  /** Children that are out. */
  #forwarded = 0;
  /** Everything waits; null: nothing does. */
  #hold: { stilled(): void } | null = null;

  constructor(lower: BlockDevice, name: string, depth = FORWARD_DEPTH_DEFAULT) {
    super(lower, name);
    this.#pool = new BlockIoPool(depth, this);
  }

  submit(io: BlockIo): void {
    assert(this.reactor !== null, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    this.#inFlight += 1;
    const child = this.#hold === null ? this.#pool.take() : null;
    if (child === null) this.#waiting.push(io);
    else this.#forward(io, child);
  }

  complete(child: BlockIo): void {
    const io = child.parent;
    assert(io !== null, 'a child has a parent');
    io.status = child.status;
    this.ended(io, child);
    this.#forwarded -= 1;
    const next = this.#hold === null ? this.#waiting.shift() : null;
    if (next === null) this.#pool.give(child);
    else this.#forward(next, child);
    this.#inFlight -= 1;
    if (this.#hold !== null && this.#forwarded === 0) this.#hold.stilled();
    if (this.#inFlight === 0 && this.#drained !== null) this.#drained();
    io.completer.complete(io);
  }

  /**
   * Puts it over the device that `work` gives, which has to be open. Operations wait meanwhile, and
   * `work` begins when none is in flight. When it throws, nothing has changed.
   */
  async replaceLower(work: (before: BlockDevice) => Promise<BlockDevice>): Promise<void> {
    assert(this.#hold === null && this.reactor !== null, 'one change at a time of an open device');
    const still = new Promise<void>((resolve) => {
      this.#hold = { stilled: resolve };
      if (this.#forwarded === 0) resolve();
    });
    try {
      await still;
      this.take(await work(this.lower));
    } finally {
      this.#hold = null;
      this.#letGo();
    }
  }

  #letGo(): void {
    while (this.#waiting.length > 0) {
      const child = this.#pool.take();
      if (child === null) return;
      this.#forward(this.#waiting.shift()!, child);
    }
  }

  /** May change `child`, which is a copy of `io`. */
  protected abstract starting(io: BlockIo, child: BlockIo): void;
  protected abstract ended(io: BlockIo, child: BlockIo): void;

  protected override async drain(_reactor: Reactor): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#drained = null;
  }

  #forward(io: BlockIo, child: BlockIo): void {
    child.op = io.op;
    child.flags = io.flags;
    child.block = io.block;
    child.blockCount = io.blockCount;
    child.buffer = io.buffer;
    child.parent = io;
    this.#forwarded += 1;
    this.starting(io, child);
    this.lower.submit(child);
  }
}
