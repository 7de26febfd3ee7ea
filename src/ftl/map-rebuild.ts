/**
 * MapRebuild: the map from units alone, without a checkpoint.                       (control plane)
 *
 * Every unit says what it carries, so the map can be made anew by reading all of them: for each
 * block the record with the greatest write sequence counts, data or trim; of equal ones (a
 * relocated copy) the one in the newer unit. This is what a start would do if there had never been
 * a checkpoint, with two differences.
 *
 * A checkpoint is what allows a band with trims to be reused (decision 0020). So records of trims
 * may be gone while an older copy of the block is still somewhere: trimmed blocks may show again.
 *
 * Starts after crashes have left out what was torn, and nothing on the base says so. So every block
 * is read and held against its checksum, whatever was flushed later. Where the newest copy is wrong
 * (it was torn, or has rotted; nobody can tell) an older one that is right counts, and the block is
 * counted as *outdated*; where none is right the newest one keeps its place, so that a check finds
 * it. What the redundancy of the base can mend is right.
 */

import { OK } from '../block/status.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import type { Mender } from './mender.ts';
import type { RollForward } from './roll-forward.ts';
import {
  blockCrc,
  dataAt,
  entryAt,
  entryCrc,
  epochOf,
  nameBlock,
  nameSequence,
  readHeader,
  trimAt,
  trimBlockCount,
  trimIsIntact,
  UnitHeader,
} from './unit-format.ts';
import type { UnitReader } from './unit-reader.ts';

/** A record of what is wrong ranks below every other, and above none. */
const WRONG = 2 ** 53;
const UNSET = Number.NEGATIVE_INFINITY;
/** Blocks whose ranks are kept together, two numbers each. */
const CHUNK = 1024;

export interface MapRebuildReport {
  /** Blocks whose newest copy is wrong, and that have an older one, or none, now. */
  readonly outdated: number;
  /** Blocks of which no copy is right. */
  readonly wrong: number;
}

export class MapRebuild {
  readonly #core: FtlCore;
  readonly #reader: UnitReader;
  readonly #mender: Mender;
  /** Units from this sequence on may have been in flight at a crash. */
  readonly #checkpointStart: number;
  readonly #advanced: (doneBytes: number, totalBytes: number) => void;
  readonly #filled = new Map<number, Uint8Array>();
  /** For each block the rank of its record, and the sequence of its unit; in chunks. */
  readonly #ranks = new Map<number, Float64Array>();
  /** Sequence of the newest record that is wrong, by block. */
  readonly #wrong = new Map<number, number>();
  #units = 0;
  #torn = 0;
  #writeSequence = 0;
  #epoch = 0;

  /** `advanced`: told how much has been read, unit by unit. */
  constructor(
    core: FtlCore,
    reader: UnitReader,
    mender: Mender,
    checkpointStart: number,
    advanced: (doneBytes: number, totalBytes: number) => void,
  ) {
    this.#core = core;
    this.#reader = reader;
    this.#mender = mender;
    this.#checkpointStart = checkpointStart;
    this.#advanced = advanced;
  }

  /** The heads of bands are known. */
  async run(): Promise<RollForward> {
    const { bands, geometry, l2p } = this.#core;
    const { bandUnits } = geometry;
    const used = Array.from({ length: bands.count }, (_, band) => band).filter(
      (band) => bands.sequence[band] !== 0,
    );
    for (const band of used) this.#filled.set(band, new Uint8Array(bandUnits));
    const unitOf = (index: number): number =>
      used[Math.floor(index / bandUnits)]! * bandUnits + (index % bandUnits);
    const count = used.length * bandUnits;
    const unitBytes = geometry.unitBlocks * FTL_BLOCK_BYTES;
    let begun = 0;
    await this.#reader.summaries(count, unitOf, (index, status, at) => {
      // What has been begun: several are under way, and their end is nothing to wait for here.
      this.#advanced(begun * unitBytes, count * unitBytes);
      begun += 1;
      return this.#unit(unitOf(index), status, at);
    });
    // Also pages in which nothing is mapped: those that the superblock names may be damaged.
    l2p.dirty.fill(1);
    return {
      units: this.#units,
      torn: this.#torn,
      writeSequence: this.#writeSequence,
      epoch: this.#epoch,
      filled: this.#filled,
    };
  }

  get report(): MapRebuildReport {
    let outdated = 0;
    let wrong = 0;
    for (const [block, sequence] of this.#wrong) {
      const rank = this.#chunk(block)[2 * (block % CHUNK)]!;
      if (rank < 0) wrong += 1;
      else if (rank < sequence) outdated += 1;
    }
    return { outdated, wrong };
  }

  async #unit(unit: number, status: number, at: number): Promise<void> {
    const { bands, geometry, reactor } = this.#core;
    const { u32 } = reactor.arena;
    const band = Math.floor(unit / geometry.bandUnits);
    const header = new UnitHeader();
    header.deviceLow = this.#core.deviceLow;
    header.deviceHigh = this.#core.deviceHigh;
    const isOfBand = (one: UnitHeader): boolean =>
      one.bandSequence === bands.sequence[band] &&
      one.band * geometry.bandUnits + one.unit === unit;
    const isThere = (): boolean =>
      readHeader(u32, reactor.kernels, geometry, at, header) && isOfBand(header);
    if (status !== OK || !isThere()) {
      // What was never written is not looked for.
      const bytes = geometry.summaryBlocks * FTL_BLOCK_BYTES;
      if (status === OK && reactor.kernels.isZero(at, bytes)) return;
      const { finding, found } = await this.#mender.header(unit, at, true, isOfBand);
      if (!found || !isThere()) return;
      if (finding !== null) this.#mender.note(finding);
    }
    this.#units += 1;
    this.#filled.get(band)![unit - band * geometry.bandUnits] = 1;
    this.#epoch = Math.max(this.#epoch, epochOf(header.sequence));
    const wasRead = await this.#reader.data(unit, header.dataCount, at);
    for (let index = 0; index < header.dataCount; index += 1) {
      await this.#block(unit, header, at, index, wasRead);
    }
    // As at any start: a crash may have left data and parity that do not match.
    const mayBeTorn = wasRead && header.sequence >= this.#checkpointStart;
    if (mayBeTorn) await this.#reader.rewrite(unit, header.dataCount, at);
    this.#trims(header, at);
  }

  async #block(
    unit: number,
    header: UnitHeader,
    at: number,
    index: number,
    wasRead: boolean,
  ): Promise<void> {
    const { geometry, l2p, reactor } = this.#core;
    const { u32 } = reactor.arena;
    const entry = entryAt(at, index);
    const data = dataAt(geometry, at, index);
    const block = nameBlock(u32, entry);
    const sequence = nameSequence(u32, entry);
    if (block >= l2p.blockCount) return;
    const place = unit * geometry.unitBlocks + geometry.summaryBlocks + index;
    let isRight =
      wasRead && blockCrc(reactor.arena, reactor.kernels, entry, data) === entryCrc(u32, entry);
    if (!isRight) {
      const { finding, found } = await this.#mender.block(place, entry, data, true);
      if (found && finding !== null) this.#mender.note(finding);
      isRight = found;
    }
    if (!isRight) {
      this.#torn += 1;
      this.#wrong.set(block, Math.max(sequence, this.#wrong.get(block) ?? 0));
    }
    this.#writeSequence = Math.max(this.#writeSequence, sequence);
    const rank = isRight ? sequence : sequence - WRONG;
    if (this.#supersedes(block, rank, header.sequence)) l2p.set(block, place);
  }

  #trims(header: UnitHeader, at: number): void {
    const { geometry, l2p, reactor } = this.#core;
    const { u32 } = reactor.arena;
    for (let index = 0; index < header.trimCount; index += 1) {
      const record = trimAt(geometry, at, index);
      if (!trimIsIntact(u32, reactor.kernels, record)) continue;
      const first = nameBlock(u32, record);
      const sequence = nameSequence(u32, record);
      const end = Math.min(l2p.blockCount, first + trimBlockCount(u32, record));
      this.#writeSequence = Math.max(this.#writeSequence, sequence);
      for (let block = first; block < end; block += 1) {
        if (this.#supersedes(block, sequence, header.sequence)) l2p.unmap(block);
      }
    }
  }

  /** True when the record counts more than all before; it is noted then. */
  #supersedes(block: number, rank: number, unitSequence: number): boolean {
    const ranks = this.#chunk(block);
    const at = 2 * (block % CHUNK);
    if (ranks[at]! > rank) return false;
    if (ranks[at] === rank && ranks[at + 1]! > unitSequence) return false;
    ranks[at] = rank;
    ranks[at + 1] = unitSequence;
    return true;
  }

  #chunk(block: number): Float64Array {
    const number = Math.floor(block / CHUNK);
    let chunk = this.#ranks.get(number);
    if (chunk === undefined) {
      chunk = new Float64Array(2 * CHUNK).fill(UNSET);
      this.#ranks.set(number, chunk);
    }
    return chunk;
  }
}
