/**
 * Power cuts with every outcome: a history is played up to a cut at its k-th member I/O, and then
 * every combination of the writes that nobody may rely on at that instant is tried, each in a world
 * of its own: lost or kept, and, for a write of several atomic units, either half of it. Where more
 * is open than can be enumerated, combinations are drawn (`drawKept`).
 *
 * Different combinations may leave the same on every disk: where a write changed nothing, or a
 * later one that was kept covers it. What is on the disks is all that the next program can see, so
 * each such outcome is started once.
 */

import { createHash } from 'node:crypto';
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
  /** Different outcomes among them: each was started and looked at. */
  readonly outcomes: number;
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
  const none = { tried: 0, outcomes: 0, sampled: false };
  if (outcome.violation !== null) return { ...none, cut: true, violation: outcome.violation };
  if (world === null) return { ...none, cut: false, violation: null };
  const parts = partsOf(world);
  const sampled = parts.length > PARTS_MAX;
  const count = sampled ? SAMPLES : 2 ** parts.length;
  const draw = new Random(mixSeed(history.seed, 4, at));
  const disks = world.cut!.media.map((_, disk) => new CutDisk(world, disk, parts));
  const seen = new Set<string>();
  for (let number = 0; number < count; number += 1) {
    const kept = sampled
      ? drawKept(parts, number, draw)
      : parts.map((_, bit) => ((number >> bit) & 1) === 1);
    const left = disks.map((disk) => disk.after(kept));
    const contents = left.map(({ content }) => content).join();
    if (seen.has(contents)) continue;
    seen.add(contents);
    const media = left.map(({ medium }) => medium);
    const random = new Random(mixSeed(history.seed, 2, at, number));
    const wrong = await inTurn(() => tryOne(world.fork(random, media)));
    if (wrong === null) continue;
    const texts = parts.filter((_, index) => kept[index]).map(partText);
    const list = texts.length === 0 ? 'nothing' : texts.join(', ');
    const which = `combination ${number} of ${count}${sampled ? ' drawn' : ''}, kept: ${list}`;
    const violation = `${which}: ${wrong}`;
    return { cut: true, tried: number + 1, outcomes: seen.size, sampled, violation };
  }
  return { cut: true, tried: count, outcomes: seen.size, sampled, violation: null };
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

/** What a power cut has left on one disk. */
interface Left {
  readonly medium: SimMedium;
  /** Equal for outcomes that are equal on this disk. */
  readonly content: string;
}

/** One disk at an open power cut, with every outcome that was asked for so far. */
class CutDisk {
  readonly #before: SimMedium;
  readonly #flying: readonly SimWrite[];
  readonly #all: readonly Part[];
  readonly #parts: readonly Part[];
  /** By the parts that were kept. */
  readonly #known = new Map<string, Left>();

  constructor({ cut }: World, disk: number, all: readonly Part[]) {
    this.#before = cut!.media[disk]!;
    this.#flying = cut!.flying[disk]!;
    this.#all = all;
    this.#parts = all.filter((part) => part.disk === disk);
  }

  /** `kept` goes with the parts of all disks. */
  after(kept: readonly boolean[]): Left {
    const own = this.#parts.filter((part) => kept[this.#all.indexOf(part)]);
    const key = own.map((part) => this.#parts.indexOf(part)).join();
    let left = this.#known.get(key);
    if (left === undefined) {
      left = this.#cut(own);
      this.#known.set(key, left);
    }
    return left;
  }

  #cut(kept: readonly Part[]): Left {
    const medium = this.#before.clone();
    if (medium.away) return { medium, content: '' };
    medium.cutPower(
      (write, unit) =>
        kept.some(
          (part) =>
            part.write === write &&
            (part.half === 'whole' || (part.half === 'first') === unit < part.middle),
        ),
      this.#flying,
    );
    return { medium, content: this.#contentOf(medium) };
  }

  /** The blocks on which the parts lie, and which blocks cannot be read. */
  #contentOf({ now, bad, options }: SimMedium): string {
    const { blockBytes, unitBytes } = options;
    const hash = createHash('sha1');
    for (const { write } of this.#parts) {
      const from = Math.floor((write.block * blockBytes) / unitBytes) * unitBytes;
      const end = Math.ceil(((write.block + write.blockCount) * blockBytes) / unitBytes);
      const bytes = new Uint8Array(end * unitBytes - from);
      now.read(from, bytes, 0, bytes.length);
      hash.update(bytes);
    }
    return hash.update([...bad].join()).digest('base64');
  }
}

/**
 * Erases what was being erased, starts the array, reads everything, stops it and looks at the
 * members: what is wrong.
 */
async function tryOne(fork: World): Promise<string | null> {
  try {
    if (fork.erasing && !(await fork.erase())) return 'it cannot be erased';
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
