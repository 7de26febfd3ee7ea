/**
 * Freshly created arrays: createArray is run once for each shape, on disks without cache or faults,
 * and every history of that shape starts from copies of what it wrote.
 */

import { Arena } from '../../src/block/arena.ts';
import { FEATURE_TRIM_ZEROES } from '../../src/block/block-device.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
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
import type { Config, FtlConfig } from './step.ts';
import type { SimArray } from './subject.ts';

export const ARRAY_UUID = '51a51a51-0000-4000-8000-00000000a77a';
const METADATA_BYTES = 2 ** 20;
const CACHE_MAX = 512;
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
  };
}

/** What a rebuild copies at once: some of the array each time. */
export function chunkBytes({ ftl }: Config): number {
  return ftl === null ? 8192 : 65_536;
}

export interface Created {
  /** Of each member, right after creation. */
  readonly contents: readonly SparseBytes[];
  /** Blocks that the user gets: of the FTL where there is one, otherwise of the array. */
  readonly blocks: number;
}

const known = new Map<string, Created>();

export async function created(config: Config): Promise<Created> {
  const { level, members, blockBytes, stripBlocks, dataBlocks, ftl } = config;
  const key = [level, members, blockBytes, stripBlocks, ...dataBlocks, shapeText(ftl)].join(' ');
  let found = known.get(key);
  if (found === undefined) {
    found = await create(config);
    if (known.size >= CACHE_MAX) known.clear();
    known.set(key, found);
  }
  const { contents, blocks } = found;
  return { contents: contents.map((content) => content.clone()), blocks };
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
  const { blockBytes, dataBlocks } = config;
  const arena = new Arena(new ArrayBuffer(4 * 2 ** 20), 0);
  const reactor = new SimulatedReactor({ seed: 1, arena });
  const life = { dead: false };
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
    return new SimDisk(medium, host, new Random(1), { leastUs: 0, mostUs: 0, slowChance: 0 });
  });
  for (const disk of disks) await disk.open(reactor);
  const plan = planOf(config, disks);
  const { ftl } = config;
  const creating = createArray(reactor, plan, disks, { ftl: ftl !== null });
  await drive(reactor, life, creating, 'creating an array');
  const blocks =
    ftl === null
      ? plan.blockCount
      : await drive(reactor, life, makeFtl(reactor, ftl, plan, disks), 'creating an FTL');
  return { contents: disks.map(({ medium }) => medium.now), blocks };
}

/** As src/stack/ftl-plan.ts does it; gives the blocks of the FTL. The disks are closed then. */
export async function makeFtl(
  reactor: Reactor,
  { unitBytes, bandUnits, overProvisioning, pageEntries }: FtlConfig,
  plan: ArrayPlan,
  disks: readonly SimDisk[],
): Promise<number> {
  const array = new RaidArray(planSpec(plan, disks), { membersOpened: true });
  await array.open(reactor);
  try {
    const bandBytes = bandUnits * unitBytes;
    // Units of an earlier FTL on these disks are nobody's.
    const uuid = `0f71f71f-0000-4000-8000-${reactor.random().toString(16).padStart(12, '0')}`;
    const options = { uuid, unitBytes, bandBytes, overProvisioning, pageEntries };
    return (await createFtl(reactor, array, options)).shape.blockCount;
  } finally {
    await array.close();
  }
}
