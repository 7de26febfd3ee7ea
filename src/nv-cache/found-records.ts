/**
 * FoundRecords: what the records that a scan found say, put in their order.         (control plane)
 *
 * The order of two copies of a block is that of the sequences of their records. Records below the
 * highest tail that is found do not count; all others do, also behind gaps that a power cut has
 * torn. Those that count lie one behind the other in the order of their sequences, in less than two
 * laps that together are not longer than the ring: otherwise something is wrong that no power cut
 * does.
 *
 * A block of a record that is not as it should be was torn, and the record then does not count;
 * unless it is known that the record had been whole, or the block cannot be read: then it is lost.
 */

import { BandstandError } from '../block/errors.ts';
import { epochOf, nameBlock, trimBlockCount, trimIsIntact } from '../block/log-entry.ts';
import type { Reactor } from '../block/reactor.ts';
import type { BlockMap } from './block-map.ts';
import { RECORD_BLOCKS_MAX, RING_START, recordEntryAt, recordTrimAt } from './cache-format.ts';
import type { CacheHeader } from './cache-header.ts';
import type { ScannedRecord } from './cache-scan.ts';
import { LostBlocks } from './lost-blocks.ts';
import type { TrimRange } from './pending-trims.ts';

/** Records of one phase in the ring, counting or not. */
export interface PhaseCount {
  records: number;
  /** Of them: left behind by the tail, and torn. */
  old: number;
  torn: number;
  blocks: number;
  lowestAddress: number | null;
  highestAddress: number | null;
}

/** What becomes of the records: for status, events and tests. */
export interface FoundReport {
  /** By phase, 0 to 3; records have phases from 1 on. */
  readonly phases: readonly PhaseCount[];
  /** Records that count, those that were left behind by the tail, and those that were torn. */
  counting: number;
  old: number;
  torn: number;
  /** Blocks in them beyond the end of the device, which were left out. */
  beyond: number;
  lost: number;
  trims: number;
}

/** Where the ring is in use. Positions as in ring-space.ts. */
export interface FoundPlace {
  readonly tail: number;
  readonly tailSequence: number;
  readonly head: number;
  readonly newestSequence: number;
  /** Of the records that count, oldest first. */
  readonly records: readonly PlacedRecord[];
}

export interface PlacedRecord {
  readonly position: number;
  /** Blocks. */
  readonly length: number;
  readonly sequence: number;
}

export interface FoundRecordsParts {
  readonly reactor: Reactor;
  /** For messages. */
  readonly name: string;
  readonly header: CacheHeader;
  readonly map: BlockMap;
  /** Blocks of the device. */
  readonly blockCount: number;
}

export class FoundRecords {
  readonly #parts: FoundRecordsParts;
  readonly #ringBlocks: number;
  readonly #sequence: number[] = [];
  readonly #address: number[] = [];
  readonly #phase: number[] = [];
  /** Data blocks of each; their names are in the map. */
  readonly #dataCount: number[] = [];
  readonly #trims = new Map<number, TrimRange[]>();
  /** Blocks of the device that are lost unless there is a newer copy, by record. */
  readonly #lost = new Map<number, number[]>();
  #tailSequence: number;
  readonly #torn: { readonly address: number; readonly sequence: number }[] = [];
  /** The last block that records have which were found in the range that is being scanned. */
  #reach = 0;
  /** Records of which something newer has taken the place, in part. */
  #overwritten = 0;
  /** What the header says to be lost. */
  readonly #lostBefore: LostBlocks;
  readonly report: FoundReport = {
    phases: Array.from({ length: 4 }, () => ({
      records: 0,
      old: 0,
      torn: 0,
      blocks: 0,
      lowestAddress: null,
      highestAddress: null,
    })),
    counting: 0,
    old: 0,
    torn: 0,
    beyond: 0,
    lost: 0,
    trims: 0,
  };
  /** The greatest epoch of any record. */
  epoch = 0;

  constructor(parts: FoundRecordsParts) {
    this.#parts = parts;
    this.#ringBlocks = parts.header.sizeBlocks - RING_START;
    this.#tailSequence = parts.header.tailSequence;
    this.#lostBefore = new LostBlocks(parts.header.lost);
  }

  /** Takes a record from a scan. */
  add({ header, at, wrong, unreadable }: ScannedRecord): void {
    const { sequence, address, dataCount, trimCount } = header;
    this.#count(header);
    this.epoch = Math.max(this.epoch, epochOf(sequence));
    // A tail is right as soon as it is written, whatever became of the data behind it.
    this.#tailSequence = Math.max(this.#tailSequence, header.tailSequence);
    if (wrong.length > 0 && unreadable.length === 0 && !this.#wasWhole(sequence)) {
      this.report.torn += 1;
      this.#phaseOf(header.phase).torn += 1;
      this.#torn.push({ address, sequence });
      return;
    }
    // A scan that goes over the end of the ring begins anew.
    if ((this.#address.at(-1) ?? 0) > address) this.#reach = 0;
    if (this.#isWithinNewer(address, sequence)) {
      this.#phaseOf(header.phase).old += 1;
      this.#overwritten += 1;
      return;
    }
    const { blockCount, map, reactor } = this.#parts;
    const { u32 } = reactor.arena;
    const record = this.#sequence.length;
    this.#sequence.push(sequence);
    this.#address.push(address);
    this.#phase.push(header.phase);
    this.#dataCount.push(dataCount);
    this.#reach = Math.max(this.#reach, address + dataCount);
    map.nameRecord(address, dataCount);
    const lost: number[] = [];
    for (let index = 0; index < dataCount; index += 1) {
      const block = nameBlock(u32, recordEntryAt(at, index));
      if (block >= blockCount) {
        this.report.beyond += 1;
        map.nameSkipped(address + 1 + index);
      } else if (wrong.includes(index)) {
        map.nameSkipped(address + 1 + index);
        lost.push(block);
      } else {
        map.name(address + 1 + index, block);
      }
    }
    if (lost.length > 0) this.#lost.set(record, lost);
    for (let index = 0; index < trimCount; index += 1) {
      this.#addTrim(record, recordTrimAt(at, index));
    }
  }

  #addTrim(record: number, at: number): void {
    const { blockCount, reactor } = this.#parts;
    const { arena, kernels } = reactor;
    const block = nameBlock(arena.u32, at);
    if (!trimIsIntact(arena.u32, kernels, at) || block >= blockCount) {
      this.report.beyond += 1;
      return;
    }
    const count = Math.min(trimBlockCount(arena.u32, at), blockCount - block);
    const trims = this.#trims.get(record) ?? [];
    trims.push({ block, blockCount: count });
    this.#trims.set(record, trims);
  }

  #count({ address, dataCount, phase }: ScannedRecord['header']): void {
    const count = this.#phaseOf(phase);
    count.records += 1;
    count.blocks += 1 + dataCount;
    count.lowestAddress = Math.min(count.lowestAddress ?? address, address);
    count.highestAddress = Math.max(count.highestAddress ?? 0, address + dataCount);
  }

  #phaseOf(phase: number): PhaseCount {
    return this.report.phases[Math.min(phase, 3)]!;
  }

  /**
   * A record that begins among the blocks of a newer one is of an earlier lap: it shows where the
   * newer one could not be written. What the newer one says of those blocks has to stand.
   */
  #isWithinNewer(address: number, sequence: number): boolean {
    if (address > this.#reach) return false;
    for (let record = this.#sequence.length - 1; record >= 0; record -= 1) {
      const start = this.#address[record]!;
      if (start + RECORD_BLOCKS_MAX <= address || start > address) return false;
      if (address <= start + this.#dataCount[record]! && this.#sequence[record]! > sequence) {
        return true;
      }
    }
    return false;
  }

  /** It had been complete, and the header says so. */
  #wasWhole(sequence: number): boolean {
    return sequence <= this.#parts.header.headSequence;
  }

  /**
   * Where records begin that were torn. Their descriptions have to go before the next life: then
   * whatever is not whole later on is known to have been.
   */
  get tornAddresses(): readonly number[] {
    return this.#torn
      .filter(({ address, sequence }) => sequence >= this.#tailSequence && !this.covers(address))
      .map(({ address }) => address);
  }

  /** Records that count, oldest first. */
  #order(): Uint32Array {
    const sequence = this.#sequence;
    const counting = sequence.flatMap((value, index) =>
      value >= this.#tailSequence ? [index] : [],
    );
    // They were found in the order of their addresses: two runs that are in order already.
    const turn = counting.findIndex(
      (record, index) => index > 0 && sequence[record]! < sequence[counting[index - 1]!]!,
    );
    const order = turn === -1 ? counting : [...counting.slice(turn), ...counting.slice(0, turn)];
    const isSorted = order.every(
      (record, index) => index === 0 || sequence[record]! > sequence[order[index - 1]!]!,
    );
    if (!isSorted) order.sort((a, b) => sequence[a]! - sequence[b]!);
    this.report.counting = order.length;
    this.report.old = sequence.length - order.length + this.#overwritten;
    for (const [index, value] of sequence.entries()) {
      if (value < this.#tailSequence) this.#phaseOf(this.#phase[index]!).old += 1;
    }
    return Uint32Array.from(order);
  }

  /**
   * Makes the map what the records say, and gives the trims among them, oldest first. Throws
   * BANDSTAND_CACHE_INCONSISTENT.
   */
  apply(lost: LostBlocks): { readonly place: FoundPlace; readonly trims: readonly TrimRange[] } {
    const { map } = this.#parts;
    const order = this.#order();
    const place = this.#place(order);
    const trims: TrimRange[] = [];
    const { lostSequence } = this.#parts.header;
    for (const record of order) {
      const isOlder = this.#sequence[record]! <= lostSequence;
      for (const trim of this.#trims.get(record) ?? []) {
        map.deleteRange(trim.block, trim.blockCount);
        lost.deleteRange(trim.block, trim.blockCount, isOlder ? this.#lostBefore : null);
        trims.push(trim);
      }
      for (const block of this.#lost.get(record) ?? []) {
        map.delete(block);
        lost.add(block);
      }
      this.#applyData(record, lost, isOlder);
    }
    const found = new Set([...this.#lost.values()].flat());
    this.report.lost = [...found].filter((block) => lost.has(block)).length;
    this.report.trims = trims.length;
    return { place, trims };
  }

  /** `isOlder`: what the header says to be lost was newer than this record. */
  #applyData(record: number, lost: LostBlocks, isOlder: boolean): void {
    const { map } = this.#parts;
    const address = this.#address[record]!;
    for (let index = 1; index <= this.#dataCount[record]!; index += 1) {
      if (map.isNothing(address + index)) continue;
      const block = map.blockAt(address + index);
      if (isOlder && this.#lostBefore.has(block)) continue;
      map.set(address + index);
      lost.delete(block);
    }
  }

  /** Checks that records lie in their order, and fills what is between them. */
  #place(order: Uint32Array): FoundPlace {
    const { header } = this.#parts;
    const blocks = this.#ringBlocks;
    const positionOf = (phase: number, address: number): number =>
      (Math.max(1, phase) - 1) * blocks + address - RING_START;
    const headerTail = positionOf(header.tailPhase, header.tailAddress);
    let tail = -1;
    let end = -1;
    let lastSequence = 0;
    const records: PlacedRecord[] = [];
    for (const record of order) {
      const [address, sequence] = [this.#address[record]!, this.#sequence[record]!];
      if (sequence === lastSequence)
        throw this.#inconsistent(`two records have number ${sequence}`);
      let position = positionOf(this.#phase[record]!, address);
      if (end === -1) tail = position;
      else position = this.#nextWith(address, end);
      if (end !== -1) this.#fillGap(end, position);
      lastSequence = sequence;
      const length = 1 + this.#dataCount[record]!;
      end = position + length;
      records.push({ position, length, sequence });
      if (end - tail > blocks) {
        throw this.#inconsistent(`the record at block ${address} lies among others`);
      }
    }
    const current = header.currentAddress;
    if (current !== null) {
      const from = tail === -1 ? headerTail : end;
      const head = this.#nextWith(current, from);
      const start = tail === -1 ? headerTail : tail;
      if (head - start > blocks) throw this.#inconsistent('the ring ends before its records do');
      this.#fillGap(from, head);
      const newestSequence = Math.max(lastSequence, header.headSequence);
      return { tail: start, tailSequence: this.#tailSequence, head, newestSequence, records };
    }
    if (tail === -1) [tail, end] = [headerTail, headerTail];
    const newestSequence = Math.max(lastSequence, this.#tailSequence - 1);
    return { tail, tailSequence: this.#tailSequence, head: end, newestSequence, records };
  }

  /** The first position from `from` on that has this address. */
  #nextWith(address: number, from: number): number {
    const blocks = this.#ringBlocks;
    const inLap = Math.floor(from / blocks) * blocks + address - RING_START;
    return inLap >= from ? inLap : inLap + blocks;
  }

  /** What lies between two records holds nothing, but has to be walked over. */
  #fillGap(from: number, to: number): void {
    const { map } = this.#parts;
    const blocks = this.#ringBlocks;
    for (let position = from; position < to; ) {
      const lapEnd = (Math.floor(position / blocks) + 1) * blocks;
      const address = RING_START + (position % blocks);
      const length = Math.min(RECORD_BLOCKS_MAX, to - position, lapEnd - position);
      map.nameRecord(address, length - 1);
      for (let index = 1; index < length; index += 1) map.nameSkipped(address + index);
      position += length;
    }
  }

  #inconsistent(why: string): BandstandError {
    const { name } = this.#parts;
    return new BandstandError('BANDSTAND_CACHE_INCONSISTENT', {
      message: `cannot use the NV cache on ${name}: ${why}`,
      hint: 'look at what else has written to the device',
      details: { device: name },
    });
  }

  /**
   * True when the ring block belongs to a record that counts. What an earlier lap has left there
   * says nothing about it: its description may be all that is left of it.
   */
  covers(ringBlock: number): boolean {
    return this.#address.some(
      (address, record) =>
        this.#sequence[record]! >= this.#tailSequence &&
        address <= ringBlock &&
        ringBlock <= address + this.#dataCount[record]!,
    );
  }
}
