/** Rate and estimate: the window, the thresholds, stalls, pauses and revisions. Time is given. */

import test from 'ava';
import { ProgressMeter } from '../../src/block/progress.ts';
import { formatEstimate } from '../../src/block/quantities.ts';

const SECOND = 1_000_000;
const MIB = 2 ** 20;

/** Advances by `rate` bytes a second, once a second, from `from` to `to` (seconds). */
function run(meter: ProgressMeter, from: number, to: number, rate: number): void {
  for (let second = from + 1; second <= to; second += 1) {
    meter.advance(second * SECOND, meter.doneBytes + rate);
  }
}

test('the rate is known after 2 s and is that of what was done', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 1000 * MIB);
  meter.advance(SECOND, MIB);
  t.is(meter.rateBytesPerSecond(1.9 * SECOND), null);
  run(meter, 1, 4, MIB);
  t.is(meter.rateBytesPerSecond(4 * SECOND), MIB);
});

test('the rate forgets what is older than 60 s', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 10 ** 6 * MIB);
  run(meter, 0, 100, 500 * MIB);
  run(meter, 100, 170, 10 * MIB);
  const rate = meter.rateBytesPerSecond(170 * SECOND)!;
  t.true(Math.abs(rate / (10 * MIB) - 1) < 0.05, String(rate / MIB));
});

test('a gap of more than a window leaves nothing of before in the rate', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 10 ** 6 * MIB);
  run(meter, 0, 30, 500 * MIB);
  meter.advance(500 * SECOND, meter.doneBytes + 58 * MIB);
  const rate = meter.rateBytesPerSecond(500 * SECOND)!;
  t.true(rate <= MIB && rate > 0.9 * MIB, String(rate / MIB));
});

test('an estimate comes after 30 s and 1 % of the work, not before', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 100 * MIB);
  run(meter, 0, 29, MIB);
  t.is(meter.etaSeconds(29.9 * SECOND), null, '29 % but only 29.9 s');
  run(meter, 29, 30, MIB);
  t.is(Math.round(meter.etaSeconds(30 * SECOND)!), 70);
  const slow = new ProgressMeter();
  slow.start(0, 0, 10_000 * MIB);
  run(slow, 0, 99, MIB);
  t.is(slow.etaSeconds(99 * SECOND), null, '99 s but less than 1 %');
  run(slow, 99, 101, MIB);
  const eta = slow.etaSeconds(101 * SECOND)!;
  t.true(Math.abs(eta / 9899 - 1) < 0.03, String(eta));
});

test('work that was done before the start proves nothing', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 5000 * MIB, 10_000 * MIB);
  run(meter, 0, 40, MIB);
  t.is(meter.etaSeconds(40 * SECOND), null);
});

test('without an advance for 10 s the rate is 0 and there is no estimate', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 100 * MIB);
  run(meter, 0, 40, MIB);
  t.true(meter.rateBytesPerSecond(49.9 * SECOND)! > 0);
  t.is(meter.rateBytesPerSecond(50 * SECOND), 0);
  t.is(meter.etaSeconds(50 * SECOND), null);
});

test('a pause has neither rate nor estimate, and its time is not counted', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 1000 * MIB);
  run(meter, 0, 40, MIB);
  meter.pause();
  t.is(meter.rateBytesPerSecond(41 * SECOND), null);
  t.is(meter.etaSeconds(41 * SECOND), null);
  meter.resume(10_000 * SECOND);
  run(meter, 10_000, 10_040, MIB);
  t.is(meter.rateBytesPerSecond(10_040 * SECOND), MIB);
  t.is(Math.round(meter.etaSeconds(10_040 * SECOND)!), 920);
});

test('a revised total changes the estimate, which is never negative', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 100 * MIB);
  run(meter, 0, 50, MIB);
  meter.revise(60 * MIB);
  t.is(Math.round(meter.etaSeconds(50 * SECOND)!), 10);
  meter.revise(40 * MIB);
  t.is(meter.etaSeconds(50 * SECOND), 0);
});

test('going back is no negative speed', (t) => {
  const meter = new ProgressMeter();
  meter.start(0, 0, 100 * MIB);
  run(meter, 0, 10, MIB);
  meter.advance(11 * SECOND, 2 * MIB);
  t.true(meter.rateBytesPerSecond(11 * SECOND)! > 0);
  t.is(meter.doneBytes, 2 * MIB);
});

test('estimates have two significant parts', (t) => {
  const cases: Record<number, string> = {
    0: '0 s',
    0.4: '0 s',
    41.6: '42 s',
    59.7: '1 min',
    200: '3 min 20 s',
    204: '3 min 20 s',
    596: '10 min',
    3528: '59 min',
    3599: '1 h',
    10260: '2 h 51 min',
    35990: '10 h',
    50000: '14 h',
    86390: '1 d',
    273600: '3 d 4 h',
    1300000: '15 d',
  };
  for (const [seconds, text] of Object.entries(cases)) t.is(formatEstimate(Number(seconds)), text);
});
