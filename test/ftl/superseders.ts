import test from 'ava';
import { Superseders } from '../../src/ftl/superseders.ts';

test('a band is needed until the unit that superseded it is written and flushed', (t) => {
  const superseders = new Superseders(3, 100, true);
  superseders.note(1, 40);
  t.true(superseders.needs(40));
  t.false(superseders.needs(41));
  t.true(superseders.has(1, 40));
  superseders.written(1);
  t.true(superseders.needs(40), 'not flushed');
  t.false(superseders.has(1, 40));
  superseders.flushBegins();
  superseders.note(1, 99);
  superseders.written(1);
  t.true(superseders.needs(40), 'the flush is under way');
  superseders.flushed();
  t.false(superseders.needs(40));
  t.true(superseders.needs(99), 'it was written after the flush began');
});

test('without a volatile cache a unit that is written is durable', (t) => {
  const superseders = new Superseders(2, 64, false);
  superseders.note(0, 63);
  superseders.note(1, 63);
  superseders.written(0);
  t.true(superseders.needs(63), 'another unit has superseded something too');
  superseders.written(1);
  t.false(superseders.needs(63));
});
