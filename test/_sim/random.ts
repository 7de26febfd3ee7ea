/**
 * The simulator's source of chance: mulberry32 from one seed, and independent branches of it, so
 * that a decision in one place does not shift the decisions in another.
 */

/** A seed for one purpose, from a seed and numbers that name the purpose. */
export function mixSeed(seed: number, ...parts: readonly number[]): number {
  let value = seed >>> 0;
  for (const part of parts) {
    value = Math.imul(value ^ (part >>> 0) ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
    value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35) >>> 0;
    value = (value ^ (value >>> 16)) >>> 0;
  }
  return value;
}

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  /** 0 ≤ result < limit. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** least ≤ result ≤ most. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  chance(probability: number): boolean {
    return this.u32() < probability * 2 ** 32;
  }

  pick<Item>(list: readonly Item[]): Item {
    return list[this.below(list.length)]!;
  }

  /** Each item with the given probability. */
  some<Item>(list: readonly Item[], probability: number): Item[] {
    return list.filter(() => this.chance(probability));
  }

  fork(): Random {
    return new Random(this.u32());
  }
}
