/**
 * Drills of an FTL over an array with redundancy: the program dies with units in flight, members
 * are lost together with it, during the restore or before the array has made good what the crash
 * has left, and come back by and by. What was read once has to stay, from whatever copy it was.
 */

import type { Random } from './random.ts';
import type { Config, Crash, Step } from './step.ts';
import { FtlTraffic } from './traffic.ts';

const MANOEUVRES_MIN = 3;
const MANOEUVRES_MAX = 6;

/** A crash of a random history: now and then a disk is gone with it. */
export function drawFtlCrash(random: Random, members: number): Step {
  const draw = (most: number): Crash => ({
    how: random.pick(['power', 'kill'] as const),
    ios: random.between(1, most),
    loses: random.chance(0.2) ? random.below(members) : null,
  });
  const first = draw(random.pick([3, 30, 200]));
  const count = random.chance(0.3) ? random.between(1, 3) : 0;
  return { do: 'crash', ...first, again: Array.from({ length: count }, () => draw(80)) };
}

export class FtlDrill {
  readonly #random: Random;
  readonly #config: Config;
  readonly #traffic: FtlTraffic;
  readonly #steps: Step[] = [];

  constructor(random: Random, config: Config) {
    this.#random = random;
    this.#config = config;
    this.#traffic = new FtlTraffic(random, config);
  }

  steps(): Step[] {
    const random = this.#random;
    const manoeuvres = [
      () => this.#lostInCrash(),
      () => this.#lostAfterCrash(),
      () => this.#lostInRestore(),
      () => this.#rebuildIsCut(),
    ];
    const opening = this.#traffic.opening();
    this.#add(...opening.map((range): Step => ({ do: 'write', ...range, fua: false })));
    this.#writes(random.pick([10, 40]));
    // A new array is being made equal, or is equal by now.
    if (random.chance(0.5)) this.#add({ do: 'wait', us: 10_000_000 });
    const count = random.between(MANOEUVRES_MIN, MANOEUVRES_MAX);
    for (let index = 0; index < count; index += 1) {
      random.pick(manoeuvres)();
      this.#writes(random.between(0, 12));
      this.#makeWhole();
    }
    return this.#steps;
  }

  /** A disk goes with the program, or with the power. */
  #lostInCrash(): void {
    this.#crash(20, this.#slot(), []);
    this.#writes(this.#random.between(2, 10));
    this.#add({ do: 'verify' });
  }

  /** A disk goes when the FTL is there again, and has told what it has found. */
  #lostAfterCrash(): void {
    const random = this.#random;
    this.#crash(20, null, []);
    this.#writes(random.between(2, 10));
    const slot = this.#slot();
    if (random.chance(0.5)) this.#add({ do: 'unplug', disk: slot, power: random.chance(0.5) });
    else this.#add({ do: 'member', what: 'fail', slot, disk: 0 });
    this.#add({ do: 'verify' });
  }

  /** The starts after a crash die, too, and with one of them a disk is lost. */
  #lostInRestore(): void {
    const random = this.#random;
    const count = random.between(1, 3);
    const last = random.below(count);
    const again = Array.from({ length: count }, (_, index) => ({
      how: this.#how(),
      ios: random.between(1, random.pick([20, 100])),
      loses: index === last ? this.#slot() : null,
    }));
    this.#crash(20, null, again);
    this.#writes(random.between(2, 10));
    this.#add({ do: 'verify' });
  }

  /** A member leaves and returns, and the program dies while it is given what it missed. */
  #rebuildIsCut(): void {
    const random = this.#random;
    const slot = this.#slot();
    this.#add({ do: 'member', what: 'fail', slot, disk: 0 });
    this.#writes(random.between(2, 20));
    this.#add({ do: 'member', what: 'remove', slot, disk: 0 });
    this.#add({ do: 'member', what: 'add', slot, disk: random.below(2) });
    this.#writes(random.between(0, 6));
    this.#crash(100, random.chance(0.3) ? this.#slot() : null, []);
    this.#writes(random.between(2, 10));
    this.#add({ do: 'verify' });
  }

  #makeWhole(): void {
    const random = this.#random;
    for (let disk = 0; disk < this.#config.members; disk += 1) this.#add({ do: 'plug', disk });
    if (random.chance(0.7)) this.#add({ do: 'restart' });
    if (random.chance(0.5)) {
      for (let slot = 0; slot < this.#config.members; slot += 1) {
        this.#add({ do: 'member', what: 'remove', slot, disk: 0 });
        this.#add({ do: 'member', what: 'add', slot, disk: 0 });
      }
    }
    this.#add({ do: 'wait', us: random.pick([100, 10_000_000, 10_000_000]) });
  }

  #crash(most: number, loses: number | null, again: readonly Crash[]): void {
    const ios = this.#random.between(1, most);
    this.#add({ do: 'crash', how: this.#how(), ios, loses, again });
    this.#writes(this.#random.between(1, 6));
  }

  #how(): Crash['how'] {
    return this.#random.pick(['power', 'kill'] as const);
  }

  #writes(count: number): void {
    const random = this.#random;
    for (let left = count; left > 0; left -= 1) {
      const way = random.below(16);
      if (way === 0) this.#add({ do: 'flush' });
      else if (way === 1) this.#add({ do: 'trim', ...this.#traffic.clear() });
      else this.#add({ do: 'write', ...this.#traffic.write() });
    }
  }

  #slot(): number {
    return this.#random.below(this.#config.members);
  }

  #add(...steps: readonly Step[]): void {
    this.#steps.push(...steps);
  }
}
