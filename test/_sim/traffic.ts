/**
 * Where the operations of a random history go, and how large they are.
 */

import { referenceSize } from '../_helpers/raid-reference.ts';
import type { Random } from './random.ts';
import type { Config } from './step.ts';

export interface Range {
  readonly block: number;
  readonly count: number;
}

export interface Traffic {
  /** What is written first. */
  opening(): Range[];
  write(): Range & { readonly fua: boolean };
  clear(): Range & { readonly fua: boolean };
  read(): Range;
}

/** Over an array: in units that its level takes. */
export class ArrayTraffic implements Traffic {
  readonly #random: Random;
  readonly #blocks: number;
  readonly #unit: number;
  /** Writes stay within so many blocks, so that they meet each other. */
  readonly #hot: number;

  constructor(random: Random, { level, members, stripBlocks, dataBlocks }: Config) {
    this.#random = random;
    this.#blocks = referenceSize({ level, strip: stripBlocks, sizes: dataBlocks });
    this.#unit = level === 'raid5f' ? stripBlocks * (members - 1) : 1;
    const units = this.#blocks / this.#unit;
    this.#hot = Math.max(1, Math.floor(units / random.pick([1, 1, 2, 8]))) * this.#unit;
  }

  opening(): Range[] {
    return [];
  }

  write() {
    const most = this.#random.pick([1, 4, 24]);
    return { ...this.#range(most), fua: this.#random.chance(0.15) };
  }

  clear() {
    return { ...this.#range(48), fua: this.#random.chance(0.1) };
  }

  read(): Range {
    const random = this.#random;
    const count = random.between(1, Math.min(24, this.#blocks));
    return { block: random.between(0, this.#blocks - count), count };
  }

  #range(most: number): Range {
    const random = this.#random;
    const units = this.#hot / this.#unit;
    const count = random.between(1, Math.min(units, Math.max(1, Math.floor(most / this.#unit))));
    return {
      block: random.between(0, units - count) * this.#unit,
      count: count * this.#unit,
    };
  }
}

/** More than an FTL has here; what lies behind its end is taken for what it is modulo its size. */
const BLOCKS_MOST = 1000;
/** Together as much as most of them have. */
const FILL_WRITES = 12;
const FILL_BLOCKS = 20;

/** Blocks of a write. */
const MOST = [1, 4, 24] as const;
/** Some writes do not fit a record of the NV cache, and most histories go round its ring. */
const CACHED_MOST = [2, 24, 40, 60, 60, 100] as const;

/** Over an FTL: any blocks, most of them in a few places, so that bands are soon overwritten. */
export class FtlTraffic implements Traffic {
  readonly #random: Random;
  readonly #hot: number;
  readonly #most: number;
  /** Often 0: only what is not flushed for long shows what needs a flush. */
  readonly #fuaChance: number;

  constructor(random: Random, { cache }: Config) {
    this.#random = random;
    this.#hot = random.pick([10, 60, 200, BLOCKS_MOST]);
    this.#most = random.pick(cache === null ? MOST : CACHED_MOST);
    this.#fuaChance = random.pick([0, 0, 0.05, 0.2]);
  }

  /** Writes everything once, now and then: bands are relocated from the beginning then. */
  opening(): Range[] {
    if (this.#random.chance(0.5)) return [];
    const count = FILL_BLOCKS;
    return Array.from({ length: FILL_WRITES }, (_, index) => ({ block: index * count, count }));
  }

  write() {
    const random = this.#random;
    const fua = random.chance(this.#fuaChance);
    return { block: this.#block(), count: random.between(1, this.#most), fua };
  }

  clear() {
    const random = this.#random;
    const count = random.between(1, random.pick([2, 30, BLOCKS_MOST]));
    return { block: this.#block(), count, fua: random.chance(this.#fuaChance) };
  }

  read(): Range {
    return { block: this.#block(), count: this.#random.between(1, 24) };
  }

  #block(): number {
    const random = this.#random;
    return random.chance(0.9) ? random.below(this.#hot) : random.below(BLOCKS_MOST);
  }
}
