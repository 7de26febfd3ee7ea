/**
 * LogLayers: what lies on the array of a stack: its FTL, and its NV cache in front. (control plane)
 *
 * The FTL's superblock says whether there is a cache, and which one. The cache is found and opened
 * before the FTL, which then answers writes from ordinary memory: what a crash takes from it is
 * still in the ring.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { CacheStatusDocument } from '../control/schema.ts';
import { type FtlIdentity, readFtlIdentity } from '../ftl/ftl-identity.ts';
import { NvCache } from '../nv-cache/nv-cache.ts';
import { redundancyOf } from '../raid/array-copies.ts';
import type { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { type CacheBase, closeCacheBase, openCacheBase } from './cache-base.ts';
import { cacheDocument } from './cache-document.ts';
import type { CacheMirror } from './cache-mirror.ts';
import { cacheStepEvents } from './cache-step-events.ts';
import { FtlLayer } from './ftl-layer.ts';
import type { RememberedCache } from './state-store.ts';
import type { StackEvent, StackPlan } from './worker-messages.ts';

export interface LogLayersSource {
  readonly reactor: Ring;
  readonly array: RaidArray;
  readonly plan: StackPlan;
  readonly emit: (event: StackEvent) => void;
  /** Told before the FTL is opened. */
  starting(ftl: FtlLayer): void;
}

export class LogLayers {
  readonly ftl: FtlLayer;
  readonly #source: LogLayersSource;
  /** UUID of the FTL. */
  readonly uuid: string;
  #cache: NvCache | null = null;
  #base: CacheBase | null = null;

  private constructor(source: LogLayersSource, uuid: string, ftl: FtlLayer) {
    this.#source = source;
    this.uuid = uuid;
    this.ftl = ftl;
  }

  /** Null without an NV cache. */
  get cache(): NvCache | null {
    return this.#cache;
  }

  /** What the cache lies on; null without one. */
  get base(): CacheBase | null {
    return this.#base;
  }

  /** Null without an NV cache, and where it is one device. */
  get mirror(): CacheMirror | null {
    return this.#base?.mirror ?? null;
  }

  /** Opens what is below `device`. Throws BandstandError; then nothing is left open. */
  static async prepare(source: LogLayersSource): Promise<LogLayers> {
    const { array, emit, plan, reactor } = source;
    const identity = await readFtlIdentity(reactor, array, redundancyOf(array));
    const discards = identity.cache !== null && plan.discardCache === true;
    if (identity.cache === null || discards) {
      const ftl = new FtlLayer(array, reactor.surviving, { ...plan, discards }, emit);
      source.starting(ftl);
      if (discards) emit({ event: 'cache-discarded', uuid: identity.cache!.uuid });
      return new LogLayers(source, identity.uuid, ftl);
    }
    return await LogLayers.#prepareCached(source, identity);
  }

  static async #prepareCached(
    source: LogLayersSource,
    { cache, uuid: owner }: FtlIdentity,
  ): Promise<LogLayers> {
    const { array, emit, plan, reactor } = source;
    const base = await openCacheBase({ ring: reactor, plan, emit }, cache!);
    const ftl = new FtlLayer(array, reactor.surviving, { ...plan, isCached: true }, emit);
    source.starting(ftl);
    try {
      await ftl.device.open(reactor);
    } catch (error) {
      await closeCacheBase(base);
      throw error;
    }
    const log = new LogLayers(source, owner, ftl);
    log.#put(base, cache!.epoch);
    return log;
  }

  #put(base: CacheBase, epoch: number): NvCache {
    const { device, uuid } = base;
    const ftl = this.ftl.device;
    const { emit } = this.#source;
    const cache: NvCache = new NvCache(device, ftl, {
      owner: this.uuid,
      uuid,
      epoch,
      keepsDevices: true,
      readOnly: this.#source.plan.readOnly,
      steps: cacheStepEvents(emit, () => cache.recovery()),
      recovered: () => {
        const { lostBlocks = 0, totalBlocks: blocks = 0 } = cache.recovery() ?? {};
        emit({ event: 'cache-recovered', blocks, lostBlocks });
      },
      mirror: base.mirror?.device ?? null,
      epochBegins: (begun) => ftl.nameCache({ uuid, epoch: begun }),
      forget: () => ftl.nameCache(null),
    });
    this.#cache = cache;
    this.#base = base;
    if (base.mirror !== null) base.mirror.whenLeft = () => this.#renewEpoch(cache);
    return cache;
  }

  /** What has left the mirror is old from now on, also for a start that is told to do without. */
  #renewEpoch(cache: NvCache): void {
    const { emit, reactor } = this.#source;
    const failed = (error: unknown): void => {
      if (!(error instanceof BandstandError)) throw error;
      const message = `NV cache: a device that has left it is not marked as old: ${error.message}`;
      emit({ event: 'warning', message });
    };
    reactor.keep(cache.renewEpoch().then(() => {}, failed));
  }

  /**
   * The FTL is open and nothing is in flight. Throws BandstandError; then it has no cache, but for
   * what `mayName` says.
   */
  async attach(reactor: Ring, made: CacheBase): Promise<BlockDevice> {
    const ftl = this.ftl.device;
    await ftl.nameCache({ uuid: made.uuid, epoch: 0 });
    const cache = this.#put(made, 0);
    try {
      await cache.open(reactor);
    } catch (error) {
      this.#forgetCache();
      // Where that fails, too, nobody knows what the FTL says: why it came to that is told.
      await ftl.nameCache(null).catch((failure: unknown) => {
        if (!(failure instanceof BandstandError)) throw failure;
      });
      throw error;
    }
    ftl.setCached(true);
    return cache;
  }

  /**
   * After an attach that has failed: the FTL's superblock may name this cache all the same. Only
   * the next start can tell, and must find the cache as it is.
   */
  mayName(uuid: string): boolean {
    return this.ftl.device.mayName(uuid);
  }

  /** The cache is empty and nothing is in flight. Gives what it lies on, which is open. */
  async detach(): Promise<CacheBase> {
    const ftl = this.ftl.device;
    const [cache, base] = [this.#cache!, this.#base!];
    await ftl.nameCache(null);
    await cache.close();
    ftl.setCached(false);
    this.#forgetCache();
    return base;
  }

  #forgetCache(): void {
    this.#cache = null;
    this.#base = null;
  }

  /** What the user of the stack sees. */
  get device(): BlockDevice {
    return this.cache ?? this.ftl.device;
  }

  /** `open` opens `device` and whatever is on it. Throws what it throws; nothing is open then. */
  async openTop(open: (device: BlockDevice) => Promise<void>): Promise<void> {
    try {
      await open(this.device);
    } catch (error) {
      await this.#closeBelow();
      throw error;
    }
    this.ftl.tellRestored();
  }

  /** Closes everything. */
  async closeTop(top: BlockDevice): Promise<void> {
    try {
      await top.close();
    } finally {
      await this.#closeBelow();
    }
  }

  async #closeBelow(): Promise<void> {
    const base = this.#base;
    if (base === null) return;
    try {
      await this.ftl.device.close();
    } finally {
      await closeCacheBase(base);
    }
  }

  /** For status; null without a cache, or while it is closed. */
  document(): CacheStatusDocument | null {
    return this.cache === null ? null : cacheDocument(this.cache, this.#base!);
  }

  /** What is to be told when this device is the cache, and has failed; else null. */
  cacheFailure(device: BlockDevice): StackEvent | null {
    if (this.cache === null || device !== this.cache.cache) return null;
    const why = this.cache.status()?.reason ?? 'it has failed';
    return { event: 'cache-failed', device: this.#base!.name, why };
  }

  /** What is to be told when the stack has failed because of its cache; else null. */
  cacheLoss(): StackEvent | null {
    const document = this.document();
    if (document?.health !== 'failed' || this.ftl.readOnlyReason !== null) return null;
    return {
      event: 'cache-lost',
      device: document.device,
      why: document.reason ?? 'it has failed',
    };
  }

  /** Where the cache was found; null without one. */
  remembered(stable: (path: string) => string): RememberedCache | null {
    const base = this.#base;
    if (base === null) return null;
    const { mirror, name, uuid } = base;
    if (mirror !== null) return mirror.remembered(stable);
    return { uuid, path: stable(name), members: [], spares: [] };
  }
}
