/**
 * What each RAID level is, apart from moving data: names, numbers, limits, sizes.   (control plane)
 *
 * The numbers, sizes and minimum members are SPDK's (module/bdev/raid), so that arrays can be moved
 * between SPDK and bandstand. The superblock codec, planning and assembly use these rules; the data
 * paths are in raid0.ts, raid1.ts, raid5f.ts and concat.ts.
 */

import { assert } from '../block/assert.ts';

export type LevelName = 'raid0' | 'raid1' | 'raid5f' | 'concat';

/** The most slots that a superblock can describe (a one-byte count). */
export const MEMBERS_MAX = 255;

export interface LevelRules {
  readonly name: LevelName;
  /** As stored in the superblock. */
  readonly code: number;
  readonly membersMin: number;
  /** False for raid1, whose strip size is 0. */
  readonly hasStrip: boolean;
  /** True when every member contributes the same number of blocks. */
  readonly equalSizes: boolean;
  /** How many of `members` may be missing while every block can still be read. */
  tolerates(members: number): number;
  /** Blocks for data on each member, from the blocks available on each. */
  dataSizes(available: readonly number[], stripBlocks: number): number[];
  /** Blocks of the array, from the data sizes of its members. */
  arraySize(dataSizes: readonly number[], stripBlocks: number): number;
}

function roundDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

function smallest(values: readonly number[]): number {
  return values.reduce((least, value) => Math.min(least, value), Number.MAX_SAFE_INTEGER);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function smallestForAll(available: readonly number[], stripBlocks: number): number[] {
  const blocks = roundDown(smallest(available), stripBlocks);
  return available.map(() => blocks);
}

const RAID0: LevelRules = {
  name: 'raid0',
  code: 0,
  membersMin: 1,
  hasStrip: true,
  equalSizes: true,
  tolerates: () => 0,
  dataSizes: smallestForAll,
  arraySize: (dataSizes) => smallest(dataSizes) * dataSizes.length,
};

const RAID1: LevelRules = {
  name: 'raid1',
  code: 1,
  membersMin: 2,
  hasStrip: false,
  equalSizes: true,
  tolerates: (members) => members - 1,
  dataSizes: (available) => smallestForAll(available, 1),
  arraySize: (dataSizes) => smallest(dataSizes),
};

const RAID5F: LevelRules = {
  name: 'raid5f',
  code: 0x5f,
  membersMin: 3,
  hasStrip: true,
  equalSizes: true,
  tolerates: () => 1,
  dataSizes: smallestForAll,
  arraySize: (dataSizes, stripBlocks) =>
    roundDown(smallest(dataSizes), stripBlocks) * (dataSizes.length - 1),
};

const CONCAT: LevelRules = {
  name: 'concat',
  code: 99,
  membersMin: 1,
  hasStrip: true,
  equalSizes: false,
  tolerates: () => 0,
  dataSizes: (available, stripBlocks) => available.map((blocks) => roundDown(blocks, stripBlocks)),
  arraySize: (dataSizes) => sum(dataSizes),
};

export const LEVELS: readonly LevelRules[] = [RAID0, RAID1, RAID5F, CONCAT];

export function levelRules(name: LevelName): LevelRules {
  const found = LEVELS.find((level) => level.name === name);
  assert(found !== undefined, 'a level has rules');
  return found;
}

/** The level with this number in a superblock, or null. */
export function levelByCode(code: number): LevelRules | null {
  return LEVELS.find((level) => level.code === code) ?? null;
}

/** A level from what a person wrote, in SPDK's spellings too (`0`, `5f`, any case), or null. */
export function parseLevel(text: string): LevelName | null {
  const lower = text.toLowerCase();
  return LEVELS.find(({ name }) => name === lower || name === `raid${lower}`)?.name ?? null;
}

/** True when the level can still give back every block with `missing` members gone. */
export function survives(level: LevelRules, members: number, missing: number): boolean {
  return missing <= level.tolerates(members);
}

export function isPowerOfTwo(value: number): boolean {
  return value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}
