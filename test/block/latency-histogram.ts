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
