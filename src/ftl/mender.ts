/**
 * Mender: looks for what is right where a checksum says that something is wrong.   (control plane)
 *
 * The base may keep its data more than once (block/redundancy.ts). What it returns for a block, or
 * for the summary of a unit, is held against its checksum, one way of reading it after another; the
 * one that is right goes back to the members that have something else. A base without redundancy is
 * asked once more: a read can go wrong once.
 *
 * One at a time, in memory of its own, which is there from the start: what is mended is rare, and
 * must not fail because others have filled the arena. Whoever came upon it decides whether it is
 * told (`note`): a start finds what a crash has torn, which is nobody's fault.
 */

import { FLAG_BACKGROUND, OP_READ } from '../block/block-io.ts';
import { submitStatus } from '../block/control-io.ts';
import type { Mended, MendRequest, Redundancy } from '../block/redundancy.ts';
import { type Finding, type FindingPlace, findingOf } from './finding.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { mendRange } from './mend-range.ts';
import { blockCrc, entryAt, entryCrc, nameBlock, readHeader, UnitHeader } from './unit-format.ts';

export interface MenderHost {
  /** Something is wrong, or was. */
  found(finding: Finding): void;
}

export class Mender {
  readonly #core: FtlCore;
  readonly #redundancy: Redundancy | null;
  readonly #host: MenderHost;
  readonly #memory: number;
  readonly #bytes: number;
  readonly #header = new UnitHeader();
  /** The last that has begun or waits. */
  #turn: Promise<void> = Promise.resolve();

  constructor(core: FtlCore, redundancy: Redundancy | null, host: MenderHost) {
    this.#core = core;
    this.#redundancy = redundancy;
    this.#host = host;
    this.#bytes = 2 * core.geometry.summaryBlocks * FTL_BLOCK_BYTES;
    this.#memory = core.reactor.arena.allocate(this.#bytes);
    this.#header.deviceLow = core.deviceLow;
    this.#header.deviceHigh = core.deviceHigh;
  }

  dispose(): void {
    this.#core.reactor.arena.release(this.#memory, this.#bytes);
  }

  /** Copies of the base that can be read one by one. */
  get copyCount(): number {
    return this.#redundancy?.copyCount ?? 1;
  }

  /** Reads blocks from a place on from one copy of the base; gives a status. */
  readCopy(copy: number, place: number, count: number, at: number): Promise<number> {
    const { factor } = this.#core;
    return this.readBase(copy, this.#core.baseBlock(place), count * factor, at);
  }

  /** The same, in blocks of the base. */
  readBase(copy: number, block: number, count: number, at: number): Promise<number> {
    return this.#redundancy === null
      ? submitStatus(this.#core.base, OP_READ, block, count, at, FLAG_BACKGROUND)
      : this.#redundancy.readCopy(copy, block, count, at);
  }

  /** For what is in no band, in memory of the caller; it is told by the caller, too. */
  mend(request: MendRequest): Promise<Mended> {
    return mendRange(this.#core.base, this.#redundancy, request);
  }

  /**
   * The block at a place, whose entry is at byte `entry` and stays there meanwhile; what is right
   * is left at byte `into`.
   */
  async block(place: number, entry: number, into: number, repair: boolean): Promise<Mending> {
    const { bands, geometry, reactor } = this.#core;
    const band = bands.bandOf(place);
    const number = Math.floor(place / geometry.unitBlocks) - band * geometry.bandUnits;
    const block = nameBlock(reactor.arena.u32, entry);
    const what: FindingPlace = { part: 'block', block, band, number };
    const isRight = (): boolean =>
      blockCrc(reactor.arena, reactor.kernels, entry, this.#memory) ===
      entryCrc(reactor.arena.u32, entry);
    return await this.#inTurn(() => this.#places(what, place, 1, into, repair, isRight));
  }

  /**
   * The same for the summary of a unit, which has to belong to what its band was filled with last,
   * and to name something that the map has there. What a crash has left of a unit that never was
   * stays dead, also where parity would bring it back.
   */
  summary(unit: number, into: number, repair: boolean): Promise<Mending> {
    const { bands, geometry } = this.#core;
    const band = Math.floor(unit / geometry.bandUnits);
    return this.header(unit, into, repair, ({ bandSequence, dataCount }) => {
      return bandSequence === bands.sequence[band] && this.#namesMapped(unit, dataCount);
    });
  }

  /** The same for any summary that lies where it belongs, and that `accepts`. */
  async header(
    unit: number,
    into: number,
    repair: boolean,
    accepts: (header: UnitHeader) => boolean,
  ): Promise<Mending> {
    const { geometry, reactor } = this.#core;
    const { u32 } = reactor.arena;
    const { bandUnits, summaryBlocks, unitBlocks } = geometry;
    const band = Math.floor(unit / bandUnits);
    const number = unit - band * bandUnits;
    const what: FindingPlace = { part: 'summary', block: null, band, number };
    const header = this.#header;
    const isRight = (): boolean =>
      readHeader(u32, reactor.kernels, geometry, this.#memory, header) &&
      header.band === band &&
      header.unit === number &&
      accepts(header);
    const place = unit * unitBlocks;
    return await this.#inTurn(() =>
      this.#places(what, place, summaryBlocks, into, repair, isRight),
    );
  }

  #namesMapped(unit: number, dataCount: number): boolean {
    const { geometry, l2p, reactor } = this.#core;
    const first = unit * geometry.unitBlocks + geometry.summaryBlocks;
    for (let index = 0; index < dataCount; index += 1) {
      const block = nameBlock(reactor.arena.u32, entryAt(this.#memory, index));
      if (block < l2p.blockCount && l2p.get(block) === first + index) return true;
    }
    return false;
  }

  /** Counts and tells what somebody has found. */
  note(finding: Finding): void {
    const { statistics } = this.#core;
    statistics.wrongParts += 1;
    if (finding.outcome === 'repaired') statistics.repairedParts += 1;
    this.#host.found(finding);
  }

  async #places(
    what: FindingPlace,
    place: number,
    count: number,
    into: number,
    repair: boolean,
    isRight: () => boolean,
  ): Promise<Mending> {
    const core = this.#core;
    const mended = await this.mend({
      block: core.baseBlock(place),
      blockCount: count * core.factor,
      buffer: this.#memory,
      repair,
      isRight,
    });
    if (mended.found) core.reactor.kernels.copy(into, this.#memory, count * FTL_BLOCK_BYTES);
    let finding = findingOf(what, mended);
    if (finding?.outcome === 'lost' && !this.#isMissed(what, place)) finding = null;
    return { found: mended.found, finding };
  }

  /**
   * A block that was overwritten meanwhile is not; and what should be a summary may be none: who
   * asked for it knows whether blocks are behind it.
   */
  #isMissed({ part, block }: FindingPlace, place: number): boolean {
    return part === 'block' && this.#core.l2p.get(block!) === place;
  }

  #inTurn(work: () => Promise<Mending>): Promise<Mending> {
    const result = this.#turn.then(work);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }
}

export interface Mending {
  readonly found: boolean;
  /** Null where nothing is wrong any more, or nobody needs it. */
  readonly finding: Finding | null;
}
