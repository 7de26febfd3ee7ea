/**
 * Configurations of histories with an FTL. Everything is tiny: units of a few blocks, bands of a
 * few units, and few bands, so that a short history fills them, moves them, and uses them again.
 */

import { FTL_BLOCK_BYTES } from '../../src/ftl/geometry.ts';
import type { Random } from './random.ts';
import type { Config, FtlConfig, LevelName } from './step.ts';

const LEVELS: readonly LevelName[] = [
  'raid0',
  'raid0',
  'raid1',
  'raid1',
  'raid5f',
  'raid5f',
  'concat',
];
const SPARE_CHANCE = 0.4;

/** Everything of a configuration but what the layers below and above the FTL have in common. */
export interface FtlShape {
  readonly level: LevelName;
  readonly members: number;
  readonly stripBytes: number;
  readonly blockBytes: number;
  readonly bandCount: number;
  readonly ftl: FtlConfig;
}

export function drawFtlShape(random: Random, levels = LEVELS): FtlShape {
  const level = random.pick(levels);
  const members = random.between(
    { raid0: 1, concat: 1, raid1: 2, raid5f: 3 }[level],
    { raid0: 3, concat: 2, raid1: 3, raid5f: 4 }[level],
  );
  const stripBytes = random.pick([4096, 8192]);
  const stripe = level === 'raid5f' ? stripBytes * (members - 1) : 4096;
  const aim = random.pick([8192, 16_384, 16_384]);
  return {
    level,
    members,
    stripBytes,
    blockBytes: random.pick([512, 4096]),
    bandCount: random.between(16, 20),
    ftl: {
      unitBytes: Math.ceil(aim / stripe) * stripe,
      bandUnits: random.between(4, 5),
      overProvisioning: random.pick([40, 60, 90]),
      pageEntries: random.pick([16, 64, 4000]),
      checkpointUnits: random.pick([3, 20, 1000]),
      survives: random.chance(0.6),
      slotCount: random.between(8, 12),
    },
  };
}

export function drawSpares(random: Random, level: LevelName): number {
  const redundant = level === 'raid1' || level === 'raid5f';
  return redundant && random.chance(SPARE_CHANCE) ? random.between(1, 2) : 0;
}

/** What `Config` says of the disks of such an array; every other one has `step` strips more. */
export function ftlDisks(
  { level, members, stripBytes, blockBytes, bandCount, ftl }: FtlShape,
  step: number,
): Pick<Config, 'level' | 'members' | 'blockBytes' | 'stripBlocks' | 'dataBlocks' | 'ftl'> {
  const { unitBytes, bandUnits, pageEntries } = ftl;
  const entries = bandUnits * bandCount * (unitBytes / FTL_BLOCK_BYTES);
  // Two superblocks, two slots for each page of the map, and the bands.
  const units = bandUnits * bandCount + 2 * Math.ceil(entries / pageEntries) + 8;
  const over = { raid0: members, concat: members, raid1: 1, raid5f: members - 1 }[level];
  const strips = Math.ceil((units * unitBytes) / over / stripBytes);
  const stripBlocks = stripBytes / blockBytes;
  return {
    level,
    members,
    blockBytes,
    stripBlocks: level === 'raid1' ? 1 : stripBlocks,
    dataBlocks: Array.from(
      { length: members },
      (_, slot) => (strips + (slot % 2) * step) * stripBlocks,
    ),
    ftl,
  };
}
