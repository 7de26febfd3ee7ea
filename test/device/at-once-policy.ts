import test from 'ava';
import { AtOncePolicy } from '../../src/device/at-once-policy.ts';

/** Runs turns of `perTurn` operations; each way takes its own time per operation (microseconds). */
function shareAtOnce(
  perTurn: number,
  atOnceUs: number,
  ringUs: number,
  operations: number,
  policy = new AtOncePolicy(1024, 8),
): number {
  let nowUs = 1000;
  let atOnce = 0;
  let inFlight = 0;
  for (let done = 0; done < operations; done += perTurn) {
    let turnUs = 0;
    for (let index = 0; index < perTurn; index += 1) {
      const chosen = policy.choose(nowUs, inFlight);
      turnUs += chosen ? atOnceUs : ringUs;
      if (chosen) atOnce += 1;
      inFlight = chosen ? 0 : perTurn;
    }
    nowUs += turnUs;
  }
  return atOnce / operations;
}

test('few outstanding operations are always done at once', (t) => {
  t.is(shareAtOnce(1, 1.5, 0.5, 200_000), 1);
  t.is(shareAtOnce(4, 1.5, 0.5, 200_000), 1);
});

test('many outstanding operations go the faster way, and the other is tried rarely', (t) => {
  t.true(shareAtOnce(64, 1.5, 1.0, 400_000) < 0.1);
  t.true(shareAtOnce(64, 1.0, 1.5, 400_000) > 0.9);
});

test('a way that is hardly faster is no reason to change', (t) => {
  t.true(shareAtOnce(64, 1.0, 0.98, 400_000) > 0.9);
});

test('the choice follows when the other way becomes the faster one', (t) => {
  const policy = new AtOncePolicy(1024, 8);
  t.true(shareAtOnce(64, 1.5, 1.0, 400_000, policy) < 0.1);
  t.true(shareAtOnce(64, 1.0, 1.5, 4_000_000, policy) > 0.8);
  t.is(shareAtOnce(1, 1.5, 1.0, 100_000, policy) > 0.9, true);
});

test('what counts as many is said per policy', (t) => {
  t.is(shareAtOnce(6, 1.5, 1.0, 600_000, new AtOncePolicy(256, 8)), 1);
  t.true(shareAtOnce(6, 1.5, 1.0, 600_000, new AtOncePolicy(256, 4)) < 0.1);
});
