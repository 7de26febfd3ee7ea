/**
 * Freshly created arrays: createArray is run once for each shape, on disks without cache or faults,
 * and every history of that shape starts from copies of what it wrote.
 */

import { Arena } from '../../src/block/arena.ts';
import {
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import { createCache } from '../../src/nv-cache/create-cache.ts';
import { createArray } from '../../src/raid/create.ts';
import { type ArrayPlan, planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import type { Layout } from '../_helpers/raid-reference.ts';
import { drive } from './driver.ts';
import { SimMedium } from './medium.ts';
import { Random } from './random.ts';
import { SimDisk } from './sim-disk.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import type { CacheConfig, Config, FtlConfig } from './step.ts';
import type { SimArray } from './subject.ts';

/** Of the disk of an NV cache. */
export const CACHE_DISK = '/dev/simcache';
export const ARRAY_UUID = '51a51a51-0000-4000-8000-00000000a77a';
const METADATA_BYTES = 2 ** 20;
const ARENA_BYTES = 4 * 2 ** 20;
const CREATED_MAX = 512;
const FTL_REGION_BYTES = 65_536;

export function memberUuid(index: number): string {
  return `51a51a51-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
}

export function diskName(index: number): string {
  return `/dev/sim${index}`;
}

export function simArray(config: Config): SimArray {
  const layout: Layout = {
    level: config.level,
    strip: config.stripBlocks,
    sizes: config.dataBlocks,
  };
  return {
    uuid: ARRAY_UUID,
    layout,
    blockBytes: config.blockBytes,
    dataOffset: METADATA_BYTES / config.blockBytes,
    depth: config.depth,
    regionBlocks: config.ftl === null ? 16 : FTL_REGION_BYTES / config.blockBytes,
    chunkBytes: chunkBytes(config),
    ftl: config.ftl,
    cache: config.cache,
  };
}

/** What a rebuild copies at once: some of the array each time. */
export function chunkBytes({ ftl }: Config): number {
  return ftl === null ? 8192 : 65_536;
}

export interface Created {
  /** Of each member, right after creation. */
  readonly contents: readonly SparseBytes[];
  /** Of the disk of the NV cache. */
  readonly cacheContent: SparseBytes | null;
  /** Blocks that the user gets: of the FTL where there is one, otherwise of the array. */
  readonly blocks: number;
}

const known = new Map<string, Created>();

export async function created(config: Config): Promise<Created> {
  const { level, members, blockBytes, stripBlocks, dataBlocks, ftl, cache } = config;
  const log = [shapeText(ftl), `${cache?.bytes} ${cache?.blockBytes}`];
  const key = [level, members, blockBytes, stripBlocks, ...dataBlocks, ...log].join(' ');
  let found = known.get(key);
  if (found === undefined) {
    found = await create(config);
    if (known.size >= CREATED_MAX) known.clear();
    known.set(key, found);
  }
  const { contents, cacheContent, blocks } = found;
  return {
    contents: contents.map((content) => content.clone()),
    cacheContent: cacheContent?.clone() ?? null,
    blocks,
  };
}

function shapeText(ftl: FtlConfig | null): string {
  return JSON.stringify(ftl && { ...ftl, survives: null, slotCount: null, checkpointUnits: null });
}

export function planOf(config: Config, disks: readonly SimDisk[]) {
  const { level, blockBytes, stripBlocks } = config;
  return planArray({
    name: 'tank',
    level,
    stripBytes: level === 'raid1' ? null : stripBlocks * blockBytes,
    members: disks,
    superblock: true,
    uuid: ARRAY_UUID,
    memberUuids: disks.map((_, slot) => memberUuid(slot)),
  });
}

async function create(config: Config): Promise<Created> {
  const { blockBytes, cache, dataBlocks } = config;
  const arena = new Arena(new ArrayBuffer(ARENA_BYTES), 0);
  const reactor = new SimulatedReactor({ seed: 1, arena });
  const life = { dead: false };
  const random = new Random(1);
  const calm = { leastUs: 0, mostUs: 0, slowChance: 0 };
  const host = { ioSubmitted: () => null, ioStarted: () => {}, ioDone: () => {} };
  const disks = dataBlocks.map((blocks, index) => {
    const medium = new SimMedium({
      name: diskName(index),
      blockBytes,
      blockCount: METADATA_BYTES / blockBytes + blocks,
      unitBytes: 4096,
      volatileCache: false,
      features: FEATURE_TRIM_ZEROES,
    });
    return new SimDisk(medium, host, random, calm);
  });
  for (const disk of disks) await disk.open(reactor);
  const cacheDisk = cache === null ? null : new SimDisk(cacheMedium(cache), host, random, calm);
  await cacheDisk?.open(reactor);
  const plan = planOf(config, disks);
  const { ftl } = config;
  const creating = createArray(reactor, plan, disks, { ftl: ftl !== null });
  await drive(reactor, life, creating, 'creating an array');
  const blocks =
    ftl === null
      ? plan.blockCount
      : await drive(
          reactor,
          life,
          makeFtl(reactor, ftl, plan, disks, cacheDisk),
          'creating an FTL',
        );
  const contents = disks.map(({ medium }) => medium.now);
  return { contents, cacheContent: cacheDisk?.medium.now ?? null, blocks };
}

/** The disk of an NV cache, as it was made or as it is. */
export function cacheMedium(cache: CacheConfig, content?: SparseBytes): SimMedium {
  const { blockBytes, bytes, nativeFua, unitBytes, volatileCache } = cache;
  return new SimMedium(
    {
      name: CACHE_DISK,
      blockBytes,
      blockCount: bytes / blockBytes,
      unitBytes,
      volatileCache,
      features:
        FEATURE_WRITE_ZEROES |
        (nativeFua ? FEATURE_FUA : 0) |
        (unitBytes >= blockBytes ? FEATURE_ATOMIC_BLOCK : 0),
    },
    content,
  );
}

/** Makes an empty NV cache on an open disk for the FTL with UUID `owner`; gives its own UUID. */
export async function makeCache(reactor: Reactor, disk: SimDisk, owner: string): Promise<string> {
  const uuid = `ca0ca0ca-0000-4000-8000-${reactor.random().toString(16).padStart(12, '0')}`;
  await createCache(reactor, disk, { uuid, owner });
  return uuid;
}

/**
 * As src/stack/create-stack.ts does it; gives the blocks of the FTL. The members are closed then.
 * `cacheDisk` is open; it gets the NV cache.
 */
export async function makeFtl(
  reactor: Reactor,
  { unitBytes, bandUnits, overProvisioning, pageEntries }: FtlConfig,
  plan: ArrayPlan,
  disks: readonly SimDisk[],
  cacheDisk: SimDisk | null,
): Promise<number> {
  const array = new RaidArray(planSpec(plan, disks), { membersOpened: true });
  await array.open(reactor);
  try {
    const bandBytes = bandUnits * unitBytes;
    // Units of an earlier FTL on these disks are nobody's.
    const uuid = `0f71f71f-0000-4000-8000-${reactor.random().toString(16).padStart(12, '0')}`;
    const cache =
      cacheDisk === null ? null : { uuid: await makeCache(reactor, cacheDisk, uuid), epoch: 0 };
    const options = { uuid, unitBytes, bandBytes, overProvisioning, pageEntries, cache };
    return (await createFtl(reactor, array, options)).shape.blockCount;
  } finally {
    await array.close();
  }
}
