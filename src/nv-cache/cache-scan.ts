/**
 * CacheScan: finds the records that are in the ring.                                (control plane)
 *
 * Reads in large pieces, several on their way at once, and looks at every block where a record may
 * begin. A record is whole when its description and all of its blocks are as their checksums say.
 * One that is not whole may hide the start of another: then the search goes on at its next block.
 * A record that reaches into the next piece is looked at when that is there:
 *
 *   buffer of a piece   | what was left of the last piece: 127 blocks | 256 blocks |
 *
 * What cannot be read is read again block by block, so that it is known which blocks are bad.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { OP_READ } from '../block/block-io.ts';
import { submitStatus } from '../block/control-io.ts';
import { blockCrc, entryCrc, nameSequence } from '../block/log-entry.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import {
  CACHE_BLOCK_BYTES,
  RECORD_DATA_MAX,
  RecordHeader,
  readRecord,
  recordDataAt,
  recordEntryAt,
} from './cache-format.ts';

const PIECE_BLOCKS = 256;
const IN_FLIGHT = 4;
const BUFFER_BLOCKS = RECORD_DATA_MAX + PIECE_BLOCKS;

/** What a record in the ring is like. */
export interface ScannedRecord {
  readonly header: Readonly<RecordHeader>;
  /** Byte of its description in the arena; valid during the call. */
  readonly at: number;
  /** Data blocks that are not as they should be, by their index. */
  readonly wrong: readonly number[];
  /** Those of them that cannot be read at all. */
  readonly unreadable: readonly number[];
}

export interface ScanSink {
  /** In the order of their addresses. */
  record(record: ScannedRecord): void;
  progress(doneBlocks: number): void;
}

export interface ScanSource {
  readonly reactor: Reactor;
  readonly cache: BlockDevice;
  readonly uuid: Uint32Array;
  /** Ring blocks end here. */
  readonly ringEnd: number;
}

export class CacheScan {
  readonly #source: ScanSource;
  readonly #sink: ScanSink;
  readonly #factor: number;
  /** Ring blocks that cannot be read. */
  readonly unreadable = new Set<number>();
  #header = new RecordHeader();
  #done = 0;

  constructor(source: ScanSource, sink: ScanSink) {
    this.#source = source;
    this.#sink = sink;
    this.#factor = CACHE_BLOCK_BYTES / source.cache.geometry.blockBytes;
  }

  /** Blocks that were read. */
  get doneBlocks(): number {
    return this.#done;
  }

  /** Looks at the ring blocks from `start` up to `end`. */
  async run(start: number, end: number): Promise<void> {
    const { arena } = this.#source.reactor;
    const bytes = BUFFER_BLOCKS * CACHE_BLOCK_BYTES;
    const buffers = Array.from({ length: IN_FLIGHT }, () => arena.allocate(bytes));
    const reads: Promise<void>[] = [];
    const pieces = Math.ceil((end - start) / PIECE_BLOCKS);
    const begin = (piece: number): void => {
      const address = start + piece * PIECE_BLOCKS;
      const into = buffers[piece % IN_FLIGHT]! + RECORD_DATA_MAX * CACHE_BLOCK_BYTES;
      reads[piece % IN_FLIGHT] = this.#read(address, Math.min(PIECE_BLOCKS, end - address), into);
    };
    try {
      for (let piece = 0; piece < Math.min(pieces, IN_FLIGHT - 1); piece += 1) begin(piece);
      let cursor = start;
      for (let piece = 0; piece < pieces; piece += 1) {
        await reads[piece % IN_FLIGHT]!;
        const first = start + piece * PIECE_BLOCKS;
        const after = Math.min(first + PIECE_BLOCKS, end);
        const base = buffers[piece % IN_FLIGHT]! + RECORD_DATA_MAX * CACHE_BLOCK_BYTES;
        cursor = this.#search(cursor, after, base - first * CACHE_BLOCK_BYTES, after === end);
        this.#carry(buffers, piece, after - cursor, base + (cursor - first) * CACHE_BLOCK_BYTES);
        this.#done += after - first;
        this.#sink.progress(this.#done);
        if (piece + IN_FLIGHT - 1 < pieces) begin(piece + IN_FLIGHT - 1);
      }
    } finally {
      await Promise.allSettled(reads);
      for (const buffer of buffers) arena.release(buffer, bytes);
    }
  }

  async #read(address: number, blocks: number, into: number): Promise<void> {
    const { cache, reactor } = this.#source;
    const most = Math.floor(cache.geometry.requestBlocksMax / this.#factor);
    for (let done = 0; done < blocks; ) {
      const count = Math.min(most, blocks - done);
      const at = into + done * CACHE_BLOCK_BYTES;
      if ((await this.#readRange(address + done, count, at)) !== OK) {
        for (let index = 0; index < count; index += 1) {
          const byte = at + index * CACHE_BLOCK_BYTES;
          if ((await this.#readRange(address + done + index, 1, byte)) === OK) continue;
          this.unreadable.add(address + done + index);
          reactor.kernels.zero(byte, CACHE_BLOCK_BYTES);
        }
      }
      done += count;
    }
  }

  #readRange(address: number, count: number, at: number): Promise<number> {
    const factor = this.#factor;
    return submitStatus(this.#source.cache, OP_READ, address * factor, count * factor, at);
  }

  /** What was not looked at goes before the next piece. */
  #carry(buffers: readonly number[], piece: number, blocks: number, from: number): void {
    if (blocks === 0) return;
    const next = buffers[(piece + 1) % IN_FLIGHT]!;
    const bytes = blocks * CACHE_BLOCK_BYTES;
    this.#source.reactor.kernels.copy(
      next + RECORD_DATA_MAX * CACHE_BLOCK_BYTES - bytes,
      from,
      bytes,
    );
  }

  /** `origin` is the byte where block 0 would be. Gives the block from which to go on. */
  #search(from: number, after: number, origin: number, isLast: boolean): number {
    const { reactor, ringEnd, uuid } = this.#source;
    const { arena, kernels } = reactor;
    const header = this.#header;
    let address = from;
    while (address < after) {
      const at = origin + address * CACHE_BLOCK_BYTES;
      if (!readRecord(arena.u32, kernels, at, uuid, header) || header.address !== address) {
        address += 1;
        continue;
      }
      const end = address + 1 + header.dataCount;
      if (end > after && !isLast) return address;
      if (end > after || end > ringEnd) {
        address += 1;
        continue;
      }
      const wrong = this.#wrongBlocks(at, header);
      const unreadable = wrong.filter((index) => this.unreadable.has(address + 1 + index));
      this.#sink.record({ header: { ...header }, at, wrong, unreadable });
      address = wrong.length === 0 ? end : address + 1;
    }
    return after;
  }

  #wrongBlocks(at: number, header: RecordHeader): number[] {
    const { arena, kernels } = this.#source.reactor;
    const wrong: number[] = [];
    for (let index = 0; index < header.dataCount; index += 1) {
      const entry = recordEntryAt(at, index);
      const isRight =
        nameSequence(arena.u32, entry) === header.sequence &&
        entryCrc(arena.u32, entry) === blockCrc(arena, kernels, entry, recordDataAt(at, index));
      if (!isRight) wrong.push(index);
    }
    return wrong;
  }
}
