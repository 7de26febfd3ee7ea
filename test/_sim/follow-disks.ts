/**
 * Which disk a slot has, when disks change places: a spare comes into service, a member that was
 * replaced is free for another slot.
 */

import type { SimMedium } from './medium.ts';

/**
 * Puts the disks that are in service by `names` (one per slot, null for none) into their slots, and
 * what they have driven out among the extras. Gives the slots whose disk is another one now.
 */
export function followDisks(
  names: readonly (string | null)[],
  media: SimMedium[],
  extras: SimMedium[],
): number[] {
  const before = media.slice();
  if (names.every((name, slot) => name === null || name === before[slot]!.name)) return [];
  const all = [...media, ...extras];
  // A slot without a member keeps its disk, unless another slot has it by now.
  const stays = (slot: number): boolean =>
    names[slot] === null && !names.includes(before[slot]!.name);
  const free = all.filter(
    (disk) =>
      !names.includes(disk.name) && !before.some((one, slot) => one === disk && stays(slot)),
  );
  names.forEach((name, slot) => {
    if (stays(slot)) return;
    media[slot] = name === null ? free.shift()! : all.find((disk) => disk.name === name)!;
  });
  extras.splice(0, extras.length, ...free);
  return media.flatMap((disk, slot) => (disk === before[slot] ? [] : [slot]));
}
