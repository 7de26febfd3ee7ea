/**
 * NV caches on a mirror in histories. Of five seeds two have one: those that end in 3, 4, 8 and 9;
 * what the others mean does not change with it. Histories of seeds that end in 3 are drills, in
 * which halves leave and return, rebuilds of them are cut, and the program dies meanwhile; in the
 * others something happens to the halves now and then.
 */

import { RING_START } from '../../src/nv-cache/cache-format.ts';
import { CACHE_BLOCKS_LEAST } from '../../src/nv-cache/cache-header.ts';
import type { FaultKind } from './disk-fault.ts';
import { mixSeed, Random } from './random.ts';
import type { CacheConfig, Config, Crash, HalfConfig, LevelName, Step } from './step.ts';
import { FtlTraffic } from './traffic.ts';

export const MIRROR_DRILL_LEVELS: readonly LevelName[] = ['raid5f', 'raid5f', 'raid1', 'raid0'];
const MANOEUVRES_MIN = 3;
const MANOEUVRES_MAX = 7;
const SPARE_CHANCE = 0.4;

export function isMirrored(seed: number): boolean {
  return seed % 5 >= 3;
}

export function isMirrorDrill(seed: number): boolean {
  return seed % 10 === 3;
}

function drawHalf(random: Random, cache: CacheConfig): HalfConfig {
  return {
    unitBytes: random.pick([512, 4096]),
    // Two of a kind mostly.
    volatileCache: random.chance(0.8) ? cache.volatileCache : !cache.volatileCache,
    nativeFua: random.chance(0.8) ? cache.nativeFua : !cache.nativeFua,
  };
}

/** The configuration with its NV cache on a mirror. */
export function mirrored(seed: number, config: Config): Config {
  const random = new Random(mixSeed(seed, 7));
  const cache = config.cache!;
  const count = random.chance(SPARE_CHANCE) ? 3 : 2;
  const halves = Array.from({ length: count }, () => drawHalf(random, cache));
  return { ...config, cache: { ...cache, blockBytes: 4096, halves } };
}

/** What happens to the one disk of a cache in these steps happens to half of it. */
function onHalf(step: Step): Step {
  if (step.do === 'cache-fault') {
    return { do: 'half-fault', slot: step.skip % 2, kind: 'fail', op: step.op, skip: step.skip };
  }
  if (step.do === 'cache-latent') {
    return { do: 'half-latent', slot: step.block % 2, block: step.block, count: step.count };
  }
  return step.do === 'cache-unplug' ? { do: 'half-unplug', slot: 0, power: false } : step;
}

/** A history on a mirror: the same steps, and others between them. */
export function withHalves(seed: number, steps: readonly Step[]): Step[] {
  const random = new Random(mixSeed(seed, 8));
  const more = steps.map(onHalf);
  const kinds = random.some(
    [drawFault, drawFault, drawLatent, drawUnplug, drawPlug, drawRequest, drawRequest, drawCrash],
    0.6,
  );
  if (kinds.length === 0) return more;
  for (let count = random.between(1, 16); count > 0; count -= 1) {
    more.splice(random.below(more.length + 1), 0, random.pick(kinds)(random));
  }
  return more;
}

function drawFault(random: Random): Step {
  const kinds: readonly FaultKind[] = ['fail', 'fail', 'fail', 'hang'];
  return {
    do: 'half-fault',
    slot: random.below(2),
    kind: random.pick(kinds),
    op: random.pick(['read', 'write', 'write', 'flush'] as const),
    skip: random.below(random.pick([2, 20])),
  };
}

function drawLatent(random: Random): Step {
  return {
    do: 'half-latent',
    slot: random.below(2),
    block: RING_START + random.below(CACHE_BLOCKS_LEAST - RING_START),
    count: random.between(1, 8),
  };
}

function drawUnplug(random: Random): Step {
  return { do: 'half-unplug', slot: random.below(2), power: random.chance(0.5) };
}

function drawPlug(random: Random): Step {
  return { do: 'half-plug', slot: random.below(2) };
}

const REQUESTS = ['add', 'add', 'fail', 'remove', 'replace', 'pause', 'resume', 'cancel'] as const;

function drawRequest(random: Random): Step {
  const what = random.pick(REQUESTS);
  return { do: 'half', what, slot: random.below(2), disk: random.below(3) };
}

/** A disk goes with the program. */
function drawCrash(random: Random): Step {
  const again = random.chance(0.3) ? [crashOf(random, 80)] : [];
  return { do: 'crash', ...crashOf(random, random.pick([3, 30, 200])), again };
}

function crashOf(random: Random, most: number): Crash {
  const crash: Crash = {
    how: random.pick(['power', 'kill'] as const),
    ios: random.between(1, most),
    loses: null,
  };
  return random.chance(0.3) ? { ...crash, losesHalf: random.below(2) } : crash;
}

export class MirrorDrill {
  readonly #random: Random;
  readonly #traffic: FtlTraffic;
  readonly #steps: Step[] = [];

  constructor(random: Random, config: Config) {
    this.#random = random;
    this.#traffic = new FtlTraffic(random, config);
  }

  steps(): Step[] {
    const random = this.#random;
    const manoeuvres = [
      (slot: number) => this.#leavesAndReturns(slot),
      (slot: number) => this.#lostInCrash(slot),
      (slot: number) => this.#recordIsCut(slot),
      (slot: number) => this.#rebuildIsCut(slot),
      (slot: number) => this.#resyncIsCut(slot),
      (slot: number) => this.#isReplaced(slot),
      () => this.#isMadeAgain(),
    ];
    this.#writes(random.pick([5, 30]));
    // A new mirror is being made equal, or is equal by now.
    if (random.chance(0.5)) this.#add({ do: 'wait', us: 10_000_000 });
    const count = random.between(MANOEUVRES_MIN, MANOEUVRES_MAX);
    for (let index = 0; index < count; index += 1) {
      const slot = random.below(2);
      random.pick(manoeuvres)(slot);
      this.#writes(random.between(0, 10));
      this.#makeWhole(slot);
    }
    // Now and then one is left behind for good.
    if (random.chance(0.4)) {
      this.#lose(random.below(2));
      this.#writes(4);
    }
    return this.#steps;
  }

  /** It misses some writes, and is given those. */
  #leavesAndReturns(slot: number): void {
    this.#lose(slot);
    this.#writes(this.#random.between(1, 10));
    this.#add({ do: 'half-plug', slot });
    if (this.#random.chance(0.5)) this.#add({ do: 'restart' });
    this.#fill(slot);
    this.#pass();
    if (this.#random.chance(0.5)) this.#crash(60);
    this.#writes(this.#random.between(0, 6));
  }

  /** A disk goes with the program, or with the power, and is back later. */
  #lostInCrash(slot: number): void {
    this.#crash(40, slot);
    this.#writes(this.#random.between(2, 10));
    if (this.#random.chance(0.5)) this.#crash(30);
    this.#add({ do: 'verify' });
  }

  /** The program dies while the loss is written down. */
  #recordIsCut(slot: number): void {
    this.#writes(this.#random.between(1, 4));
    this.#crash(this.#random.pick([6, 30]));
    this.#lose(slot);
    this.#writes(this.#random.between(1, 6));
    this.#add({ do: 'half-plug', slot }, { do: 'restart' });
  }

  /** The program dies, or is stopped, while half of it is filled again. */
  #rebuildIsCut(slot: number): void {
    const random = this.#random;
    this.#lose(slot);
    this.#writes(random.between(0, 8));
    this.#add({ do: 'half-plug', slot });
    if (random.chance(0.5)) this.#add({ do: 'restart' });
    this.#fill(slot);
    this.#pass();
    if (random.chance(0.2)) this.#add({ do: 'restart' });
    else this.#crash(random.pick([10, 80]));
    this.#writes(random.between(1, 6));
    this.#pass();
    if (random.chance(0.3)) this.#ask('pause', slot);
    if (random.chance(0.3)) this.#ask('cancel', slot);
  }

  /** What a crash has left different is not equal yet when the next one comes, or a half goes. */
  #resyncIsCut(slot: number): void {
    const random = this.#random;
    const again = Array.from({ length: random.between(1, 3) }, () => crashOf(random, 60));
    const how = random.pick(['power', 'power', 'kill'] as const);
    this.#writes(random.between(2, 6));
    this.#add({ do: 'crash', how, ios: random.between(1, 20), loses: null, again });
    this.#writes(random.between(2, 6));
    this.#pass();
    if (random.chance(0.6)) this.#lose(slot);
    this.#writes(random.between(0, 4));
    this.#crash(20);
    this.#writes(random.between(1, 4));
  }

  #isReplaced(slot: number): void {
    const random = this.#random;
    this.#ask('replace', slot);
    this.#pass();
    if (random.chance(0.5)) this.#crash(80);
    this.#writes(random.between(1, 6));
    if (random.chance(0.3)) this.#lose(slot);
  }

  #isMadeAgain(): void {
    const random = this.#random;
    if (random.chance(0.3)) this.#crash(200);
    this.#add({ do: 'cache', what: 'detach' });
    this.#writes(random.between(0, 4));
    if (random.chance(0.3)) this.#add({ do: 'restart' });
    if (random.chance(0.3)) this.#crash(200);
    this.#add({ do: 'cache', what: 'attach' });
  }

  #makeWhole(slot: number): void {
    const random = this.#random;
    for (const half of [0, 1]) this.#add({ do: 'half-plug', slot: half });
    this.#ask('resume', slot);
    if (random.chance(0.5)) this.#add({ do: 'restart' });
    for (const half of random.chance(0.3) ? [0, 1] : [slot]) this.#fill(half);
    if (random.chance(0.7)) this.#add({ do: 'wait', us: 10_000_000 });
    if (random.chance(0.3)) this.#add({ do: 'verify' });
  }

  #fill(slot: number): void {
    this.#ask('remove', slot);
    this.#ask('add', slot);
  }

  #lose(slot: number): void {
    const random = this.#random;
    const way = random.below(3);
    if (way === 0) this.#ask('fail', slot);
    else if (way === 1) this.#add({ do: 'half-unplug', slot, power: random.chance(0.5) });
    else {
      const op = random.pick(['write', 'flush'] as const);
      this.#add({ do: 'half-fault', slot, kind: 'fail', op, skip: random.below(3) });
      this.#writes(2);
    }
  }

  #pass(): void {
    this.#add({ do: 'wait', us: this.#random.pick([1, 100, 400, 2000, 8000]) });
  }

  #crash(most: number, losesHalf?: number): void {
    const random = this.#random;
    const how = random.pick(['power', 'kill'] as const);
    const again = random.chance(0.3) ? [crashOf(random, 60)] : [];
    const first: Crash = { how, ios: random.between(1, most), loses: null };
    this.#add({
      do: 'crash',
      ...first,
      ...(losesHalf === undefined ? {} : { losesHalf }),
      again,
    });
  }

  #writes(count: number): void {
    const random = this.#random;
    for (let left = count; left > 0; left -= 1) {
      this.#add({ do: 'write', ...this.#traffic.write() });
      const way = random.below(10);
      if (way < 2) this.#add({ do: 'flush' });
      else if (way === 2) this.#add({ do: 'read', ...this.#traffic.read() });
      else if (way === 3) this.#add({ do: 'trim', ...this.#traffic.clear() });
    }
  }

  #ask(what: Extract<Step, { do: 'half' }>['what'], slot: number): void {
    this.#add({ do: 'half', what, slot, disk: this.#random.below(3) });
  }

  #add(...steps: readonly Step[]): void {
    this.#steps.push(...steps);
  }
}
