/**
 * UblkQueue: one hardware queue of a ublk device.                                      (data plane)
 *
 * Each tag of the queue is one request slot that the kernel fills. The kernel completes the tag's
 * fetch command: its descriptor then tells the request, and what is written lies in the tag's
 * buffer. The queue turns the descriptor into the tag's BlockIo, checks it, submits it, and when it
 * completes commits the result, which at once fetches the tag's next request.
 *
 *     FETCHED ──request──▶ SERVING ──commit──▶ FETCHED … ──(-ENODEV)──▶ RETIRED
 *        └────held───▶ HELD
 *
 * While the queue is handed over to another server, requests that arrive are held: neither carried
 * out nor answered. When this process has ended the driver gives them to its successor.
 *
 * Results are never short: all bytes of a read or write, 0 for anything else, or an errno.
 *
 * Deadline. The kernel sets no time limit for a request, so its submitter, an unmount and the stop
 * of the device would wait for ever for a device below that does not answer. When a request is
 * overdue the queue answers it with ETIMEDOUT. But the device below still holds the tag's buffer,
 * and the answer hands the tag back to the kernel, which may fill it again. Therefore
 *   - the tag is *abandoned*: it goes on with its bounce buffer, a second set of buffers that is
 *     mapped but not touched until then, and what arrives on it is refused with ETIMEDOUT until
 *     the device has given the first buffer back. The late completion itself changes nothing else;
 *   - a request that overlaps an abandoned one is refused too. Otherwise a write could be answered
 *     and afterwards be overwritten by an older one that nobody waits for any more;
 *   - a tag that comes out of abandonment has one request in its bounce buffer; it is copied.
 * The clock is an epoch that a timer advances while requests are in flight: no request reads a
 * clock, and a deadline of d is met between d and 9/8 d.
 *
 * Invariants
 *   - a tag is SERVING exactly while its request has not been committed;
 *   - only one thread ever sends commands of a queue;
 *   - the BlockIo of an abandoned tag is not touched until the device completes it.
 */

import { assert } from '../../block/assert.ts';
import { type BlockDevice, checkIo, FEATURE_FUA, type Geometry } from '../../block/block-device.ts';
import {
  type BlockIo,
  type Completer,
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../block/block-io.ts';
import { BlockIoPool } from '../../block/block-io-pool.ts';
import { Timer } from '../../block/reactor.ts';
import { EINVAL, EOPNOTSUPP, ETIMEDOUT, OK } from '../../block/status.ts';
import type { NativeMapping } from '../../native/addon.ts';
import type { Ring, RingHandler } from '../../reactor/ring.ts';
import {
  IO_COMMIT_AND_FETCH_REQ,
  IO_DESC_WORDS,
  IO_F_FUA,
  IO_F_NOUNMAP,
  IO_FETCH_REQ,
  IO_OP_DISCARD,
  IO_OP_FLUSH,
  IO_OP_MASK,
  IO_OP_READ,
  IO_OP_WRITE,
  IO_OP_WRITE_ZEROES,
  IO_RES_ABORT,
  IO_RES_OK,
  SECTOR_BYTES,
} from './uapi.ts';
import { resultOfStatus } from './ublk-result.ts';

const FETCHED = 0;
const SERVING = 1;
const RETIRED = 2;
const HELD = 3;

/** What `#decode` gives for a request that is done without asking the device. */
const NOTHING_TO_DO = -1;

/** A deadline is measured in this many steps of the epoch. */
const DEADLINE_EPOCHS = 8;
const TWO_32 = 2 ** 32;

export interface UblkQueueOwner {
  /** Every tag is retired and the device holds no request of this queue any more. */
  queueRetired(): void;
  /** The kernel refused a command with `errno`, which it should not; the tag is lost. */
  queueFailed(errno: number): void;
  /** Requests were answered with ETIMEDOUT because the device did not answer. */
  requestsTimedOut(count: number): void;
}

export interface UblkQueueOptions {
  readonly queue: number;
  readonly depth: number;
  /** Bytes of each tag's buffer. */
  readonly bufferBytes: number;
  /** Time limit of a request in microseconds; 0: none. */
  readonly deadlineUs: number;
  /** The queue's descriptors, mapped read-only. */
  readonly descriptors: ArrayBuffer;
  /** Slot of /dev/ublkcN in the ring's file table. */
  readonly slot: number;
}

class DeadlineTimer extends Timer {
  readonly #queue: UblkQueue;

  constructor(queue: UblkQueue) {
    super();
    this.#queue = queue;
  }

  expire(): void {
    this.#queue.advanceEpoch();
  }
}

export class UblkQueue implements RingHandler, Completer {
  readonly depth: number;
  /** Tags that will not be used again. */
  retired = 0;
  /** Tags whose buffer the device still holds after their request was answered. */
  abandoned = 0;
  readonly #owner: UblkQueueOwner;
  readonly #ring: Ring;
  readonly #device: BlockDevice;
  readonly #geometry: Geometry;
  readonly #queue: number;
  readonly #slot: number;
  readonly #handlerId: number;
  readonly #descriptors: Uint32Array;
  readonly #bufferBytes: number;
  readonly #bufferSectors: number;
  readonly #buffersAt: number;
  /** log2 of the sectors of a block, and the mask of the sectors inside a block. */
  readonly #blockShift: number;
  readonly #blockMask: number;
  readonly #blocksPerHighWord: number;
  readonly #nativeFua: boolean;
  /** By tag. */
  readonly #ios: BlockIo[] = [];
  readonly #states: Uint8Array;
  readonly #abandonedTags: Uint8Array;
  /** 1: the kernel fills and empties the bounce buffer of this tag. */
  readonly #bouncing: Uint8Array;
  /** Addresses of the tags' own buffers, as two words. */
  readonly #addressesLow: Uint32Array;
  readonly #addressesHigh: Uint32Array;
  /** null without a deadline. */
  readonly #bounce: NativeMapping | null;
  readonly #deadline: DeadlineTimer;
  readonly #epochUs: number;
  #epoch = 0;
  #holds = false;

  /** Reserves the buffers. Throws BANDSTAND_ARENA_FULL, or when memory cannot be mapped. */
  constructor(
    owner: UblkQueueOwner,
    ring: Ring,
    device: BlockDevice,
    { queue, depth, bufferBytes, deadlineUs, descriptors, slot }: UblkQueueOptions,
  ) {
    const { geometry } = device;
    this.depth = depth;
    this.#owner = owner;
    this.#ring = ring;
    this.#device = device;
    this.#geometry = geometry;
    this.#queue = queue;
    this.#slot = slot;
    this.#descriptors = new Uint32Array(descriptors);
    this.#bufferBytes = bufferBytes;
    this.#bufferSectors = bufferBytes / SECTOR_BYTES;
    this.#blockShift = Math.log2(geometry.blockBytes / SECTOR_BYTES);
    this.#blockMask = geometry.blockBytes / SECTOR_BYTES - 1;
    this.#blocksPerHighWord = (TWO_32 * SECTOR_BYTES) / geometry.blockBytes;
    this.#nativeFua = (geometry.features & FEATURE_FUA) !== 0;
    this.#states = new Uint8Array(depth).fill(RETIRED);
    this.#abandonedTags = new Uint8Array(depth);
    this.#bouncing = new Uint8Array(depth);
    this.#addressesLow = new Uint32Array(depth);
    this.#addressesHigh = new Uint32Array(depth);
    this.#deadline = new DeadlineTimer(this);
    this.#epochUs = deadlineUs / DEADLINE_EPOCHS;
    this.#buffersAt = ring.arena.allocate(bufferBytes * depth);
    try {
      this.#bounce = deadlineUs > 0 ? ring.native.memoryMap(bufferBytes * depth, false) : null;
    } catch (error) {
      ring.arena.release(this.#buffersAt, bufferBytes * depth);
      throw error;
    }
    this.#handlerId = ring.registerHandler(this);
    this.#prepareTags();
  }

  #prepareTags(): void {
    const pool = new BlockIoPool(this.depth, this);
    for (let tag = 0; tag < this.depth; tag += 1) {
      const io = pool.take()!;
      io.cookie = tag;
      io.buffer = this.#buffersAt + tag * this.#bufferBytes;
      const address = this.#ring.arena.address + io.buffer;
      this.#addressesHigh[tag] = Math.floor(address / TWO_32);
      this.#addressesLow[tag] = address % TWO_32;
      this.#ios.push(io);
    }
  }

  /** Asks for the first request of every tag; the queue is this thread's from then on. */
  fetchAll(): void {
    for (let tag = 0; tag < this.depth; tag += 1) {
      this.#states[tag] = FETCHED;
      this.#command(tag, IO_FETCH_REQ, 0);
    }
  }

  /** True when nothing of this queue is in flight, neither above nor below. */
  get idle(): boolean {
    if (this.abandoned > 0) return false;
    return this.#states.every((state) => state === RETIRED);
  }

  /** True when the device below holds no request of this queue. */
  get quiet(): boolean {
    return this.abandoned === 0 && !this.#states.includes(SERVING);
  }

  /** From now on requests that arrive are held. */
  hold(): void {
    this.#holds = true;
  }

  /** Goes on as before, with what was held. */
  resume(): void {
    this.#holds = false;
    for (let tag = 0; tag < this.depth; tag += 1) {
      if (this.#states[tag] !== HELD) continue;
      this.#states[tag] = FETCHED;
      this.ringComplete(tag, IO_RES_OK);
    }
  }

  /** Gives the buffers back. The queue must be idle. */
  dispose(): void {
    assert(this.idle, 'a disposed queue is idle');
    this.#ring.cancel(this.#deadline);
    this.#ring.unregisterHandler(this.#handlerId);
    this.#ring.arena.release(this.#buffersAt, this.#bufferBytes * this.depth);
    if (this.#bounce !== null) this.#ring.native.memoryUnmap(this.#bounce.memory);
  }

  // data path

  /** A fetch or commit of `tag` has completed: a request is there, or the tag is retired. */
  ringComplete(tag: number, result: number): void {
    assert(this.#states[tag] === FETCHED, 'the kernel delivers to a tag that it holds');
    if (result !== IO_RES_OK) {
      this.#retire(tag, result);
      return;
    }
    if (this.#holds) {
      this.#states[tag] = HELD;
      return;
    }
    this.#states[tag] = SERVING;
    const io = this.#ios[tag]!;
    if (this.abandoned > 0 && this.#abandonedTags[tag] === 1) {
      this.#commit(tag, -ETIMEDOUT);
      return;
    }
    const status = this.#decode(tag, io);
    if (status !== OK) {
      this.#commit(tag, status === NOTHING_TO_DO ? 0 : resultOfStatus(status));
      return;
    }
    if (this.abandoned > 0 && this.#overlapsAbandoned(io)) {
      this.#commit(tag, -ETIMEDOUT);
      return;
    }
    if (this.#bouncing[tag] === 1 && io.op === OP_WRITE) this.#copyBounce(tag, true);
    io.stamp = this.#epoch;
    if (this.#deadline.dueUs < 0 && this.#epochUs > 0) {
      this.#ring.schedule(this.#deadline, this.#epochUs);
    }
    this.#device.submit(io);
  }

  /** The device has finished the request of a tag. */
  complete(io: BlockIo): void {
    const tag = io.cookie;
    if (this.#abandonedTags[tag] === 1) {
      this.#takeBack(tag);
      return;
    }
    assert(this.#states[tag] === SERVING, 'a device completes an operation once');
    if (io.status !== OK) {
      this.#commit(tag, resultOfStatus(io.status));
      return;
    }
    if (io.pending === 1) {
      this.#flushAfterWrite(io);
      return;
    }
    const at = tag * IO_DESC_WORDS;
    const kind = this.#descriptors[at]! & IO_OP_MASK;
    if (kind > IO_OP_WRITE) {
      this.#commit(tag, 0);
      return;
    }
    if (this.#bouncing[tag] === 1 && kind === IO_OP_READ) this.#copyBounce(tag, false);
    this.#commit(tag, this.#descriptors[at + 1]! * SECTOR_BYTES);
  }

  /** Fills `io` from the descriptor of `tag`. OK, NOTHING_TO_DO, or the errno of a refusal. */
  #decode(tag: number, io: BlockIo): number {
    const words = this.#descriptors;
    const at = tag * IO_DESC_WORDS;
    const operation = words[at]!;
    const kind = operation & IO_OP_MASK;
    io.flags = 0;
    io.pending = 0;
    if (kind === IO_OP_READ) {
      io.op = OP_READ;
    } else if (kind === IO_OP_WRITE) {
      io.op = OP_WRITE;
      if ((operation & IO_F_FUA) !== 0) this.#requireDurable(io);
    } else if (kind === IO_OP_FLUSH) {
      // Carries no range: the start sector is all ones.
      io.op = OP_FLUSH;
      io.block = 0;
      io.blockCount = 0;
      return OK;
    } else if (kind === IO_OP_DISCARD) {
      io.op = OP_TRIM;
    } else if (kind === IO_OP_WRITE_ZEROES) {
      io.op = OP_WRITE_ZEROES;
      if ((operation & IO_F_NOUNMAP) !== 0) io.flags = FLAG_NOUNMAP;
      if ((operation & IO_F_FUA) !== 0) this.#requireDurable(io);
    } else {
      return EOPNOTSUPP;
    }
    const sectors = words[at + 1]!;
    const sectorLow = words[at + 2]!;
    if (((sectors | sectorLow) & this.#blockMask) !== 0) return EINVAL;
    if (kind <= IO_OP_WRITE && sectors > this.#bufferSectors) return EINVAL;
    io.block = words[at + 3]! * this.#blocksPerHighWord + (sectorLow >>> this.#blockShift);
    io.blockCount = sectors >>> this.#blockShift;
    if (kind === IO_OP_DISCARD && this.#geometry.writeUnitBlocks !== 1) {
      if (!this.#alignTrim(io)) return NOTHING_TO_DO;
    }
    return checkIo(this.#geometry, io);
  }

  /** A device without FUA gets a flush after the operation instead. */
  #requireDurable(io: BlockIo): void {
    if (this.#nativeFua) io.flags |= FLAG_FUA;
    else io.pending = 1;
  }

  #flushAfterWrite(io: BlockIo): void {
    io.pending = 0;
    io.flags = 0;
    io.op = OP_FLUSH;
    io.block = 0;
    io.blockCount = 0;
    this.#device.submit(io);
  }

  /**
   * A discard is a hint and may come unaligned: only whole write units of it are trimmed. False
   * when it holds none.
   */
  #alignTrim(io: BlockIo): boolean {
    const unit = this.#geometry.writeUnitBlocks;
    const end = Math.floor((io.block + io.blockCount) / unit) * unit;
    io.block = Math.ceil(io.block / unit) * unit;
    io.blockCount = end - io.block;
    return io.blockCount > 0;
  }

  #commit(tag: number, result: number): void {
    this.#states[tag] = FETCHED;
    this.#bouncing[tag] = this.#abandonedTags[tag]!;
    this.#command(tag, IO_COMMIT_AND_FETCH_REQ, result);
  }

  #command(tag: number, command: number, result: number): void {
    let low = this.#addressesLow[tag]!;
    let high = this.#addressesHigh[tag]!;
    if (this.#bouncing[tag] === 1) {
      const address = this.#bounceAddress(tag);
      high = Math.floor(address / TWO_32);
      low = address - high * TWO_32;
    }
    const word = this.#queue | (tag << 16);
    this.#ring.command(this.#slot, command, word, result, low, high, this.#handlerId, tag);
  }

  // end data path

  #retire(tag: number, result: number): void {
    this.#states[tag] = RETIRED;
    this.retired += 1;
    if (result !== IO_RES_ABORT) this.#owner.queueFailed(Math.abs(result));
    this.#reportIdle();
  }

  #reportIdle(): void {
    if (this.retired === this.depth && this.idle) this.#owner.queueRetired();
  }

  /** One step of the deadline clock: answers what has been with the device for too long. */
  advanceEpoch(): void {
    this.#epoch += 1;
    let serving = 0;
    let late = 0;
    for (let tag = 0; tag < this.depth; tag += 1) {
      if (this.#states[tag] !== SERVING) continue;
      if (this.#epoch - this.#ios[tag]!.stamp > DEADLINE_EPOCHS) {
        this.#abandon(tag);
        late += 1;
      } else {
        serving += 1;
      }
    }
    if (serving > 0) this.#ring.schedule(this.#deadline, this.#epochUs);
    if (late > 0) this.#owner.requestsTimedOut(late);
  }

  #abandon(tag: number): void {
    this.#abandonedTags[tag] = 1;
    this.abandoned += 1;
    this.#commit(tag, -ETIMEDOUT);
  }

  /** The late completion of an abandoned tag: its buffer is ours again. */
  #takeBack(tag: number): void {
    this.#abandonedTags[tag] = 0;
    this.abandoned -= 1;
    this.#reportIdle();
  }

  #overlapsAbandoned(io: BlockIo): boolean {
    if (io.op === OP_FLUSH) return false;
    for (let tag = 0; tag < this.depth; tag += 1) {
      if (this.#abandonedTags[tag] === 0) continue;
      const other = this.#ios[tag]!;
      // An abandoned read changes nothing; a flush has no range.
      if (other.op === OP_READ || other.op === OP_FLUSH) continue;
      if (io.block < other.block + other.blockCount && other.block < io.block + io.blockCount) {
        return true;
      }
    }
    return false;
  }

  #bounceAddress(tag: number): number {
    assert(this.#bounce !== null, 'only a queue with a deadline abandons a tag');
    return this.#bounce.address + tag * this.#bufferBytes;
  }

  /** Between the bounce buffer and the own buffer of a tag that was abandoned until just now. */
  #copyBounce(tag: number, toOwn: boolean): void {
    const own = this.#addressesHigh[tag]! * TWO_32 + this.#addressesLow[tag]!;
    const bounce = this.#bounceAddress(tag);
    const bytes = this.#descriptors[tag * IO_DESC_WORDS + 1]! * SECTOR_BYTES;
    if (toOwn) this.#ring.native.copy(own, bounce, bytes);
    else this.#ring.native.copy(bounce, own, bytes);
  }
}
