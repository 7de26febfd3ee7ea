/**
 * The I/O of the write intent: bitmap blocks, and the flushes before intent is cleared.
 *                                                                                     (data plane)
 *
 * A bitmap block goes to every member in service at the same time, durably: with FUA where the
 * member has it, with a flush after it where not. It counts as written when every member that is
 * still in service afterwards has it; one that fails is reported and, if the array can do without
 * it, ejected. (A member that comes into service meanwhile gets a whole bitmap: rebuild-steps.ts.)
 *
 * A clearing pass looks for quiet regions, flushes every member (and the target of a rebuild), and
 * lets the intent clear those regions that are still quiet then.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BlockIo, type Completer, FLAG_FUA, OP_FLUSH, OP_WRITE } from '../block/block-io.ts';
import { type Reactor, Timer } from '../block/reactor.ts';
import { type BitmapBlockKey, encodeBitmapBlock } from './bitmap-format.ts';
import type { IntentHost } from './intent-host.ts';
import { BITMAP_BLOCK_BYTES } from './label.ts';
import { FUA_FLUSH, FUA_PASS } from './member.ts';
import type { WriteIntent } from './write-intent.ts';

/** Regions that one pass clears at most. */
const PASS_REGIONS = 4096;

function makeIos(count: number, completer: Completer): BlockIo[] {
  return Array.from({ length: count }, (_, slot) => {
    const io = new BlockIo();
    io.completer = completer;
    io.cookie = slot;
    return io;
  });
}

export class BlockWriter implements Completer {
  busy = false;
  readonly #intent: WriteIntent;
  readonly #host: IntentHost;
  readonly #reactor: Reactor;
  readonly #buffer: number;
  readonly #ios: readonly BlockIo[];
  /** By slot: 1 = in service, and does not have the block. */
  readonly #lacking: Uint8Array;
  #snapshot: Uint8Array = new Uint8Array(0);
  #index = 0;
  #pending = 0;
  #status = 0;

  constructor(intent: WriteIntent, host: IntentHost) {
    this.#intent = intent;
    this.#host = host;
    this.#reactor = host.reactor;
    this.#buffer = host.reactor.arena.allocate(BITMAP_BLOCK_BYTES);
    this.#ios = makeIos(host.members.length, this);
    this.#lacking = new Uint8Array(host.members.length);
  }

  dispose(): void {
    assert(!this.busy, 'no bitmap block is being written');
    this.#reactor.arena.release(this.#buffer, BITMAP_BLOCK_BYTES);
  }

  /** `snapshot` are the regions of the block as they are in `states` now. */
  write(snapshot: Uint8Array, key: BitmapBlockKey, states: Uint8Array, block: number): void {
    const { members, blockBytes } = this.#host;
    this.busy = true;
    this.#snapshot = snapshot;
    this.#index = key.index;
    this.#status = 0;
    this.#lacking.fill(0);
    encodeBitmapBlock(states, key, this.#reactor.arena.u8, this.#buffer);
    const present = members.filter(({ device }) => device !== null);
    assert(present.length > 0, 'an array has a member in service');
    this.#pending = present.length;
    for (const member of present) this.#lacking[member.slot] = 1;
    for (const member of present) {
      const io = this.#ios[member.slot]!;
      io.op = OP_WRITE;
      io.flags = member.fua === FUA_PASS ? FLAG_FUA : 0;
      io.block = block;
      io.blockCount = BITMAP_BLOCK_BYTES / blockBytes;
      io.buffer = this.#buffer;
      member.device!.submit(io);
    }
  }

  complete(io: BlockIo): void {
    const slot = io.cookie;
    const member = this.#host.members[slot]!;
    if (io.status !== 0) {
      this.#status = io.status;
      this.#host.metadataFailed(slot, io.status, io.op);
    } else if (io.op === OP_WRITE && member.fua === FUA_FLUSH && member.device !== null) {
      io.op = OP_FLUSH;
      io.block = 0;
      io.blockCount = 0;
      member.device.submit(io);
      return;
    } else {
      this.#lacking[slot] = 0;
    }
    this.#pending -= 1;
    if (this.#pending !== 0) return;
    this.busy = false;
    const ok = this.#host.members.every(
      (one) => one.device === null || this.#lacking[one.slot] === 0,
    );
    this.#intent.written(this.#index, this.#snapshot, ok, this.#status);
  }
}

export class ClearingPass extends Timer implements Completer {
  readonly #intent: WriteIntent;
  readonly #host: IntentHost;
  readonly #reactor: Reactor;
  readonly #idleUs: number;
  readonly #regions = new Uint32Array(PASS_REGIONS);
  /** One for each slot, and the last for the target. */
  readonly #ios: readonly BlockIo[];
  #count = 0;
  #safeBelow = 0;
  #pending = 0;
  #failed = false;
  #patience = 1;
  #suspended = false;
  #idle: (() => void)[] = [];

  constructor(intent: WriteIntent, host: IntentHost, idleUs: number) {
    super();
    this.#intent = intent;
    this.#host = host;
    this.#reactor = host.reactor;
    this.#idleUs = idleUs;
    this.#ios = makeIos(host.members.length + 1, this);
  }

  start(): void {
    if (this.dueUs !== -1 || this.#pending > 0 || this.#suspended) return;
    // Two passes see a region before it is quiet.
    this.#reactor.schedule(this, (this.#idleUs * this.#patience) / 2);
  }

  stop(): void {
    this.#suspended = true;
    this.#reactor.cancel(this);
  }

  suspend(): Promise<void> {
    this.stop();
    if (this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  resume(): void {
    this.#suspended = false;
    if (this.#intent.hasIntent) this.start();
  }

  expire(): void {
    this.#patience = this.#intent.patience(this.#patience);
    this.#count = this.#intent.collectQuiet(this.#regions);
    if (this.#count === 0) {
      if (this.#intent.hasIntent) this.start();
      return;
    }
    this.#safeBelow = this.#intent.safeBelow;
    this.#failed = false;
    const { members, targetDevice } = this.#host;
    // The pass itself is one of what is pending, so that nothing ends before all is sent.
    this.#pending = 1;
    for (const { slot, device } of members) {
      if (device?.geometry.volatileCache === true) this.#flush(slot, device);
    }
    // Also before its first checkpoint: the flush of that one may be under way, and older.
    if (targetDevice !== null) this.#flush(members.length, targetDevice);
    this.#oneDone();
  }

  #flush(index: number, device: BlockDevice): void {
    const io = this.#ios[index]!;
    io.op = OP_FLUSH;
    io.blockCount = 0;
    this.#pending += 1;
    device.submit(io);
  }

  complete(io: BlockIo): void {
    if (io.status !== 0 && io.cookie === this.#host.members.length) {
      this.#host.targetFailed(io.status);
      this.#safeBelow = 0;
    } else if (io.status !== 0) {
      this.#host.metadataFailed(io.cookie, io.status, OP_FLUSH);
      if (this.#host.members[io.cookie]!.device !== null) this.#failed = true;
    }
    this.#oneDone();
  }

  #oneDone(): void {
    this.#pending -= 1;
    if (this.#pending !== 0) return;
    // A member that has left meanwhile, or the target, makes less of it safe.
    const safeBelow = Math.min(this.#safeBelow, this.#intent.safeBelow);
    if (!this.#failed) this.#intent.clear(this.#regions, this.#count, safeBelow);
    for (const resolve of this.#idle.splice(0)) resolve();
    if (this.#intent.hasIntent) this.start();
  }
}
