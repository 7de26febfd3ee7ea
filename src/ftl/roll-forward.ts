/**
 * Roll-forward: plays the units since a checkpoint over its map.                    (control plane)
 *
 *   1. heads     the first unit of every band says whether and when the band was filled
 *   2. units     of the bands that may hold something newer than the checkpoint: their summaries
 *   3. blocks    of the units that may have been in flight: their data, against their checksums
 *
 * For each block the record with the greatest write sequence counts, data or trim; of equal ones
 * (a relocated copy) the one in the newer unit. A block without a record keeps what the checkpoint
 * says. The order in which units are looked at does not matter.
 *
 * A unit counts when its summary is whole and says that it lies where it was found, in the filling
 * that the head began. A head that is torn or lost takes its band with it: nothing in it had been
 * flushed, because a flush of any unit covers its head. What was in a band before its last filling
 * is superseded by what is durable elsewhere, or the band would not have been reused.
 *
 * A unit below the durable floor (the highest one that any header names) had been flushed. Above it
 * each block is checked: what a power cut has torn is left out, its neighbours count. Such a unit
 * is written again before anything relies on it: an array below may have it on one mirror only, or
 * with parity that does not match, and a member that is lost before the array has made that good
 * would take along what was read here. It may have been flushed all the same, without a later unit
 * that says so: what is written is, byte for byte, what is there.
 *
 * What has rotted looks like what a crash has torn. So where the base has redundancy, it is asked
 * for what is missing between units that are there, for heads, and for blocks that are not what
 * their checksums say, before anything is left out or written again.
 *
 * What cannot be read is not guessed: the start is refused, and may succeed another time.
 */

import { BandstandError } from '../block/errors.ts';
import { EIO, OK, statusText } from '../block/status.ts';
import { BAND_MAP } from './bands.ts';
import type { FtlCore } from './ftl-core.ts';
import type { FtlSuperblock } from './ftl-superblock.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { UNMAPPED } from './l2p.ts';
import type { Mender } from './mender.ts';
import { NewestRecords } from './newest-records.ts';
import {
  blockCrc,
  dataAt,
  entryAt,
  entryCrc,
  nameBlock,
  nameSequence,
  readHeader,
  trimAt,
  trimBlockCount,
  trimIsIntact,
  UNIT_SIGNATURE,
  UnitHeader,
} from './unit-format.ts';
import type { UnitReader } from './unit-reader.ts';

export interface RollForward {
  /** Units that were newer than the checkpoint. */
  readonly units: number;
  /** Blocks that a power cut had torn. */
  readonly torn: number;
  /** The greatest write sequence and epoch met. */
  readonly writeSequence: number;
  readonly epoch: number;
  /** For each band that was scanned 1 for every unit of its filling. */
  readonly filled: ReadonlyMap<number, Uint8Array>;
}

export class UnitScan {
  readonly #core: FtlCore;
  readonly #superblock: FtlSuperblock;
  readonly #reader: UnitReader;
  readonly #mender: Mender;
  /** Nothing is written to the base. */
  readonly #readOnly: boolean;
  /** Places of units without a summary: 1 where something claims to be one. */
  readonly #holes = new Map<number, number>();
  readonly #filled = new Map<number, Uint8Array>();
  readonly #newest = new NewestRecords();
  #floor: number;
  #units = 0;
  #torn = 0;
  #writeSequence: number;
  #epoch = 0;

  constructor(
    core: FtlCore,
    superblock: FtlSuperblock,
    reader: UnitReader,
    mender: Mender,
    readOnly: boolean,
  ) {
    this.#core = core;
    this.#superblock = superblock;
    this.#reader = reader;
    this.#mender = mender;
    this.#readOnly = readOnly;
    this.#floor = superblock.checkpointStart;
    this.#writeSequence = superblock.writeSequence;
  }

  #refuse(message: string, details: Record<string, unknown>): never {
    throw new BandstandError('BANDSTAND_FTL_INCONSISTENT', {
      message: `cannot open the log-structured device on ${this.#core.base.name}: ${message}`,
      hint: 'look at the devices below',
      details: { device: this.#core.base.name, ...details },
    });
  }

  #unreadable(what: string, band: number, unit: number, status: number): never {
    const { name } = this.#core.base;
    throw new BandstandError('BANDSTAND_FTL_UNREADABLE', {
      message: `cannot open the log-structured device on ${name}: ${what} cannot be read: ${statusText(status)}`,
      hint: 'look at the devices below, and try again',
      details: { device: name, band, unit, status },
    });
  }

  #header(): UnitHeader {
    const header = new UnitHeader();
    header.deviceLow = this.#core.deviceLow;
    header.deviceHigh = this.#core.deviceHigh;
    return header;
  }

  /**
   * Fills in sequence and class of every band that has a head. After a clean stop the map says all,
   * and a band whose head cannot be read is damaged, or free. `thorough`: there is no map that says
   * where one is missing.
   */
  async heads(dirty: boolean, thorough = false): Promise<void> {
    const { bands, geometry, reactor } = this.#core;
    const header = this.#header();
    const seen = new Map<number, number>();
    const mapped = this.#mappedBands();
    const unitOf = (band: number): number => band * geometry.bandUnits;
    const wanted = Array.from({ length: bands.count }, (_, band) => band).filter(
      (band) => bands.state[band] !== BAND_MAP,
    );
    const headOf = (index: number): number => unitOf(wanted[index]!);
    const isHead = ({ bandSequence, sequence, unit }: UnitHeader): boolean =>
      unit === 0 && bandSequence === sequence;
    const isThere = (band: number, at: number): boolean =>
      readHeader(reactor.arena.u32, reactor.kernels, geometry, at, header) &&
      header.band === band &&
      isHead(header);
    await this.#reader.summaries(wanted.length, headOf, async (index, status, at) => {
      const band = wanted[index]!;
      if (status !== OK && dirty) this.#unreadable(`the head of band ${band}`, band, 0, status);
      if (status !== OK || !isThere(band, at)) {
        // What was never written is zeroes, or what was there before the device. A read can also go
        // wrong once: without its head nothing in a band could be verified in this life.
        const bytes = geometry.summaryBlocks * FTL_BLOCK_BYTES;
        const isZero = status === OK && reactor.kernels.isZero(at, bytes);
        const isMissed = mapped[band] === 1 || ((dirty || thorough) && !isZero);
        if (!isMissed || !(await this.#mend(unitOf(band), at, isHead))) return;
        if (!isThere(band, at)) return;
      }
      const other = seen.get(header.sequence);
      if (other !== undefined) {
        const message = `bands ${other} and ${band} begin with one unit ${header.sequence}`;
        this.#refuse(message, { bands: [other, band], sequence: header.sequence });
      }
      seen.set(header.sequence, band);
      bands.sequence[band] = header.sequence;
      bands.placement.opened(band, header.classNumber);
      this.#meet(header);
    });
  }

  /** 1 for each band that the map, as it was loaded, points to. */
  #mappedBands(): Uint8Array {
    const { bands, l2p } = this.#core;
    const mapped = new Uint8Array(bands.count);
    for (const page of l2p.pagesInUse(this.#superblock.pages)) {
      const end = l2p.pageEnd(page);
      let block = l2p.nextMapped(page * l2p.pageEntries, end);
      while (block < end) {
        mapped[bands.bandOf(l2p.get(block))] = 1;
        block = l2p.nextMapped(block + 1, end);
      }
    }
    for (const band of this.#superblock.openBands) mapped[band] = 1;
    return mapped;
  }

  /** True when the redundancy of the base has the summary of the unit; it is at byte `at` then. */
  async #mend(
    unit: number,
    at: number,
    accepts: (header: UnitHeader) => boolean,
  ): Promise<boolean> {
    let isDurable = false;
    const accepted = (header: UnitHeader): boolean => {
      isDurable = header.sequence < this.#floor;
      return accepts(header);
    };
    const { finding, found } = await this.#mender.header(unit, at, !this.#readOnly, accepted);
    // What was in flight at a crash may be anything.
    if (finding !== null && found && isDurable) this.#mender.note(finding);
    return found;
  }

  #meet(header: UnitHeader): void {
    this.#floor = Math.max(this.#floor, header.durableBelow);
    this.#epoch = Math.max(this.#epoch, Math.floor(header.sequence / 2 ** 32));
  }

  /** Plays what is newer than the checkpoint; if not `dirty`, only looks how far bands go. */
  async units(dirty: boolean): Promise<RollForward> {
    const { bands, geometry } = this.#core;
    const { checkpointStart, openBands } = this.#superblock;
    const wanted: number[] = [];
    for (let band = 0; band < geometry.bandCount; band += 1) {
      const sequence = bands.sequence[band]!;
      if (sequence === 0) continue;
      if ((dirty && sequence >= checkpointStart) || openBands.includes(band)) wanted.push(band);
    }
    // The newest first: they name the highest floor.
    wanted.sort((one, other) => bands.sequence[other]! - bands.sequence[one]!);
    const { bandUnits } = geometry;
    for (const band of wanted) this.#filled.set(band, new Uint8Array(bandUnits));
    const place = (index: number): number =>
      wanted[Math.floor(index / bandUnits)]! * bandUnits + (index % bandUnits);
    await this.#reader.summaries(wanted.length * bandUnits, place, (index, status, at) =>
      this.#unit(place(index), status, at),
    );
    if (dirty) await this.#fillHoles();
    return {
      units: this.#units,
      torn: this.#torn,
      writeSequence: this.#writeSequence,
      epoch: this.#epoch,
      filled: this.#filled,
    };
  }

  async #unit(unit: number, status: number, at: number): Promise<void> {
    const { bands, geometry, reactor } = this.#core;
    const band = Math.floor(unit / geometry.bandUnits);
    const index = unit - band * geometry.bandUnits;
    if (status !== OK) this.#unreadable(`unit ${index} of band ${band}`, band, index, status);
    const header = this.#header();
    const { u32 } = reactor.arena;
    if (!readHeader(u32, reactor.kernels, geometry, at, header)) {
      this.#holes.set(unit, u32[at >>> 2] === UNIT_SIGNATURE ? 1 : 0);
      return;
    }
    if (header.band !== band || header.unit !== index) return;
    if (header.bandSequence !== bands.sequence[band]) return;
    await this.#play(unit, header, at);
  }

  /** Units of a band come one after another: what is missing before another one was there. */
  async #fillHoles(): Promise<void> {
    const { bands, geometry } = this.#core;
    const { bandUnits } = geometry;
    const missing = [...this.#holes].flatMap(([unit, claims]) => {
      const band = Math.floor(unit / bandUnits);
      const isBefore = this.#filled.get(band)!.lastIndexOf(1) > unit - band * bandUnits;
      return claims === 1 || isBefore ? [unit] : [];
    });
    this.#holes.clear();
    await this.#reader.summaries(
      missing.length,
      (index) => missing[index]!,
      async (index, _status, at) => {
        const unit = missing[index]!;
        const sequence = bands.sequence[Math.floor(unit / bandUnits)];
        const isOfBand = (header: UnitHeader): boolean => header.bandSequence === sequence;
        if (await this.#mend(unit, at, isOfBand)) await this.#unit(unit, OK, at);
      },
    );
  }

  /** The unit is of this filling of its band. */
  async #play(unit: number, header: UnitHeader, at: number): Promise<void> {
    const { geometry } = this.#core;
    const band = Math.floor(unit / geometry.bandUnits);
    const index = unit - band * geometry.bandUnits;
    this.#filled.get(band)![index] = 1;
    this.#meet(header);
    if (header.sequence < this.#superblock.checkpointStart) return;
    const isDurable = header.sequence < this.#floor;
    if (!isDurable && !(await this.#reader.data(unit, header.dataCount, at))) {
      this.#unreadable(`the data of unit ${index} of band ${band}`, band, index, EIO);
    }
    if (!isDurable) await this.#mendBlocks(unit, header.dataCount, at);
    if (!isDurable && !this.#readOnly) await this.#reader.rewrite(unit, header.dataCount, at);
    this.#units += 1;
    this.#playBlocks(unit, header, at, isDurable);
    this.#playTrims(header, at);
  }

  /** Before the parity of what is torn is made good: until then it may know better. */
  async #mendBlocks(unit: number, dataCount: number, at: number): Promise<void> {
    const { geometry, reactor } = this.#core;
    const first = unit * geometry.unitBlocks + geometry.summaryBlocks;
    for (let index = 0; index < dataCount; index += 1) {
      const entry = entryAt(at, index);
      const data = dataAt(geometry, at, index);
      if (
        blockCrc(reactor.arena, reactor.kernels, entry, data) === entryCrc(reactor.arena.u32, entry)
      )
        continue;
      await this.#mender.block(first + index, entry, data, !this.#readOnly);
    }
  }

  #playBlocks(unit: number, header: UnitHeader, at: number, isDurable: boolean): void {
    const { geometry, l2p, reactor } = this.#core;
    const { u32 } = reactor.arena;
    for (let index = 0; index < header.dataCount; index += 1) {
      const entry = entryAt(at, index);
      const block = nameBlock(u32, entry);
      const sequence = nameSequence(u32, entry);
      if (block >= l2p.blockCount) this.#stray(header, block);
      if (!isDurable) {
        const crc = blockCrc(reactor.arena, reactor.kernels, entry, dataAt(geometry, at, index));
        if (crc !== entryCrc(u32, entry)) {
          this.#torn += 1;
          continue;
        }
      }
      if (!this.#supersedes(block, sequence, header.sequence)) continue;
      l2p.set(block, unit * geometry.unitBlocks + geometry.summaryBlocks + index);
    }
  }

  #playTrims(header: UnitHeader, at: number): void {
    const { geometry, l2p, reactor } = this.#core;
    const { u32 } = reactor.arena;
    for (let index = 0; index < header.trimCount; index += 1) {
      const record = trimAt(geometry, at, index);
      if (!trimIsIntact(u32, reactor.kernels, record)) {
        this.#torn += 1;
        continue;
      }
      const first = nameBlock(u32, record);
      const sequence = nameSequence(u32, record);
      const end = first + trimBlockCount(u32, record);
      if (end > l2p.blockCount) this.#stray(header, end - 1);
      for (let block = first; block < end; block += 1) {
        if (!this.#supersedes(block, sequence, header.sequence)) continue;
        if (l2p.get(block) !== UNMAPPED) l2p.unmap(block);
      }
    }
  }

  #stray(header: UnitHeader, block: number): never {
    const where = `unit ${header.unit} of band ${header.band}`;
    this.#refuse(`${where} names block ${block} of ${this.#core.l2p.blockCount}`, {
      band: header.band,
      unit: header.unit,
      block,
    });
  }

  /** True when the record is the newest of its block so far; it is noted then. */
  #supersedes(block: number, sequence: number, unitSequence: number): boolean {
    if (!this.#newest.supersedes(block, sequence, unitSequence)) return false;
    this.#writeSequence = Math.max(this.#writeSequence, sequence);
    return true;
  }
}
