/**
 * Exhaustive power cuts: a history is played up to a cut at its k-th member I/O, and then every
 * combination of the writes that nobody may rely on at that instant is tried, each in a world of
 * its own: lost or kept, and, for a write of several atomic units, either half of it.
 */

import { Crashed } from './driver.ts';
import type { SimMedium, SimWrite } from './medium.ts';
import { inTurn, type PlayOptions, playUntilCut } from './player.ts';
import { mixSeed, Random } from './random.ts';
import type { History } from './step.ts';
import type { World } from './world.ts';

/** More open parts than that are not enumerated. */
export const PARTS_MAX = 10;

interface Part {
  readonly write: SimWrite;
  /** Units from here on belong to the part; the first half has the units before. */
  readonly middle: number;
  readonly half: 'whole' | 'first' | 'second';
}

export interface SubsetResult {
  /** False when the history has no such I/O. */
  readonly cut: boolean;
  /** Combinations tried; 0 when nothing was open, or too much. */
  readonly tried: number;
  readonly violation: string | null;
}

export async function trySubsets(
  history: History,
  options: PlayOptions,
  at: number,
): Promise<SubsetResult> {
  const trigger = { kind: 'power' as const, at };
  const { outcome, world } = await playUntilCut(history, { ...options, trigger });
  if (outcome.violation !== null) return { cut: true, tried: 0, violation: outcome.violation };
  if (world === null) return { cut: false, tried: 0, violation: null };
  const parts = partsOf(world);
  if (parts.length === 0 || parts.length > PARTS_MAX)
    return { cut: true, tried: 0, violation: null };
  for (let mask = 0; mask < 2 ** parts.length; mask += 1) {
    const random = new Random(mixSeed(history.seed, 2, at, mask));
    const wrong = await inTurn(() => tryOne(world, parts, mask, random));
    if (wrong !== null) {
      const kept = parts.map((part, index) => ((mask >> index) & 1 ? partText(part) : null));
      const list = kept.filter((text) => text !== null).join(', ') || 'nothing';
      const violation = `combination ${mask} of ${2 ** parts.length}, kept: ${list}: ${wrong}`;
      return { cut: true, tried: mask + 1, violation };
    }
  }
  return { cut: true, tried: 2 ** parts.length, violation: null };
}

function partsOf(world: World): Part[] {
  const { media, flying } = world.cut!;
  return media.flatMap((medium, index) => {
    const writes = [...medium.undecided(), ...flying[index]!];
    return writes.flatMap((write) => halves(medium, write));
  });
}

function halves(medium: SimMedium, write: SimWrite): Part[] {
  const { blockBytes, unitBytes } = medium.options;
  const first = Math.floor((write.block * blockBytes) / unitBytes);
  const end = Math.ceil(((write.block + write.blockCount) * blockBytes) / unitBytes);
  const middle = Math.ceil((first + end) / 2);
  if (end - first === 1) return [{ write, middle, half: 'whole' }];
  return [
    { write, middle, half: 'first' },
    { write, middle, half: 'second' },
  ];
}

function partText({ write, half }: Part): string {
  const of = half === 'whole' ? '' : ` (${half} half)`;
  return `write ${write.block}+${write.blockCount}${of}`;
}

async function tryOne(
  world: World,
  parts: readonly Part[],
  mask: number,
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
            ((mask >> bit) & 1) === 1 &&
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
