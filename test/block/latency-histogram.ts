import test from 'ava';
import { LatencyHistogram } from '../../src/block/latency-histogram.ts';

test('an empty histogram has only zeroes', (t) => {
  t.deepEqual(new LatencyHistogram().summary(), { mean: 0, p50: 0, p99: 0, p999: 0, max: 0 });
});

test('quantiles are within 3 % of the exact ones, from below a microsecond to minutes', (t) => {
  for (const scale of [1, 100, 10_000, 1_000_000]) {
    const histogram = new LatencyHistogram();
    for (let index = 1; index <= 1000; index += 1) histogram.record((index * scale) / 10);
    for (const fraction of [0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
      const exact = (fraction * 1000 * scale) / 10;
      const error = Math.abs(histogram.quantileUs(fraction) - exact) / Math.max(exact, 4);
      t.true(error <= 0.032, `scale ${scale}, quantile ${fraction}: off by ${error}`);
    }
    t.is(histogram.maxUs, 100 * scale);
    t.is(histogram.count, 1000);
    t.true(Math.abs(histogram.meanUs - 50.05 * scale) < 1e-6 * scale);
  }
});

test('values beyond the last bucket, and clocks that stand still, are counted', (t) => {
  const histogram = new LatencyHistogram();
  histogram.record(0);
  histogram.record(1e12);
  t.is(histogram.count, 2);
  t.is(histogram.maxUs, 1e12);
  t.true(histogram.quantileUs(1) >= 260e6);
  t.true(histogram.quantileUs(0.5) < 1);
});

test('merge adds samples and reset forgets them', (t) => {
  const a = new LatencyHistogram();
  const b = new LatencyHistogram();
  for (let index = 0; index < 100; index += 1) a.record(10);
  for (let index = 0; index < 300; index += 1) b.record(1000);
  a.merge(b);
  t.is(a.count, 400);
  t.true(Math.abs(a.quantileUs(0.2) - 10) < 0.4);
  t.true(Math.abs(a.quantileUs(0.5) - 1000) < 32);
  t.is(a.maxUs, 1000);
  a.reset();
  t.is(a.count, 0);
  t.is(a.quantileUs(0.5), 0);
});

test('coarser buckets have all samples, each below its bound and above the one before', (t) => {
  const histogram = new LatencyHistogram();
  const samples = [0, 0.5, 1, 7.9, 8, 8.9, 9, 100, 101, 1000, 5_000_000, 1e12];
  for (const us of samples) histogram.record(us);
  const buckets = histogram.buckets();
  t.deepEqual(buckets.slice(0, 5), [
    [1, 2],
    [2, 1],
    [8, 1],
    [9, 2],
    [10, 1],
  ]);
  let below = 0;
  for (const [us, count] of buckets.slice(0, -1)) {
    const inside = samples.filter((sample) => sample >= below && sample < us);
    t.is(inside.length, count, `below ${us}`);
    below = us;
  }
  t.is(buckets.at(-1)![1], 1, 'what is beyond the last bound counts as that');
  t.deepEqual(new LatencyHistogram().buckets(), []);
});
