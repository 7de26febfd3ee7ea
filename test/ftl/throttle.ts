import test from 'ava';
import { Throttle } from '../../src/ftl/throttle.ts';

/** True when a block was written. */
function write(throttle: Throttle): boolean {
  if (!throttle.mayPay()) return false;
  throttle.pay();
  return true;
}

/** Blocks that may be written for 300 blocks that are moved, each of which wins one. */
function allowed(bandsLeft: number): number {
  const throttle = new Throttle(8, 64);
  throttle.begin(50, 100);
  let paid = 0;
  for (let moved = 0; moved < 300; moved += 1) {
    throttle.moved(bandsLeft);
    while (write(throttle)) paid += 1;
  }
  return paid;
}

test('the fewer bands are left, the less a user may write beside relocation', (t) => {
  t.deepEqual([7, 6, 5, 4, 3, 2, 1, 0].map(allowed), [1200, 1200, 600, 600, 300, 300, 150, 150]);
});

test('while nothing is relocated, writes are free', (t) => {
  const throttle = new Throttle(8, 64);
  t.true(write(throttle));
  throttle.begin(50, 100);
  t.false(write(throttle));
  t.deepEqual([...throttle.waits], [1, 0, 0, 0]);
  throttle.end();
  t.true(write(throttle));
});

test('credit does not pile up', (t) => {
  const throttle = new Throttle(8, 64);
  throttle.begin(1, 100);
  for (let moved = 0; moved < 100; moved += 1) throttle.moved(7);
  let paid = 0;
  while (write(throttle)) paid += 1;
  t.is(paid, 64);
});
