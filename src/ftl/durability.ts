/**
 * Durability: which units a power cut cannot take any more.                           (data plane)
 *
 * Operations that have to wait for the base gather, and go in rounds. A round seals what they
 * depend on, waits until everything that was sealed before is on the base (units that were in
 * flight anyway are ridden on, not written again), flushes the base once, and answers all of them.
 * What comes meanwhile rides on the next round.
 *
 *   flush, FUA     wait for units and flush
 *   plain write    waits for its unit only; and only where the write buffer dies with the process
 *   barrier        internal: everything, relocated blocks too
 *   metadata       internal: only the flush, for pages and superblocks
 *   band           internal: what an emptied band waits for, and nothing else
 *   floor          internal: only the flush, when none has come for long: what a start has to read,
 *                  verify and write again is what was not flushed
 *
 * A flush of the base that fails is not repeated: what it should have made durable is unknown. From
 * then on the device changes nothing and says why. For the same reason all flushes go through here:
 * one that is under way together with one that fails proves nothing.
 *
 * `durableSequence` (ftl-core.ts) moves at the end of a flush to where the oldest unit in memory
 * was when the flush was submitted. `settledMark` does the same for the writes of users.
 */

import { BlockIo, type Completer, FLAG_FUA, OP_FLUSH } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { TurnHook } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import type { FtlCore } from './ftl-core.ts';
import type { Log } from './log.ts';

const IDLE = 0;
const WAITS_FOR_UNITS = 1;
const FLUSHES = 2;

/** Told when an operation that waited is answered, for the count of what is in flight. */
export interface DurabilityHost {
  answer(io: BlockIo, status: number): void;
}

export class Durability extends TurnHook implements Completer {
  readonly #core: FtlCore;
  readonly #log: Log;
  readonly #host: DurabilityHost;
  readonly #waiting = new BlockIoQueue();
  readonly #riding = new BlockIoQueue();
  readonly #flush = new BlockIo();
  #state = IDLE;
  #needsFlush = false;
  /** Sealing number of the last unit of this round. */
  #target = 0;
  /** Where the floor moves when the flush under way has succeeded. */
  #sequence = 0;
  /** The same for the writes of users, and where it is. */
  #writes = 0;
  #settled = 0;
  /** What has superseded blocks of this band has to become durable; -1: nobody asked. */
  #band = -1;
  /** Who waits for the flush of the next round, and of this one. */
  #nextCallers: (() => void)[] = [];
  #callers: (() => void)[] = [];
  /** The next round seals everything. */
  #sealsAll = false;
  /** A flush is wanted for its own sake. */
  #isFloorAsked = false;
  /** Units on the base when the last flush was submitted. */
  #unitsBefore = 0;

  constructor(core: FtlCore, log: Log, host: DurabilityHost) {
    super();
    this.#core = core;
    this.#log = log;
    this.#host = host;
    this.#flush.op = OP_FLUSH;
    this.#flush.completer = this;
  }

  get idle(): boolean {
    return this.#state === IDLE && this.#waiting.length === 0 && !this.#isAsked;
  }

  /** Resolves when everything that is in the log now is durable, or the device has failed. */
  barrier(): Promise<void> {
    this.#sealsAll = true;
    return this.flushMetadata();
  }

  /** Resolves when what the base has now is durable, or the device has failed. */
  flushMetadata(): Promise<void> {
    return new Promise((resolve) => {
      this.#nextCallers.push(resolve);
      this.#core.reactor.atTurnEnd(this);
    });
  }

  /** The start is complete: all that it has found is durable. */
  begin(): void {
    this.#settled = this.#core.writeSequence;
  }

  /** Writes of users with this sequence, or a lower one, are durable. */
  get settledMark(): number {
    if (!this.#core.base.geometry.volatileCache) return this.#writeFloor();
    return this.#settled;
  }

  // data path

  get #isAsked(): boolean {
    return this.#nextCallers.length > 0 || this.#band !== -1 || this.#isFloorAsked;
  }

  /** Units that came to the base since it was last flushed. */
  get unitsSince(): number {
    return this.#core.statistics.unitsWritten - this.#unitsBefore;
  }

  /** What is on the base becomes durable soon, though nobody waits for it; no unit is sealed. */
  askFloor(): void {
    this.#isFloorAsked = true;
    this.#core.reactor.atTurnEnd(this);
  }

  /** The operation is answered when what it depends on is on the base. */
  wait(io: BlockIo): void {
    this.#waiting.push(io);
    this.#core.reactor.atTurnEnd(this);
  }

  /**
   * What has superseded blocks of the band becomes durable soon. Other units stay open: sealing
   * them would waste what they have room for.
   */
  askBand(band: number): void {
    this.#band = band;
    this.#core.reactor.atTurnEnd(this);
  }

  endOfTurn(): void {
    if (this.#state === IDLE) this.#begin();
  }

  #begin(): void {
    if (this.#waiting.length === 0 && !this.#isAsked) return;
    const band = this.#band;
    this.#needsFlush = this.#isAsked;
    const sealsAll = this.#sealsAll;
    if (this.#nextCallers.length > 0) this.#takeCallers();
    this.#sealsAll = false;
    this.#isFloorAsked = false;
    this.#band = -1;
    const rides = this.#waiting.length > 0;
    for (;;) {
      const io = this.#waiting.shift();
      if (io === null) break;
      if (io.op === OP_FLUSH || (io.flags & FLAG_FUA) !== 0) this.#needsFlush = true;
      this.#riding.push(io);
    }
    if (this.#core.failureStatus === 0) {
      if (sealsAll) this.#log.sealAll();
      if (band !== -1) this.#log.sealSuperseders(band);
      if (rides) this.#log.sealUserUnits();
    }
    this.#target = this.#log.sealings;
    this.#state = WAITS_FOR_UNITS;
    this.unitsChanged();
  }

  /** A unit has come to the base, or the device has failed. */
  unitsChanged(): void {
    const core = this.#core;
    const volatile = core.base.geometry.volatileCache;
    if (!volatile) this.#raiseFloor(this.#floor());
    if (this.#state !== WAITS_FOR_UNITS) return;
    if (core.failureStatus !== 0) {
      this.#end(core.failureStatus);
    } else if (core.buffer.oldestSealing() > this.#target) {
      if (this.#needsFlush && volatile) this.#flushBase();
      else this.#end(OK);
    }
  }

  #flushBase(): void {
    const { base, statistics } = this.#core;
    this.#state = FLUSHES;
    this.#sequence = this.#floor();
    this.#writes = this.#writeFloor();
    this.#unitsBefore = statistics.unitsWritten;
    this.#core.superseders.flushBegins();
    statistics.baseFlushes += 1;
    base.submit(this.#flush);
  }

  /** Units with a lower sequence are on the base now. */
  #floor(): number {
    const { buffer, nextUnitSequence } = this.#core;
    return Math.min(buffer.oldestSequence(), nextUnitSequence);
  }

  /** Writes of users up to this sequence are on the base now. */
  #writeFloor(): number {
    const { buffer, writeSequence } = this.#core;
    return Math.min(buffer.oldestWrite() - 1, writeSequence);
  }

  #raiseFloor(sequence: number): void {
    const core = this.#core;
    core.durableSequence = Math.max(core.durableSequence, sequence);
  }

  complete(io: BlockIo): void {
    if (io.status === OK) {
      this.#raiseFloor(this.#sequence);
      this.#settled = this.#writes;
      this.#core.superseders.flushed();
    } else {
      this.#core.fail(io.status, 'a flush of the device below has failed');
    }
    this.#end(io.status);
  }

  #end(status: number): void {
    for (;;) {
      const io = this.#riding.shift();
      if (io === null) break;
      this.#host.answer(io, status);
    }
    this.#state = IDLE;
    if (this.#callers.length > 0) this.#resolveCallers();
    this.#core.wake();
    this.#core.reactor.atTurnEnd(this);
  }

  // end data path

  #takeCallers(): void {
    this.#callers = this.#nextCallers;
    this.#nextCallers = [];
  }

  #resolveCallers(): void {
    const callers = this.#callers;
    this.#callers = [];
    for (const resolve of callers) resolve();
  }
}
