import test from 'ava';
import { type LockOwner, RangeLock, RangeLocks } from '../../src/raid/range-locks.ts';
import { Random } from '../_helpers/array-fixture.ts';

class Owner implements LockOwner {
  readonly granted: RangeLock[] = [];

  locked(lock: RangeLock): void {
    this.granted.push(lock);
  }
}

function makeLock(owner: LockOwner, first: number, end: number, shared = false): RangeLock {
  const lock = new RangeLock(owner);
  lock.first = first;
  lock.end = end;
  lock.shared = shared;
  return lock;
}

test('ranges that touch but do not overlap are held together', (t) => {
  const locks = new RangeLocks();
  const owner = new Owner();
  t.true(locks.acquire(makeLock(owner, 0, 8)));
  t.true(locks.acquire(makeLock(owner, 8, 16)));
  t.false(locks.acquire(makeLock(owner, 7, 9)));
  t.false(locks.idle);
});

test('overlapping locks are granted in order of arrival', (t) => {
  const locks = new RangeLocks();
  const owner = new Owner();
  const first = makeLock(owner, 0, 8);
  const second = makeLock(owner, 4, 12);
  const third = makeLock(owner, 10, 14);
  t.true(locks.acquire(first));
  t.false(locks.acquire(second));
  t.false(locks.acquire(third), 'it would overtake one that it overlaps');
  locks.release(first);
  t.deepEqual(owner.granted, [second]);
  locks.release(second);
  t.deepEqual(owner.granted, [second, third]);
  locks.release(third);
  t.true(locks.idle);
});

test('shared locks are held together, and an exclusive one comes in its turn', (t) => {
  const locks = new RangeLocks();
  const owner = new Owner();
  const a = makeLock(owner, 0, 8, true);
  const b = makeLock(owner, 0, 8, true);
  const writer = makeLock(owner, 0, 8);
  const late = makeLock(owner, 0, 8, true);
  t.true(locks.acquire(a));
  t.true(locks.acquire(b));
  t.false(locks.acquire(writer));
  t.false(locks.acquire(late), 'readers do not starve a writer');
  locks.release(a);
  locks.release(b);
  t.deepEqual(owner.granted, [writer]);
  locks.release(writer);
  t.deepEqual(owner.granted, [writer, late]);
});

test('an owner that releases at once when it is told lets the next one in', (t) => {
  const locks = new RangeLocks();
  const order: string[] = [];
  const passing = (name: string): LockOwner => ({
    locked: (lock) => {
      order.push(name);
      locks.release(lock);
    },
  });
  const first = makeLock(new Owner(), 0, 8);
  t.true(locks.acquire(first));
  for (const name of ['a', 'b', 'c']) t.false(locks.acquire(makeLock(passing(name), 0, 8)));
  locks.release(first);
  t.deepEqual(order, ['a', 'b', 'c']);
  t.true(locks.idle);
});

test('no two overlapping locks are ever held together, and all are granted in the end', (t) => {
  const random = new Random(20261126);
  const locks = new RangeLocks();
  const owner = new Owner();
  const held = new Set<RangeLock>();
  const overlaps = (a: RangeLock, b: RangeLock): boolean =>
    a.first < b.end && b.first < a.end && !(a.shared && b.shared);
  let waiting = 0;
  let taken = 0;
  const hold = (lock: RangeLock): void => {
    for (const other of held) t.false(overlaps(lock, other));
    held.add(lock);
    taken += 1;
  };
  for (let step = 0; step < 4000; step += 1) {
    if (random.below(2) === 0 && step < 3000) {
      const first = random.below(500);
      const lock = makeLock(owner, first, first + 1 + random.below(40), random.below(4) === 0);
      if (locks.acquire(lock)) hold(lock);
      else waiting += 1;
    } else if (held.size > 0) {
      const lock = [...held][random.below(held.size)]!;
      held.delete(lock);
      locks.release(lock);
    }
    for (const lock of owner.granted.splice(0)) {
      waiting -= 1;
      hold(lock);
    }
  }
  t.true(taken > 1000);
  t.is(waiting, 0);
  t.is(locks.idle, held.size === 0);
});
