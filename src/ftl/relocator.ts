/**
 * Relocator: moves what is valid out of a closed band, so that the band becomes free. (data plane)
 *
 * One band at a time, several of its units at once, each by a *lane*: a buffer and an operation.
 * A unit is read as a whole; what the map still points to is checked against its checksum and put
 * into the log under its old write sequence. So a copy never beats a newer write, in whatever unit
 * it is. A block that was overwritten meanwhile is simply not valid any more.
 *
 * Where a unit cannot be read as a whole, its summary and then its valid blocks are read one by
 * one. What cannot be read, or is not what its checksum says, is looked for in the redundancy of
 * the base (mender.ts), and mended there. A block that is right nowhere stays where it is, and its
 * band with it, until somebody overwrites it: relocation loses nothing, and hides nothing. The
 * blocks behind a summary that is nowhere are looked for in the map, and told.
 *
 * The log may have no room (`stall`): the lanes keep what they have and go on when there is.
 */

import { assert } from '../block/assert.ts';
import { BlockIo, type Completer, FLAG_BACKGROUND, OP_READ } from '../block/block-io.ts';
import { OK } from '../block/status.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { type Log, PUT_STALLED, PUT_WRONG, STALL_NONE } from './log.ts';
import { type LostBlocks, lostBlocksOf } from './lost-blocks.ts';
import type { Mender } from './mender.ts';
import {
  dataAt,
  entryAt,
  entryCrc,
  nameBlock,
  nameSequence,
  readHeader,
  UnitHeader,
} from './unit-format.ts';
import { NO_VICTIM } from './victims.ts';

const LANES_MAX = 4;
const NO_BAND = -1;
/** Units of the log that are not counted on when a victim is chosen. */
const UNITS_KEPT = 2;

/** What a lane is doing. */
const IDLE = 0;
const READS_UNIT = 1;
const READS_SUMMARY = 2;
/** Has the whole unit in memory. */
const MOVES = 3;
/** Has the summary, and looks for the next block to read. */
const PICKS = 4;
const READS_BLOCK = 5;
/** Has one block in memory. */
const MOVES_BLOCK = 6;

/** Waits for a block or a summary that was wrong. */
const MENDS = 7;

const IN_FLIGHT = [READS_UNIT, READS_SUMMARY, READS_BLOCK, MENDS];

class Lane {
  readonly io = new BlockIo();
  readonly memory: number;
  state = IDLE;
  /** Number of the unit, counted from the start of band 0. */
  unit = 0;
  /** The next entry. */
  index = 0;
  dataCount = 0;

  constructor(memory: number, index: number, completer: Completer) {
    this.memory = memory;
    this.io.cookie = index;
    this.io.completer = completer;
  }
}

export interface RelocatorHost {
  /** Valid blocks cannot be moved: what says what they are cannot be read anywhere. */
  blocksLost(lost: LostBlocks): void;
}

export class Relocator implements Completer {
  readonly #core: FtlCore;
  readonly #log: Log;
  readonly #mender: Mender;
  readonly #host: RelocatorHost;
  readonly #memory: number;
  readonly #unitBytes: number;
  readonly #lanes: Lane[] = [];
  readonly #header = new UnitHeader();
  /** 1 for each unit of the band whose summary is nowhere. */
  readonly #lostUnits: Uint8Array;
  #band = NO_BAND;
  /** The next unit of the band. */
  #next = 0;
  #busy = 0;
  /** Bands of which lost blocks are looked for. */
  #telling = 0;
  #stopped = false;
  /** Why the last attempt to move something failed: STALL_*. */
  stall = STALL_NONE;

  constructor(core: FtlCore, log: Log, mender: Mender, host: RelocatorHost) {
    this.#core = core;
    this.#log = log;
    this.#mender = mender;
    this.#host = host;
    this.#unitBytes = core.geometry.unitBlocks * FTL_BLOCK_BYTES;
    this.#lostUnits = new Uint8Array(core.geometry.bandUnits);
    this.#memory = core.reactor.arena.allocate(LANES_MAX * this.#unitBytes);
    for (let lane = 0; lane < LANES_MAX; lane += 1) {
      const memory = this.#memory + lane * this.#unitBytes;
      this.#lanes.push(new Lane(memory, lane, this));
    }
    this.#header.deviceLow = core.deviceLow;
    this.#header.deviceHigh = core.deviceHigh;
  }

  get active(): boolean {
    return this.#band !== NO_BAND;
  }

  /** True when nothing is in flight. */
  get idle(): boolean {
    return this.#telling === 0 && this.#lanes.every(({ state }) => !IN_FLIGHT.includes(state));
  }

  dispose(): void {
    this.#core.reactor.arena.release(this.#memory, LANES_MAX * this.#unitBytes);
  }

  /** Begins nothing any more; what is being moved stays where it is. */
  stop(): void {
    this.#stopped = true;
  }

  // data path

  /** Relocates the best victim. False when there is none, or one is under way. */
  begin(): boolean {
    if (this.#band !== NO_BAND || this.#stopped) return false;
    const band = this.#choose();
    if (band === NO_VICTIM) return false;
    const { bands, geometry, throttle } = this.#core;
    throttle.begin(bands.valid[band]!, geometry.bandUnits * geometry.dataBlocks);
    bands.take(band);
    this.#lostUnits.fill(0);
    this.#band = band;
    this.#next = 0;
    this.pump();
    return true;
  }

  /**
   * The best victim; but one whose blocks all find room, so that it will be empty in the end. Some
   * units are kept for what flushes leave unfilled, and, while an emptied band is about to be free,
   * a whole band: so a crash, which costs room, leaves a start something to go on with.
   */
  #choose(): number {
    const { bands, geometry, writeSequence } = this.#core;
    const kept = UNITS_KEPT + (bands.emptiedCount > 0 ? geometry.bandUnits : 0);
    const room = (this.#log.roomUnits - kept) * geometry.dataBlocks;
    const best = bands.victims.choose(writeSequence);
    if (best === NO_VICTIM || bands.valid[best]! <= room) return best;
    const least = bands.leastValid();
    return least !== NO_VICTIM && bands.valid[least]! <= room ? least : NO_VICTIM;
  }

  /** Goes on where it can. */
  pump(): void {
    this.stall = STALL_NONE;
    if (this.#band === NO_BAND || this.#stopped || this.#core.failureStatus !== 0) return;
    for (let index = 0; index < LANES_MAX; index += 1) {
      const lane = this.#lanes[index]!;
      if (lane.state === MOVES) this.#move(lane);
      else if (lane.state === PICKS || lane.state === MOVES_BLOCK) this.#moveSingly(lane);
      else if (lane.state === IDLE) this.#readNext(lane);
      if (this.stall !== STALL_NONE) return;
    }
    if (this.#busy === 0) this.#end();
  }

  #end(): void {
    const { bands, statistics, throttle } = this.#core;
    const band = this.#band;
    this.#band = NO_BAND;
    throttle.end();
    statistics.bandsRelocated += 1;
    bands.relocated(band);
    if (bands.valid[band] !== 0 && this.#lostUnits.includes(1)) this.#tellLost(band);
    this.#core.wake();
  }

  #readNext(lane: Lane): void {
    const { bands, geometry } = this.#core;
    const band = this.#band;
    // A band in which nothing is valid any more needs no reading.
    if (this.#next >= geometry.bandUnits || bands.valid[band] === 0) return;
    lane.unit = band * geometry.bandUnits + this.#next;
    lane.index = 0;
    this.#next += 1;
    this.#busy += 1;
    lane.state = READS_UNIT;
    this.#read(lane, 0, geometry.unitBlocks);
  }

  /** Reads blocks of the lane's unit from number `first` on to where they belong in memory. */
  #read(lane: Lane, first: number, count: number): void {
    const core = this.#core;
    const { io } = lane;
    io.op = OP_READ;
    io.flags = FLAG_BACKGROUND;
    io.block = core.baseBlock(lane.unit * core.geometry.unitBlocks + first);
    io.blockCount = count * core.factor;
    io.buffer = lane.memory + first * FTL_BLOCK_BYTES;
    core.base.submit(io);
  }

  complete(io: BlockIo): void {
    const lane = this.#lanes[io.cookie]!;
    const { geometry } = this.#core;
    if (lane.state === READS_UNIT && io.status !== OK) {
      lane.state = READS_SUMMARY;
      this.#read(lane, 0, geometry.summaryBlocks);
      return;
    }
    if (lane.state === READS_BLOCK) this.#blockRead(lane);
    else if (io.status !== OK || !this.#isOfBand(lane)) this.#mendSummary(lane);
    else lane.state = lane.state === READS_UNIT ? MOVES : PICKS;
    this.pump();
    this.#core.wake();
  }

  /** The unit belongs to what the band was filled with last. */
  #isOfBand(lane: Lane): boolean {
    const { bands, geometry, reactor } = this.#core;
    const header = this.#header;
    const { u32 } = reactor.arena;
    if (!readHeader(u32, reactor.kernels, geometry, lane.memory, header)) return false;
    if (header.bandSequence !== bands.sequence[this.#band]) return false;
    lane.dataCount = header.dataCount;
    return header.band * geometry.bandUnits + header.unit === lane.unit;
  }

  #release(lane: Lane): void {
    assert(lane.state !== IDLE, 'a lane that is released was busy');
    lane.state = IDLE;
    this.#busy -= 1;
  }

  /** Moves what is valid of a unit in memory; the lane is free then. */
  #move(lane: Lane): void {
    while (lane.index < lane.dataCount) {
      if (!this.#moveEntry(lane)) return;
      lane.index += 1;
    }
    this.#release(lane);
    this.#readNext(lane);
  }

  /** False when the log has no room, or the block has to be mended first. */
  #moveEntry(lane: Lane): boolean {
    const { geometry, reactor } = this.#core;
    const { u32 } = reactor.arena;
    const entry = entryAt(lane.memory, lane.index);
    const block = nameBlock(u32, entry);
    if (!this.#isValid(lane, block)) return true;
    const from = dataAt(geometry, lane.memory, lane.index);
    const crc = entryCrc(u32, entry);
    const sequence = nameSequence(u32, entry);
    const outcome = this.#log.putRelocated(block, sequence, from, crc, this.#band);
    if (outcome === PUT_WRONG) {
      this.#mendBlock(lane);
      return false;
    }
    if (outcome === PUT_STALLED) {
      this.stall = this.#log.stall;
      return false;
    }
    const { bands, throttle } = this.#core;
    throttle.moved(bands.freeCount + bands.emptiedCount);
    return true;
  }

  #isValid(lane: Lane, block: number): boolean {
    const { geometry, l2p } = this.#core;
    if (block >= l2p.blockCount) return false;
    const place = lane.unit * geometry.unitBlocks + geometry.summaryBlocks + lane.index;
    return l2p.get(block) === place;
  }

  // --- block by block ---------------------------------------------------------------------------

  #moveSingly(lane: Lane): void {
    if (lane.state === MOVES_BLOCK) {
      if (!this.#moveEntry(lane)) return;
      lane.index += 1;
      lane.state = PICKS;
    }
    const { geometry, reactor } = this.#core;
    while (lane.index < lane.dataCount) {
      const block = nameBlock(reactor.arena.u32, entryAt(lane.memory, lane.index));
      if (this.#isValid(lane, block)) {
        lane.state = READS_BLOCK;
        this.#read(lane, geometry.summaryBlocks + lane.index, 1);
        return;
      }
      lane.index += 1;
    }
    this.#release(lane);
    this.#readNext(lane);
  }

  #blockRead(lane: Lane): void {
    lane.state = MOVES_BLOCK;
    if (lane.io.status !== OK) this.#mendBlock(lane);
  }

  // end data path

  // --- what is wrong ----------------------------------------------------------------------------

  #mendBlock(lane: Lane): void {
    const back = lane.state;
    lane.state = MENDS;
    const { geometry, reactor } = this.#core;
    const place = lane.unit * geometry.unitBlocks + geometry.summaryBlocks + lane.index;
    const entry = entryAt(lane.memory, lane.index);
    const into = dataAt(geometry, lane.memory, lane.index);
    const work = async (): Promise<void> => {
      const { finding, found } = await this.#mender.block(place, entry, into, true);
      if (finding !== null) this.#mender.note(finding);
      if (finding?.outcome === 'lost') this.#core.statistics.unreadableBlocks += 1;
      lane.state = back === MOVES || found ? back : PICKS;
      if (!found) lane.index += 1;
      this.#goOn();
    };
    reactor.keep(work());
  }

  #mendSummary(lane: Lane): void {
    // With the data of the unit behind it, or without.
    const back = lane.state === READS_UNIT && lane.io.status === OK ? MOVES : PICKS;
    lane.state = MENDS;
    const { geometry, reactor } = this.#core;
    const work = async (): Promise<void> => {
      const { finding, found } = await this.#mender.summary(lane.unit, lane.memory, true);
      if (finding !== null) this.#mender.note(finding);
      if (found && this.#isOfBand(lane)) {
        lane.state = back;
      } else {
        this.#lostUnits[lane.unit - this.#band * geometry.bandUnits] = 1;
        this.#release(lane);
      }
      this.#goOn();
    };
    reactor.keep(work());
  }

  #goOn(): void {
    this.pump();
    this.#core.wake();
  }

  /** The band stays; what in it is behind a summary that is nowhere is in the map alone. */
  #tellLost(band: number): void {
    const core = this.#core;
    const units = this.#lostUnits.slice();
    const work = async (): Promise<void> => {
      const lost = await lostBlocksOf(core, band, units, () => this.#stopped);
      core.statistics.unreadableBlocks += lost.count;
      if (lost.count > 0) this.#host.blocksLost(lost);
      this.#telling -= 1;
      core.wake();
    };
    this.#telling += 1;
    core.reactor.keep(work());
  }
}
