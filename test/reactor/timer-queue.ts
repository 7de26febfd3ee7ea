import test from 'ava';
import { Timer } from '../../src/block/reactor.ts';
import { TimerQueue } from '../../src/reactor/timer-queue.ts';

class Numbered extends Timer {
  readonly number: number;

  constructor(number: number) {
    super();
    this.number = number;
  }

  expire(): void {}
}

function drain(queue: TimerQueue, nowUs: number): number[] {
  const seen: number[] = [];
  for (;;) {
    const timer = queue.shiftDue(nowUs, queue.order);
    if (timer === null) return seen;
    seen.push((timer as Numbered).number);
  }
}

test('timers leave in order of time, and of scheduling within one instant', (t) => {
  const queue = new TimerQueue();
  const times = [50, 10, 30, 10, 50, 20, 10];
  for (const [number, dueUs] of times.entries()) queue.insert(new Numbered(number), dueUs);
  t.is(queue.nextDueUs(), 10);
  t.deepEqual(drain(queue, 9), []);
  t.deepEqual(drain(queue, 30), [1, 3, 6, 5, 2]);
  t.deepEqual(drain(queue, 1000), [0, 4]);
  t.is(queue.nextDueUs(), Number.POSITIVE_INFINITY);
});

test('removal and rescheduling keep the order, compared with a sorted list', (t) => {
  const queue = new TimerQueue();
  const timers = Array.from({ length: 64 }, (_, number) => new Numbered(number));
  let state = 12345;
  const next = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  for (let step = 0; step < 5000; step += 1) {
    const timer = timers[next(timers.length)]!;
    if (next(3) === 0) {
      queue.remove(timer);
      t.is(timer.dueUs, -1);
    } else {
      queue.insert(timer, next(100));
    }
    if (step % 100 !== 99) continue;
    const expected = timers
      .filter(({ dueUs }) => dueUs >= 0)
      .sort((a, b) => a.dueUs - b.dueUs || a.order - b.order)
      .map(({ number }) => number);
    t.is(queue.length, expected.length);
    t.deepEqual(drain(queue, 1000), expected);
  }
});

test('a timer scheduled after the mark waits for the next round', (t) => {
  const queue = new TimerQueue();
  queue.insert(new Numbered(1), 5);
  const mark = queue.order;
  queue.insert(new Numbered(2), 5);
  t.is((queue.shiftDue(5, mark) as Numbered).number, 1);
  t.is(queue.shiftDue(5, mark), null);
  t.is((queue.shiftDue(5, queue.order) as Numbered).number, 2);
});
