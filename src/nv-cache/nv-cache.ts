/**
 * NvCache: a ring of records on a fast device, in front of a slower one.              (data plane)
 *
 * A write is answered when its record is on the cache device, and a flush is one of that device
 * alone. What is overwritten there never reaches the device behind; the rest is drained when the
 * ring fills up. This file is the outside: geometry, life cycle, status. How operations get through
 * is in nv-engine.ts and what it is made of; what a start does is in cache-restore.ts.
 *
 * When the cache device fails, writes wait until what is in the ring has been drained; then they go
 * to the device behind, which is flushed for each of them. `detach` does the same with a cache that
 * is well. When the device behind cannot be written any more, everything that changes something is
 * refused, and reads and flushes go on.
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
import { flushDevice } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import { EPOCHS_MAX } from '../block/log-entry.ts';
import { ProgressMeter } from '../block/progress.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO, OK } from '../block/status.ts';
import { StepRun } from '../block/steps.ts';
import { NOT_CACHED } from './block-map.ts';
import { type CacheContent, cacheContent } from './cache-content.ts';
import { LOST_RANGES_MAX } from './cache-format.ts';
import { CacheRestore, type CacheRestoreReport, type RestoredCache } from './cache-restore.ts';
import { DRAIN_BLOCKS_DEFAULT } from './drainer.ts';
import { lossesTooMany } from './lost-blocks.ts';
import type { NvCacheOptions } from './nv-cache-options.ts';
import { NvCacheStatistics } from './nv-cache-statistics.ts';
import { type NvCacheStatus, nvCacheStatus } from './nv-cache-status.ts';
import {
  type Backing,
  STATE_ONLINE,
  STATE_RETIRING,
  STATE_STOPPED,
  STATE_THROUGH,
} from './nv-core.ts';
import { NvEngine } from './nv-engine.ts';
import { type NvRecovery, nvRecovery } from './nv-recovery.ts';
import { checkBacking, describeCache, outerGeometry } from './outer-geometry.ts';
import { PendingTrims } from './pending-trims.ts';
import { RingSpace } from './ring-space.ts';

const HIGH_MARK_DEFAULT = 0.75;
const LOW_MARK_DEFAULT = 0.7;

export class NvCache implements BlockDevice, DeviceObserver {
  readonly name: string;
  readonly cache: BlockDevice;
  readonly backing: Backing;
  observer: DeviceObserver | null = null;
  readonly #options: NvCacheOptions;
  readonly #readOnly: boolean;
  #reactor: Reactor | null = null;
  #geometry: Geometry | null = null;
  #engine: NvEngine | null = null;
  #restore: CacheRestore | null = null;
  #restored: RestoredCache | null = null;
  #inFlight = 0;
  #closing: Promise<void> | null = null;
  /** While the cache is being retired, and after it. */
  #retirement: Promise<void> | null = null;
  /** Over when no new epoch is being told. */
  #renewal: Promise<unknown> = Promise.resolve();
  #waiters: (() => void)[] = [];

  constructor(cache: BlockDevice, backing: Backing, options: NvCacheOptions) {
    this.name = backing.name;
    this.cache = cache;
    this.backing = backing;
    this.#options = options;
    this.#readOnly = options.readOnly ?? false;
  }

  get geometry(): Geometry {
    assert(this.#geometry !== null, 'a device that is asked for its geometry was opened');
    return this.#geometry;
  }

  /** How far the start is, or what the last one found. */
  get restoreReport(): CacheRestoreReport | null {
    return this.#restore?.report ?? null;
  }

  // --- life cycle -------------------------------------------------------------------------------

  /** Throws BandstandError with a BANDSTAND_CACHE_* code; then nothing is left open. */
  async open(reactor: Reactor): Promise<void> {
    assert(this.#reactor === null, 'a device is opened once');
    this.#reactor = reactor;
    this.#closing = null;
    this.#retirement = null;
    const opening = this.#open(reactor);
    // What leaves a mirror below meanwhile is told when there is a header to tell it in.
    this.#renewal = opening.catch(() => {});
    await opening;
  }

  async #open(reactor: Reactor): Promise<void> {
    let opened = 0;
    const below = this.#options.keepsDevices === true ? [] : [this.backing, this.cache];
    try {
      for (const device of below) {
        await device.open(reactor);
        opened += 1;
      }
      await this.#start(reactor);
    } catch (error) {
      this.#release();
      for (const device of below.slice(0, opened).reverse()) await device.close();
      throw error;
    }
    this.backing.observer = this;
    this.cache.observer = this;
  }

  async #start(reactor: Reactor): Promise<void> {
    const { backing, cache } = this;
    const { epoch = 0, epochBegins = async () => {}, owner, steps, uuid = null } = this.#options;
    checkBacking(backing);
    const restore = new CacheRestore({
      reactor,
      cache,
      backing,
      expected: { owner, uuid, epoch },
      readOnly: this.#readOnly,
      mirror: this.#options.mirror ?? null,
      epochBegins,
    });
    this.#restore = restore;
    try {
      await new StepRun<void>(undefined).run(restore.steps, steps);
    } catch (error) {
      restore.dispose();
      throw error;
    }
    const restored = restore.restored;
    this.#restored = restored;
    this.#engine = this.#assemble(reactor, restored);
    this.#geometry = outerGeometry(cache.geometry, backing.geometry, this.#readOnly);
    this.#engine.runs = !this.#readOnly;
    // There may be something to be drained.
    this.#engine.wake();
  }

  #assemble(reactor: Reactor, restored: RestoredCache): NvEngine {
    const { backing, cache } = this;
    const { drainBlocks, highMark, lowMark } = this.#options;
    const { keeper, lost, map, place, uuid } = restored;
    const ring = new RingSpace(restored.ringBlocks);
    ring.place(place.tail, place.tailSequence);
    for (const { position, length, sequence } of place.records) {
      ring.commit(position, length, sequence);
    }
    ring.found(place.head, place.newestSequence, restored.trimMark);
    const told = {
      trimEnded: (segment: number) => engine.trimEnded(segment),
      trimFailed: (status: number) => {
        engine.backingFailed(status, 'a trim of the device behind it has failed');
      },
    };
    const trims = this.#readOnly
      ? PendingTrims.shown(backing, told, restored.trims)
      : new PendingTrims(backing, told);
    const statistics = new NvCacheStatistics();
    const parts = { reactor, cache, backing, uuid, ring, map, trims, lost, statistics };
    const engine = new NvEngine(parts, {
      keeper,
      highMark: highMark ?? HIGH_MARK_DEFAULT,
      lowMark: lowMark ?? LOW_MARK_DEFAULT,
      drainBlocks: drainBlocks ?? DRAIN_BLOCKS_DEFAULT,
      host: {
        answer: (io, status) => this.#answer(io, status),
        cacheFailed: (_status, reason) => this.#cacheFailed(reason),
        backingFailed: (status, reason) => this.#backingFailed(status, reason),
        settled: () => this.#settled(),
      },
    });
    engine.core.epoch = restored.epoch;
    engine.core.headerEpoch = restored.epoch;
    engine.core.readOnly = this.#readOnly;
    if (!this.#readOnly && !this.#restore!.report.clean) {
      const { recovered = () => {} } = this.#options;
      engine.recovery.begin(ring.tail, ring.head, new ProgressMeter(), recovered);
    }
    return engine;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** A clean stop where that is possible; otherwise the next start scans the whole ring. */
  async #close(): Promise<void> {
    const engine = this.#engine;
    if (this.#reactor === null || engine === null) return;
    await this.#until(() => this.#inFlight === 0);
    await this.#renewal;
    await this.#retirement;
    engine.runs = false;
    this.#settled();
    await this.#until(() => engine.idle);
    let failure: unknown = null;
    const { lost, state } = engine.core;
    if (state === STATE_THROUGH && lost.everLost > 0) await this.#noteMended(engine);
    // Where the header has no room for what was lost, the ring still tells it to the next start.
    if (state === STATE_ONLINE && !this.#readOnly && lost.fits(LOST_RANGES_MAX)) {
      await this.#stopCleanly(engine).catch((error: unknown) => {
        if (!(error instanceof BandstandError)) throw error;
        failure = error;
      });
    }
    this.backing.observer = null;
    this.cache.observer = null;
    this.#release();
    if (this.#options.keepsDevices !== true) {
      await this.cache.close();
      await this.backing.close();
    }
    if (failure !== null) throw failure;
  }

  /** The header may say that all records are whole only when they are durable. */
  async #stopCleanly(engine: NvEngine): Promise<void> {
    const { ring } = engine.core;
    if (this.cache.geometry.volatileCache) await flushDevice(this.cache);
    await this.#restored!.keeper.write({
      ...engine.headerNow(),
      currentAddress: ring.addressOf(ring.head),
      headSequence: ring.committedSequence,
    });
  }

  /** What was lost and has been written again is no error in the next life, if that can be told. */
  async #noteMended(engine: NvEngine): Promise<void> {
    // A list that leaves some out would show older copies of them; the one on record names more.
    if (!engine.core.lost.fits(LOST_RANGES_MAX)) return;
    await this.#restored!.keeper.write(engine.headerLeft()).catch((error: unknown) => {
      // Then an error is given where there is none any more, which is no harm to the data.
      if (!(error instanceof BandstandError)) throw error;
    });
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #settled(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  #release(): void {
    this.#engine?.dispose();
    this.#restored?.keeper.dispose();
    this.#engine = null;
    this.#restored = null;
    this.#reactor = null;
  }

  // --- epochs -----------------------------------------------------------------------------------

  /**
   * The header and the owner get the next epoch: a copy of the cache device that was left behind
   * (half of a mirror) is old then. False: not in use any more, or no room. Throws BandstandError.
   */
  renewEpoch(): Promise<boolean> {
    const renewed = this.#renewal.then(() => this.#renewEpoch());
    this.#renewal = renewed.catch(() => {});
    return renewed;
  }

  async #renewEpoch(): Promise<boolean> {
    const engine = this.#engine;
    if (engine === null || this.#readOnly || this.#closing !== null) return false;
    const [{ core }, { keeper }] = [engine, this.#restored!];
    // Asked again when it is this one's turn: the engine may have begun to write one by then.
    while (keeper.busy) await this.#until(() => !keeper.busy);
    const isUsed = core.state === STATE_ONLINE && core.lost.fits(LOST_RANGES_MAX);
    if (!isUsed || core.headerEpoch >= EPOCHS_MAX) return false;
    core.headerEpoch += 1;
    // The header first: an owner that knows of an epoch which no header has would refuse all.
    // Others wait until it is written, as with any header.
    await keeper.write(engine.headerNow()).finally(() => engine.wake());
    await this.#options.epochBegins?.(core.headerEpoch);
    return true;
  }

  // --- draining and failing ---------------------------------------------------------------------

  /** Resolves when what is in the ring now is durable behind; false: that is not possible. */
  async drainAll(): Promise<boolean> {
    const engine = this.#engine;
    assert(engine !== null && !this.#readOnly, 'a cache that is drained is open for writing');
    engine.drainAll();
    const { core } = engine;
    // A stop that comes meanwhile leaves the rest of it to the next start.
    await this.#until(() => engine.isDrained || core.state >= STATE_THROUGH || !engine.runs);
    return engine.isDrained;
  }

  /**
   * Empties the ring for good: afterwards the cache device is not needed, and writes go to the
   * device behind. Writes wait meanwhile. False: the device behind cannot be written.
   */
  async detach(): Promise<boolean> {
    const engine = this.#engine;
    assert(engine !== null && !this.#readOnly, 'a cache that is detached is open for writing');
    // Most of it leaves the ring while writes go on.
    await this.drainAll();
    if (!engine.runs) return false;
    this.#retire('it is being detached');
    await this.#retirement;
    return engine.core.state === STATE_THROUGH;
  }

  /** The cache device is told of once; what is in the ring is drained. */
  #cacheFailed(reason: string): void {
    const { core } = this.#engine!;
    if (core.isCacheFailed) return;
    core.isCacheFailed = true;
    this.#retire(reason);
    this.observer?.deviceFailed(this.cache, EIO);
  }

  #retire(reason: string): void {
    const { core } = this.#engine!;
    if (this.#retirement !== null || core.state !== STATE_ONLINE) return;
    core.state = STATE_RETIRING;
    core.reason = reason;
    // Where it is being closed, or only read, nothing is drained: a start finds what is there.
    if (!this.#engine!.runs) return;
    this.#retirement = this.#emptyRing(this.#engine!);
    this.#reactor!.keep(this.#retirement);
  }

  async #emptyRing(engine: NvEngine): Promise<void> {
    const { core, drainer, flusher, writer } = engine;
    const { keeper } = this.#restored!;
    engine.wake();
    await this.#until(() => writer.idle && !flusher.busy && !keeper.busy);
    engine.hold();
    engine.drainAll();
    const isOver = () => engine.isDrained && drainer.idle && core.trims.active === 0;
    await this.#until(() => isOver() || core.state === STATE_STOPPED);
    // An owner that is told of an epoch after it was told to forget would not forget.
    await this.#renewal;
    if (core.state === STATE_RETIRING) await this.#leaveRing(engine);
    engine.letGo();
    engine.wake();
  }

  /** Nothing in the ring may count any more when the first write goes past it. */
  async #leaveRing(engine: NvEngine): Promise<void> {
    const { core } = engine;
    const { keeper } = this.#restored!;
    const empty = engine.headerLeft();
    try {
      if (!core.lost.fits(LOST_RANGES_MAX)) throw lossesTooMany(this.cache);
      // Both copies: a start that goes by the other one would put the ring over what came later.
      await keeper.write(empty);
      await keeper.write(empty);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      if (core.lost.count > 0) {
        // Without a cache the next start would show older copies of it.
        this.#backingFailed(EIO, 'its cache has failed, with blocks that nothing else has');
        return;
      }
      const forgotten = this.#options.forget?.().then(
        () => true,
        () => false,
      );
      if ((await forgotten) !== true) {
        this.#backingFailed(EIO, 'its cache is empty, but that cannot be put on record');
        return;
      }
    }
    core.state = STATE_THROUGH;
  }

  /** The device behind cannot be changed any more, nor can this one. */
  #backingFailed(status: number, reason: string): void {
    const engine = this.#engine!;
    const { core } = engine;
    // Without a ring all that it had is durable behind, and who writes is told by that device.
    if (core.state >= STATE_THROUGH) return;
    core.state = STATE_STOPPED;
    core.stoppedStatus = status;
    core.reason = reason;
    this.#reactor!.keep(
      this.#until(() => engine.writer.idle && !engine.flusher.busy).then(() => {
        engine.hold();
        engine.letGo();
      }),
    );
    this.observer?.deviceFailed(this, status);
    engine.wake();
  }

  // --- operations -------------------------------------------------------------------------------

  // data path

  submit(io: BlockIo): void {
    const engine = this.#engine;
    assert(engine !== null && this.#closing === null, 'a device that is submitted to is open');
    assert(checkIo(this.#geometry!, io) === OK, 'the operation fits the device');
    this.#inFlight += 1;
    engine.submit(io);
  }

  /** How many blocks from `block` on are alike: those in the ring hold data. */
  allocationAt(block: number, blockCount: number): number {
    const { map, trims } = this.#engine!.core;
    const isHere = map.get(block) !== NOT_CACHED;
    let run = 1;
    while (run < blockCount && (map.get(block + run) !== NOT_CACHED) === isHere) run += 1;
    if (isHere || this.backing.allocationAt === undefined) return run;
    if (!trims.covers(block)) return this.backing.allocationAt(block, run);
    let zeroes = 1;
    while (zeroes < run && trims.covers(block + zeroes)) zeroes += 1;
    return -zeroes;
  }

  #answer(io: BlockIo, status: number): void {
    this.#inFlight -= 1;
    this.#reactor!.finish(io, status);
    if (this.#inFlight === 0) this.#settled();
  }

  // end data path

  // --- the devices say --------------------------------------------------------------------------

  deviceFailed(device: BlockDevice, status: number): void {
    if (device === this.cache) this.#cacheFailed('the cache device has failed');
    else this.observer?.deviceFailed(this, status);
  }

  /** The cache keeps the size that it was made with, and so does the device behind. */
  deviceResized(_device: BlockDevice): void {}

  deviceOverdue(device: BlockDevice): boolean {
    return device === this.backing && (this.observer?.deviceOverdue(this) ?? false);
  }

  // --- status -----------------------------------------------------------------------------------

  describe(): DeviceDescription {
    return describeCache(this, this.#restored?.keeper.current ?? null);
  }

  /** How the cache is doing; null while it is closed. */
  status(): NvCacheStatus | null {
    const engine = this.#engine;
    if (engine === null) return null;
    return nvCacheStatus(engine, this.#restored!.keeper, this.#restore!.report);
  }

  /** What only it may have; of an open cache. */
  content(): CacheContent {
    return cacheContent(this.#engine!.core, this.#restored!.trims);
  }

  /** How far the start is, or what follows it; null before it, and once the cache is closed. */
  recovery(): NvRecovery | null {
    if (this.#reactor === null || this.#restore === null) return null;
    const { meter, report } = this.#restore;
    const [recovery, ring] = [this.#engine?.recovery ?? null, this.#engine?.core.ring ?? null];
    return nvRecovery({ meter, nowUs: this.#reactor.nowUs(), recovery, report, ring });
  }
}
