import test from 'ava';
import { Timer } from '../../src/block/reactor.ts';
import { loadAddon } from '../../src/native/load.ts';
import { RingReactor } from '../../src/reactor/ring-reactor.ts';

const native = loadAddon();
const MS = 1000;

class Note extends Timer {
  readonly #expire: () => void;

  constructor(expire: () => void) {
    super();
    this.#expire = expire;
  }

  expire(): void {
    this.#expire();
  }
}

function create(): RingReactor {
  return RingReactor.create({ native, arenaBytes: 2 ** 20 });
}

test('timers far away expire in order, not early, and cost few sleeps', async (t) => {
  const reactor = create();
  const start = performance.now();
  const expired: number[] = [];
  const add = (ms: number, last = false): void => {
    const timer = new Note(() => {
      expired.push(ms);
      t.true(performance.now() - start >= ms - 0.1);
      if (last) reactor.stop();
    });
    reactor.schedule(timer, ms * MS);
  };
  add(120, true);
  add(80);
  add(40);
  add(2);
  await reactor.run();
  t.deepEqual(expired, [2, 40, 80, 120]);
  t.true(reactor.stats.sleeps < 20, `${reactor.stats.sleeps} sleeps`);
  await reactor.close();
});

test('an earlier timer is not held up by the alarm of a later one', async (t) => {
  const reactor = create();
  const expired: string[] = [];
  reactor.schedule(new Note(() => expired.push('late')), 3600e6);
  const near = new Note(() => {
    expired.push('near');
    reactor.stop();
  });
  const first = new Note(() => reactor.schedule(near, 30 * MS));
  reactor.schedule(first, 1 * MS);
  await reactor.run();
  t.deepEqual(expired, ['near']);
  await reactor.close();
});

test('a cancelled timer leaves an alarm that does nothing', async (t) => {
  const reactor = create();
  let expired = 0;
  const timer = new Note(() => {
    expired += 1;
  });
  reactor.schedule(timer, 25 * MS);
  reactor.schedule(new Note(() => reactor.cancel(timer)), 5 * MS);
  reactor.schedule(new Note(() => reactor.stop()), 60 * MS);
  await reactor.run();
  t.is(expired, 0);
  await reactor.close();
});

test('a reactor closes with alarms set, and gives its memory back', async (t) => {
  const reactor = create();
  reactor.schedule(new Note(() => {}), 3600e6);
  reactor.schedule(new Note(() => reactor.stop()), 2 * MS);
  await reactor.run();
  reactor.schedule(new Note(() => {}), 1800e6);
  reactor.schedule(new Note(() => reactor.stop()), 2 * MS);
  await reactor.run();
  await reactor.close();
  // Memory that the kernel may still write to would have been left mapped.
  t.is(reactor.arena.u8.length, 0);
});
