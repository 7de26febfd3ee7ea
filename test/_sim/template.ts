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
import { CACHE_BLOCK_BYTES } from '../../src/nv-cache/cache-format.ts';
import { createCache } from '../../src/nv-cache/create-cache.ts';
import { createArray } from '../../src/raid/create.ts';
import { type ArrayPlan, planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { makeMirror, planMirror } from '../../src/stack/make-mirror.ts';
import type { Layout } from '../_helpers/raid-reference.ts';
import { drive } from './driver.ts';
import { SimMedium } from './medium.ts';
import { Random } from './random.ts';
import { SimDisk } from './sim-disk.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import type { CacheConfig, Config, FtlConfig, HalfConfig } from './step.ts';
import type { SimArray } from './subject.ts';

/** Of the disk of an NV cache; those of a mirror have a number behind it. */
const CACHE_DISK = '/dev/simcache';
/** Members of the mirror of an NV cache have numbers from here on. */
const FIRST_HALF = 0xcac0;
export const ARRAY_UUID = '51a51a51-0000-4000-8000-00000000a77a';
const METADATA_BYTES = 2 ** 20;
const ARENA_BYTES = 4 * 2 ** 20;
const CREATED_MAX = 512;
const FTL_REGION_BYTES = 65_536;

export function memberUuid(index: number): string {
  return `51a51a51-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
}

export function isCacheDisk(name: string): boolean {
  return name.startsWith(CACHE_DISK);
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
  /** Of each disk of the NV cache. */
  readonly cacheContents: readonly SparseBytes[];
  /** Blocks that the user gets: of the FTL where there is one, otherwise of the array. */
  readonly blocks: number;
}

const known = new Map<string, Created>();

export async function created(config: Config): Promise<Created> {
  const { level, members, blockBytes, stripBlocks, dataBlocks, ftl, cache } = config;
  const log = [shapeText(ftl), `${cache?.bytes} ${cache?.blockBytes} ${cache?.halves.length}`];
  const key = [level, members, blockBytes, stripBlocks, ...dataBlocks, ...log].join(' ');
  let found = known.get(key);
  if (found === undefined) {
    found = await create(config);
    if (known.size >= CREATED_MAX) known.clear();
    known.set(key, found);
  }
  const { contents, cacheContents, blocks } = found;
  return {
    contents: contents.map((content) => content.clone()),
    cacheContents: cacheContents.map((content) => content.clone()),
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
  const cacheDisks = cacheMedia(cache).map((medium) => new SimDisk(medium, host, random, calm));
  for (const disk of cacheDisks) await disk.open(reactor);
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
          makeFtl(reactor, ftl, plan, disks, { cacheDisks, overwrite: [] }),
          'creating an FTL',
        );
  const contents = disks.map(({ medium }) => medium.now);
  return { contents, cacheContents: cacheDisks.map(({ medium }) => medium.now), blocks };
}

/** The disks of an NV cache, as they were made or with these contents. */
export function cacheMedia(
  cache: CacheConfig | null,
  contents: readonly SparseBytes[] = [],
): SimMedium[] {
  if (cache === null) return [];
  const { blockBytes, bytes, halves } = cache;
  if (halves.length === 0) {
    return [cacheMedium(CACHE_DISK, blockBytes, bytes / blockBytes, cache, contents[0])];
  }
  const blocks = (METADATA_BYTES + bytes) / CACHE_BLOCK_BYTES;
  return halves.map((half, index) =>
    cacheMedium(`${CACHE_DISK}${index}`, CACHE_BLOCK_BYTES, blocks, half, contents[index]),
  );
}

function cacheMedium(
  name: string,
  blockBytes: number,
  blockCount: number,
  { nativeFua, unitBytes, volatileCache }: HalfConfig,
  content?: SparseBytes,
): SimMedium {
  return new SimMedium(
    {
      name,
      blockBytes,
      blockCount,
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

function cacheUuid(reactor: Reactor): string {
  return `ca0ca0ca-0000-4000-8000-${reactor.random().toString(16).padStart(12, '0')}`;
}

/** Makes an empty NV cache on an open disk for the FTL with UUID `owner`; gives its own UUID. */
export async function makeCache(reactor: Reactor, disk: SimDisk, owner: string): Promise<string> {
  const uuid = cacheUuid(reactor);
  await createCache(reactor, disk, { uuid, owner });
  return uuid;
}

/** The same on a mirror of two open disks, which are closed then. */
export async function makeCacheMirror(
  reactor: Reactor,
  disks: readonly SimDisk[],
  owner: string,
  overwrite: readonly SimDisk[],
): Promise<string> {
  const uuid = cacheUuid(reactor);
  const plan = planMirror('tank', uuid, disks);
  // The same each time.
  const first = FIRST_HALF + 0x10000 * (reactor.random() & 0xffff);
  const members = plan.members.map((one, slot) => ({ ...one, uuid: memberUuid(first + slot) }));
  await makeMirror(reactor, { ...plan, members }, disks, { owner, overwrite });
  return uuid;
}

export interface FtlCacheDisks {
  /** Open; the first one, or the first two, get the NV cache. */
  readonly cacheDisks: readonly SimDisk[];
  /** Those of which an array may be overwritten. */
  readonly overwrite: readonly SimDisk[];
}

/** Gives its UUID. */
function makeAnyCache(
  reactor: Reactor,
  { cacheDisks, overwrite }: FtlCacheDisks,
  owner: string,
): Promise<string> {
  const [first] = cacheDisks;
  if (cacheDisks.length === 1) return makeCache(reactor, first!, owner);
  return makeCacheMirror(reactor, cacheDisks.slice(0, 2), owner, overwrite);
}

/**
 * As src/stack/create-stack.ts does it; gives the blocks of the FTL. The members are closed then.
 */
export async function makeFtl(
  reactor: Reactor,
  { unitBytes, bandUnits, overProvisioning, pageEntries }: FtlConfig,
  plan: ArrayPlan,
  disks: readonly SimDisk[],
  cache: FtlCacheDisks,
): Promise<number> {
  const array = new RaidArray(planSpec(plan, disks), { membersOpened: true });
  await array.open(reactor);
  try {
    const bandBytes = bandUnits * unitBytes;
    // Units of an earlier FTL on these disks are nobody's.
    const uuid = `0f71f71f-0000-4000-8000-${reactor.random().toString(16).padStart(12, '0')}`;
    const isCached = cache.cacheDisks.length > 0;
    const named = isCached ? { uuid: await makeAnyCache(reactor, cache, uuid), epoch: 0 } : null;
    const options = { uuid, unitBytes, bandBytes, overProvisioning, pageEntries, cache: named };
    return (await createFtl(reactor, array, options)).shape.blockCount;
  } finally {
    await array.close();
  }
}
