/**
 * Random histories of an FTL, swarm style: each seed first draws which operations and crashes there
 * are at all, and how often.
 */

import type { FtlBase, FtlConfig, FtlHistory, FtlStep } from './ftl-step.ts';
import { mixSeed, Random } from './random.ts';

const BASES: readonly FtlBase[] = ['disk', 'disk', 'disk', 'raid0', 'raid1', 'raid5f'];
const STEPS_MIN = 40;
const STEPS_MAX = 400;
const BLOCKS_MOST = 1000;

export function generateFtl(seed: number): FtlHistory {
  const random = new Random(mixSeed(seed, 7));
  const config = drawConfig(random);
  return { seed, config, steps: new Generator(random).steps() };
}

function drawConfig(random: Random): FtlConfig {
  const base = random.pick(BASES);
  const unitBytes = random.pick([16384, 16384, 32768]);
  return {
    base,
    blockBytes: random.pick([512, 4096]),
    unitBytes,
    bandUnits: random.between(4, 8),
    bandCount: random.between(16, 32),
    overProvisioning: random.pick([40, 60, 90]),
    pageEntries: random.pick([16, 64, 4000]),
    checkpointUnits: random.pick([3, 20, 1000]),
    survives: random.chance(0.6),
    slotCount: random.between(8, 12),
    atomicBytes: random.pick([512, 4096]),
    volatileCache: random.chance(0.8),
    latency: random.pick([
      { leastUs: 10, mostUs: 200, slowChance: 0 },
      { leastUs: 10, mostUs: 2000, slowChance: 0.02 },
      { leastUs: 50, mostUs: 50, slowChance: 0 },
      { leastUs: 0, mostUs: 3, slowChance: 0.05 },
    ]),
    concurrency: random.pick([1, 2, 4, 8, 16]),
  };
}

type Draw = () => FtlStep;

class Generator {
  readonly #random: Random;
  /** Writes stay within so many blocks, so that they meet each other. */
  readonly #hot: number;
  readonly #most: number;
  /** Often 0: only what is not flushed for long shows what needs a flush. */
  readonly #fuaChance: number;

  constructor(random: Random) {
    this.#random = random;
    this.#hot = random.pick([10, 60, 200, BLOCKS_MOST]);
    this.#most = random.pick([1, 4, 24]);
    this.#fuaChance = random.pick([0, 0, 0.05, 0.2]);
  }

  steps(): FtlStep[] {
    const random = this.#random;
    const kinds: [weight: number, draw: Draw][] = [[40, () => this.#write()]];
    const optional = (chance: number, weight: number, draw: Draw): void => {
      if (random.chance(chance)) kinds.push([weight, draw]);
    };
    optional(0.9, random.pick([2, 10, 30]), () => this.#read());
    optional(0.7, random.pick([1, 4, 12]), () => ({ do: 'flush' }));
    optional(0.4, 4, () => this.#clear('zeroes'));
    optional(0.5, 4, () => this.#clear('trim'));
    optional(0.5, 4, () => ({ do: 'wait', us: random.pick([1, 50, 1000, 100_000]) }));
    optional(0.3, 2, () => ({ do: 'drain' }));
    optional(0.2, 1, () => ({ do: 'verify' }));
    optional(0.4, 1, () => ({ do: 'restart' }));
    optional(0.8, random.pick([1, 3]), () => this.#crash());
    optional(0.25, 1, () => ({ do: 'fail-write', disk: random.below(4), skip: random.below(9) }));
    optional(0.1, 1, () => ({ do: 'fail-flush', disk: random.below(4), skip: random.below(9) }));
    const total = kinds.reduce((sum, [weight]) => sum + weight, 0);
    const count = random.between(STEPS_MIN, STEPS_MAX);
    return Array.from({ length: count }, () => {
      let at = random.below(total);
      for (const [weight, draw] of kinds) {
        if (at < weight) return draw();
        at -= weight;
      }
      return this.#write();
    });
  }

  #write(): FtlStep {
    const random = this.#random;
    const fua = random.chance(this.#fuaChance);
    return { do: 'write', block: this.#block(), count: random.between(1, this.#most), fua };
  }

  #block(): number {
    const random = this.#random;
    return random.chance(0.9) ? random.below(this.#hot) : random.below(BLOCKS_MOST);
  }

  #clear(kind: 'zeroes' | 'trim'): FtlStep {
    const random = this.#random;
    const count = random.between(1, random.pick([2, 30, BLOCKS_MOST]));
    return { do: kind, block: this.#block(), count, fua: random.chance(this.#fuaChance) };
  }

  #read(): FtlStep {
    const random = this.#random;
    return { do: 'read', block: this.#block(), count: random.between(1, 24) };
  }

  #crash(): FtlStep {
    const random = this.#random;
    const how = (): 'power' | 'kill' => random.pick(['power', 'kill'] as const);
    return {
      do: 'crash',
      how: how(),
      ios: random.between(1, random.pick([3, 30, 200])),
      again: random.chance(0.3)
        ? Array.from({ length: random.between(1, 3) }, () => ({
            how: how(),
            ios: random.between(1, 80),
          }))
        : [],
    };
  }
}
