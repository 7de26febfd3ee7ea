/**
 * Log: blocks are put into open units, and units are written to the base.             (data plane)
 *
 * Each lifetime class has an open band and in it an open unit. A block that is put there has its
 * final place at once, and the map points to it; readers find the unit in memory until the base has
 * it. A unit is sealed when it is full, or when a flush needs it, and is written in one operation.
 *
 * The head, a band's first unit, is on the base before any other unit of the band is sent: after a
 * crash a band counts by its head alone. All units of one filling carry the head's sequence, so
 * that what an earlier filling left behind is never taken for part of this one.
 *
 * A unit whose write fails is given another place, and nobody above hears of it. What the failed
 * write may have left is harmless: the same blocks under the same write sequences. When a head
 * fails, everything that was put into its band moves. After too many failures without a success
 * the device changes nothing any more.
 *
 * Bands: a user leaves the last free ones to relocation, which therefore can always go on.
 * Slots of the write buffer: likewise.
 */

import { assert } from '../block/assert.ts';
import { BlockIo, type Completer, OP_WRITE } from '../block/block-io.ts';
import { EIO, OK } from '../block/status.ts';
import { BAND_FULL, BAND_OPEN, BAND_OPENING } from './bands.ts';
import type { FtlCore } from './ftl-core.ts';
import { UNMAPPED } from './l2p.ts';
import { NO_BAND, NO_CLASS } from './placement.ts';
import { entryAt, nameBlock, UnitHeader, writeHeader } from './unit-format.ts';
import { SLOT_FLYING, SLOT_FREE, SLOT_OPEN, SLOT_SEALED, WRONG_BLOCK } from './write-buffer.ts';

/** Slots of the write buffer that only relocation may take. */
export const SLOTS_FOR_RELOCATION = 2;
/** Failed units in a row after which the device gives up. */
const FAILURES_MAX = 16;
const NO_SLOT = -1;
/** An open unit is late when users have written so many units' blocks since it was begun. */
const LATE_UNITS = 16;

/** What became of a block that relocation wanted to put into the log. */
export const PUT_DONE = 0;
export const PUT_STALLED = 1;
export const PUT_WRONG = 2;

/** Why nothing could be put into the log. */
export const STALL_NONE = 0;
export const STALL_SLOT = 1;
export const STALL_BAND = 2;
/** Users write no faster than relocation makes room. */
export const STALL_THROTTLE = 3;

export class Log implements Completer {
  /** Open band and open slot of each class. */
  readonly openBands: Int32Array;
  readonly openSlots: Int32Array;
  /** For an open band that was found at a start, 1 for each unit that is filled; else null. */
  readonly resumed: (Uint8Array | null)[];
  /** Why the last attempt to put something failed. */
  stall = STALL_NONE;
  /** The class whose open unit is late and gets what users write, or NO_CLASS. */
  #late = NO_CLASS;
  /** Units sealed so far. */
  #sealings = 0;
  #failures = 0;
  /** Units being written. */
  flying = 0;
  readonly #core: FtlCore;
  readonly #ios: BlockIo[] = [];
  readonly #header = new UnitHeader();
  readonly #stepBlocks: number;

  constructor(core: FtlCore) {
    const { classCount } = core.bands.placement;
    this.#core = core;
    this.openBands = new Int32Array(classCount).fill(NO_BAND);
    this.openSlots = new Int32Array(classCount).fill(NO_SLOT);
    this.resumed = new Array<Uint8Array | null>(classCount).fill(null);
    this.#header.deviceLow = core.deviceLow;
    this.#header.deviceHigh = core.deviceHigh;
    this.#stepBlocks = core.base.geometry.writeUnitBlocks;
    for (let slot = 0; slot < core.buffer.slotCount; slot += 1) {
      const io = new BlockIo();
      io.completer = this;
      io.cookie = slot;
      this.#ios.push(io);
    }
  }

  /** Units that can still be opened, in open and in free bands. */
  get roomUnits(): number {
    const { bands, geometry } = this.#core;
    let units = bands.freeCount * geometry.bandUnits;
    for (let index = 0; index < this.openBands.length; index += 1) {
      const band = this.openBands[index]!;
      if (band !== NO_BAND) units += this.#unitsLeft(index, bands.nextUnit[band]!);
    }
    return units;
  }

  /** Units of the open band of this class that may still be filled, from `first` on. */
  #unitsLeft(lifetimeClass: number, first: number): number {
    const filled = this.resumed[lifetimeClass]!;
    const { bandUnits } = this.#core.geometry;
    if (filled === null) return bandUnits - first;
    let left = 0;
    for (let unit = first; unit < bandUnits; unit += 1) left += 1 - filled[unit]!;
    return left;
  }

  /** Units that were sealed so far: a flush waits for these. */
  get sealings(): number {
    return this.#sealings;
  }

  // data path

  /**
   * Puts a block that a user writes, whose bytes are at `from`, into the log. False when it has to
   * wait; `stall` says for what.
   */
  putUser(block: number, from: number): boolean {
    const core = this.#core;
    const before = core.l2p.get(block);
    const previous = before === UNMAPPED ? NO_BAND : core.bands.bandOf(before);
    const wanted = this.#late === NO_CLASS ? core.bands.placement.userClass(previous) : this.#late;
    // Asked first: a unit that is opened gets something at once, so that none is sealed empty.
    if (!core.throttle.mayPay()) {
      this.stall = STALL_THROTTLE;
      return false;
    }
    const slot = this.#userSlot(wanted);
    if (slot === NO_SLOT) return false;
    core.throttle.pay();
    core.writeSequence += 1;
    core.buffer.noteUserWrite(slot, core.writeSequence);
    core.statistics.userBlocks += 1;
    this.#put(slot, block, core.writeSequence, from, -1);
    return true;
  }

  /**
   * Moves a block from the band `from` lies in; its sequence and checksum stay. Gives PUT_DONE,
   * PUT_STALLED (`stall` says for what it has to wait) or PUT_WRONG: it is not what `crc` says.
   */
  putRelocated(block: number, sequence: number, from: number, crc: number, band: number): number {
    const core = this.#core;
    const slot = this.#relocationSlot(core.bands.placement.relocatedClass(band));
    if (slot === NO_SLOT) return PUT_STALLED;
    if (!this.#put(slot, block, sequence, from, crc)) return PUT_WRONG;
    core.statistics.relocatedBlocks += 1;
    return PUT_DONE;
  }

  /** Records that a range reads as zeroes, and takes it out of the map. */
  putTrim(block: number, blockCount: number): boolean {
    const core = this.#core;
    const slot = this.#userSlot(0);
    if (slot === NO_SLOT) return false;
    core.writeSequence += 1;
    core.buffer.noteUserWrite(slot, core.writeSequence);
    core.buffer.addTrim(slot, block, blockCount, core.writeSequence);
    for (let index = block; index < block + blockCount; index += 1) {
      const before = core.l2p.get(index);
      if (before === UNMAPPED) continue;
      core.l2p.unmap(index);
      core.statistics.trimmedBlocks += 1;
      this.#supersede(slot, before);
    }
    if (core.buffer.trimCount[slot] === core.geometry.trimsMax) this.#sealOpen(slot);
    return true;
  }

  /** What the unit in the slot holds has taken the place of what is at `before`. */
  #supersede(slot: number, before: number): void {
    const { bands, superseders } = this.#core;
    const band = bands.bandOf(before);
    superseders.note(slot, band);
    bands.lose(band);
  }

  /** False when the block is not what `crc` says; a unit that was opened for it stays open. */
  #put(slot: number, block: number, sequence: number, from: number, crc: number): boolean {
    const { bands, buffer, geometry, l2p } = this.#core;
    const before = l2p.get(block);
    const place = buffer.addBlock(slot, block, sequence, from, crc);
    if (place === WRONG_BLOCK) return false;
    bands.gain(bands.bandOf(place));
    l2p.set(block, place);
    if (before !== UNMAPPED) this.#supersede(slot, before);
    if (buffer.dataCount[slot] === geometry.dataBlocks) this.#sealOpen(slot);
    return true;
  }

  // --- open units and bands ---------------------------------------------------------------------

  #userSlot(lifetimeClass: number): number {
    const { bands, buffer, geometry } = this.#core;
    const kept = geometry.relocationBands;
    // Room in open bands is relocation's too, when there is no more than it needs.
    if (bands.freeCount < kept) return this.#stalled(STALL_BAND);
    const open = this.openSlots[lifetimeClass]!;
    if (open !== NO_SLOT) return open;
    if (buffer.freeCount <= SLOTS_FOR_RELOCATION) return this.#stalled(STALL_SLOT);
    if (this.openBands[lifetimeClass] === NO_BAND) {
      if (bands.freeCount <= kept) return this.#stalled(STALL_BAND);
      this.#openBand(lifetimeClass);
    }
    return this.#openUnit(lifetimeClass);
  }

  /** While free bands are scarce, a class without an open band makes do with that of another. */
  #relocationSlot(wanted: number): number {
    const { bands, buffer, geometry } = this.#core;
    let lifetimeClass = wanted;
    if (this.openSlots[wanted] === NO_SLOT && this.openBands[wanted] === NO_BAND) {
      if (bands.freeCount <= geometry.relocationBands) {
        const other = bands.placement.substitute(wanted, this.openBands);
        if (other !== NO_CLASS) lifetimeClass = other;
        else if (bands.freeCount === 0) return this.#stalled(STALL_BAND);
      }
    }
    const open = this.openSlots[lifetimeClass]!;
    if (open !== NO_SLOT) return open;
    if (buffer.freeCount === 0) return this.#stalled(STALL_SLOT);
    if (this.openBands[lifetimeClass] === NO_BAND) this.#openBand(lifetimeClass);
    return this.#openUnit(lifetimeClass);
  }

  #stalled(why: number): number {
    this.stall = why;
    return NO_SLOT;
  }

  #openBand(lifetimeClass: number): void {
    const band = this.#core.bands.takeFree(lifetimeClass);
    assert(band !== -1, 'a band that is opened was free');
    this.openBands[lifetimeClass] = band;
  }

  #openUnit(lifetimeClass: number): number {
    const { buffer } = this.#core;
    const slot = buffer.take(lifetimeClass);
    assert(slot !== -1, 'a unit that is opened has a slot');
    this.#assignUnit(slot, this.openBands[lifetimeClass]!);
    this.openSlots[lifetimeClass] = slot;
    return slot;
  }

  /** The slot's unit is the next one of the band. */
  #assignUnit(slot: number, band: number): void {
    const { bands, buffer, geometry, writeSequence } = this.#core;
    const index = bands.nextUnit[band]!;
    const unit = band * geometry.bandUnits + index;
    const lifetimeClass = buffer.classOf[slot]!;
    const next = this.#unitAfter(lifetimeClass, index);
    bands.nextUnit[band] = next;
    bands.pending[band]! += 1;
    buffer.assign(slot, unit);
    if (next < geometry.bandUnits) return;
    this.#leaveBand(lifetimeClass, band);
    // While its head is not on the base the band says so.
    if (bands.state[band] === BAND_OPEN) bands.fill(band, writeSequence);
  }

  #unitAfter(lifetimeClass: number, unit: number): number {
    const filled = this.resumed[lifetimeClass]!;
    let next = unit + 1;
    if (filled !== null) while (next < filled.length && filled[next] === 1) next += 1;
    return next;
  }

  #leaveBand(lifetimeClass: number, band: number): void {
    if (this.openBands[lifetimeClass] !== band) return;
    this.openBands[lifetimeClass] = NO_BAND;
    this.resumed[lifetimeClass] = null;
  }

  // --- sealing and writing ----------------------------------------------------------------------

  /** Seals every open unit that holds what no other unit holds. */
  sealUserUnits(): void {
    for (let index = 0; index < this.openSlots.length; index += 1) {
      const slot = this.openSlots[index]!;
      if (slot !== NO_SLOT && this.#core.buffer.userData[slot] === 1) this.#sealOpen(slot);
    }
  }

  /**
   * The open unit that a user has written to first is filled before all others, if that is long
   * ago: its class gets little, and somebody waits for what is in it. Nothing is padded for it.
   */
  fillLate(): void {
    const { buffer, geometry, writeSequence } = this.#core;
    let oldest = writeSequence - LATE_UNITS * geometry.dataBlocks;
    for (let index = 0; index < this.openSlots.length; index += 1) {
      const slot = this.openSlots[index]!;
      if (slot === NO_SLOT || buffer.firstWrite[slot]! > oldest) continue;
      oldest = buffer.firstWrite[slot]!;
      this.#late = index;
    }
  }

  sealAll(): void {
    for (let index = 0; index < this.openSlots.length; index += 1) {
      const slot = this.openSlots[index]!;
      if (slot !== NO_SLOT) this.#sealOpen(slot);
    }
  }

  /** Seals the open units that have superseded something in the band. */
  sealSuperseders(band: number): void {
    const { superseders } = this.#core;
    for (let index = 0; index < this.openSlots.length; index += 1) {
      const slot = this.openSlots[index]!;
      if (slot !== NO_SLOT && superseders.has(slot, band)) this.#sealOpen(slot);
    }
  }

  #sealOpen(slot: number): void {
    const { buffer, geometry, statistics } = this.#core;
    this.openSlots[buffer.classOf[slot]!] = NO_SLOT;
    if (this.#late === buffer.classOf[slot]) this.#late = NO_CLASS;
    this.#sealings += 1;
    buffer.sealing[slot] = this.#sealings;
    if (buffer.dataCount[slot]! < geometry.dataBlocks) statistics.unitsPadded += 1;
    this.#seal(slot);
  }

  /** Gives the unit its sequence, and writes it unless it has to wait for the head of its band. */
  #seal(slot: number): void {
    const core = this.#core;
    const { bands, buffer, geometry } = core;
    const band = Math.floor(buffer.unit[slot]! / geometry.bandUnits);
    const isHead = buffer.unit[slot] === band * geometry.bandUnits;
    buffer.seal(slot);
    core.unitNumber += 1;
    buffer.sequence[slot] = core.nextUnitSequence - 1;
    if (isHead) bands.sequence[band] = buffer.sequence[slot]!;
    if (buffer.trimCount[slot] !== 0) bands.trimmedAt[band] = buffer.sequence[slot]!;
    if (isHead || bands.state[band] !== BAND_OPENING) this.#write(slot, band);
    else this.#sealHead(band);
  }

  /** A unit that was moved may wait for a head that nobody would seal soon. */
  #sealHead(band: number): void {
    const { buffer, geometry } = this.#core;
    const head = buffer.slotOfUnit[band * geometry.bandUnits]!;
    if (head !== NO_SLOT && buffer.state[head] === SLOT_OPEN) this.#sealOpen(head);
  }

  #write(slot: number, band: number): void {
    const core = this.#core;
    const { arena, kernels } = core.reactor;
    const { buffer, geometry, statistics } = core;
    const header = this.#header;
    header.classNumber = core.bands.placement.classOf[band]!;
    header.sequence = buffer.sequence[slot]!;
    header.bandSequence = core.bands.sequence[band]!;
    header.band = band;
    header.unit = buffer.unit[slot]! - band * geometry.bandUnits;
    header.dataCount = buffer.dataCount[slot]!;
    header.trimCount = buffer.trimCount[slot]!;
    header.durableBelow = Math.min(core.durableSequence, core.firstFailed);
    writeHeader(arena.u32, kernels, geometry, buffer.at(slot), header);
    buffer.fly(slot);
    const io = this.#ios[slot]!;
    const blocks = geometry.summaryBlocks + header.dataCount;
    const count = Math.ceil((blocks * core.factor) / this.#stepBlocks) * this.#stepBlocks;
    io.op = OP_WRITE;
    io.flags = 0;
    io.block = core.baseBlock(buffer.unit[slot]! * geometry.unitBlocks);
    io.blockCount = count;
    io.buffer = buffer.at(slot);
    statistics.unitBlocks += Math.ceil(count / core.factor);
    this.flying += 1;
    core.base.submit(io);
  }

  complete(io: BlockIo): void {
    const core = this.#core;
    const { bands, buffer, geometry } = core;
    const slot = io.cookie;
    this.flying -= 1;
    assert(buffer.state[slot] === SLOT_FLYING, 'a unit that was written was flying');
    const band = Math.floor(buffer.unit[slot]! / geometry.bandUnits);
    if (io.status !== OK) {
      this.#failed(slot, band, io.status);
    } else {
      this.#failures = 0;
      core.statistics.unitsWritten += 1;
      buffer.slotOfUnit[buffer.unit[slot]!] = -1;
      core.superseders.written(slot);
      buffer.give(slot);
      if (bands.state[band] === BAND_OPENING) this.#headWritten(band);
      bands.unitEnded(band, core.writeSequence);
    }
    core.wake();
  }

  #headWritten(band: number): void {
    const { bands, buffer, geometry, writeSequence } = this.#core;
    bands.state[band] = BAND_OPEN;
    for (let slot = 0; slot < buffer.slotCount; slot += 1) {
      if (buffer.state[slot] !== SLOT_SEALED) continue;
      if (Math.floor(buffer.unit[slot]! / geometry.bandUnits) === band) this.#write(slot, band);
    }
    if (bands.nextUnit[band] === geometry.bandUnits) bands.fill(band, writeSequence);
  }

  // --- failures ---------------------------------------------------------------------------------

  /** The band takes nothing more; what was put into the unit gets another place. */
  #failed(slot: number, band: number, status: number): void {
    const core = this.#core;
    const { bands, buffer, geometry, statistics } = core;
    statistics.unitsFailed += 1;
    core.noteFailed(buffer.sequence[slot]!);
    this.#failures += 1;
    if (this.#failures > FAILURES_MAX) {
      core.fail(status, 'too many writes in a row have failed');
      return;
    }
    this.#leaveBand(buffer.classOf[slot]!, band);
    const headLost = bands.state[band] === BAND_OPENING;
    if (bands.state[band] !== BAND_FULL) bands.state[band] = BAND_FULL;
    this.#move(slot, band);
    if (headLost) {
      // No other unit of the band was sent: all of them move.
      for (let other = 0; other < buffer.slotCount; other += 1) {
        if (other === slot || buffer.state[other] === SLOT_FREE) continue;
        const isOther = Math.floor(buffer.unit[other]! / geometry.bandUnits) !== band;
        if (!isOther) this.#move(other, band);
      }
    }
    bands.closeIfDone(band, core.writeSequence);
  }

  #move(slot: number, from: number): void {
    const core = this.#core;
    const { bands, buffer } = core;
    if (!this.#findBand(slot)) {
      core.fail(EIO, 'a write has failed and there is no band for what it carried');
      return;
    }
    const before = buffer.unit[slot]!;
    buffer.slotOfUnit[before] = -1;
    this.#assignUnit(slot, this.openBands[buffer.classOf[slot]!]!);
    this.#repoint(slot, before);
    bands.pending[from]! -= 1;
    if (buffer.state[slot] !== SLOT_OPEN) this.#seal(slot);
  }

  /** An open band for the class of the slot; if there is none, the slot joins another class. */
  #findBand(slot: number): boolean {
    const { bands, buffer } = this.#core;
    const own = buffer.classOf[slot]!;
    if (this.openBands[own] !== NO_BAND) return true;
    if (bands.freeCount > 0) {
      this.#openBand(own);
      return true;
    }
    const other = bands.placement.substitute(own, this.openBands);
    if (other === NO_CLASS) return false;
    if (buffer.state[slot] === SLOT_OPEN) {
      // The other class has a unit of its own to fill.
      this.openSlots[own] = NO_SLOT;
      this.#sealings += 1;
      buffer.sealing[slot] = this.#sealings;
      buffer.seal(slot);
    }
    buffer.setClass(slot, other);
    return true;
  }

  /** The map points to the new places of what is in the unit, as far as it pointed to the old. */
  #repoint(slot: number, before: number): void {
    const { bands, buffer, geometry, l2p, reactor } = this.#core;
    const { summaryBlocks, unitBlocks } = geometry;
    const at = buffer.at(slot);
    for (let index = 0; index < buffer.dataCount[slot]!; index += 1) {
      const block = nameBlock(reactor.arena.u32, entryAt(at, index));
      const old = before * unitBlocks + summaryBlocks + index;
      if (l2p.get(block) !== old) continue;
      const place = buffer.unit[slot]! * unitBlocks + summaryBlocks + index;
      l2p.set(block, place);
      bands.gain(bands.bandOf(place));
      this.#supersede(slot, old);
    }
  }

  // end data path
}
