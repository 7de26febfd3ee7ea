/**
 * What a stack has done between two looks: rates, and how long operations took.    (user interface)
 *
 * A server counts since its start; that says nothing of now. So each look keeps the difference to
 * the one before it. Percentiles are of the last minute, curves have one sample for each look. A
 * look that found no server, or another one, is a gap.
 */

import type { IoStatus, StatusDocument } from '../control/schema.ts';

/** Enough for a curve that is as wide as a screen. */
export const SAMPLES_MAX = 256;
export const WINDOW_MS = 60_000;

type Buckets = ReadonlyMap<number, number>;

export interface Sample {
  readonly atMs: number;
  readonly ms: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly ios: number;
  /** Microseconds, and how many operations took up to that. */
  readonly latency: Buckets;
}

/** What one look has to remember for the next one. */
export interface Look {
  readonly atMs: number;
  readonly status: StatusDocument;
}

/** Null: there is nothing to compare with. */
export function sampleOf(before: Look | null, now: Look): Sample | null {
  const [a, b] = [before?.status.io ?? null, now.status.io];
  if (before === null || a === null || b === null) return null;
  if (before.status.server?.started_at !== now.status.server?.started_at) return null;
  const ms = now.atMs - before.atMs;
  if (ms <= 0) return null;
  return {
    atMs: now.atMs,
    ms,
    readBytes: Math.max(0, b.read.bytes - a.read.bytes),
    writeBytes: Math.max(0, b.write.bytes - a.write.bytes),
    ios: Math.max(0, b.read.ios + b.write.ios - a.read.ios - a.write.ios),
    latency: added(difference(a.read, b.read), difference(a.write, b.write)),
  };
}

function difference(before: IoStatus, now: IoStatus): Buckets {
  // A server of an older version does not tell them.
  const old = new Map(before.latency_buckets ?? []);
  const found = new Map<number, number>();
  for (const [us, ios] of now.latency_buckets ?? []) {
    const more = ios - (old.get(us) ?? 0);
    if (more > 0) found.set(us, more);
  }
  return found;
}

function added(a: Buckets, b: Buckets): Buckets {
  const sum = new Map(a);
  for (const [us, ios] of b) sum.set(us, (sum.get(us) ?? 0) + ios);
  return sum;
}

/** A list that does not grow for ever. */
export function withSample(
  samples: readonly (Sample | null)[],
  sample: Sample | null,
): readonly (Sample | null)[] {
  return [...samples.slice(-(SAMPLES_MAX - 1)), sample];
}

export interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

/** Of all operations of the samples; null when there were none. */
export function latencyOf(samples: readonly (Sample | null)[]): Latency | null {
  let sum: Buckets = new Map();
  for (const sample of samples) if (sample !== null) sum = added(sum, sample.latency);
  const sorted = [...sum].sort(([a], [b]) => a - b);
  const count = sorted.reduce((total, [, ios]) => total + ios, 0);
  if (count === 0) return null;
  const quantile = (fraction: number): number => {
    let seen = 0;
    for (const [us, ios] of sorted) {
      seen += ios;
      if (seen >= fraction * count) return us;
    }
    return sorted.at(-1)![0];
  };
  return { p50Us: quantile(0.5), p99Us: quantile(0.99), maxUs: sorted.at(-1)![0] };
}

export interface IoView {
  /** Bytes per second between the last two looks; null when there is nothing to compare. */
  readonly readRate: number | null;
  readonly writeRate: number | null;
  readonly iops: number | null;
  readonly readRates: readonly (number | null)[];
  readonly writeRates: readonly (number | null)[];
  /** Of the last minute. */
  readonly latency: Latency | null;
  /** Microseconds; null where there were no operations. */
  readonly p99s: readonly (number | null)[];
}

export function ioView(samples: readonly (Sample | null)[]): IoView {
  const last = samples.at(-1) ?? null;
  const per = (sample: Sample | null, value: (one: Sample) => number): number | null =>
    sample === null ? null : (value(sample) * 1000) / sample.ms;
  const newest = samples.findLast((sample) => sample !== null)?.atMs ?? 0;
  const recent = samples.filter((sample) => sample !== null && sample.atMs > newest - WINDOW_MS);
  return {
    readRate: per(last, ({ readBytes }) => readBytes),
    writeRate: per(last, ({ writeBytes }) => writeBytes),
    iops: per(last, ({ ios }) => ios),
    readRates: samples.map((sample) => per(sample, ({ readBytes }) => readBytes)),
    writeRates: samples.map((sample) => per(sample, ({ writeBytes }) => writeBytes)),
    latency: latencyOf(recent),
    p99s: samples.map((sample) => latencyOf([sample])?.p99Us ?? null),
  };
}

/** Shares of the largest. */
export function linearShares(values: readonly (number | null)[]): {
  readonly max: number;
  readonly shares: readonly (number | null)[];
} {
  const max = Math.max(0, ...values.map((value) => value ?? 0));
  return { max, shares: values.map((value) => (value === null ? null : max && value / max)) };
}

/** Shares on a logarithmic scale, from a microsecond to the largest. */
export function logarithmicShares(values: readonly (number | null)[]): readonly (number | null)[] {
  const max = Math.max(2, ...values.map((value) => value ?? 0));
  return values.map((value) =>
    value === null ? null : Math.max(0, Math.log2(Math.max(1, value)) / Math.log2(max)),
  );
}
