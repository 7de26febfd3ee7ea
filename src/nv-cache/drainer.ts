/**
 * Drainer: takes what is still the newest copy from the ring to the device behind.    (data plane)
 *
 * A batch is a run of records from `drained` on. It is read in large pieces, without those in which
 * everything was overwritten; each block that is still the newest copy is verified; they are put in
 * the order of the device behind, and written in runs of neighbouring blocks. One batch at a time,
 * so that two copies of a block are never on their way together; and none while a trim is.
 *
 * What goes to the device behind was flushed on the cache device before: otherwise a power cut
 * could leave a part of a write there and take its record. What is left out was superseded by
 * records that have to be durable before the tail moves past it.
 *
 * Between reading and writing a block may become superseded: then it is left out, or written in
 * vain before its newer copy comes in a later batch. What cannot be read, or is not what its
 * checksum says, is lost: users get an error for it, and the cache is given up.
 */

import { BlockIo, type Completer, OP_READ, OP_WRITE } from '../block/block-io.ts';
import { BlockIoPool } from '../block/block-io-pool.ts';
import { blockCrc, entryCrc, nameBlock } from '../block/log-entry.ts';
import { EIO, OK } from '../block/status.ts';
import { CACHE_BLOCK_BYTES, RecordHeader, readRecord, recordEntryAt } from './cache-format.ts';
import { type NvCore, STATE_ONLINE } from './nv-core.ts';

export const DRAIN_BLOCKS_DEFAULT = 512;
/** The index of a block in its batch has 10 bits of a sorting key. */
export const DRAIN_BLOCKS_MAX = 1024;
const READ_BLOCKS = 256;
const CHILDREN = 64;

const IDLE = 0;
const READS = 1;
const READS_AGAIN = 2;
const WAITS = 3;
const WRITES = 4;

export class Drainer implements Completer {
  readonly #core: NvCore;
  readonly #batchBlocks: number;
  readonly #readBlocks: number;
  readonly #writeBlocks: number;
  readonly #input: number;
  readonly #output: number;
  readonly #children = new BlockIoPool(CHILDREN, this);
  readonly #retry = new BlockIo();
  readonly #header = new RecordHeader();
  /** Blocks of the batch that could not be read. */
  readonly #bad: Uint8Array;
  /** Blocks of the batch that have to be read. */
  readonly #wanted: Uint8Array;
  /** block · 1024 + index in the batch, ascending. */
  readonly #keys: Float64Array;
  #keyCount = 0;
  #keysSent = 0;
  #state = IDLE;
  /** Position behind the batch, ring block of its start, and its length. */
  #end = 0;
  #address = 0;
  #blocks = 0;
  #pending = 0;
  #status = OK;
  #retryIndex = 0;
  #segment = 0;
  /** The newest record when the batch began. */
  #newest = 0;

  constructor(core: NvCore, batchBlocks: number) {
    const { cache, factor, reactor } = core;
    this.#core = core;
    this.#batchBlocks = batchBlocks;
    this.#readBlocks = Math.min(READ_BLOCKS, Math.floor(cache.geometry.requestBlocksMax / factor));
    this.#writeBlocks = core.backing.geometry.requestBlocksMax;
    this.#input = reactor.arena.allocate(batchBlocks * CACHE_BLOCK_BYTES);
    this.#output = reactor.arena.allocate(batchBlocks * CACHE_BLOCK_BYTES);
    this.#bad = new Uint8Array(batchBlocks);
    this.#wanted = new Uint8Array(batchBlocks);
    this.#keys = new Float64Array(batchBlocks);
    this.#retry.completer = this;
    this.#retry.op = OP_READ;
  }

  dispose(): void {
    const { arena } = this.#core.reactor;
    arena.release(this.#input, this.#batchBlocks * CACHE_BLOCK_BYTES);
    arena.release(this.#output, this.#batchBlocks * CACHE_BLOCK_BYTES);
  }

  // data path

  get idle(): boolean {
    return this.#state === IDLE;
  }

  /** Nothing is on its way anywhere: it may have read something and wait for its turn. */
  get isQuiet(): boolean {
    return this.#state === IDLE || this.#state === WAITS;
  }

  /** Blocks are on their way to the device behind. */
  get writes(): boolean {
    return this.#state === WRITES;
  }

  /** Begins the next batch; something has to be there that was not drained. */
  begin(): void {
    const { map, ring } = this.#core;
    let start = ring.drained;
    // Behind the last record of a lap nothing is.
    if (map.recordAt(ring.addressOf(start)) === -1) start = ring.nextLap(start);
    if (start >= ring.committed) {
      ring.drained = ring.committed;
      this.#core.host.wake();
      return;
    }
    this.#address = ring.addressOf(start);
    this.#segment = ring.segmentOf(start);
    this.#newest = ring.committedSequence;
    this.#end = this.#choose(start, Math.min(ring.endOf(this.#segment), ring.nextLap(start)));
    this.#blocks = this.#end - start;
    this.#state = READS;
    this.#status = OK;
    this.#pending = 1;
    this.#read();
    this.#childEnded();
  }

  /** Walks over the records of the batch; gives its end. */
  #choose(start: number, most: number): number {
    const { map, ring } = this.#core;
    this.#wanted.fill(0);
    this.#bad.fill(0);
    let position = start;
    while (position < most) {
      const address = ring.addressOf(position);
      const count = map.recordAt(address);
      if (count === -1 || position + 1 + count - start > this.#batchBlocks) break;
      let live = 0;
      for (let index = 1; index <= count; index += 1) {
        if (map.isNewest(address + index)) live += 1;
      }
      const from = position - start;
      if (live > 0) this.#wanted.fill(1, from, from + 1 + count);
      position += 1 + count;
    }
    return position;
  }

  /** Reads the pieces of the batch in which something is wanted. */
  #read(): void {
    const { cache, factor } = this.#core;
    for (let from = 0; from < this.#blocks; from += this.#readBlocks) {
      const to = Math.min(from + this.#readBlocks, this.#blocks);
      let first = from;
      while (first < to && this.#wanted[first] === 0) first += 1;
      let end = to;
      while (end > first && this.#wanted[end - 1] === 0) end -= 1;
      if (first === end) continue;
      const io = this.#children.take()!;
      io.op = OP_READ;
      io.block = (this.#address + first) * factor;
      io.blockCount = (end - first) * factor;
      io.buffer = this.#input + first * CACHE_BLOCK_BYTES;
      io.cookie = first;
      io.stamp = end;
      this.#pending += 1;
      cache.submit(io);
    }
  }

  complete(io: BlockIo): void {
    if (io === this.#retry) {
      if (io.status === OK) this.#bad[this.#retryIndex] = 0;
      this.#retryIndex += 1;
      this.#readAgain();
      return;
    }
    if (io.status !== OK) {
      if (io.op === OP_READ) this.#bad.fill(1, io.cookie, io.stamp);
      this.#status = io.status;
    }
    this.#children.give(io);
    if (this.#state === WRITES) this.#write();
    this.#childEnded();
  }

  #childEnded(): void {
    this.#pending -= 1;
    if (this.#pending > 0) return;
    if (this.#state === WRITES) {
      this.#finish();
    } else if (this.#status === OK) {
      this.#state = WAITS;
      this.#core.host.wake();
    } else {
      this.#state = READS_AGAIN;
      this.#retryIndex = 0;
      this.#readAgain();
    }
  }

  /** A piece could not be read: block by block what is wrong with it. */
  #readAgain(): void {
    const { cache, factor } = this.#core;
    let index = this.#retryIndex;
    while (index < this.#blocks && this.#bad[index]! + this.#wanted[index]! < 2) index += 1;
    this.#retryIndex = index;
    if (index === this.#blocks) {
      this.#status = OK;
      this.#state = WAITS;
      this.#core.host.wake();
      return;
    }
    const io = this.#retry;
    io.block = (this.#address + index) * factor;
    io.blockCount = factor;
    io.buffer = this.#input + index * CACHE_BLOCK_BYTES;
    cache.submit(io);
  }

  /** It could go on if the cache device had been flushed. */
  get waitsForFlush(): boolean {
    const { ring, state } = this.#core;
    if (this.#state !== WAITS || state !== STATE_ONLINE) return false;
    return ring.flushedSequence < this.#newest;
  }

  /** At the end of a turn in which no trim is on its way. */
  pump(): void {
    if (this.#state !== WAITS || this.waitsForFlush) return;
    const { ring } = this.#core;
    ring.supersededBy(this.#segment, ring.committedSequence);
    const everLost = this.#core.lost.everLost;
    this.#gather();
    this.#state = WRITES;
    this.#keysSent = 0;
    this.#pending = 1;
    this.#write();
    this.#childEnded();
    if (this.#core.lost.everLost > everLost) {
      this.#core.host.cacheFailed(EIO, 'blocks in it cannot be read any more');
    }
  }

  /** Verifies what is still the newest copy, and puts it in the order of its blocks. */
  #gather(): void {
    const { map, statistics } = this.#core;
    this.#keys.fill(Number.POSITIVE_INFINITY);
    this.#keyCount = 0;
    for (let at = 0; at < this.#blocks; ) {
      const count = map.recordAt(this.#address + at);
      if (this.#wanted[at] === 1) this.#gatherRecord(at, count);
      at += 1 + count;
    }
    this.#keys.sort();
    statistics.drainedBlocks += this.#keyCount;
    this.#copy();
  }

  #gatherRecord(at: number, count: number): void {
    const { map, reactor, uuid } = this.#core;
    const { arena, kernels } = reactor;
    const record = this.#input + at * CACHE_BLOCK_BYTES;
    const isWhole =
      this.#bad[at] === 0 && readRecord(arena.u32, kernels, record, uuid, this.#header);
    for (let index = 0; index < count; index += 1) {
      const offset = at + 1 + index;
      const ringBlock = this.#address + offset;
      if (!map.isNewest(ringBlock)) continue;
      const block = map.blockAt(ringBlock);
      const entry = recordEntryAt(record, index);
      const data = this.#input + offset * CACHE_BLOCK_BYTES;
      const isRight =
        isWhole &&
        this.#bad[offset] === 0 &&
        nameBlock(arena.u32, entry) === block &&
        entryCrc(arena.u32, entry) === blockCrc(arena, kernels, entry, data);
      if (isRight) {
        this.#keys[this.#keyCount] = block * DRAIN_BLOCKS_MAX + offset;
        this.#keyCount += 1;
      } else {
        map.delete(block);
        this.#core.lost.add(block);
      }
    }
  }

  #copy(): void {
    const { kernels } = this.#core.reactor;
    for (let index = 0; index < this.#keyCount; index += 1) {
      const offset = this.#keys[index]! % DRAIN_BLOCKS_MAX;
      const to = this.#output + index * CACHE_BLOCK_BYTES;
      kernels.copy(to, this.#input + offset * CACHE_BLOCK_BYTES, CACHE_BLOCK_BYTES);
    }
  }

  #blockOf(index: number): number {
    return Math.floor(this.#keys[index]! / DRAIN_BLOCKS_MAX);
  }

  /** Sends runs of neighbouring blocks, as many as there are operations for. */
  #write(): void {
    const { backing, statistics } = this.#core;
    while (this.#keysSent < this.#keyCount && this.#children.available > 0) {
      const first = this.#keysSent;
      const block = this.#blockOf(first);
      const most = Math.min(this.#keyCount - first, this.#writeBlocks);
      let run = 1;
      while (run < most && this.#blockOf(first + run) === block + run) run += 1;
      const io = this.#children.take()!;
      io.op = OP_WRITE;
      io.block = block;
      io.blockCount = run;
      io.buffer = this.#output + first * CACHE_BLOCK_BYTES;
      this.#keysSent += run;
      this.#pending += 1;
      statistics.drainRuns += 1;
      backing.submit(io);
    }
  }

  #finish(): void {
    const { backing, host, ring } = this.#core;
    this.#state = IDLE;
    if (this.#status === OK) {
      ring.raiseMark(this.#segment, backing.acceptedMark);
      ring.drained = this.#end;
    } else {
      host.backingFailed(this.#status, 'a write to the device behind it has failed');
    }
    host.wake();
  }

  // end data path
}
