/**
 * FtlEngine: the parts of an FTL, and what follows when something has changed.        (data plane)
 *
 * Parts wake the engine; at the end of the turn it frees bands, lets writes and relocation go on,
 * begins relocation where free bands are scarce, and, where emptied bands are what everybody waits
 * for, makes durable what keeps them from being free.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { type BlockIo, OP_FLUSH, OP_READ } from '../block/block-io.ts';
import { type Reactor, TurnHook } from '../block/reactor.ts';
import type { Redundancy } from '../block/redundancy.ts';
import { ENOSPC } from '../block/status.ts';
import { UUID_BYTES, uuidBytes } from '../block/uuid.ts';
import { Bands } from './bands.ts';
import { Checkpointer } from './checkpoint.ts';
import { Durability } from './durability.ts';
import { FtlCore, type FtlCoreHost } from './ftl-core.ts';
import { FtlStatistics } from './ftl-statistics.ts';
import type { FtlGeometry } from './geometry.ts';
import { L2p } from './l2p.ts';
import { Log, STALL_BAND, STALL_NONE } from './log.ts';
import { Mender, type MenderHost } from './mender.ts';
import { Placement } from './placement.ts';
import { Reader, type ReaderHost } from './reader.ts';
import { Relocator, type RelocatorHost } from './relocator.ts';
import type { SuperblockKeeper } from './superblock-io.ts';
import { Superseders } from './superseders.ts';
import { Throttle } from './throttle.ts';
import { deviceWords } from './unit-format.ts';
import { WriteBuffer } from './write-buffer.ts';
import { Writer } from './writer.ts';

/** Bands by which relocation is ahead of users: more where there are many, and they are large. */
function bandsAhead(bandCount: number): number {
  return Math.min(6, Math.max(2, Math.floor(bandCount / 250)));
}

export interface EngineOptions {
  readonly reactor: Reactor;
  readonly base: BlockDevice;
  readonly geometry: FtlGeometry;
  /** Of the base, where it has any. */
  readonly redundancy: Redundancy | null;
  readonly keeper: SuperblockKeeper;
  /** Arena position of the write buffer, and its slots. */
  readonly memory: number;
  readonly slotCount: number;
  /** Writes are answered when they are in the write buffer. */
  readonly answersAtOnce: boolean;
  /** Units written after which a checkpoint is due, and after which a flush is. */
  readonly checkpointUnits: number;
  readonly flushUnits: number;
  readonly host: EngineHost;
}

export interface EngineHost extends ReaderHost, RelocatorHost, MenderHost {
  failed(status: number, reason: string): void;
  /** Something has changed: perhaps nothing is in flight any more. */
  settled(): void;
}

export class FtlEngine extends TurnHook implements FtlCoreHost {
  readonly core: FtlCore;
  readonly log: Log;
  readonly durability: Durability;
  readonly reader: Reader;
  readonly writer: Writer;
  readonly mender: Mender;
  readonly relocator: Relocator;
  readonly checkpointer: Checkpointer;
  readonly #host: EngineHost;
  readonly #checkpointUnits: number;
  readonly #flushUnits: number;
  /** Fewer free and emptied bands than this: relocation works. */
  readonly #bandsLow: number;
  /** False until the restore is over, and again when the device is being closed. */
  runs = false;

  constructor(options: EngineOptions) {
    super();
    const { answersAtOnce, base, geometry, host, keeper, memory, reactor, slotCount } = options;
    const placement = new Placement(geometry.bandCount, geometry.classCount);
    this.#host = host;
    this.#checkpointUnits = options.checkpointUnits;
    this.#flushUnits = base.geometry.volatileCache ? options.flushUnits : Number.POSITIVE_INFINITY;
    this.#bandsLow = geometry.relocationBands + bandsAhead(geometry.bandCount);
    this.core = new FtlCore({
      reactor,
      base,
      geometry,
      l2p: new L2p(geometry, reactor),
      bands: new Bands(geometry, placement),
      buffer: new WriteBuffer(reactor, geometry, memory, slotCount),
      device: deviceWords(uuidBytes(keeper.current.uuid).subarray(0, UUID_BYTES)),
      superseders: new Superseders(slotCount, geometry.bandCount, base.geometry.volatileCache),
      throttle: new Throttle(this.#bandsLow, geometry.dataBlocks),
      statistics: new FtlStatistics(),
      host: this,
    });
    this.log = new Log(this.core);
    this.durability = new Durability(this.core, this.log, host);
    this.reader = new Reader(this.core, host);
    this.writer = new Writer(this.core, this.log, this.durability, host, answersAtOnce);
    this.mender = new Mender(this.core, options.redundancy, host);
    this.relocator = new Relocator(this.core, this.log, this.mender, host);
    this.checkpointer = new Checkpointer(this.core, this.log, this.durability, keeper);
  }

  /** Nothing is in flight and nothing is going on. */
  get idle(): boolean {
    const { durability, log, relocator } = this;
    return log.flying === 0 && durability.idle && relocator.idle && !this.checkpointer.running;
  }

  dispose(): void {
    this.relocator.dispose();
    this.mender.dispose();
    this.checkpointer.dispose();
    this.core.l2p.dispose();
  }

  /** As Settling says: what is late is filled with what comes, and the base is flushed. */
  settle(): Promise<void> {
    this.log.fillLate();
    return this.durability.flushMetadata();
  }

  failed(status: number, reason: string): void {
    this.#host.failed(status, reason);
  }

  // data path

  submit(io: BlockIo): void {
    if (io.op === OP_READ) this.reader.submit(io);
    else if (io.op === OP_FLUSH) this.durability.wait(io);
    else this.writer.submit(io);
  }

  wake(): void {
    this.core.reactor.atTurnEnd(this);
  }

  endOfTurn(): void {
    const { bands, checkpointed, superseders } = this.core;
    this.durability.unitsChanged();
    if (bands.emptiedCount > 0) bands.reclaim(superseders, checkpointed);
    if (this.runs) {
      this.writer.nextTurn();
      if (this.core.failureStatus === 0) this.#goOn();
    }
    this.#host.settled();
  }

  #goOn(): void {
    const { bands } = this.core;
    this.relocator.pump();
    if (bands.freeCount + bands.emptiedCount < this.#bandsLow) this.relocator.begin();
    this.#relieve();
    this.#giveUp();
  }

  get #isStalled(): boolean {
    return this.writer.stall === STALL_BAND || this.relocator.stall === STALL_BAND;
  }

  /**
   * Keeps starts short; and makes durable what keeps emptied bands from being free, once somebody
   * waits for them.
   */
  #relieve(): void {
    const { bands, checkpointed, superseders } = this.core;
    const { checkpointer, durability, relocator } = this;
    if (durability.unitsSince >= this.#flushUnits && durability.idle) durability.askFloor();
    const due = checkpointer.unitsSince >= this.#checkpointUnits;
    const wanted = this.#isStalled && bands.emptiedCount > 0;
    if (due || (wanted && bands.waitsForCheckpoint(checkpointed))) checkpointer.ask();
    // While a band is being moved, units fill up by themselves.
    if (!wanted || !durability.idle || (relocator.active && relocator.stall === STALL_NONE)) return;
    const band = bands.waitsForUnits(superseders);
    if (band !== -1) durability.askBand(band);
  }

  /** Nothing can be made free and nothing is going on that could change that. */
  #giveUp(): void {
    if (!this.#isStalled || this.core.bands.emptiedCount > 0) return;
    const { relocator } = this;
    const stuck = !relocator.active || relocator.stall === STALL_BAND;
    if (this.idle && stuck) this.core.fail(ENOSPC, 'no band can be made free');
  }

  // end data path
}
