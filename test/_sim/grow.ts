/**
 * Disks that become larger under an array that is in use, and an FTL that grows with its array.
 */

import { FTL_BLOCK_BYTES } from '../../src/ftl/geometry.ts';
import { referenceSize } from '../_helpers/raid-reference.ts';
import { drawFtlCrash } from './ftl-drill.ts';
import type { Life } from './life.ts';
import type { Random } from './random.ts';
import type { Config, History, Step } from './step.ts';
import type { World } from './world.ts';

/** An array has grown so far that its FTL must, too: rounded, and one band takes its map. */
const BANDS_TO_GROW = 4;

/** What the user's device can grow to: its model has so many blocks from the beginning. */
export function userBlocksMax({ config, steps }: History): number {
  const { blockBytes, ftl, level, stripBlocks: strip } = config;
  const sizes = [...config.dataBlocks];
  for (const step of steps) if (step.do === 'grow') sizes[step.disk]! += step.blocks;
  const blocks = referenceSize({ level, strip, sizes });
  return ftl === null ? blocks : Math.ceil((blocks * blockBytes) / FTL_BLOCK_BYTES);
}

/** After a start: an FTL uses what its array had gained before. */
export function checkFtlSize(world: World): void {
  const { config } = world.options;
  if (config.ftl === null) return;
  const { arrayBlocks, device } = world.subject;
  const { bandUnits, unitBytes } = config.ftl;
  const some = (BANDS_TO_GROW * bandUnits * unitBytes) / config.blockBytes;
  const wrong = world.size.foundFtl(device.geometry.blockCount, arrayBlocks, some);
  if (wrong !== null) world.violate(wrong);
}

/** Steps in which all disks grow, by so many bands of the FTL together, and a start follows. */
export function drawGrowth(random: Random, config: Config): Step[] {
  const { bandUnits, unitBytes } = config.ftl!;
  const { blockBytes, level, members, stripBlocks } = config;
  const bytes = random.between(1, 12) * bandUnits * unitBytes;
  const strips = Math.ceil(bytes / (level === 'raid1' ? 1 : members) / blockBytes / stripBlocks);
  const grows = Array.from({ length: members }, (_, disk): Step => {
    return { do: 'grow', disk, blocks: strips * stripBlocks };
  });
  return [...grows, random.chance(0.5) ? { do: 'restart' } : drawFtlCrash(random, members)];
}

/** In which life each disk has grown last. */
const grownIn = new WeakMap<World, Map<number, Life>>();

/**
 * An array grows by what its members have gained while it was open, see
 * src/raid/growth-keeper.ts: what one gained in an earlier life is room that a superblock may leave
 * on purpose.
 */
function grewTogether(world: World, slot: number): boolean {
  const lives = grownIn.get(world) ?? new Map<number, Life>();
  grownIn.set(world, lives.set(slot, world.life));
  return [...lives.values()].every((life) => life === world.life);
}

/** Waits until the array has made of it what it can, and compares its size. */
export async function growDisk(world: World, slot: number, blocks: number): Promise<void> {
  const { life, media, size } = world;
  const { strikes } = world.ios;
  const medium = media[slot]!;
  medium.grow(blocks);
  size.diskGrew(slot, blocks);
  life.disks.find((disk) => disk.medium === medium)?.grew();
  world.options.trace.say(`${medium.name} has ${blocks} blocks more`);
  // What an administrator has paused goes on when he says so.
  const isOver = () => !world.settling || world.subject.admin?.process?.paused === true;
  await life.until(isOver, 'growing');
  world.syncHealth();
  const calm = strikes === world.ios.strikes;
  // One that could not write down how large it is changes nothing any more.
  if (!calm) world.ios.crippled = true;
  const isPaused = world.settling;
  const isSure = grewTogether(world, slot) && !isPaused;
  world.checkSize(isSure && !world.ios.crippled && world.slotsOut().length === 0);
}
