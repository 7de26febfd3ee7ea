/**
 * LatencyHistogram: how long operations took, in constant memory.                     (data plane)
 *
 * Buckets grow with the value (HDR style): 32 per power of two, so a quantile is exact to 3 %
 * whatever its size. The unit is an eighth of a microsecond; a value of 268 s or more counts as
 * that. Recording is a few integer operations and one increment.
 *
 *   value   0 … 63      bucket = value
 *   value  64 … 2^31-1  exponent e = floor(log2(value)), the five bits below the leading one select
 *                       one of the 32 buckets of that exponent: 64 + (e-6)*32 + bits
 */

const UNITS_PER_US = 8;
const VALUE_MAX = 2 ** 31 - 1;
const LINEAR = 64;
const SUB_BITS = 5;
const SUB = 1 << SUB_BITS;
/** Buckets that are one where somebody else is told of them. */
const COARSE = 4;
const BUCKETS = LINEAR + (30 - 6 + 1) * SUB;

/** Microseconds; all 0 when nothing was recorded. JSON-ready. */
export interface LatencySummary {
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export class LatencyHistogram {
  /** Samples per bucket; doubles, so that they never wrap. */
  readonly #counts = new Float64Array(BUCKETS);
  count = 0;
  #sumUs = 0;
  #maxUs = 0;

  record(latencyUs: number): void {
    this.count += 1;
    this.#sumUs += latencyUs;
    if (latencyUs > this.#maxUs) this.#maxUs = latencyUs;
    const scaled = latencyUs * UNITS_PER_US;
    const value = scaled < VALUE_MAX ? scaled | 0 : VALUE_MAX;
    if (value < LINEAR) {
      this.#counts[Math.max(value, 0)]! += 1;
      return;
    }
    const exponent = 31 - Math.clz32(value);
    const bits = (value >>> (exponent - SUB_BITS)) & (SUB - 1);
    this.#counts[LINEAR + (exponent - 6) * SUB + bits]! += 1;
  }

  reset(): void {
    this.#counts.fill(0);
    this.count = 0;
    this.#sumUs = 0;
    this.#maxUs = 0;
  }

  /** Adds the samples of another histogram. */
  merge(other: LatencyHistogram): void {
    for (let index = 0; index < BUCKETS; index += 1) {
      this.#counts[index]! += other.#counts[index]!;
    }
    this.count += other.count;
    this.#sumUs += other.#sumUs;
    this.#maxUs = Math.max(this.#maxUs, other.#maxUs);
  }

  get meanUs(): number {
    return this.count === 0 ? 0 : this.#sumUs / this.count;
  }

  get maxUs(): number {
    return this.#maxUs;
  }

  /** The value below which `fraction` (0 … 1) of the samples lie, in microseconds. */
  quantileUs(fraction: number): number {
    if (this.count === 0) return 0;
    const rank = Math.max(1, Math.ceil(fraction * this.count));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index += 1) {
      seen += this.#counts[index]!;
      if (seen >= rank) return Math.min(this.#maxUs, bucketMiddleUs(index));
    }
    return this.#maxUs;
  }

  /**
   * The samples in coarser buckets, eight per power of two and one per microsecond below 8: the
   * upper bound in microseconds and the count of each, the shortest first, without empty ones.
   */
  buckets(): [us: number, count: number][] {
    const found: [number, number][] = [];
    const add = (us: number, first: number, width: number): void => {
      let count = 0;
      for (let index = first; index < first + width; index += 1) count += this.#counts[index]!;
      if (count > 0) found.push([us, count]);
    };
    for (let first = 0; first < LINEAR; first += UNITS_PER_US) {
      add((first + UNITS_PER_US) / UNITS_PER_US, first, UNITS_PER_US);
    }
    for (let first = LINEAR; first < BUCKETS; first += COARSE) {
      add(bucketEndUs(first + COARSE - 1), first, COARSE);
    }
    return found;
  }

  summary(): LatencySummary {
    return {
      mean: round(this.meanUs),
      p50: round(this.quantileUs(0.5)),
      p99: round(this.quantileUs(0.99)),
      p999: round(this.quantileUs(0.999)),
      max: round(this.maxUs),
    };
  }
}

/** Of one above the linear ones, in units. */
function bucketAt(index: number): { low: number; width: number } {
  const exponent = Math.floor((index - LINEAR) / SUB) + 6;
  const width = 2 ** (exponent - SUB_BITS);
  return { low: (SUB + ((index - LINEAR) % SUB)) * width, width };
}

function bucketMiddleUs(index: number): number {
  if (index < LINEAR) return (index + 0.5) / UNITS_PER_US;
  const { low, width } = bucketAt(index);
  return (low + width / 2) / UNITS_PER_US;
}

function bucketEndUs(index: number): number {
  const { low, width } = bucketAt(index);
  return (low + width) / UNITS_PER_US;
}

function round(us: number): number {
  return Math.round(us * 100) / 100;
}
