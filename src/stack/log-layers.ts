/**
 * LogLayers: what lies on the array of a stack: its FTL, and its NV cache in front. (control plane)
 *
 * The FTL's superblock says whether there is a cache, and which one. The cache is found and opened
 * before the FTL, which then answers writes from ordinary memory: what a crash takes from it is
 * still in the ring.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import type { CacheStatusDocument } from '../control/schema.ts';
import { type FtlIdentity, readFtlIdentity } from '../ftl/ftl-identity.ts';
import { NvCache } from '../nv-cache/nv-cache.ts';
import { redundancyOf } from '../raid/array-copies.ts';
import type { RaidArray } from '../raid/raid-array.ts';
import { cacheDocument } from './cache-document.ts';
import { parseDeviceSpec } from './device-spec.ts';
import { MEMBER_DEADLINE_US, makeLeaf } from './device-tree.ts';
import { findCache } from './find-cache.ts';
import { nameless } from './find-members.ts';
import { FtlLayer } from './ftl-layer.ts';
import type { RememberedCache } from './state-store.ts';
import { stepEvents } from './step-events.ts';
import type { StackEvent, StackPlan } from './worker-messages.ts';

export interface LogLayersSource {
  readonly reactor: Reactor;
  readonly array: RaidArray;
  readonly plan: StackPlan;
  readonly emit: (event: StackEvent) => void;
}

export class LogLayers {
  readonly ftl: FtlLayer;
  /** Null without an NV cache. */
  readonly cache: NvCache | null;
  readonly #path: string | null;

  private constructor(ftl: FtlLayer, cache: NvCache | null, path: string | null) {
    this.ftl = ftl;
    this.cache = cache;
    this.#path = path;
  }

  /** Opens what is below `device`. Throws BandstandError; then nothing is left open. */
  static async prepare(source: LogLayersSource): Promise<LogLayers> {
    const { array, emit, plan, reactor } = source;
    const identity = await readFtlIdentity(reactor, array, redundancyOf(array));
    const discards = identity.cache !== null && plan.discardCache === true;
    if (identity.cache === null || discards) {
      const ftl = new FtlLayer(array, reactor.surviving, { ...plan, discards }, emit);
      if (discards) emit({ event: 'cache-discarded', uuid: identity.cache!.uuid });
      return new LogLayers(ftl, null, null);
    }
    return await LogLayers.#prepareCached(source, identity);
  }

  static async #prepareCached(
    { array, emit, plan, reactor }: LogLayersSource,
    { cache, uuid: owner }: FtlIdentity,
  ): Promise<LogLayers> {
    const { epoch, uuid } = cache!;
    const { readOnly } = plan;
    const path = await findCache(reactor, plan, cache!);
    const spec = nameless(parseDeviceSpec(path));
    const leaf = makeLeaf(spec, { readOnly, deadlineUs: MEMBER_DEADLINE_US });
    await leaf.open(reactor);
    const ftl = new FtlLayer(array, reactor.surviving, { ...plan, isCached: true }, emit);
    try {
      await ftl.device.open(reactor);
    } catch (error) {
      await leaf.close();
      throw error;
    }
    const device = new NvCache(leaf, ftl.device, {
      owner,
      uuid,
      epoch,
      keepsDevices: true,
      readOnly,
      steps: stepEvents(emit),
      epochBegins: (begun) => ftl.device.nameCache({ uuid, epoch: begun }),
      forget: () => ftl.device.nameCache(null),
    });
    return new LogLayers(ftl, device, path);
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
    this.ftl.tellRebuilt();
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
    if (this.cache === null) return;
    try {
      await this.ftl.device.close();
    } finally {
      await this.cache.cache.close();
    }
  }

  /** For status; null without a cache, or while it is closed. */
  document(): CacheStatusDocument | null {
    return this.cache === null ? null : cacheDocument(this.cache, this.#path!);
  }

  /** What is to be told when this device is the cache, and has failed; else null. */
  cacheFailure(device: BlockDevice): StackEvent | null {
    if (this.cache === null || device !== this.cache.cache) return null;
    const why = this.cache.status()?.reason ?? 'it has failed';
    return { event: 'cache-failed', device: this.#path!, why };
  }

  /** Where the cache was found; null without one. */
  remembered(stable: (path: string) => string): RememberedCache | null {
    const uuid = this.cache?.status()?.uuid ?? null;
    return uuid === null ? null : { uuid, path: stable(this.#path!) };
  }
}
