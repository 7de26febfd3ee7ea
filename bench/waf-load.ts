/**
 * Which block is written next: the loads of bench:waf, each from a seed.
 *
 *   uniform         every block alike
 *   hot-cold        `hotWrites` of the writes go to `hotBlocks` of the blocks, both as shares
 *   moving          the same, and the hot blocks move on by a tenth of theirs, again and again
 *   zipf            the block of rank r is written in proportion to 1 / r^exponent
 *   sequential      one after the other, round and round
 *   files           70 % of the blocks are never touched; the rest are places for files, 90 % of
 *                   the work in 10 % of them: an empty one is written, a full one is trimmed
 *
 * Hot blocks and ranks lie scattered over the device.
 */

const FILE_BLOCKS = 32;

export type LoadSpec =
  | { readonly kind: 'uniform' }
  | { readonly kind: 'hot-cold'; readonly hotWrites: number; readonly hotBlocks: number }
  | { readonly kind: 'moving'; readonly hotWrites: number; readonly hotBlocks: number }
  | { readonly kind: 'zipf'; readonly exponent: number }
  | { readonly kind: 'sequential' }
  | { readonly kind: 'files' };

/** mulberry32. (With xorshift32, two draws in turn are related, and Zipf came out 5 % too easy.) */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A uint32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit);
  }

  share(): number {
    return this.next() / 2 ** 32;
  }
}

export interface Load {
  /** The block to write; or, as -1 - block, the one to trim. */
  next(): number;
}

function permutation(count: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let index = count - 1; index > 0; index -= 1) {
    const other = random.below(index + 1);
    const kept = order[index]!;
    order[index] = order[other]!;
    order[other] = kept;
  }
  return order;
}

class Uniform implements Load {
  readonly #random: Random;
  readonly #count: number;

  constructor(count: number, random: Random) {
    this.#random = random;
    this.#count = count;
  }

  next(): number {
    return this.#random.below(this.#count);
  }
}

class Sequential implements Load {
  readonly #count: number;
  #at = -1;

  constructor(count: number) {
    this.#count = count;
  }

  next(): number {
    this.#at = this.#at + 1 === this.#count ? 0 : this.#at + 1;
    return this.#at;
  }
}

class HotCold implements Load {
  readonly #random: Random;
  readonly #order: Uint32Array;
  readonly #hotWrites: number;
  readonly #hotCount: number;
  /** After so many writes the hot blocks move on; 0: never. */
  readonly #period: number;
  #written = 0;
  #shift = 0;

  constructor(count: number, random: Random, hotWrites: number, hotBlocks: number, moves: boolean) {
    this.#random = random;
    this.#order = permutation(count, random);
    this.#hotWrites = hotWrites;
    this.#hotCount = Math.floor(count * hotBlocks);
    this.#period = moves ? Math.floor(count / 10) : 0;
  }

  next(): number {
    const count = this.#order.length;
    this.#written += 1;
    if (this.#written === this.#period) {
      this.#written = 0;
      this.#shift = (this.#shift + Math.floor(this.#hotCount / 10)) % count;
    }
    const isHot = this.#random.share() < this.#hotWrites;
    const rank = isHot
      ? this.#random.below(this.#hotCount)
      : this.#hotCount + this.#random.below(count - this.#hotCount);
    return this.#order[(rank + this.#shift) % count]!;
  }
}

/** Walker's alias method: one table look-up for each draw, whatever the distribution. */
class Zipf implements Load {
  readonly #random: Random;
  readonly #order: Uint32Array;
  /** Share of a column that is its own; the rest belongs to its alias. */
  readonly #own: Float64Array;
  readonly #alias: Uint32Array;

  constructor(count: number, random: Random, exponent: number) {
    this.#random = random;
    this.#order = permutation(count, random);
    this.#alias = new Uint32Array(count);
    const weights = Float64Array.from({ length: count }, (_, rank) => (rank + 1) ** -exponent);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    this.#own = weights.map((weight) => (weight * count) / sum);
    const light: number[] = [];
    const heavy: number[] = [];
    for (let rank = 0; rank < count; rank += 1) (this.#own[rank]! < 1 ? light : heavy).push(rank);
    while (light.length > 0 && heavy.length > 0) {
      const small = light.pop()!;
      const large = heavy.at(-1)!;
      this.#alias[small] = large;
      this.#own[large]! -= 1 - this.#own[small]!;
      if (this.#own[large]! < 1) light.push(heavy.pop()!);
    }
    for (const rest of [...light, ...heavy]) this.#own[rest] = 1;
  }

  next(): number {
    const column = this.#random.below(this.#order.length);
    const rank = this.#random.share() < this.#own[column]! ? column : this.#alias[column]!;
    return this.#order[rank]!;
  }
}

class Files implements Load {
  readonly #random: Random;
  readonly #order: Uint32Array;
  readonly #isFull: Uint8Array;
  readonly #first: number;
  #file = 0;
  #left = 0;

  constructor(count: number, random: Random) {
    this.#random = random;
    this.#first = Math.floor(count * 0.7);
    const files = Math.floor((count - this.#first) / FILE_BLOCKS);
    this.#order = permutation(files, random);
    // The device was filled before.
    this.#isFull = new Uint8Array(files).fill(1);
  }

  next(): number {
    if (this.#left === 0) this.#choose();
    this.#left -= 1;
    const block = this.#first + this.#file * FILE_BLOCKS + FILE_BLOCKS - 1 - this.#left;
    return this.#isFull[this.#file] === 1 ? block : -1 - block;
  }

  #choose(): void {
    const files = this.#order.length;
    const hot = Math.floor(files / 10);
    const isHot = this.#random.share() < 0.9;
    const rank = isHot ? this.#random.below(hot) : hot + this.#random.below(files - hot);
    this.#file = this.#order[rank]!;
    this.#isFull[this.#file] = 1 - this.#isFull[this.#file]!;
    this.#left = FILE_BLOCKS;
  }
}

export function makeLoad(spec: LoadSpec, blockCount: number, seed: number): Load {
  const random = new Random(seed);
  switch (spec.kind) {
    case 'uniform':
      return new Uniform(blockCount, random);
    case 'sequential':
      return new Sequential(blockCount);
    case 'files':
      return new Files(blockCount, random);
    case 'zipf':
      return new Zipf(blockCount, random, spec.exponent);
    default: {
      const moves = spec.kind === 'moving';
      return new HotCold(blockCount, random, spec.hotWrites, spec.hotBlocks, moves);
    }
  }
}
