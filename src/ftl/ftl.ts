/**
 * Ftl: a log-structured block device over another one.                                (data plane)
 *
 * Random writes become whole write units, written one after the other; so a base that takes full
 * stripes only (raid5f) can be written block by block on top, and a unit that a crash has torn is
 * noticed and left out. This file is the outside: geometry, life cycle, status. How operations get
 * through is in ftl-engine.ts and what it is made of; what a start does is in restore.ts.
 *
 * The device is thin: what was never written, or was trimmed, takes no space and reads as zeroes.
 *
 * When it cannot go on (a flush of the base has failed, too many writes in a row, the superblock
 * cannot be written) it keeps answering reads, refuses every change with the status that was the
 * reason, and tells its observer once.
 */

import { assert } from '../block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceDescription,
  type DeviceObserver,
  type Geometry,
} from '../block/block-device.ts';
import type { BlockIo } from '../block/block-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { SpaceUser } from '../block/live-ranges.ts';
import type { Reactor } from '../block/reactor.ts';
import type { Redundancy } from '../block/redundancy.ts';
import type { Settling } from '../block/settling.ts';
import { OK } from '../block/status.ts';
import { type StepObserver, StepRun } from '../block/steps.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';
import { FtlCheck, type FtlCheckOptions, type FtlCheckReport } from './check.ts';
import { MetadataCheck } from './check-metadata.ts';
import type { Finding } from './finding.ts';
import { FtlEngine } from './ftl-engine.ts';
import { type FtlStatus, ftlStatus } from './ftl-status.ts';
import type { FtlCache, FtlSuperblock } from './ftl-superblock.ts';
import { deriveGeometry, FTL_BLOCK_BYTES, type FtlGeometry, type FtlShape } from './geometry.ts';
import { type FtlGrowth, growFtl, grownShape } from './growth.ts';
import { LiveBands } from './live-bands.ts';
import { SLOTS_FOR_RELOCATION } from './log.ts';
import type { LostBlocks } from './lost-blocks.ts';
import { outerGeometry } from './outer-geometry.ts';
import { Restore, type RestoreReport } from './restore.ts';
import { readSuperblock, SuperblockKeeper } from './superblock-io.ts';
import { refuseForeignBuffer } from './survivors.ts';
import { bufferBytes, SLOTS_MAX } from './write-buffer.ts';
import { WrittenUnits } from './written-units.ts';

const SLOTS_DEFAULT = 32;
/** Large stripes make large units: fewer of them then. */
const BUFFER_BYTES_AIM = 64 * 2 ** 20;
/** A checkpoint is due when so much of the device's size was written since the last one. */
const CHECKPOINT_SHARE = 0.1;
const CHECKPOINT_UNITS_LEAST = 64;
const CHECKPOINT_BYTES_MAX = 64 * 2 ** 30;
/** What is not flushed is read, verified and written again by a start: at most so much. */
const FLUSH_BYTES = 128 * 2 ** 20;

export interface FtlOptions {
  /** The caller has opened the base; `close` closes it. */
  readonly baseOpened?: boolean;
  /** The caller has opened the base and closes it, too. */
  readonly baseKept?: boolean;
  /** Null: the write buffer dies with the process, and writes wait for the base. */
  readonly buffer?: SurvivingMemory | null;
  /** Identifies the time since the machine was started; null: a lost buffer is not noticed. */
  readonly bootId?: string | null;
  /** Goes on where the write buffer of a killed process is gone or cannot be taken over. */
  readonly discardBuffer?: boolean;
  /**
   * A cache above keeps what was written until it is settled: writes are answered at once, though
   * the write buffer dies with the process.
   */
  readonly isCached?: boolean;
  /** The NV cache that the superblock names is given up, with all that only it has. */
  readonly discardsCache?: boolean;
  /** Units that the write buffer holds, where it is not given. */
  readonly slotCount?: number;
  readonly checkpointUnits?: number;
  /** Units after which the base is flushed, if nobody has asked for that. */
  readonly flushUnits?: number;
  /**
   * Where the units of this life are numbered from, below 2^31. A random number, where the base can
   * get members that were used apart from it: two lives that began alike then differ in this.
   */
  readonly firstUnit?: number;
  /** Nothing is written to the base: what a start has to do is done in memory. */
  readonly readOnly?: boolean;
  /** Makes the map anew, from units alone. */
  readonly rebuildMap?: boolean;
  /** Told about each step of a start. */
  readonly steps?: StepObserver;
  /** The base keeps its data more than once: what is wrong in it can be mended. */
  readonly redundancy?: Redundancy | null;
  /** Told about what is not as its checksum says, and what became of it. */
  readonly found?: (finding: Finding) => void;
  /** Told about blocks that relocation cannot move, because nothing says what they are. */
  readonly blocksLost?: (lost: LostBlocks) => void;
}

export class Ftl implements BlockDevice, DeviceObserver, Settling {
  readonly name: string;
  readonly base: BlockDevice;
  observer: DeviceObserver | null = null;
  readonly #options: FtlOptions;
  #baseOpened: boolean;
  readonly #baseKept: boolean;
  readonly #readOnly: boolean;
  #reactor: Reactor | null = null;
  #geometry: Geometry | null = null;
  #engine: FtlEngine | null = null;
  #keeper: SuperblockKeeper | null = null;
  #report: RestoreReport | null = null;
  #space: SpaceUser | null = null;
  /** Memory that was allocated here: position and bytes. */
  #memory: { readonly at: number; readonly bytes: number } | null = null;
  #check: FtlCheck | null = null;
  #growth: FtlGrowth | null = null;
  #namesBuffer = false;
  #inFlight = 0;
  #closing: Promise<void> | null = null;
  #drained: (() => void) | null = null;

  constructor(base: BlockDevice, options: FtlOptions = {}) {
    this.name = base.name;
    this.base = base;
    this.#options = options;
    this.#baseKept = options.baseKept ?? false;
    this.#readOnly = options.readOnly ?? false;
    this.#baseOpened = options.baseOpened ?? this.#baseKept;
  }

  get geometry(): Geometry {
    assert(this.#geometry !== null, 'a device that is asked for its geometry was opened');
    return this.#geometry;
  }

  /** What the last start found. */
  get restoreReport(): RestoreReport | null {
    return this.#report;
  }

  /** What the last start has made of a base that had grown; null: nothing. */
  get growth(): FtlGrowth | null {
    return this.#growth;
  }

  /** The base says that the write buffer exists: it must not vanish, whether a start succeeds. */
  get namesBuffer(): boolean {
    return this.#namesBuffer;
  }

  /** What it needs of its base; null until a start is complete. */
  get space(): SpaceUser | null {
    return this.#space;
  }

  // --- life cycle -------------------------------------------------------------------------------

  /** Throws BandstandError with a BANDSTAND_FTL_* code; then nothing is left open. */
  async open(reactor: Reactor): Promise<void> {
    assert(this.#reactor === null, 'a device is opened once');
    if (!this.#baseOpened) await this.base.open(reactor);
    this.#reactor = reactor;
    this.#closing = null;
    this.#space = null;
    try {
      await this.#start(reactor);
    } catch (error) {
      this.#release();
      if (!this.#baseKept) await this.base.close();
      throw error;
    }
    this.#baseOpened = this.#baseKept;
    this.base.observer = this;
  }

  async #start(reactor: Reactor): Promise<void> {
    const { base } = this;
    const readOnly = this.#readOnly;
    const { firstUnit = 0, rebuildMap: rebuild = false, redundancy = null } = this.#options;
    const found = await readSuperblock(reactor, { base, redundancy, readOnly });
    this.#refuseWithoutCache(found.superblock);
    const keeper = new SuperblockKeeper(reactor, base, found.superblock);
    this.#keeper = keeper;
    const { bootId = null, buffer = null, discardBuffer = false, steps } = this.#options;
    const { uuid } = found.superblock;
    if (buffer?.isAdopted) refuseForeignBuffer(reactor, base.name, uuid, buffer, discardBuffer);
    const answersAtOnce = buffer !== null || this.#options.isCached === true;
    // Where a copy is damaged the other was durable before that was begun, and may be all there is.
    if (found.isSound && !readOnly) await keeper.confirm();
    if (!readOnly) this.#growth = await this.#grow(reactor, keeper);
    const geometry = deriveGeometry(keeper.current.shape);
    const { memory, slotCount } = this.#placeBuffer(reactor, geometry);
    const engine = new FtlEngine({
      reactor,
      base,
      geometry,
      redundancy,
      keeper,
      memory,
      slotCount,
      answersAtOnce,
      checkpointUnits: this.#options.checkpointUnits ?? checkpointUnits(geometry),
      flushUnits: this.#options.flushUnits ?? flushUnits(geometry),
      host: {
        answer: (io, status) => this.#answer(io, status),
        answerNow: (io, status) => this.#answerNow(io, status),
        failed: (status) => this.observer?.deviceFailed(this, status),
        settled: () => this.#settled(),
        found: (finding) => this.#options.found?.(finding),
        blocksLost: (lost) => this.#options.blocksLost?.(lost),
      },
    });
    this.#engine = engine;
    if (readOnly) engine.core.openReadOnly();
    const { core, log, mender } = engine;
    const survived = buffer?.isAdopted === true ? buffer : null;
    const boot = { bootId, discardBuffer, survived, steps };
    const parts = { core, log, mender, keeper, firstUnit, readOnly, rebuild, ...boot };
    const restore = new Restore(parts);
    try {
      await new StepRun<void>(undefined).run(restore.steps, steps);
    } finally {
      restore.dispose();
    }
    // From here on what was decided holds, and the write buffer belongs to this life. It is one
    // before the superblock says so; what an earlier life had left in it is flushed by now.
    if (!readOnly) {
      core.buffer.format(uuid, core.epoch);
      this.#namesBuffer = buffer !== null;
      await engine.checkpointer.write(false, { bufferBoot: buffer === null ? null : bootId });
      if (this.#options.discardsCache === true) await engine.checkpointer.nameCache(null);
    }
    for (const finding of found.findings) mender.note(finding);
    this.#report = restore.report;
    this.#geometry = outerGeometry(base.geometry, geometry, answersAtOnce, readOnly);
    engine.durability.begin();
    engine.runs = true;
    this.#space = {
      liveRanges: new LiveBands(engine.core, keeper),
      writtenRanges: () => WrittenUnits.find(engine.core, () => engine.runs),
    };
  }

  /** Without its cache a device would show what has long been overwritten. */
  #refuseWithoutCache({ cache }: FtlSuperblock): void {
    const { discardsCache = false, isCached = false } = this.#options;
    if (cache === null || isCached || discardsCache) return;
    throw new BandstandError('BANDSTAND_FTL_CACHE', {
      message: `cannot open the log-structured device on ${this.base.name} without its NV cache (${cache.uuid}), which may hold newer data`,
      hint: 'bring the cache device back; or give up what only the cache has, with --discard-cache',
      details: { device: this.base.name, cache: cache.uuid },
    });
  }

  /** Null when the base is no larger, or the write buffer would be too small. */
  async #grow(reactor: Reactor, keeper: SuperblockKeeper): Promise<FtlGrowth | null> {
    const shape = grownShape(this.base.geometry, keeper.current.shape);
    const buffer = this.#options.buffer ?? null;
    if (shape === null) return null;
    const geometry = deriveGeometry(shape);
    const isHeld = buffer === null || slotsIn(buffer, geometry) >= slotsLeast(geometry);
    return isHeld ? await growFtl(reactor, this.base, keeper, shape) : null;
  }

  #placeBuffer(reactor: Reactor, geometry: FtlGeometry) {
    const least = slotsLeast(geometry);
    const given = this.#options.buffer ?? null;
    // What another process has left is not touched by one that only reads.
    if (given !== null && !this.#readOnly) {
      const slotCount = slotsIn(given, geometry);
      if (slotCount >= least) return { memory: given.at, slotCount };
      throw new BandstandError('BANDSTAND_FTL_BUFFER', {
        message: `cannot use a write buffer of ${given.bytes} bytes for ${this.name}: it holds ${slotCount} units, ${least} are needed`,
        hint: `make it ${bufferBytes(geometry, least)} bytes or more`,
        details: { bytes: given.bytes, units: slotCount, units_least: least },
      });
    }
    const fits = Math.floor(BUFFER_BYTES_AIM / (geometry.unitBlocks * FTL_BLOCK_BYTES));
    const wanted = this.#options.slotCount ?? Math.min(SLOTS_DEFAULT, fits);
    // Nothing is ever put into that of a device that is only read.
    const slotCount = this.#readOnly ? 1 : Math.max(least, wanted);
    const bytes = bufferBytes(geometry, slotCount);
    const at = reactor.arena.allocate(bytes);
    this.#memory = { at, bytes };
    return { memory: at, slotCount };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** A clean stop where that is possible; otherwise the next start finds it dirty. */
  async #close(): Promise<void> {
    const engine = this.#engine;
    if (this.#reactor === null || engine === null) return;
    this.#check?.stop();
    await this.#until(() => this.#inFlight === 0 && this.#check === null);
    engine.runs = false;
    engine.relocator.stop();
    await engine.checkpointer.settled();
    await this.#until(() => engine.idle);
    let failure: unknown = null;
    if (engine.core.failureStatus === 0) {
      await engine.checkpointer.finish().catch((error: unknown) => {
        if (!(error instanceof BandstandError)) throw error;
        failure = error;
      });
      await this.#until(() => engine.idle);
      if (failure === null) {
        // Nothing is left in it that the base lacks.
        engine.core.buffer.wipe();
        this.#options.buffer?.discard();
      }
    }
    this.base.observer = null;
    this.#release();
    if (!this.#baseKept) await this.base.close();
    if (failure !== null) throw failure;
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
  }

  #settled(): void {
    const drained = this.#drained;
    this.#drained = null;
    drained?.();
  }

  #release(): void {
    this.#engine?.dispose();
    this.#keeper?.dispose();
    this.#keeper = null;
    this.#engine = null;
    if (this.#memory !== null) this.#reactor!.arena.release(this.#memory.at, this.#memory.bytes);
    this.#memory = null;
    this.#reactor = null;
  }

  // --- for a cache above -----------------------------------------------------------------------

  /** A cache above keeps what is not settled from now on, or does so no more. */
  setCached(isCached: boolean): void {
    const { writer } = this.#engine!;
    writer.answersAtOnce = isCached || (this.#options.buffer ?? null) !== null;
  }

  /** What the superblock says of its NV cache. */
  get cache(): FtlCache | null {
    return this.#keeper!.current.cache;
  }

  /** The superblock names this cache, or none; durable when it resolves. Throws BandstandError. */
  nameCache(cache: FtlCache | null): Promise<void> {
    return this.#engine!.checkpointer.nameCache(cache);
  }

  /** The base may say that it has this cache; also where nobody knows: writing it has failed. */
  mayName(uuid: string): boolean {
    return this.#keeper?.mayName(uuid) ?? true;
  }

  get acceptedMark(): number {
    return this.#engine!.core.writeSequence;
  }

  get settledMark(): number {
    return this.#engine!.durability.settledMark;
  }

  settle(): Promise<void> {
    return this.#engine!.settle();
  }

  // --- operations -------------------------------------------------------------------------------

  // data path

  submit(io: BlockIo): void {
    const engine = this.#engine;
    assert(engine?.runs === true, 'a device that is submitted to is open');
    assert(checkIo(this.#geometry!, io) === OK, 'the operation fits the device');
    this.#inFlight += 1;
    engine!.submit(io);
  }

  allocationAt(block: number, blockCount: number): number {
    return this.#engine!.core.l2p.alike(block, blockCount);
  }

  #answer(io: BlockIo, status: number): void {
    this.#inFlight -= 1;
    this.#reactor!.finish(io, status);
    if (this.#inFlight === 0) this.#settled();
  }

  #answerNow(io: BlockIo, status: number): void {
    this.#inFlight -= 1;
    io.status = status;
    io.completer.complete(io);
    if (this.#inFlight === 0) this.#settled();
  }

  // end data path

  // --- the base says ----------------------------------------------------------------------------

  deviceFailed(_device: BlockDevice, status: number): void {
    this.observer?.deviceFailed(this, status);
  }

  /** The device keeps its size until it is started again. */
  deviceResized(_device: BlockDevice): void {}

  deviceOverdue(_device: BlockDevice): boolean {
    return this.observer?.deviceOverdue(this) ?? false;
  }

  // --- status -----------------------------------------------------------------------------------

  describe(): DeviceDescription {
    const superblock = this.#keeper?.current ?? null;
    return {
      kind: 'ftl',
      name: this.name,
      children: [this.base.describe()],
      details: {
        uuid: superblock?.uuid ?? null,
        blocks: superblock?.shape.blockCount ?? null,
        unit_blocks: superblock?.shape.unitBlocks ?? null,
        bands: superblock?.shape.bandCount ?? null,
        band_bytes: superblock === null ? null : bandBytes(superblock.shape),
        over_provisioning_percent: superblock?.shape.overProvisioning ?? null,
      },
    };
  }

  /** Reads all that is mapped and verifies it, while the device is in use; `close` ends it. */
  async check(options: FtlCheckOptions = {}): Promise<FtlCheckReport> {
    const engine = this.#engine;
    assert(engine?.runs === true && this.#check === null, 'one check of an open device');
    const { checkpointer, core, mender } = engine!;
    const metadata = new MetadataCheck(core, mender, this.#keeper!, checkpointer);
    const repair = options.repair === true && !this.#readOnly;
    const check = new FtlCheck(core, mender, metadata, { ...options, repair });
    this.#check = check;
    try {
      return await check.run();
    } finally {
      this.#check = null;
      this.#settled();
    }
  }

  /** The check that is under way; null: none. */
  get runningCheck(): Pick<FtlCheck, 'pause' | 'progress' | 'resume' | 'stop'> | null {
    return this.#check;
  }

  /** How the device is doing; null while it is closed. */
  status(): FtlStatus | null {
    return this.#engine === null ? null : ftlStatus(this.#engine.core);
  }
}

/** One to fill for each class, and some on their way. */
function slotsLeast({ classCount }: FtlGeometry): number {
  return classCount + SLOTS_FOR_RELOCATION + 2;
}

/** Units that the memory holds. */
function slotsIn({ bytes }: SurvivingMemory, geometry: FtlGeometry): number {
  let slotCount = Math.min(SLOTS_MAX, Math.floor(bytes / bufferBytes(geometry, 1)));
  while (bufferBytes(geometry, slotCount + 1) <= bytes && slotCount < SLOTS_MAX) slotCount += 1;
  return slotCount;
}

function bandBytes({ bandUnits, unitBlocks }: FtlShape): number {
  return bandUnits * unitBlocks * FTL_BLOCK_BYTES;
}

function checkpointUnits(geometry: FtlGeometry): number {
  const units = (geometry.blockCount * CHECKPOINT_SHARE) / geometry.dataBlocks;
  const most = CHECKPOINT_BYTES_MAX / (geometry.unitBlocks * FTL_BLOCK_BYTES);
  return Math.max(CHECKPOINT_UNITS_LEAST, Math.ceil(Math.min(units, most)));
}

function flushUnits({ unitBlocks }: FtlGeometry): number {
  return Math.max(1, Math.floor(FLUSH_BYTES / (unitBlocks * FTL_BLOCK_BYTES)));
}
