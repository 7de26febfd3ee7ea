/**
 * Disks that become larger under an array that is in use.
 */

import { referenceSize } from '../_helpers/raid-reference.ts';
import type { History } from './step.ts';
import type { World } from './world.ts';

/** What the array of a history can grow to: its model has so many blocks from the beginning. */
export function arrayBlocksMax({ config, steps }: History): number {
  const { level, stripBlocks: strip } = config;
  const sizes = [...config.dataBlocks];
  for (const step of steps) if (step.do === 'grow') sizes[step.disk]! += step.blocks;
  return referenceSize({ level, strip, sizes });
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
  await life.until(() => !world.settling, 'growing');
  world.syncHealth();
  const calm = strikes === world.ios.strikes;
  // One that could not write down how large it is changes nothing any more.
  if (!calm) world.ios.crippled = true;
  world.checkSize(!world.ios.crippled && world.slotsOut().length === 0);
}
