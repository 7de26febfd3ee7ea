import { closeSync, openSync } from 'node:fs';
import { MessageChannel, Worker } from 'node:worker_threads';
import test from 'ava';
import { addonPath, loadAddon } from '../../src/native/load.ts';
import { Expiry, Hook, ioThen, openRingReactor, withReactor } from '../_helpers/ring-reactor.ts';

const native = loadAddon();

test.serial('a turn runs completions as they stood, then timers, then hooks', (t) =>
  withReactor(async (reactor) => {
    const order: string[] = [];
    const hook = new Hook(() => order.push('hook'));
    const timer = new Expiry(() => {
      order.push('timer');
      reactor.atTurnEnd(hook);
      reactor.atTurnEnd(hook);
    });
    reactor.finish(
      ioThen(() => {
        order.push('first');
        reactor.finish(
          ioThen(() => order.push('second')),
          0,
        );
      }),
      0,
    );
    reactor.schedule(timer, 0);
    // Two events need two turns: what a completion finishes comes in the next.
    t.is(reactor.turn(), 3);
    t.deepEqual(order, ['first', 'timer', 'hook']);
    t.is(reactor.turn(), 1);
    t.deepEqual(order, ['first', 'timer', 'hook', 'second']);
    t.is(reactor.turn(), 0);
  }),
);

test.serial('a timer that schedules itself at once runs once per turn', (t) =>
  withReactor(async (reactor) => {
    let runs = 0;
    const other = new Expiry(() => {});
    const timer = new Expiry(() => {
      runs += 1;
      reactor.schedule(timer, 0);
    });
    reactor.schedule(timer, 0);
    reactor.schedule(other, 1e9);
    reactor.turn();
    t.is(runs, 1);
    reactor.turn();
    t.is(runs, 2);
    reactor.cancel(timer);
    reactor.cancel(other);
    t.is(reactor.turn(), 0);
  }),
);

test.serial('time is constant within a turn and passes between turns', (t) =>
  withReactor(async (reactor) => {
    const times: number[] = [];
    const read = (): void => {
      times.push(reactor.nowUs());
      const until = performance.now() + 0.2;
      while (performance.now() < until);
      times.push(reactor.nowUs());
    };
    reactor.finish(ioThen(read), 0);
    reactor.turn();
    reactor.finish(ioThen(read), 0);
    reactor.turn();
    t.is(times[0], times[1]);
    t.is(times[2], times[3]);
    t.true(times[2]! - times[0]! >= 200);
  }),
);

test.serial('timers expire in order and not before their time, while the thread sleeps', (t) =>
  withReactor(async (reactor) => {
    const started = performance.now();
    const seen: number[] = [];
    const cpuBefore = native.threadCpuUs();
    for (const delayMs of [30, 10, 20]) {
      const timer = new Expiry(() => {
        t.true(performance.now() - started >= delayMs - 0.1);
        seen.push(delayMs);
        if (seen.length === 3) reactor.stop();
      });
      reactor.schedule(timer, delayMs * 1000);
    }
    await reactor.run();
    t.deepEqual(seen, [10, 20, 30]);
    // A late machine may find several timers due at once; a spinning one would count thousands.
    t.true(reactor.stats.sleeps >= 1 && reactor.stats.sleeps < 20);
    t.true(native.threadCpuUs() - cpuBefore < 20_000, 'an idle reactor uses no processor');
  }),
);

test.serial('a seeded reactor gives the same random numbers', (t) =>
  withReactor(async (reactor) => {
    const numbers = [reactor.random(), reactor.random()];
    await withReactor(async (other) => {
      t.deepEqual([other.random(), other.random()], numbers);
    });
    t.true(numbers.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32));
  }),
);

test.serial('drive lets promises and Node itself make progress', (t) =>
  withReactor(async (reactor) => {
    const steps: string[] = [];
    const work = async (): Promise<string> => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      steps.push('node timer');
      await new Promise<void>((resolve) => {
        reactor.schedule(new Expiry(resolve), 3000);
      });
      steps.push('reactor timer');
      await import('node:zlib');
      return 'done';
    };
    t.is(await reactor.drive(work()), 'done');
    t.deepEqual(steps, ['node timer', 'reactor timer']);
    await t.throwsAsync(reactor.drive(Promise.reject(new Error('no'))), { message: 'no' });
  }),
);

test.serial('two drives at once share the loop', (t) =>
  withReactor(async (reactor) => {
    const after = (us: number): Promise<number> =>
      new Promise((resolve) => {
        reactor.schedule(new Expiry(() => resolve(us)), us);
      });
    const both = await Promise.all([reactor.drive(after(2000)), reactor.drive(after(8000))]);
    t.deepEqual(both, [2000, 8000]);
  }),
);

test.serial('a broken invariant in a completion rejects run and ends the reactor', (t) =>
  withReactor(async (reactor) => {
    reactor.finish(
      ioThen(() => {
        throw new Error('invariant broken: test');
      }),
      0,
    );
    await t.throwsAsync(reactor.run(), { message: 'invariant broken: test' });
    await t.throwsAsync(reactor.drive(Promise.resolve()), { message: 'invariant broken: test' });
  }),
);

test.serial('messages posted from another thread wake a sleeping reactor', (t) =>
  withReactor(async (reactor) => {
    const { port1, port2 } = new MessageChannel();
    const script = `
      const { workerData } = require('node:worker_threads');
      const { createRequire } = require('node:module');
      const native = createRequire(workerData.addon)(workerData.addon);
      const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
      for (let index = 0; index < 20; index += 1) {
        sleep(index % 3);
        workerData.port.postMessage({ index });
        native.eventfdWrite(workerData.wakeFd);
      }`;
    const addon = addonPath();
    const worker = new Worker(script, {
      eval: true,
      execArgv: [],
      workerData: { port: port2, wakeFd: reactor.wakeFd, addon },
      transferList: [port2],
    });
    const seen: number[] = [];
    let steps = 0;
    reactor.attachPort(port1, async (message) => {
      seen.push((message as { index: number }).index);
      await null;
      await new Promise((resolve) => setImmediate(resolve));
      steps += 1;
      if (steps === 20) reactor.stop();
    });
    await reactor.run();
    t.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, index) => index),
    );
    reactor.detachPort(port1);
    await worker.terminate();
    port1.close();
  }),
);

test.serial('a message handler that rejects ends the reactor', (t) =>
  withReactor(async (reactor) => {
    const { port1, port2 } = new MessageChannel();
    port2.postMessage('anything');
    reactor.attachPort(port1, () => Promise.reject(new Error('handler failed')));
    await t.throwsAsync(reactor.run(), { message: 'handler failed' });
    port1.close();
  }),
);

test.serial(
  'close gives back descriptors and memory, and a second close does nothing',
  async (t) => {
    let highest = -1;
    for (let round = 0; round < 20; round += 1) {
      const reactor = openRingReactor();
      const { arena } = reactor;
      await reactor.close();
      await reactor.close();
      t.is(arena.u8.length, 0);
      const fd = openSync('/dev/null', 'r');
      if (round === 0) highest = fd;
      t.is(fd, highest);
      closeSync(fd);
    }
  },
);

test.serial('set-up flags that a kernel does not know are given up in steps', async (t) => {
  const tried: number[] = [];
  const refusing = (accept: number) => ({
    ...native,
    ringCreate(entries: number, cqEntries: number, flags: number) {
      tried.push(flags);
      if (tried.length >= accept) return native.ringCreate(entries, cqEntries, flags);
      throw Object.assign(new Error('invalid'), { errno: 22, syscall: 'io_uring_setup' });
    },
  });
  for (const accept of [1, 2, 3]) {
    tried.length = 0;
    await withReactor(
      async (reactor) => {
        t.is(tried.length, accept);
        await reactor.drive(Promise.resolve());
      },
      { native: refusing(accept) },
    );
  }
  tried.length = 0;
  t.throws(() => openRingReactor({ native: refusing(9) }), {
    code: 'BANDSTAND_URING_UNAVAILABLE',
  });
  t.is(tried.length, 3);
});

test.serial('a reactor that may spin still sleeps between distant timers', (t) =>
  withReactor(
    async (reactor) => {
      let ticks = 0;
      const timer = new Expiry(() => {
        ticks += 1;
        if (ticks === 40) reactor.stop();
        else reactor.schedule(timer, 400);
      });
      reactor.schedule(timer, 400);
      await reactor.run();
      t.is(ticks, 40);
      t.true(reactor.stats.sleeps >= 1);
    },
    { pollUs: 100 },
  ),
);
