/**
 * Freshly created arrays: createArray is run once for each shape, on disks without cache or faults,
 * and every history of that shape starts from copies of what it wrote.
 */

import { Arena } from '../../src/block/arena.ts';
import { FEATURE_TRIM_ZEROES } from '../../src/block/block-device.ts';
import { createArray } from '../../src/raid/create.ts';
import { planArray } from '../../src/raid/plan.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import type { Layout } from '../_helpers/raid-reference.ts';
import { drive } from './driver.ts';
import { SimMedium } from './medium.ts';
import { Random } from './random.ts';
import { SimDisk } from './sim-disk.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import type { Config } from './step.ts';
import type { SimArray } from './subject.ts';

export const ARRAY_UUID = '51a51a51-0000-4000-8000-00000000a77a';
const METADATA_BYTES = 2 ** 20;
const CACHE_MAX = 512;

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
  };
}

const created = new Map<string, readonly SparseBytes[]>();

/** The content of each member right after creation. */
export async function createdContent(config: Config): Promise<SparseBytes[]> {
  const { level, members, blockBytes, stripBlocks, dataBlocks } = config;
  const key = [level, members, blockBytes, stripBlocks, ...dataBlocks].join(' ');
  let contents = created.get(key);
  if (contents === undefined) {
    contents = await create(config);
    if (created.size >= CACHE_MAX) created.clear();
    created.set(key, contents);
  }
  return contents.map((content) => content.clone());
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

async function create(config: Config): Promise<SparseBytes[]> {
  const { blockBytes, dataBlocks } = config;
  const arena = new Arena(new ArrayBuffer(2 ** 20), 0);
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
  await drive(reactor, life, createArray(reactor, plan, disks), 'creating an array');
  return disks.map(({ medium }) => medium.now);
}
