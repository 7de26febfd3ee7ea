/**
 * What the ring of an NV cache lies on in the simulator, found, made and given up in the order of
 * src/stack/: one disk, or two of them under an array (find-cache.ts, cache-mirror.ts,
 * make-mirror.ts, cache-base.ts, stack-cache.ts).
 */

import type { BlockDevice } from '../../src/block/block-device.ts';
import { BandstandError } from '../../src/block/errors.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { OffsetDevice } from '../../src/device/offset-device.ts';
import type { FtlCache } from '../../src/ftl/ftl-superblock.ts';
import { wipeCache } from '../../src/nv-cache/create-cache.ts';
import type { ArrayEvent } from '../../src/raid/array-events.ts';
import { assembleArray } from '../../src/raid/assemble.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { wipeDevice } from '../../src/raid/wipe.ts';
import { checkRings, missingCache } from '../../src/stack/find-cache.ts';
import { ManagedSubject } from './managed-subject.ts';
import type { SimDisk } from './sim-disk.ts';
import type { SimArray } from './subject.ts';
import { makeCache, makeCacheMirror } from './template.ts';

export interface CacheBase {
  readonly device: BlockDevice;
  /** Of the cache. */
  readonly uuid: string;
  /** Null for one disk. */
  readonly mirror: ManagedSubject | null;
  close(): Promise<void>;
  /** The cache was detached: takes everything off the disks, as far as they let it. */
  dismiss(): Promise<void>;
  /** The cache did not come into use. */
  abandon(): Promise<void>;
}

const REGION_BYTES = 65_536;
const CHUNK_BYTES = 65_536;
const NAME = 'tank';
/** After these there may be a disk that says it is half of the mirror, and is not. */
const DEPARTURES: ReadonlySet<ArrayEvent['kind']> = new Set([
  'member-failed',
  'member-removed',
  'member-in-service',
]);

async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
  }
}

export class CacheBases {
  readonly #reactor: Reactor;
  readonly #disks: readonly SimDisk[];
  readonly #array: SimArray;
  readonly #whenLeft: () => void;

  /** `disks`: those for an NV cache, closed; `whenLeft`: half of a mirror has gone, or changed. */
  constructor(reactor: Reactor, disks: readonly SimDisk[], array: SimArray, whenLeft: () => void) {
    this.#reactor = reactor;
    this.#disks = disks;
    this.#array = array;
    this.#whenLeft = whenLeft;
  }

  get #isMirrored(): boolean {
    return this.#array.cache!.halves.length > 0;
  }

  /** The cache that the FTL names. Throws BandstandError; then nothing is open. */
  async open(named: FtlCache, degraded: boolean): Promise<CacheBase> {
    const { uuid } = named;
    if (!this.#isMirrored) {
      const [disk] = this.#disks;
      await disk!.open(this.#reactor);
      return this.#ofDisk(disk!, uuid);
    }
    try {
      await this.#find(named, degraded);
    } catch (error) {
      // Or a subject that makes its array would take it for one that is not there.
      const isMissing =
        error instanceof BandstandError && error.code === 'BANDSTAND_ARRAY_NOT_FOUND';
      throw isMissing ? missingCache(NAME, named, null, error) : error;
    }
    return await this.#ofMirror(uuid, degraded);
  }

  /** Looks at the disks before anything is written to them. */
  async #find(wanted: FtlCache, degraded: boolean): Promise<void> {
    const examinations = [];
    for (const disk of this.#disks) {
      await disk.open(this.#reactor);
      try {
        examinations.push(await examineDevice(this.#reactor, disk));
      } finally {
        await disk.close();
      }
    }
    const { slots, superblock } = assembleArray(examinations, {
      uuid: wanted.uuid,
      degraded,
      scan: true,
    });
    const parts = slots.flatMap(({ dataOffset: firstBlock, device }) => {
      const disk = this.#disks.find(({ name }) => name === device);
      return disk === undefined ? [] : [new OffsetDevice(disk, { firstBlock })];
    });
    await checkRings(this.#reactor, { stack: NAME, array: superblock.name, parts }, wanted);
  }

  /** Makes one for the FTL with this UUID. Throws BandstandError; then nothing is open. */
  async make(owner: string): Promise<CacheBase> {
    const reactor = this.#reactor;
    if (!this.#isMirrored) {
      const disk = this.#disks[0]!;
      await disk.open(reactor);
      try {
        return this.#ofDisk(disk, await makeCache(reactor, disk, owner));
      } catch (error) {
        await disk.close();
        throw error;
      }
    }
    const present = this.#present();
    // What an earlier one has left there, who attaches another one has erased first.
    for (const disk of present) await this.#wipe(disk);
    const halves = present.slice(0, 2);
    let uuid = '';
    try {
      for (const disk of halves) await disk.open(reactor);
      uuid = await makeCacheMirror(reactor, halves, owner, []);
    } finally {
      for (const disk of halves) await disk.close();
    }
    try {
      return await this.#ofMirror(uuid, false);
    } catch (error) {
      for (const disk of halves) await attempt(() => this.#wipe(disk));
      throw error;
    }
  }

  /** By name. */
  #present(): SimDisk[] {
    return this.#disks
      .filter(({ gone, medium }) => !gone && !medium.away)
      .toSorted((a, b) => a.name.localeCompare(b.name));
  }

  async #wipe(disk: SimDisk): Promise<void> {
    await disk.open(this.#reactor);
    try {
      await wipeDevice(this.#reactor, disk);
    } finally {
      await disk.close();
    }
  }

  /** It is open. */
  #ofDisk(disk: SimDisk, uuid: string): CacheBase {
    const dismiss = async (): Promise<void> => {
      try {
        await wipeCache(this.#reactor, disk);
      } finally {
        await disk.close();
      }
    };
    const close = (): Promise<void> => disk.close();
    return { device: disk, uuid, mirror: null, close, dismiss, abandon: close };
  }

  async #ofMirror(uuid: string, degraded: boolean): Promise<CacheBase> {
    const { blockBytes } = this.#disks[0]!.geometry;
    const array: SimArray = {
      ...this.#array,
      uuid,
      blockBytes,
      regionBlocks: REGION_BYTES / blockBytes,
      chunkBytes: CHUNK_BYTES,
    };
    const hear = ({ kind }: ArrayEvent): void => {
      if (DEPARTURES.has(kind)) this.#whenLeft();
    };
    const mirror = new ManagedSubject(this.#reactor, this.#present(), array, { hear });
    await mirror.open({ degraded, scan: true, arrayRuns: () => {} });
    const base: CacheBase = {
      device: mirror.device,
      uuid,
      mirror,
      close: () => mirror.close(),
      dismiss: () => this.#dismiss(base),
      abandon: async () => {
        await attempt(() => mirror.close());
        await this.#wipeHalves(uuid);
      },
    };
    return base;
  }

  async #dismiss({ device, mirror, uuid }: CacheBase): Promise<void> {
    try {
      await attempt(() => wipeCache(this.#reactor, device));
    } finally {
      await attempt(() => mirror!.close());
    }
    await this.#wipeHalves(uuid);
  }

  /** Those that still are of this mirror. */
  async #wipeHalves(uuid: string): Promise<void> {
    const reactor = this.#reactor;
    for (const disk of this.#disks) {
      await attempt(async () => {
        await disk.open(reactor);
        try {
          const { label, superblock } = await examineDevice(reactor, disk);
          const found = superblock.value?.uuid ?? label?.arrayUuid;
          if (found === uuid) await wipeDevice(reactor, disk);
        } finally {
          await disk.close();
        }
      });
    }
  }
}
