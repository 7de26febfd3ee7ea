/**
 * ProcessChunk: one step of a background process under one lock.                      (data plane)
 *
 * A chunk locks its range of the array, asks whether the range is still needed, and then works
 * through it in slices that fit its buffers. What is done with a slice is the subclass's: copy to
 * the target (process-copy.ts) or compare and repair (process-verify.ts).
 *
 * Narrowing: a slice that could not be read is tried again at half the size, down to one block, and
 * the size doubles after each success. So a bad block costs a logarithm of small reads around it,
 * and what is reported as lost is exactly what cannot be read.
 *
 * A chunk never ends by itself: it leaves CHUNK_BUSY, and the process releases its lock at the end
 * of the turn. So no lock is released from within the release of another, and nothing nests.
 */

import { BlockIo, type Completer, FLAG_BACKGROUND, OP_READ, type Op } from '../block/block-io.ts';
import { OK } from '../block/status.ts';
import type { ChunkWork, ProcessHost } from './process-host.ts';
import { type LockOwner, RangeLock } from './range-locks.ts';

export const CHUNK_IDLE = 0;
/** Waits for its lock, or for I/O. */
export const CHUNK_BUSY = 1;
/** Everything in its range is as it should be, or was reported. */
export const CHUNK_DONE = 2;
/** Its range turned out not to be needed. */
export const CHUNK_SKIPPED = 3;
/** The process has failed before its range was done. */
export const CHUNK_INCOMPLETE = 4;

export abstract class ProcessChunk implements Completer, LockOwner {
  state = CHUNK_IDLE;
  /** Its range, in member blocks. */
  first = 0;
  count = 0;
  readonly lock: RangeLock;
  protected readonly work: ChunkWork;
  protected readonly host: ProcessHost;
  /** One operation for each slot. */
  protected readonly ios: readonly BlockIo[];
  /** The slice in hand. */
  protected at = 0;
  protected size = 0;
  readonly #buffers: number;
  readonly #sliceBytes: number;
  #pending = 0;
  /** The largest slice at present: less than `sliceBlocks` after a read error. */
  #most = 0;
  /** Lost blocks that were not reported yet, so that neighbours are reported together. */
  #lostFirst = 0;
  #lostCount = 0;

  /** `buffers` is the first of several slices in the arena, one after another. */
  constructor(work: ChunkWork, buffers: number) {
    this.work = work;
    this.host = work.host;
    this.lock = new RangeLock(this);
    this.#buffers = buffers;
    this.#sliceBytes = work.sliceBlocks * work.host.blockBytes;
    const ios: BlockIo[] = [];
    for (let slot = 0; slot < work.host.members.length; slot += 1) {
      const io = new BlockIo();
      io.completer = this;
      io.block = 2 ** 40 + 0.5;
      io.block = 0;
      ios.push(io);
    }
    this.ios = ios;
    // Values above 2^31 once, so that V8 settles on doubles before serving.
    this.first = 2 ** 40 + 0.5;
    this.first = 0;
    this.at = 2 ** 40 + 0.5;
    this.at = 0;
  }

  // data path

  begin(first: number, count: number): void {
    const { host, lock } = this;
    this.state = CHUNK_BUSY;
    this.first = first;
    this.count = count;
    lock.first = host.arrayBlock(first);
    lock.end = host.arrayBlock(first + count);
    // Copying and looking bear readers beside them, but no writers.
    lock.shared = !this.work.repairs;
    if (host.locks.acquire(lock)) this.#run();
  }

  locked(_lock: RangeLock): void {
    this.#run();
  }

  /** Only the process's, at the end of a turn. */
  release(): void {
    this.state = CHUNK_IDLE;
    this.host.locks.release(this.lock);
  }

  complete(io: BlockIo): void {
    if (io.status !== OK && io.op === OP_READ) this.host.memberReadFailed(io.cookie, io.status);
    this.arrived(io, io.cookie);
    this.#pending -= 1;
    if (this.#pending !== 0) return;
    if (this.work.aborting) this.end(CHUNK_INCOMPLETE);
    else this.allArrived();
  }

  #run(): void {
    if (this.work.aborting) {
      this.end(CHUNK_INCOMPLETE);
    } else if (!this.work.ranges.needed(this.first, this.count)) {
      this.end(CHUNK_SKIPPED);
    } else {
      this.at = this.first;
      this.size = 0;
      this.#most = this.work.sliceBlocks;
      this.nextSlice();
    }
  }

  /** The slice in hand is done: goes on behind it, or ends. */
  protected nextSlice(): void {
    this.at += this.size;
    if (this.size !== 0) this.#most = Math.min(this.#most * 2, this.work.sliceBlocks);
    this.#start();
  }

  #start(): void {
    const left = this.first + this.count - this.at;
    if (left === 0) {
      this.end(CHUNK_DONE);
      return;
    }
    if (this.#lostCount !== 0 && this.at !== this.#lostFirst + this.#lostCount) this.#reportLost();
    this.size = Math.min(this.#most, left);
    this.startSlice();
  }

  /** The slice cannot be read: tries half of it. False when it is a single block already. */
  protected narrow(): boolean {
    if (this.size === 1) return false;
    this.#most = Math.ceil(this.size / 2);
    this.#start();
    return true;
  }

  /** The slice is a single block that cannot be read anywhere: goes on behind it. */
  protected lose(status: number, slot: number): void {
    if (this.#lostCount === 0) this.#lostFirst = this.at;
    this.#lostCount += 1;
    this.work.lossFound(status, slot, this.at);
    this.at += 1;
    this.#start();
  }

  #reportLost(): void {
    const count = this.#lostCount;
    this.#lostCount = 0;
    this.work.lost(this.#lostFirst, count);
  }

  protected end(state: number): void {
    if (this.#lostCount !== 0) this.#reportLost();
    this.state = state;
    this.work.chunkEnded();
  }

  protected inService(slot: number): boolean {
    return this.host.members[slot]!.device !== null;
  }

  protected buffer(index: number): number {
    return this.#buffers + index * this.#sliceBytes;
  }

  /** Reads the slice from a member in service. */
  protected read(slot: number, buffer: number): void {
    this.send(slot, OP_READ, this.at, this.size, buffer);
  }

  protected send(slot: number, op: Op, block: number, blockCount: number, buffer: number): void {
    const io = this.ios[slot]!;
    io.cookie = slot;
    this.#pending += 1;
    this.host.sendToMember(io, slot, op, FLAG_BACKGROUND, block, blockCount, buffer);
  }

  protected sendToTarget(op: Op, block: number, blockCount: number, buffer: number): void {
    const slot = this.work.targetSlot;
    const io = this.ios[slot]!;
    io.cookie = slot;
    this.#pending += 1;
    this.host.sendToTarget(io, op, FLAG_BACKGROUND, block, blockCount, buffer);
  }

  // end data path

  /** Sends the first I/O of the slice, or ends the chunk. */
  protected abstract startSlice(): void;
  /** An operation is back; others may be outstanding. */
  protected abstract arrived(io: BlockIo, slot: number): void;
  /** The last operation is back: sends more, goes on to the next slice, or ends the chunk. */
  protected abstract allArrived(): void;
}
