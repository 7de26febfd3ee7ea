/**
 * Random histories, swarm style: each seed first draws which kinds of operations, faults and
 * crashes there are at all, and how often, so that rare combinations get seeds of their own. One
 * seed of ten is a drill instead (drill.ts).
 */

import { RING_START } from '../../src/nv-cache/cache-format.ts';
import { CACHE_BLOCKS_LEAST } from '../../src/nv-cache/cache-header.ts';
import { drawCache } from './cache-config.ts';
import { DRILL_LEVELS, Drill, drillConfig, isDrill } from './drill.ts';
import { drawFtlShape, drawSpares, ftlDisks } from './ftl-config.ts';
import { drawFtlCrash, FtlDrill } from './ftl-drill.ts';
import { drawGrowth } from './grow.ts';
import {
  isMirrorDrill,
  isMirrored,
  MIRROR_DRILL_LEVELS,
  MirrorDrill,
  mirrored,
  withHalves,
} from './mirror-drill.ts';
import { mixSeed, Random } from './random.ts';
import { type Config, type History, type LevelName, powerCut, type Step } from './step.ts';
import type { Promises } from './subject.ts';
import { ArrayTraffic, FtlTraffic, type Traffic } from './traffic.ts';

const LEVELS: readonly LevelName[] = ['raid1', 'raid1', 'raid5f', 'raid5f', 'raid0', 'concat'];
/**
 * A superblock of more entries than that lies on two sectors of 512 bytes, and a power cut while it
 * is rewritten can cost the member: known, see test/sim/known.ts.
 */
export const TORN_SUPERBLOCK_MEMBERS = 4;
/** Histories that create their array, and those in which power fails at the first start. */
const BLANK_CHANCE = 0.15;
const EARLY_CHANCE = 0.25;
/** Of a unit of an FTL, or of some. */
const LATENT_BYTES = 32_768;
/** Of the FTLs on arrays that grow. */
const GROWTH_CHANCE = 0.25;
const STEPS_MIN = 20;
const STEPS_MAX = 160;
/** Those that have to go round a ring. */
const CACHED_STEPS_MAX = 260;

export function generate(seed: number, promises: Promises): History {
  if (promises.cached && isMirrored(seed)) return mirroredHistory(seed, promises);
  return singleHistory(seed, promises);
}

/** The NV cache is on a mirror. */
function mirroredHistory(seed: number, promises: Promises): History {
  if (!isMirrorDrill(seed)) {
    const { config, steps } = singleHistory(seed, promises);
    return { seed, config: mirrored(seed, config), steps: withHalves(seed, steps) };
  }
  const random = new Random(mixSeed(seed, 0));
  const config = mirrored(seed, drawFtlConfig(random, promises, MIRROR_DRILL_LEVELS));
  return { seed, config, steps: new MirrorDrill(random, config).steps() };
}

function singleHistory(seed: number, promises: Promises): History {
  const random = new Random(mixSeed(seed, 0));
  if (promises.log && isDrill(seed)) {
    const config = drawFtlConfig(random, promises, DRILL_LEVELS);
    return { seed, config, steps: new FtlDrill(random, config).steps() };
  }
  if (promises.rebuilds && isDrill(seed)) {
    const config = drillConfig(random, drawConfig(random, promises, DRILL_LEVELS));
    const before = new Drill(new Random(mixSeed(seed, 5)), config).opening();
    return { seed, config, steps: [...before, ...new Drill(random, config).steps()] };
  }
  const config = drawConfig(random, promises);
  const steps = new Generator(random, config, promises).steps();
  return { seed, config, steps: config.ftl === null ? steps : withGrowth(seed, config, steps) };
}

/** Under some FTLs disks grow now and then. Drawn apart: other histories are what they were. */
function withGrowth(seed: number, config: Config, steps: readonly Step[]): Step[] {
  const random = new Random(mixSeed(seed, 6));
  const grown = [...steps];
  const grows = config.level === 'raid0' || config.level === 'raid1';
  if (!grows || config.spares > 0 || !random.chance(GROWTH_CHANCE)) return grown;
  for (let count = random.between(1, 3); count > 0; count -= 1) {
    grown.splice(random.below(grown.length + 1), 0, ...drawGrowth(random, config));
  }
  return grown;
}

function drawConfig(random: Random, promises: Promises, levels = LEVELS): Config {
  if (promises.log) return drawFtlConfig(random, promises);
  const level = random.pick(levels);
  const least = { raid0: 1, concat: 1, raid1: 2, raid5f: 3 }[level];
  const members = random.between(least, { raid0: 4, concat: 3, raid1: 4, raid5f: 5 }[level]);
  const blockBytes = random.chance(0.3) ? 4096 : 512;
  const stripBlocks = level === 'raid1' ? 1 : random.pick(blockBytes === 512 ? [1, 4, 16] : [1, 4]);
  const blocks = random.pick(blockBytes === 512 ? [64, 160] : [24, 48]);
  const redundant = level === 'raid1' || level === 'raid5f';
  const spares = promises.rebuilds && redundant && random.chance(0.4) ? random.between(1, 2) : 0;
  // A spare takes any place.
  const step = spares > 0 ? 0 : stripBlocks;
  return {
    level,
    members,
    spares,
    blockBytes,
    stripBlocks,
    dataBlocks: Array.from({ length: members }, (_, slot) => blocks + (slot % 3) * step),
    ...drawRest(random, members),
    ftl: null,
    cache: null,
  };
}

function drawFtlConfig(
  random: Random,
  { cached }: Promises,
  levels?: readonly LevelName[],
): Config {
  const shape = drawFtlShape(random, levels);
  const spares = drawSpares(random, shape.level);
  const disks = ftlDisks(shape, spares > 0 ? 0 : 1);
  const rest = drawRest(random, shape.members);
  return { ...disks, spares, ...rest, cache: cached ? drawCache(random) : null };
}

/** The disks, the user and the beginning. */
function drawRest(
  random: Random,
  members: number,
): Omit<Config, keyof ReturnType<typeof ftlDisks> | 'cache' | 'spares'> {
  return {
    unitBytes: members > TORN_SUPERBLOCK_MEMBERS ? 4096 : random.pick([512, 4096]),
    volatileCache: random.chance(0.8),
    nativeFua: random.chance(0.6),
    trim: random.pick(['none', 'undefined', 'zeroes'] as const),
    latency: random.pick([
      { leastUs: 10, mostUs: 200, slowChance: 0 },
      { leastUs: 10, mostUs: 2000, slowChance: 0.02 },
      { leastUs: 50, mostUs: 50, slowChance: 0 },
      { leastUs: 0, mostUs: 3, slowChance: 0.05 },
    ]),
    concurrency: random.pick([1, 2, 4, 8, 16]),
    depth: random.pick([16, 32]),
    blank: random.chance(BLANK_CHANCE),
    earlyCuts: random.chance(EARLY_CHANCE)
      ? Array.from({ length: random.between(1, 2) }, () => random.between(1, 40 * members))
      : [],
  };
}

type Draw = () => Step;

class Generator {
  readonly #random: Random;
  readonly #config: Config;
  readonly #promises: Promises;
  readonly #traffic: Traffic;

  constructor(random: Random, config: Config, promises: Promises) {
    this.#random = random;
    this.#config = config;
    this.#promises = promises;
    this.#traffic = promises.log
      ? new FtlTraffic(random, config)
      : new ArrayTraffic(random, config);
  }

  steps(): Step[] {
    const random = this.#random;
    const traffic = this.#traffic;
    const write = (): Step => ({ do: 'write', ...traffic.write() });
    const kinds: [weight: number, draw: Draw][] = [[40, write]];
    const optional = (chance: number, weight: number, draw: Draw): void => {
      if (random.chance(chance)) kinds.push([weight, draw]);
    };
    optional(0.9, random.pick([5, 20, 40]), () => ({ do: 'read', ...traffic.read() }));
    optional(0.8, random.pick([2, 6, 15]), () => ({ do: 'flush' }));
    optional(0.4, 5, () => ({ do: 'zeroes', ...traffic.clear() }));
    optional(0.4, 5, () => ({ do: 'trim', ...traffic.clear() }));
    optional(0.5, 4, () => ({ do: 'wait', us: random.pick([1, 50, 1000, 100_000, 10_000_000]) }));
    optional(0.3, 2, () => ({ do: 'drain' }));
    optional(0.3, 1, () => ({ do: 'verify' }));
    optional(0.3, 1, () => ({ do: 'restart' }));
    optional(0.7, random.pick([1, 3]), () => this.#crash());
    this.#addFaults(optional);
    this.#addRequests(optional);
    if (this.#config.cache !== null) this.#addCacheRequests(optional);
    const total = kinds.reduce((sum, [weight]) => sum + weight, 0);
    const most = this.#config.cache === null ? STEPS_MAX : CACHED_STEPS_MAX;
    const count = random.between(STEPS_MIN, most);
    const opening = traffic.opening().map((range): Step => ({ do: 'write', ...range, fua: false }));
    const drawn = Array.from({ length: count }, () => {
      let at = random.below(total);
      for (const [weight, draw] of kinds) {
        if (at < weight) return draw();
        at -= weight;
      }
      return write();
    });
    return [...opening, ...drawn];
  }

  #addFaults(optional: (chance: number, weight: number, draw: Draw) => void): void {
    const random = this.#random;
    const { blockBytes } = this.#config;
    const disk = (): number => random.below(this.#config.members);
    // Without ejection a failed raid5f write leaves wrong parity, on which no read can lean.
    const fragile = this.#config.level === 'raid5f' && !this.#promises.ejects;
    const writesFail = random.chance(0.3);
    if (writesFail) {
      for (const op of ['write', 'flush'] as const) {
        optional(0.6, 2, () => ({
          do: 'fault',
          disk: disk(),
          kind: 'fail',
          op,
          skip: random.below(20),
        }));
      }
    }
    if (!writesFail || !fragile) {
      optional(0.3, 3, () => ({
        do: 'fault',
        disk: disk(),
        kind: 'fail',
        op: 'read',
        skip: random.below(20),
      }));
      optional(0.3, 2, () => ({
        do: 'latent',
        disk: disk(),
        block: random.below(Math.min(...this.#config.dataBlocks)),
        count: random.between(1, this.#config.ftl === null ? 4 : LATENT_BYTES / blockBytes),
      }));
    }
    optional(0.2, 1, () => ({
      do: 'fault',
      disk: disk(),
      kind: 'hang',
      op: random.pick(['read', 'write', 'flush'] as const),
      skip: random.below(20),
    }));
    optional(0.3, 1, () => ({ do: 'unplug', disk: disk(), power: random.chance(0.5) }));
    optional(0.5, 1, () => ({ do: 'plug', disk: disk() }));
  }

  /** What an administrator asks for. */
  #addRequests(optional: (chance: number, weight: number, draw: Draw) => void): void {
    const random = this.#random;
    const { members, spares } = this.#config;
    if (!this.#promises.rebuilds) return;
    const request = (chance: number, weight: number, what: 'add' | 'fail' | 'remove' | 'replace') =>
      optional(chance, weight, () => ({
        do: 'member',
        what,
        slot: random.below(members),
        disk: random.below(members + spares),
      }));
    const changes = random.chance(0.5);
    request(changes ? 0.7 : 0, 1, 'fail');
    request(changes ? 0.6 : 0, 2, 'remove');
    request(changes ? 0.8 : 0, 2, 'add');
    request(changes ? 0.5 : 0, 1, 'replace');
    optional(0.3, 1, () => ({
      do: 'check',
      repair: random.chance(0.5),
      alone: random.chance(0.5),
    }));
    optional(0.3, 2, () => ({
      do: 'process',
      what: random.pick(['pause', 'resume', 'resume', 'cancel'] as const),
    }));
    optional(0.2, 1, () => ({
      do: 'corrupt',
      slot: random.below(members),
      block: random.below(Math.min(...this.#config.dataBlocks)),
    }));
  }

  #addCacheRequests(optional: (chance: number, weight: number, draw: Draw) => void): void {
    const random = this.#random;
    optional(0.3, 1, () => ({ do: 'cache', what: 'drain' }));
    if (random.chance(0.25)) this.#addCacheFaults(optional);
    const leaves = random.chance(0.2);
    optional(leaves ? 1 : 0, 1, () => ({ do: 'cache', what: 'detach' }));
    optional(leaves ? 0.7 : 0, 2, () => ({ do: 'cache', what: 'attach' }));
    optional(leaves ? 0.7 : 0, 2, () => ({ do: 'restart' }));
  }

  /** Its disk fails. */
  #addCacheFaults(optional: (chance: number, weight: number, draw: Draw) => void): void {
    const random = this.#random;
    for (const op of ['read', 'write', 'flush'] as const) {
      optional(0.4, 1, () => ({ do: 'cache-fault', op, skip: random.below(20) }));
    }
    optional(0.3, 1, () => ({
      do: 'cache-latent',
      block: RING_START + random.below(CACHE_BLOCKS_LEAST - RING_START),
      count: random.between(1, 8),
    }));
    optional(0.2, 1, () => ({ do: 'cache-unplug' }));
  }

  #crash(): Step {
    const random = this.#random;
    if (this.#promises.log) return drawFtlCrash(random, this.#config.members);
    return {
      do: 'crash',
      how: random.pick(['power', 'kill'] as const),
      ios: random.between(1, random.pick([3, 30, 200])),
      loses: null,
      again: random.chance(0.2)
        ? Array.from({ length: random.between(1, 3) }, () => powerCut(random.between(1, 60)))
        : [],
    };
  }
}
