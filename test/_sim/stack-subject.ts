/**
 * An FTL over a managed array as a subject, with an NV cache in front or without, put together and
 * taken apart as src/stack/stack.ts and log-layers.ts do it: the array waits for the FTL, and
 * copies and compares no more than the FTL uses. The write buffer lies in the reactor's surviving
 * memory, where there is any.
 */

import type { BlockDevice, DeviceObserver } from '../../src/block/block-device.ts';
import { flushDevice } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import type { LiveRanges } from '../../src/block/live-ranges.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { EIO } from '../../src/block/status.ts';
import { StepRun } from '../../src/block/steps.ts';
import type { Finding } from '../../src/ftl/finding.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import { readFtlIdentity } from '../../src/ftl/ftl-identity.ts';
import type { FtlCache } from '../../src/ftl/ftl-superblock.ts';
import { NvCache } from '../../src/nv-cache/nv-cache.ts';
import { redundancyOf } from '../../src/raid/array-copies.ts';
import { type CacheBase, CacheBases } from './cache-base.ts';
import { MANAGED_PROMISES, ManagedSubject } from './managed-subject.ts';
import { SimDisk } from './sim-disk.ts';
import type {
  OpenOptions,
  Promises,
  SimArray,
  Subject,
  SubjectAdmin,
  SubjectCache,
  SubjectHealth,
} from './subject.ts';
import { isCacheDisk } from './template.ts';

export const STACK_PROMISES: Promises = { ...MANAGED_PROMISES, log: true };
export const CACHED_PROMISES: Promises = { ...STACK_PROMISES, cached: true };

/** Units between two flushes that nobody has asked for; the number of slots chooses. */
const FLUSH_UNITS = [2, 7, 1000];
const NOTHING: LiveRanges = { nextLive: () => -1, nextDead: (from) => from };

/** What a check has to expect of a member. */
interface DiskLook {
  readonly disk: SimDisk;
  readonly failures: number;
  /** Some blocks of it cannot be read. */
  readonly isBad: boolean;
}

export class StackSubject implements Subject, DeviceObserver {
  readonly promises: Promises;
  readonly cache: SubjectCache | null;
  readonly #reactor: Reactor;
  readonly #array: ManagedSubject;
  readonly #options: SimArray;
  readonly #steps = new StepRun<StackSubject>(this);
  readonly #bases: CacheBases;
  #ftl: Ftl | null = null;
  #bootId: OpenOptions['bootId'] = '';
  #cacheRuns: OpenOptions['cacheRuns'] = () => {};
  /** Of the FTL. */
  #uuid = '';
  #nvCache: NvCache | null = null;
  /** The same from the moment on at which its start begins. */
  #opening: NvCache | null = null;
  /** What it lies on, open: also before it is in use. */
  #base: CacheBase | null = null;
  #readOnly = false;

  constructor(reactor: Reactor, disks: readonly SimDisk[], options: SimArray) {
    this.#reactor = reactor;
    const members = disks.filter(({ name }) => !isCacheDisk(name));
    this.#array = new ManagedSubject(reactor, members, options, { isBelow: true });
    const others = disks.filter(({ name }) => isCacheDisk(name));
    this.#bases = new CacheBases(reactor, others, options, () => this.#renewEpoch());
    this.#options = options;
    this.promises = options.cache === null ? STACK_PROMISES : CACHED_PROMISES;
    this.cache = options.cache === null ? null : this.#makeCache();
  }

  async open(options: OpenOptions): Promise<void> {
    const surviving = this.#reactor.surviving;
    try {
      await this.#steps.run([
        {
          name: 'Start the array',
          run: (stack) => stack.#array.open(options),
          undo: (stack) => stack.#array.close(),
        },
        {
          name: 'Start the FTL',
          run: (stack) => stack.#startLayers(options),
          undo: (stack) => stack.#closeLayers(),
        },
      ]);
    } catch (error) {
      // Who makes an array after that is the same process here.
      const isNamed = this.#ftl?.namesBuffer === true;
      if (surviving?.isAdopted === false && !isNamed && !options.mayCreate) surviving.discard();
      throw error;
    }
  }

  async #startLayers(options: OpenOptions): Promise<void> {
    this.#bootId = options.bootId;
    this.#cacheRuns = options.cacheRuns;
    const array = this.#array.device;
    const { cache, uuid } = await readFtlIdentity(this.#reactor, array, redundancyOf(array));
    this.#uuid = uuid;
    if (cache === null) await this.#openFtl(false);
    else await this.#openCached(uuid, cache, options);
    this.device.observer = this;
    await this.#array.attachSpace(this.#ftl!.space!);
  }

  async #openFtl(isCached: boolean): Promise<void> {
    const { slotCount, checkpointUnits } = this.#options.ftl!;
    const array = this.#array.device;
    this.#ftl = new Ftl(array, {
      isCached,
      baseKept: true,
      redundancy: redundancyOf(array),
      buffer: this.#reactor.surviving,
      bootId: this.#bootId,
      slotCount,
      checkpointUnits,
      flushUnits: FLUSH_UNITS[slotCount % FLUSH_UNITS.length]!,
      firstUnit: this.#reactor.random() >>> 1,
    });
    await this.#ftl.open(this.#reactor);
  }

  async #openCached(owner: string, named: FtlCache, options: OpenOptions): Promise<void> {
    this.#base = await this.#bases.open(named, options.cacheDegraded);
    this.#cacheRuns();
    try {
      await this.#openFtl(true);
    } catch (error) {
      await this.#closeBase();
      throw error;
    }
    try {
      await this.#openNvCache(owner, named.epoch);
    } catch (error) {
      await this.#closeLayers();
      throw error;
    }
  }

  async #openNvCache(owner: string, epoch: number): Promise<void> {
    const { drainBlocks, highMark, lowMark } = this.#options.cache!;
    const ftl = this.#ftl!;
    const { device, mirror, uuid } = this.#base!;
    const nvCache = new NvCache(device, ftl, {
      owner,
      uuid,
      epoch,
      keepsDevices: true,
      drainBlocks,
      highMark,
      lowMark,
      mirror: mirror?.device ?? null,
      epochBegins: (begun) => ftl.nameCache({ uuid, epoch: begun }),
      forget: () => ftl.nameCache(null),
    });
    this.#opening = nvCache;
    await nvCache.open(this.#reactor);
    this.#nvCache = nvCache;
  }

  /** As LogLayers does it when a device has left the mirror. */
  #renewEpoch(): void {
    const nvCache = this.#opening;
    if (nvCache === null) return;
    const failed = (error: unknown): void => {
      if (!(error instanceof BandstandError)) throw error;
    };
    this.#reactor.keep(nvCache.renewEpoch().then(() => {}, failed));
  }

  async #closeLayers(): Promise<void> {
    try {
      await this.#nvCache?.close();
    } finally {
      try {
        await this.#ftl!.close();
      } finally {
        await this.#closeBase();
      }
    }
  }

  async #closeBase(): Promise<void> {
    const base = this.#base;
    this.#base = null;
    await base?.close();
  }

  #makeCache(): SubjectCache {
    const nvCache = (): NvCache => this.#nvCache!;
    const subject: SubjectCache = {
      inUse: false,
      mirror: null,
      drain: () => nvCache().drainAll(),
      retire: () => this.#retireCache(),
      leave: () => this.#leaveCache(),
      make: () => this.#makeNewCache(),
      join: () => this.#joinCache(),
    };
    Object.defineProperty(subject, 'mirror', { get: () => this.#base?.mirror ?? null });
    return Object.defineProperty(subject, 'inUse', { get: () => this.#nvCache !== null });
  }

  /** As StackCache does it: without the cache nothing would say what was lost with it. */
  async #retireCache(): Promise<boolean> {
    const nvCache = this.#nvCache!;
    const hasLost = (): boolean => nvCache.status()!.lost_blocks > 0;
    return !hasLost() && (await nvCache.detach()) && !hasLost();
  }

  /** As LogLayers and StackCache do it. */
  async #leaveCache(): Promise<void> {
    const ftl = this.#ftl!;
    await ftl.nameCache(null);
    await this.#nvCache!.close();
    ftl.setCached(false);
    this.#nvCache = null;
    this.#opening = null;
    ftl.observer = this;
    const base = this.#base!;
    this.#base = null;
    await base.dismiss();
  }

  async #makeNewCache(): Promise<void> {
    this.#base = await this.#bases.make(this.#uuid);
    this.#cacheRuns();
  }

  async #joinCache(): Promise<void> {
    const ftl = this.#ftl!;
    const made = { uuid: this.#base!.uuid, epoch: 0 };
    try {
      await flushDevice(ftl);
      await ftl.nameCache(made);
      try {
        await this.#openNvCache(this.#uuid, made.epoch);
      } catch (error) {
        this.#opening = null;
        await ftl.nameCache(null).catch((failure: unknown) => {
          if (!(failure instanceof BandstandError)) throw failure;
        });
        throw error;
      }
    } catch (error) {
      const base = this.#base!;
      this.#base = null;
      await (ftl.mayName(base.uuid) ? base.close() : base.abandon());
      throw error;
    }
    ftl.setCached(true);
    this.#nvCache!.observer = this;
  }

  get device(): BlockDevice {
    return this.#nvCache ?? this.#ftl!;
  }

  get arrayBlocks(): number {
    return this.#array.arrayBlocks;
  }

  get admin(): SubjectAdmin {
    return this.#array.admin;
  }

  async check(): Promise<string | null> {
    const before = this.#looks();
    const report = await this.#ftl!.check();
    const after = this.#looks();
    // What has ended all changes may have been the write of a superblock.
    const { readOnly } = this.health();
    const wrong = report.wrong
      .filter(({ part }) => part !== 'superblock' || !readOnly)
      .filter((finding) => !isLatent(finding, before, after));
    return wrong.length === 0 ? null : `wrong blocks: ${JSON.stringify(wrong.slice(0, 3))}`;
  }

  /** Of each member, with the failures that its disk has shown so far. */
  #looks(): (DiskLook | null)[] {
    const { members } = this.#array.device;
    return members.map(({ device }) => {
      if (!(device instanceof SimDisk)) return null;
      return { disk: device, failures: device.failures, isBad: device.medium.bad.size > 0 };
    });
  }

  async compared(): Promise<LiveRanges | null> {
    return (await this.#ftl?.space?.writtenRanges()) ?? NOTHING;
  }

  health(): SubjectHealth {
    return { ...this.#array.health(), readOnly: this.#readOnly };
  }

  deviceFailed(device: BlockDevice): void {
    // Without its NV cache it goes on.
    if (device !== this.#base?.device) this.#readOnly = true;
  }

  deviceResized(): void {}

  deviceOverdue(): boolean {
    return false;
  }

  close(): Promise<void> {
    return this.#steps.undo();
  }
}

/**
 * A member cannot read it, or could not while the check went on, as it may: another one can, which
 * is all that redundancy promises. The member may have left meanwhile.
 */
function isLatent(
  { outcome, slots, status }: Finding,
  before: readonly (DiskLook | null)[],
  after: readonly (DiskLook | null)[],
): boolean {
  const couldNot = (look: DiskLook | null): boolean =>
    look !== null && (look.isBad || look.disk.failures > look.failures);
  const cannot = (slot: number): boolean => couldNot(before[slot]!) || couldNot(after[slot]!);
  return status === EIO && outcome === 'repairable' && slots.every(cannot);
}
