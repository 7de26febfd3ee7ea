/**
 * Power cuts with every outcome: a history is played up to a cut at its k-th member I/O, and then
 * every combination of the writes that nobody may rely on at that instant is tried, each in a world
 * of its own: lost or kept, and, for a write of several atomic units, either half of it. Where more
 * is open than can be enumerated, combinations are drawn (`drawKept`).
 */

import { Crashed } from './driver.ts';
import type { SimMedium, SimWrite } from './medium.ts';
import { inTurn, type PlayOptions, playUntilCut } from './player.ts';
import { mixSeed, Random } from './random.ts';
import type { History } from './step.ts';
import type { World } from './world.ts';

/** With more open parts than that, combinations are drawn instead of enumerated. */
export const PARTS_MAX = 10;
/** How many are drawn then. */
export const SAMPLES = 64;

export interface Part {
  /** The number of the disk. */
  readonly disk: number;
  readonly write: SimWrite;
  /** Units from here on belong to the part; the first half has the units before. */
  readonly middle: number;
  readonly half: 'whole' | 'first' | 'second';
}

export interface SubsetResult {
  /** False when the history has no such I/O. */
  readonly cut: boolean;
  /** Combinations tried: one even when nothing was open, none when there was no cut. */
  readonly tried: number;
  /** True when they were drawn, because there are too many to try them all. */
  readonly sampled: boolean;
  readonly violation: string | null;
}

export async function trySubsets(
  history: History,
  options: PlayOptions,
  at: number,
): Promise<SubsetResult> {
  const trigger = { kind: 'power' as const, at };
  const { outcome, world } = await playUntilCut(history, { ...options, trigger });
  const { violation } = outcome;
  if (violation !== null) return { cut: true, tried: 0, sampled: false, violation };
  if (world === null) return { cut: false, tried: 0, sampled: false, violation: null };
  const parts = partsOf(world);
  const sampled = parts.length > PARTS_MAX;
  const count = sampled ? SAMPLES : 2 ** parts.length;
  const draw = new Random(mixSeed(history.seed, 4, at));
  for (let number = 0; number < count; number += 1) {
    const kept = sampled
      ? drawKept(parts, number, draw)
      : parts.map((_, bit) => ((number >> bit) & 1) === 1);
    const random = new Random(mixSeed(history.seed, 2, at, number));
    const wrong = await inTurn(() => tryOne(world, parts, kept, random));
    if (wrong === null) continue;
    const texts = parts.filter((_, index) => kept[index]).map(partText);
    const list = texts.length === 0 ? 'nothing' : texts.join(', ');
    const which = `combination ${number} of ${count}${sampled ? ' drawn' : ''}, kept: ${list}`;
    return { cut: true, tried: number + 1, sampled, violation: `${which}: ${wrong}` };
  }
  return { cut: true, tried: count, sampled, violation: null };
}

/**
 * Which of many parts are kept in the combination with this number: nothing, everything, and then
 * in turn each part by chance; each disk wholly or not at all; each disk up to a point in time; all
 * parts but one; one part alone.
 */
export function drawKept(parts: readonly Part[], number: number, random: Random): boolean[] {
  if (number < 2) return parts.map(() => number === 1);
  const way = number % 5;
  if (way < 2) {
    const odd = random.below(parts.length);
    return parts.map((_, index) => (index === odd) === (way === 0));
  }
  const disks = Math.max(...parts.map(({ disk }) => disk)) + 1;
  if (way === 2) {
    const share = random.pick([0.1, 0.5, 0.9]);
    return parts.map(() => random.chance(share));
  }
  const drawn = Array.from({ length: disks }, () => random.below(parts.length + 1));
  if (way === 3) return parts.map(({ disk }) => drawn[disk]! % 2 === 1);
  const seen = new Array<number>(disks).fill(0);
  return parts.map(({ disk }) => {
    seen[disk]! += 1;
    return seen[disk]! <= drawn[disk]! % (countOf(parts, disk) + 1);
  });
}

function countOf(parts: readonly Part[], disk: number): number {
  return parts.filter((part) => part.disk === disk).length;
}

function partsOf(world: World): Part[] {
  const { media, flying } = world.cut!;
  return media.flatMap((medium, disk) => {
    const writes = [...medium.undecided(), ...flying[disk]!];
    return writes.flatMap((write) => halves(medium, disk, write));
  });
}

function halves(medium: SimMedium, disk: number, write: SimWrite): Part[] {
  const { blockBytes, unitBytes } = medium.options;
  const first = Math.floor((write.block * blockBytes) / unitBytes);
  const end = Math.ceil(((write.block + write.blockCount) * blockBytes) / unitBytes);
  const middle = Math.ceil((first + end) / 2);
  if (end - first === 1) return [{ disk, write, middle, half: 'whole' }];
  return [
    { disk, write, middle, half: 'first' },
    { disk, write, middle, half: 'second' },
  ];
}

function partText({ disk, write, half }: Part): string {
  const of = half === 'whole' ? '' : ` (${half} half)`;
  return `write ${write.block}+${write.blockCount} of disk ${disk}${of}`;
}

async function tryOne(
  world: World,
  parts: readonly Part[],
  kept: readonly boolean[],
  random: Random,
): Promise<string | null> {
  const { media, flying } = world.cut!;
  const fork = world.fork(random, media);
  fork.media.forEach((medium, index) => {
    if (medium.away) return;
    medium.cutPower(
      (write, unit) =>
        parts.some(
          (part, bit) =>
            part.write === write &&
            kept[bit] === true &&
            (part.half === 'whole' || (part.half === 'first') === unit < part.middle),
        ),
      flying[index]!,
    );
  });
  try {
    if (!(await fork.start())) return 'it refuses to start';
    await fork.user.readAll();
    await fork.stop();
    fork.checkMembers();
  } catch (error) {
    if (error instanceof Crashed) return fork.violation ?? 'it has died';
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return fork.violation;
}
