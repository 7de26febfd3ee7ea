import test from 'ava';
import {
  CLASS_COUNT_MAX,
  classCountFor,
  NO_BAND,
  NO_CLASS,
  Placement,
} from '../../src/ftl/placement.ts';

const openBands = (...bands: number[]) => Int32Array.from(bands);

test('a new block is in class 1, above what only relocation has touched', (t) => {
  t.is(new Placement(10, 4).userClass(NO_BAND), 1);
  t.is(new Placement(10, 2).userClass(NO_BAND), 1);
  t.is(new Placement(10, 1).userClass(NO_BAND), 0);
});

test('each overwriting lifts a block by one class, up to the hottest', (t) => {
  const placement = new Placement(10, 4);
  const path: number[] = [];
  let lifetimeClass = 0;
  for (let band = 0; band < 6; band += 1) {
    placement.opened(band, lifetimeClass);
    lifetimeClass = placement.userClass(band);
    path.push(lifetimeClass);
  }
  t.deepEqual(path, [1, 2, 3, 3, 3, 3]);
});

test('each relocation sinks a block by one class, down to the coldest', (t) => {
  const placement = new Placement(10, 4);
  const path: number[] = [];
  let lifetimeClass = 3;
  for (let band = 0; band < 5; band += 1) {
    placement.opened(band, lifetimeClass);
    lifetimeClass = placement.relocatedClass(band);
    path.push(lifetimeClass);
  }
  t.deepEqual(path, [2, 1, 0, 0, 0]);
});

test('with one class every block goes there', (t) => {
  const placement = new Placement(4, 1);
  placement.opened(2, 0);
  t.is(placement.userClass(2), 0);
  t.is(placement.relocatedClass(2), 0);
});

test('a class that is not open is replaced by the nearest, the colder of two', (t) => {
  const placement = new Placement(10, 5);
  t.is(placement.substitute(2, openBands(7, 7, 7, 7, 7)), 2);
  t.is(placement.substitute(2, openBands(7, 7, NO_BAND, 7, 7)), 1);
  t.is(placement.substitute(2, openBands(7, NO_BAND, NO_BAND, 7, NO_BAND)), 3);
  t.is(placement.substitute(0, openBands(NO_BAND, NO_BAND, NO_BAND, NO_BAND, 7)), 4);
  t.is(placement.substitute(4, openBands(7, NO_BAND, NO_BAND, NO_BAND, NO_BAND)), 0);
  t.is(placement.substitute(2, new Int32Array(5).fill(NO_BAND)), NO_CLASS);
});

test('a band of a server with more classes counts as the hottest', (t) => {
  const placement = new Placement(10, 3);
  placement.opened(1, 7);
  t.is(placement.classOf[1], 2);
  t.is(placement.userClass(1), 2);
  t.is(placement.relocatedClass(1), 1);
});

test('half a band for each class beyond the second is at most 4 % of the spare bands', (t) => {
  let before = 1;
  for (let spare = 0; spare < 3000; spare += 1) {
    const classes = classCountFor(spare);
    t.true(classes >= before && classes <= CLASS_COUNT_MAX);
    if (classes > 2) t.true((classes - 1) / 2 <= spare * 0.04);
    before = classes;
  }
  t.is(classCountFor(7), 1);
  t.is(classCountFor(8), 2);
  t.is(before, CLASS_COUNT_MAX);
});

test('there is at least one class, and at most as many as head metadata can name', (t) => {
  t.throws(() => new Placement(10, 0), { message: /one to eight classes/ });
  t.throws(() => new Placement(10, CLASS_COUNT_MAX + 1), { message: /one to eight classes/ });
});
