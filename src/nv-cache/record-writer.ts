/**
 * RecordWriter: writes gather in a record, and records go to the ring.                (data plane)
 *
 * What has come in a turn goes out at its end as one record, while fewer than 8 are on their way;
 * what comes then shares the next one. Data is copied into the memory of the record, behind its
 * description, so that both are one write. Records count in their order, also in memory: one that
 * is complete before an older one waits for it. So of two writes of a block the same one wins for
 * readers and after a crash.
 *
 * Where a record could not be written, all that do not count yet are written once more, in the same
 * order, at other places and under new sequences; what has come to the ring of them before is older
 * and the same. When that fails too the cache is given up.
 *
 * A write that fits a record is in one, wholly. A longer one is cut, and is answered with its end.
 */

import { assert } from '../block/assert.ts';
import { FEATURE_FUA } from '../block/block-device.ts';
import { type BlockIo, type Completer, FLAG_FUA, OP_WRITE } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import {
  blockCrc,
  copyBlock,
  makeSequence,
  nameBlock,
  writeEntryCrc,
  writeName,
  writeTrim,
} from '../block/log-entry.ts';
import { OK } from '../block/status.ts';
import {
  CACHE_BLOCK_BYTES,
  RECORD_BLOCKS_MAX,
  RECORD_DATA_MAX,
  RECORD_TRIMS_MAX,
  RecordHeader,
  recordDataAt,
  recordEntryAt,
  recordTrimAt,
  writeRecord,
} from './cache-format.ts';
import { type NvCore, STATE_ONLINE } from './nv-core.ts';
import { DONE, FAILED, FLIES, GATHERS, RecordSlot, SlotQueue } from './record-slot.ts';

const SLOTS = 12;
/** Records that are on their way at once: a start looks for holes as far as they reach. */
export const IN_FLIGHT_MAX = 8;
const SLOT_BYTES = RECORD_BLOCKS_MAX * CACHE_BLOCK_BYTES;
export const RECORD_WRITER_BYTES = SLOTS * SLOT_BYTES;

export interface RecordWriterHost {
  answer(io: BlockIo, status: number): void;
  /** The operation counts, and is answered when the cache device has been flushed. */
  answerFlushed(io: BlockIo): void;
}

export class RecordWriter implements Completer {
  readonly #core: NvCore;
  readonly #host: RecordWriterHost;
  readonly #memory: number;
  readonly #slots: RecordSlot[] = [];
  readonly #waiting = new BlockIoQueue();
  readonly #free = new SlotQueue();
  /** Full records that were not sent yet, oldest first. */
  readonly #sealed = new SlotQueue();
  /** Records that were sent and do not count yet, oldest first. */
  readonly #sent = new SlotQueue();
  #open: RecordSlot | null = null;
  readonly #header = new RecordHeader();
  /** Data blocks of a full record: it is one write to the cache device. */
  readonly #dataMax: number;
  /** Blocks of the first write that waits which are in records already. */
  #cut = 0;
  #number = 0;
  #flying = 0;
  #hasFailed = false;
  #waitsForSpace = false;
  /** A write goes on in the next record, and what counts of it could be lost to a power cut. */
  #isPartVolatile = false;
  /** What is being written was written once, and has failed. */
  #isSecondTry = false;
  /** The tail of the newest record that counts. */
  recordedTail = 0;

  constructor(core: NvCore, host: RecordWriterHost) {
    this.#core = core;
    this.#host = host;
    const { requestBlocksMax } = core.cache.geometry;
    const blocksMax = Math.floor(requestBlocksMax / core.factor);
    this.#dataMax = Math.min(RECORD_DATA_MAX, blocksMax - 1);
    this.#memory = core.reactor.arena.allocate(RECORD_WRITER_BYTES);
    for (let index = 0; index < SLOTS; index += 1) {
      const slot = new RecordSlot(this.#memory + index * SLOT_BYTES, this, index);
      this.#slots.push(slot);
      this.#free.push(slot);
    }
  }

  dispose(): void {
    this.#core.reactor.arena.release(this.#memory, RECORD_WRITER_BYTES);
  }

  // data path

  /** No record is on its way to the ring. */
  get idle(): boolean {
    return this.#flying === 0;
  }

  /** Everything that was submitted counts. */
  get isEmpty(): boolean {
    if (this.#waiting.length > 0 || this.#sent.head !== null) return false;
    return this.#sealed.head === null && (this.#open === null || this.#open.isEmpty);
  }

  /** Sequences above this one have not been used. */
  get lastSequence(): number {
    return makeSequence(this.#core.epoch, this.#number);
  }

  submit(io: BlockIo): void {
    this.#waiting.push(io);
    if (this.#waiting.length === 1) this.#gather();
    this.#core.host.wake();
  }

  /** Puts what waits into records, as far as there is memory for them. */
  #gather(): void {
    if (this.#core.state !== STATE_ONLINE) return;
    for (;;) {
      const io = this.#waiting.peek();
      if (io === null) return;
      const isWhole = io.op === OP_WRITE ? this.#addWrite(io) : this.#addTrim(io);
      if (!isWhole) return;
      this.#cut = 0;
      this.#waiting.shift();
      const slot = this.#open!;
      if ((io.flags & FLAG_FUA) !== 0) slot.isFua = true;
      slot.ios.push(io);
    }
  }

  /** The record that takes what comes; null where all memory is in use. */
  #openSlot(): RecordSlot | null {
    if (this.#open !== null) return this.#open;
    const slot = this.#free.shift();
    if (slot === null) return null;
    const { kernels } = this.#core.reactor;
    kernels.zero(slot.buffer, CACHE_BLOCK_BYTES);
    slot.state = GATHERS;
    slot.dataCount = 0;
    slot.trimCount = 0;
    slot.isFua = false;
    slot.isCut = false;
    this.#number += 1;
    slot.sequence = this.lastSequence;
    this.#open = slot;
    return slot;
  }

  #seal(): void {
    this.#sealed.push(this.#open!);
    this.#open = null;
  }

  /** False when a part of it has to wait for memory. */
  #addWrite(io: BlockIo): boolean {
    for (;;) {
      const left = io.blockCount - this.#cut;
      const slot = this.#openSlot();
      if (slot === null) return false;
      const room = this.#dataMax - slot.dataCount;
      if (left <= room) {
        this.#copy(slot, io, left);
        return true;
      }
      if (io.blockCount > this.#dataMax && room > 0) {
        this.#copy(slot, io, room);
        slot.isCut = true;
        if ((io.flags & FLAG_FUA) !== 0) slot.isFua = true;
      }
      this.#seal();
    }
  }

  #copy(slot: RecordSlot, io: BlockIo, count: number): void {
    const { arena, kernels } = this.#core.reactor;
    for (let done = 0; done < count; done += 1) {
      const index = slot.dataCount;
      const data = recordDataAt(slot.buffer, index);
      const entry = recordEntryAt(slot.buffer, index);
      const from = io.buffer + this.#cut * CACHE_BLOCK_BYTES;
      writeName(arena.u32, entry, io.block + this.#cut, slot.sequence);
      writeEntryCrc(arena.u32, entry, copyBlock(arena, kernels, data, from, entry));
      slot.dataCount += 1;
      this.#cut += 1;
    }
  }

  #addTrim(io: BlockIo): boolean {
    const { trims } = this.#core;
    if (!trims.hasRoom) {
      this.#core.roomWanted = true;
      return false;
    }
    let slot = this.#openSlot();
    if (slot === null) return false;
    // In a record trims come before data.
    if (slot.trimCount === RECORD_TRIMS_MAX || this.#holdsAny(slot, io.block, io.blockCount)) {
      this.#seal();
      slot = this.#openSlot();
      if (slot === null) return false;
    }
    slot.trims[slot.trimCount] = trims.take(io.block, io.blockCount);
    this.#nameTrim(slot, slot.trimCount);
    slot.trimCount += 1;
    return true;
  }

  #nameTrim(slot: RecordSlot, index: number): void {
    const { reactor, trims } = this.#core;
    const trim = slot.trims[index]!;
    const at = recordTrimAt(slot.buffer, index);
    const block = trims.blockOf(trim);
    const count = trims.blockCountOf(trim);
    writeTrim(reactor.arena.u32, reactor.kernels, at, block, count, slot.sequence);
  }

  #holdsAny(slot: RecordSlot, block: number, blockCount: number): boolean {
    const { u32 } = this.#core.reactor.arena;
    for (let index = 0; index < slot.dataCount; index += 1) {
      const held = nameBlock(u32, recordEntryAt(slot.buffer, index));
      if (held >= block && held < block + blockCount) return true;
    }
    return false;
  }

  /** At the end of a turn: sends what has gathered. */
  pump(): void {
    const core = this.#core;
    if (core.state !== STATE_ONLINE || this.#hasFailed) return;
    core.roomWanted = false;
    this.#gather();
    while (this.#flying < IN_FLIGHT_MAX) {
      let slot = this.#sealed.head;
      if (slot === null) {
        slot = this.#open;
        if (slot === null || slot.isEmpty) return;
      }
      const position = this.#reserve(slot.length);
      if (position === -1) {
        if (!this.#waitsForSpace) core.statistics.spaceWaits += 1;
        this.#waitsForSpace = true;
        core.roomWanted = true;
        return;
      }
      this.#waitsForSpace = false;
      if (slot === this.#open) this.#open = null;
      else this.#sealed.shift();
      this.#send(slot, position);
      this.#gather();
    }
  }

  #reserve(length: number): number {
    const { map, ring } = this.#core;
    const before = ring.head;
    const position = ring.reserve(length);
    // The rest of the lap is free, and stays empty.
    if (position > before) map.nameSkipped(ring.addressOf(before));
    return position;
  }

  #send(slot: RecordSlot, position: number): void {
    const { cache, factor, lost, reactor, ring, statistics, uuid } = this.#core;
    const header = this.#header;
    header.phase = ring.phaseOf(position);
    header.sequence = slot.sequence;
    // What is lost only headers name: one that does not know of a later copy must not outlive it.
    header.tailSequence = lost.everLost === 0 ? ring.tailSequence : ring.headerTailSequence;
    header.address = ring.addressOf(position);
    header.dataCount = slot.dataCount;
    header.trimCount = slot.trimCount;
    writeRecord(reactor.arena.u32, reactor.kernels, slot.buffer, uuid, header);
    slot.state = FLIES;
    slot.position = position;
    slot.tail = ring.tail;
    this.#sent.push(slot);
    this.#flying += 1;
    statistics.records += 1;
    statistics.ringBlocks += slot.length;
    const { io } = slot;
    io.op = OP_WRITE;
    // Asked each time: the members of a mirror come and go, and what it can do with them.
    const isNative = (cache.geometry.features & FEATURE_FUA) !== 0;
    io.flags = slot.isFua && isNative ? FLAG_FUA : 0;
    io.block = header.address * factor;
    io.blockCount = slot.length * factor;
    io.buffer = slot.buffer;
    cache.submit(io);
  }

  complete(io: BlockIo): void {
    const slot = this.#slots[io.cookie]!;
    this.#flying -= 1;
    slot.status = io.status;
    slot.state = io.status === OK ? DONE : FAILED;
    if (io.status !== OK) {
      this.#hasFailed = true;
      this.#core.statistics.recordsFailed += 1;
    }
    while (this.#sent.head?.state === DONE && this.#core.state === STATE_ONLINE) {
      this.#commit(this.#sent.shift()!);
    }
    if (this.#hasFailed && this.#flying === 0) this.#tryAgain();
    this.#core.host.wake();
  }

  /** The record counts. */
  #commit(slot: RecordSlot): void {
    const { lost, map, reactor, ring, statistics, trims } = this.#core;
    const { u32 } = reactor.arena;
    const address = ring.addressOf(slot.position);
    const segment = ring.commit(slot.position, slot.length, slot.sequence);
    map.nameRecord(address, slot.dataCount);
    for (let index = 0; index < slot.trimCount; index += 1) {
      const trim = slot.trims[index]!;
      const block = trims.blockOf(trim);
      const count = trims.blockCountOf(trim);
      statistics.trims += 1;
      statistics.droppedBlocks += map.deleteRange(block, count);
      lost.deleteRange(block, count);
      ring.addTrim(segment);
      trims.activate(trim, segment);
    }
    const before = map.count;
    for (let index = 0; index < slot.dataCount; index += 1) {
      const block = nameBlock(u32, recordEntryAt(slot.buffer, index));
      map.name(address + 1 + index, block);
      map.set(address + 1 + index);
      lost.delete(block);
    }
    statistics.userBlocks += slot.dataCount;
    statistics.droppedBlocks += before + slot.dataCount - map.count;
    this.recordedTail = Math.max(this.recordedTail, slot.tail);
    this.#answer(slot);
    if (this.#sent.head === null) this.#isSecondTry = false;
  }

  #answer(slot: RecordSlot): void {
    const isDurable = slot.io.flags === FLAG_FUA || !this.#core.cache.geometry.volatileCache;
    // Its earlier parts may have been written when the device had no FUA.
    const needsFlush = !isDurable || this.#isPartVolatile;
    for (;;) {
      const io = slot.ios.shift();
      if (io === null) break;
      const isFua = (io.flags & FLAG_FUA) !== 0;
      if (isFua && needsFlush) this.#host.answerFlushed(io);
      else this.#host.answer(io, OK);
    }
    this.#isPartVolatile = slot.isCut && slot.isFua && needsFlush;
    slot.isFua = false;
    this.#free.push(slot);
  }

  // --- failures ---------------------------------------------------------------------------------

  /** Nothing is on its way. What does not count yet gets other places. */
  #tryAgain(): void {
    const core = this.#core;
    if (core.state !== STATE_ONLINE) return;
    this.#abandonPlaces();
    const status = this.#failure();
    if (this.#isSecondTry) {
      core.host.cacheFailed(status, 'a write to it has failed twice');
      return;
    }
    this.#isSecondTry = true;
    this.#hasFailed = false;
    this.#renumber();
  }

  #failure(): number {
    let slot = this.#sent.head;
    while (slot !== null && slot.status === OK) slot = slot.next;
    return slot === null ? OK : slot.status;
  }

  /** What was sent and does not count leaves places that nobody reads. */
  #abandonPlaces(): void {
    const { map, ring } = this.#core;
    for (let slot = this.#sent.head; slot !== null; slot = slot.next) {
      const address = ring.addressOf(slot.position);
      map.nameRecord(address, slot.dataCount);
      for (let index = 1; index <= slot.dataCount; index += 1) map.nameSkipped(address + index);
      ring.abandon(slot.position, slot.length, slot.sequence);
    }
    assert(ring.committed === ring.head || this.#sent.head === null, 'nothing else was sent');
  }

  /** All records in memory are in their order again, under sequences that were never used. */
  #renumber(): void {
    for (let slot = this.#sealed.shift(); slot !== null; slot = this.#sealed.shift()) {
      this.#sent.push(slot);
    }
    for (let slot = this.#sent.shift(); slot !== null; slot = this.#sent.shift()) {
      this.#sealed.push(slot);
      this.#rename(slot);
    }
    if (this.#open !== null) this.#rename(this.#open);
  }

  #rename(slot: RecordSlot): void {
    const { arena, kernels } = this.#core.reactor;
    this.#number += 1;
    slot.sequence = this.lastSequence;
    slot.state = GATHERS;
    for (let index = 0; index < slot.dataCount; index += 1) {
      const entry = recordEntryAt(slot.buffer, index);
      writeName(arena.u32, entry, nameBlock(arena.u32, entry), slot.sequence);
      const data = recordDataAt(slot.buffer, index);
      writeEntryCrc(arena.u32, entry, blockCrc(arena, kernels, entry, data));
    }
    for (let index = 0; index < slot.trimCount; index += 1) this.#nameTrim(slot, index);
  }

  /** The cache is given up: puts all that was not answered into `into`, in its order. */
  surrender(into: BlockIoQueue): void {
    assert(this.#flying === 0, 'what is on its way is waited for');
    for (let slot = this.#sent.shift(); slot !== null; slot = this.#sent.shift()) {
      this.#empty(slot, into);
    }
    for (let slot = this.#sealed.shift(); slot !== null; slot = this.#sealed.shift()) {
      this.#empty(slot, into);
    }
    if (this.#open !== null) this.#empty(this.#open, into);
    this.#open = null;
    this.#cut = 0;
    for (;;) {
      const io = this.#waiting.shift();
      if (io === null) break;
      into.push(io);
    }
  }

  #empty(slot: RecordSlot, into: BlockIoQueue): void {
    for (let index = 0; index < slot.trimCount; index += 1) {
      this.#core.trims.give(slot.trims[index]!);
    }
    slot.trimCount = 0;
    slot.dataCount = 0;
    for (;;) {
      const io = slot.ios.shift();
      if (io === null) break;
      into.push(io);
    }
    this.#free.push(slot);
  }

  // end data path
}
