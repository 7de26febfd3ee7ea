import test from 'ava';
import {
  ioView,
  latencyOf,
  linearShares,
  logarithmicShares,
  SAMPLES_MAX,
  sampleOf,
  withSample,
} from '../../src/tui/samples.ts';
import { statusOf } from '../_helpers/fake-stack.ts';
import { ioOf } from '../_helpers/monitor-states.ts';

type Io = ReturnType<typeof ioOf>;

function look(atMs: number, read: Io, write: Io, startedAt = '2026-11-20T09:14:02.000Z') {
  const status = statusOf('tank');
  const io = { ...status.io!, read, write };
  const server = { ...status.server!, started_at: startedAt };
  return { atMs, status: { ...status, io, server } };
}

const NONE = ioOf(0, 0, 0);

test('rates are those between two looks, latencies those of the operations between', (t) => {
  const before = look(0, ioOf(10, 1000, 100), NONE);
  const read = { ...ioOf(14, 5000, 100), latency_buckets: [[100, 10] as const, [300, 4] as const] };
  const sample = sampleOf(before, look(2000, read, ioOf(1, 800, 9000)))!;
  t.like(sample, { ms: 2000, readBytes: 4000, writeBytes: 800, ios: 5 });
  t.deepEqual(
    [...sample.latency],
    [
      [300, 4],
      [9000, 1],
    ],
  );
  const io = ioView([sample]);
  t.is(io.readRate, 2000);
  t.is(io.writeRate, 400);
  t.is(io.iops, 2.5);
  t.deepEqual(io.latency, { p50Us: 300, p99Us: 9000, maxUs: 9000 });
});

test('another server, no server, and a clock that stands still are gaps', (t) => {
  const before = look(0, ioOf(10, 1000, 100), NONE);
  t.is(sampleOf(null, before), null);
  t.is(sampleOf(before, look(2000, NONE, NONE, '2026-11-21T00:00:00.000Z')), null);
  t.is(sampleOf(before, look(0, NONE, NONE)), null);
  const stopped = { ...before.status, io: null, server: null };
  t.is(sampleOf(before, { atMs: 2000, status: stopped }), null);
  t.like(ioView([null]), { readRate: null, latency: null, readRates: [null], p99s: [null] });
});

test('a server that tells no buckets has rates, and no latencies', (t) => {
  const old = (ios: number): Io => {
    const { latency_buckets: _, ...rest } = ioOf(ios, ios * 100, 1);
    return rest as Io;
  };
  const sample = sampleOf(look(0, old(1), NONE), look(1000, old(5), NONE))!;
  t.is(sample.readBytes, 400);
  t.is(latencyOf([sample]), null);
});

test('percentiles are of the last minute', (t) => {
  const at = (atMs: number, us: number) => {
    const latency = new Map([[us, 1]]);
    return { atMs, ms: 2000, readBytes: 0, writeBytes: 0, ios: 1, latency };
  };
  const io = ioView([at(0, 999), at(100_000, 10), null, at(150_000, 20)]);
  t.is(io.latency!.maxUs, 20);
  t.is(io.latency!.p50Us, 10);
});

test('samples are kept for one curve, the newest ones', (t) => {
  let samples: readonly null[] = [];
  for (let count = 0; count < SAMPLES_MAX + 5; count += 1) {
    samples = withSample(samples, null) as readonly null[];
  }
  t.is(samples.length, SAMPLES_MAX);
});

test('shares are of the largest; gaps stay gaps', (t) => {
  t.deepEqual(linearShares([0, 5, null, 10]), { max: 10, shares: [0, 0.5, null, 1] });
  t.deepEqual(linearShares([0, null]), { max: 0, shares: [0, null] });
  t.deepEqual(logarithmicShares([1, 32, null, 1024]), [0, 0.5, null, 1]);
});
