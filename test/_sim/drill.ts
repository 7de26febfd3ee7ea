/**
 * Drills: histories of manoeuvres in which what matters happens at every seed, and chance decides
 * when. A member leaves and returns, a rebuild is interrupted, given up or begun anew, and the
 * program dies while it writes down which of that has happened. Random histories hardly ever do
 * several such things in the right order; these do nothing else. Most begin with an opening, which
 * aims at a few I/Os.
 *
 * Only seeds that end in 7 are drills: those of all other histories mean what they meant before
 * there were any.
 */

import { referenceSize } from '../_helpers/raid-reference.ts';
import type { Random } from './random.ts';
import { type Config, type LevelName, powerCut, type Step } from './step.ts';
import { chunkBytes } from './template.ts';

export const DRILL_LEVELS: readonly LevelName[] = ['raid1', 'raid5f'];
/** Which of the closed disks: the member that has left comes before the spare ones. */
const FORMER = 0;
const OTHER = 1;
const MANOEUVRES_MIN = 2;
const MANOEUVRES_MAX = 5;

export function isDrill(seed: number): boolean {
  return seed % 10 === 7;
}

/** Most drills have a disk more than slots, which any slot can take. */
export function drillConfig(random: Random, drawn: Config): Config {
  const spares = Math.max(drawn.spares, random.chance(0.7) ? 1 : 0);
  const { dataBlocks } = drawn;
  const sizes = spares > 0 ? dataBlocks.map(() => dataBlocks[0]!) : dataBlocks;
  return { ...drawn, blank: false, earlyCuts: [], spares, dataBlocks: sizes };
}

export class Drill {
  readonly #random: Random;
  readonly #config: Config;
  readonly #unit: number;
  readonly #units: number;
  readonly #steps: Step[] = [];

  constructor(random: Random, config: Config) {
    const { level, members, stripBlocks, dataBlocks } = config;
    this.#random = random;
    this.#config = config;
    this.#unit = level === 'raid5f' ? stripBlocks * (members - 1) : 1;
    const blocks = referenceSize({ level, strip: stripBlocks, sizes: dataBlocks });
    this.#units = blocks / this.#unit;
  }

  /** What most drills begin with: single events that have to meet a few I/Os, on a new array. */
  opening(): Step[] {
    const random = this.#random;
    const { members, spares, level } = this.#config;
    const openings = [() => this.#checkpointIsCut(), () => this.#endIsCut()];
    if (spares > 0) {
      openings.push(
        () => this.#placeIsTaken(),
        () => this.#formerMemberIsCleared(),
      );
      if (level === 'raid1' && members > 2) openings.push(() => this.#checkFollowsRebuild());
    }
    if (random.chance(0.3)) return [];
    this.#writes(random.between(2, 8));
    random.pick(openings)();
    this.#add({ do: 'process', what: 'resume' }, { do: 'wait', us: 1_000_000 }, { do: 'verify' });
    return this.#steps;
  }

  steps(): Step[] {
    const random = this.#random;
    const manoeuvres = [
      (slot: number) => this.#recordIsCut(slot),
      (slot: number) => this.#leavesAndReturns(slot),
      (slot: number) => this.#rebuildIsCut(slot),
      (slot: number) => this.#rebuildIsLeft(slot),
      (slot: number) => this.#replacementIsCut(slot),
    ];
    this.#traffic(12);
    // At first there is a disk to replace a member by; and a new array is being made equal.
    if (random.chance(0.7)) this.#add({ do: 'wait', us: 1_000_000 });
    if (this.#config.spares > 0 && random.chance(0.3)) {
      this.#replacementIsCut(random.below(this.#config.members));
    }
    const count = random.between(MANOEUVRES_MIN, MANOEUVRES_MAX);
    for (let index = 0; index < count; index += 1) {
      const slot = random.below(this.#config.members);
      random.pick(manoeuvres)(slot);
      this.#makeWhole(slot);
      this.#traffic(6);
    }
    return this.#steps;
  }

  // --- openings ---------------------------------------------------------------------------------

  /** While a new array is made equal, a member leaves, and its place is taken when it returns. */
  #placeIsTaken(): void {
    const slot = this.#slot();
    this.#add({ do: 'process', what: 'pause' });
    this.#empty(slot);
    for (const disk of [OTHER, FORMER]) this.#add({ do: 'member', what: 'add', slot, disk });
    this.#add({ do: 'process', what: 'resume' }, { do: 'wait', us: 1_000_000 });
    this.#lose(slot);
  }

  /** What was a member is made another one, and power fails while it is cleared. */
  #formerMemberIsCleared(): void {
    const slot = this.#slot();
    this.#add({ do: 'wait', us: 1_000_000 });
    this.#empty(slot);
    this.#add({ do: 'member', what: 'add', slot, disk: OTHER }, { do: 'wait', us: 1_000_000 });
    this.#powerFails(this.#random.between(1, 16));
    this.#add({ do: 'member', what: 'add', slot, disk: FORMER });
  }

  /** Power fails while a checkpoint of a rebuild is written. */
  #checkpointIsCut(): void {
    const random = this.#random;
    const slot = this.#slot();
    this.#add({ do: 'wait', us: 1_000_000 });
    this.#empty(slot);
    this.#add({ do: 'wait', us: 1_000_000 });
    this.#add({ do: 'member', what: 'add', slot, disk: random.pick([FORMER, OTHER]) });
    this.#add({ do: 'wait', us: random.pick([1, 100, 200, 400, 800]) });
    this.#powerFails(random.between(1, 16));
    this.#add({ do: 'process', what: 'pause' });
  }

  /** Power fails while a rebuild ends. */
  #endIsCut(): void {
    const { level, members, blockBytes, dataBlocks } = this.#config;
    const slot = this.#slot();
    this.#add({ do: 'wait', us: 1_000_000 });
    this.#empty(slot);
    this.#add({ do: 'member', what: 'add', slot, disk: OTHER });
    const chunks = Math.ceil((dataBlocks[0]! * blockBytes) / chunkBytes(this.#config));
    const copying = chunks * (level === 'raid1' ? 2 : members);
    this.#powerFails(Math.max(1, copying + this.#random.between(-6, 20)));
    this.#add({ do: 'wait', us: 1_000_000 });
  }

  /** A rebuild is given up, the others are compared, and it is found again half-way. */
  #checkFollowsRebuild(): void {
    const random = this.#random;
    const slot = this.#slot();
    const pass = (): void => this.#add({ do: 'wait', us: random.pick([100, 400, 1000, 2000]) });
    this.#add({ do: 'wait', us: 1_000_000 });
    this.#empty(slot);
    this.#add({ do: 'member', what: 'add', slot, disk: OTHER });
    pass();
    this.#add({ do: 'process', what: 'pause' }, { do: 'process', what: 'cancel' });
    this.#add({ do: 'check', repair: false, alone: false });
    pass();
    this.#add({ do: 'process', what: 'pause' }, { do: 'restart' });
  }

  /** A member leaves for good, and the others go on. */
  #empty(slot: number): void {
    this.#ask('fail', slot);
    this.#ask('remove', slot);
    this.#writes(this.#random.between(1, 6));
    this.#add({ do: 'drain' });
  }

  #powerFails(ios: number): void {
    this.#add({ do: 'crash', ...powerCut(ios), again: [] });
  }

  #slot(): number {
    return this.#random.below(this.#config.members);
  }

  // --- manoeuvres -------------------------------------------------------------------------------

  /** The program dies while a loss is written down, or the beginning of a rebuild. */
  #recordIsCut(slot: number): void {
    this.#traffic(4);
    if (this.#random.chance(0.5)) this.#add({ do: 'drain' });
    if (this.#random.chance(0.7)) {
      this.#crash(40);
      this.#lose(slot);
    } else {
      this.#lose(slot);
      this.#ask('remove', slot);
      this.#crash(40);
      this.#ask('add', slot);
    }
    this.#traffic(6);
  }

  /** A member misses some writes and is given those. */
  #leavesAndReturns(slot: number): void {
    const random = this.#random;
    this.#add({ do: 'wait', us: 100_000 });
    this.#writes(random.between(1, 4));
    if (random.chance(0.5)) {
      this.#add({ do: 'fault', disk: slot, kind: 'fail', op: 'write', skip: random.below(3) });
      this.#writes(random.between(1, 4));
    } else this.#lose(slot);
    this.#add({ do: 'drain' });
    if (random.chance(0.5)) this.#traffic(3);
    this.#add({ do: 'plug', disk: slot });
    if (random.chance(0.5)) this.#add({ do: 'restart' });
    this.#ask('remove', slot);
    this.#ask('add', slot);
    this.#add({ do: 'wait', us: 1_000_000 }, { do: 'verify' });
  }

  /** The program dies, or is stopped, while a rebuild goes on or its checkpoint is written. */
  #rebuildIsCut(slot: number): void {
    const random = this.#random;
    this.#lose(slot);
    this.#ask('remove', slot);
    this.#traffic(4);
    if (random.chance(0.3)) this.#crash(80);
    this.#ask('add', slot);
    this.#goOn(slot);
    this.#traffic(3);
    this.#goOn(slot);
  }

  /** A rebuild is given up in the middle, the others are compared, and it is taken up again. */
  #rebuildIsLeft(slot: number): void {
    const random = this.#random;
    this.#lose(slot);
    this.#ask('remove', slot);
    this.#writes(random.between(2, 6));
    this.#ask('add', slot);
    this.#pause();
    this.#add({ do: 'process', what: 'cancel' });
    this.#traffic(3);
    this.#add({ do: 'check', repair: random.chance(0.5), alone: false });
    this.#pause();
    if (random.chance(0.5)) this.#add({ do: 'restart' });
    else this.#crash(10);
    this.#traffic(4);
  }

  /** A member is copied to another disk, which is interrupted. */
  #replacementIsCut(slot: number): void {
    this.#ask('replace', slot);
    this.#goOn(slot);
    this.#traffic(3);
    if (this.#random.chance(0.3)) this.#lose(slot);
    this.#goOn(slot);
  }

  // --- parts ------------------------------------------------------------------------------------

  /** Something happens to a rebuild that is under way. */
  #goOn(slot: number): void {
    const random = this.#random;
    const way = random.below(6);
    this.#add({ do: 'wait', us: random.pick([1, 100, 400, 2000, 8000]) });
    if (way === 0) this.#add({ do: 'restart' });
    else if (way === 1) this.#crash(120);
    else if (way === 2) this.#add({ do: 'process', what: 'pause' });
    else if (way === 3) {
      this.#add({ do: 'unplug', disk: slot, power: random.chance(0.5) });
      this.#add({ do: 'plug', disk: slot }, { do: 'restart' });
    } else {
      this.#crash(30);
      this.#add({ do: 'process', what: 'pause' });
    }
  }

  /** The slot gets a member again, now and then every slot, as far as there are disks. */
  #makeWhole(slot: number): void {
    const random = this.#random;
    const all = Array.from({ length: this.#config.members }, (_, index) => index);
    for (const disk of all) this.#add({ do: 'plug', disk });
    this.#add({ do: 'process', what: 'resume' });
    if (random.chance(0.5)) this.#add({ do: 'restart' });
    for (const empty of random.chance(0.2) ? all : [slot]) {
      this.#ask('remove', empty);
      this.#ask('add', empty);
    }
    this.#add({ do: 'wait', us: 1_000_000 });
  }

  #lose(slot: number): void {
    if (this.#random.chance(0.7)) this.#ask('fail', slot);
    else this.#add({ do: 'unplug', disk: slot, power: this.#random.chance(0.5) });
  }

  /** Lets a process come some way, and has that written down. */
  #pause(): void {
    const random = this.#random;
    this.#add({ do: 'wait', us: random.pick([1, 100, 400, 2000, 8000]) });
    if (random.chance(0.7)) this.#add({ do: 'process', what: 'pause' });
  }

  #crash(most: number): void {
    const random = this.#random;
    const how = random.pick(['power', 'kill'] as const);
    const again = random.chance(0.3) ? [powerCut(random.between(1, 60))] : [];
    this.#add({ do: 'crash', how, ios: random.between(1, most), loses: null, again });
  }

  #traffic(most: number): void {
    const random = this.#random;
    for (let count = random.below(most + 1); count > 0; count -= 1) {
      const way = random.below(8);
      if (way === 0) this.#add({ do: 'flush' });
      else if (way === 1) this.#add({ do: 'wait', us: random.pick([1, 1000, 100_000]) });
      else if (way === 2) this.#add({ do: 'read', ...this.#range() });
      else this.#writes(1);
    }
  }

  #writes(count: number): void {
    for (let left = count; left > 0; left -= 1) {
      this.#add({ do: 'write', ...this.#range(), fua: this.#random.chance(0.15) });
    }
  }

  #range(): { block: number; count: number } {
    const random = this.#random;
    const count = random.between(1, Math.min(this.#units, random.pick([1, 2, 8])));
    const first = random.between(0, this.#units - count);
    return { block: first * this.#unit, count: count * this.#unit };
  }

  #ask(what: 'add' | 'fail' | 'remove' | 'replace', slot: number): void {
    const { members, spares } = this.#config;
    this.#add({ do: 'member', what, slot, disk: this.#random.below(members + spares) });
  }

  #add(...steps: readonly Step[]): void {
    this.#steps.push(...steps);
  }
}
