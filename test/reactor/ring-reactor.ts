import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import test from 'ava';
import { BlockIo } from '../../src/block/block-io.ts';
import { Timer, TurnHook } from '../../src/block/reactor.ts';
import { ECANCELED } from '../../src/block/status.ts';
import { loadAddon } from '../../src/native/load.ts';
import type { RingReactor } from '../../src/reactor/ring-reactor.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

const native = loadAddon();
const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

class Expiry extends Timer {
  readonly run: () => void;

  constructor(run: () => void) {
    super();
    this.run = run;
  }

  expire(): void {
    this.run();
  }
}

class Hook extends TurnHook {
  readonly run: () => void;

  constructor(run: () => void) {
    super();
    this.run = run;
  }

  endOfTurn(): void {
    this.run();
  }
}

function ioThen(run: () => void): BlockIo {
  const io = new BlockIo();
  io.completer = { complete: run };
  return io;
}

/** The result of one ring operation. */
function result(reactor: RingReactor, start: (handlerId: number) => void): Promise<number> {
  return new Promise((resolve) => {
    const handlerId = reactor.registerHandler({
      ringComplete(_token, value) {
        reactor.unregisterHandler(handlerId);
        resolve(value);
      },
    });
    start(handlerId);
  });
}

async function withReactor(
  body: (reactor: RingReactor) => Promise<void>,
  options: Parameters<typeof openRingReactor>[0] = {},
): Promise<void> {
  const reactor = openRingReactor(options);
  try {
    await body(reactor);
  } finally {
    await reactor.close();
  }
}

test.serial('reads and writes carry position, length, token and handler', (t) =>
  withReactor(async (reactor) => {
    const file = path.join(folder, 'transfer');
    writeFileSync(
      file,
      Uint8Array.from({ length: 10_000 }, (_, index) => index % 251),
    );
    const fd = openSync(file, 'r+');
    const slot = reactor.registerFile(fd);
    const at = reactor.arena.allocate(8192);
    const seen: number[][] = [];
    await reactor.drive(
      new Promise<void>((resolve) => {
        const handlerId = reactor.registerHandler({
          ringComplete(token, value) {
            seen.push([token, value]);
            if (seen.length === 2) resolve();
          },
        });
        reactor.readAt(slot, 1000, at, 500, handlerId, 0xfffffffe);
        reactor.readAt(slot, 9_900, at + 4096, 4096, handlerId, 7);
      }),
    );
    seen.sort((a, b) => a[0]! - b[0]!);
    t.deepEqual(seen, [
      [7, 100],
      [0xfffffffe, 500],
    ]);
    t.is(reactor.arena.u8[at], 1000 % 251);
    t.is(reactor.arena.u8[at + 499], 1499 % 251);
    reactor.arena.u8.fill(0xee, at, at + 512);
    t.is(
      await reactor.drive(result(reactor, (id) => reactor.writeAt(slot, 2000, at, 512, 2, id, 0))),
      512,
    );
    t.is(await reactor.drive(result(reactor, (id) => reactor.syncData(slot, id, 0))), 0);
    const content = readFileSync(file);
    t.true(content.subarray(2000, 2512).every((byte) => byte === 0xee));
    t.is(content[1999], 1999 % 251);
    t.is(content[2512], 2512 % 251);
    reactor.unregisterFile(slot);
    closeSync(fd);
  }),
);

test.serial('positions above 4 GiB and the end of the arena are exact', (t) =>
  withReactor(async (reactor) => {
    const file = path.join(folder, 'sparse');
    const fd = openSync(file, 'w+');
    const slot = reactor.registerFile(fd);
    const position = 5 * 2 ** 32 + 12345;
    const at = reactor.arena.bytes - 100;
    reactor.arena.u8.fill(0x42, at);
    const write = (id: number): void => reactor.writeAt(slot, position, at, 100, 0, id, 0);
    t.is(await reactor.drive(result(reactor, write)), 100);
    reactor.arena.u8.fill(0, at);
    const read = (id: number): void => reactor.readAt(slot, position + 50, at, 100, id, 0);
    t.is(await reactor.drive(result(reactor, read)), 50);
    t.deepEqual([...reactor.arena.u8.subarray(at + 48, at + 52)], [0x42, 0x42, 0, 0]);
    t.throws(() => reactor.readAt(slot, 0, at, 101, 0, 0), { name: 'InvariantError' });
    closeSync(fd);
  }),
);

test.serial('a burst beyond both queues completes, each operation once', (t) =>
  withReactor(
    async (reactor) => {
      const file = path.join(folder, 'burst');
      writeFileSync(
        file,
        Uint8Array.from({ length: 4096 }, (_, index) => index & 255),
      );
      const fd = openSync(file, 'r');
      const slot = reactor.registerFile(fd);
      const count = 5000;
      const at = reactor.arena.allocate(count);
      reactor.arena.u8.fill(0xff, at, at + count);
      const seen = new Uint8Array(count);
      let left = count;
      await reactor.drive(
        new Promise<void>((resolve) => {
          const handlerId = reactor.registerHandler({
            ringComplete(token, value) {
              t.is(value, 1);
              seen[token]! += 1;
              left -= 1;
              if (left === 0) resolve();
            },
          });
          for (let token = 0; token < count; token += 1) {
            reactor.readAt(slot, token % 4096, at + token, 1, handlerId, token);
          }
        }),
      );
      t.true(seen.every((times) => times === 1));
      for (let token = 0; token < count; token += 1) {
        if (reactor.arena.u8[at + token] !== ((token % 4096) & 255)) t.fail(`byte ${token}`);
      }
      closeSync(fd);
    },
    { entries: 8, cqEntries: 16 },
  ),
);

test.serial('a completion that submits keeps the ring full without loss', (t) =>
  withReactor(
    async (reactor) => {
      const file = path.join(folder, 'chain');
      writeFileSync(file, new Uint8Array(4096));
      const fd = openSync(file, 'r');
      const slot = reactor.registerFile(fd);
      const at = reactor.arena.allocate(4096);
      let submitted = 0;
      let completed = 0;
      await reactor.drive(
        new Promise<void>((resolve) => {
          const handlerId = reactor.registerHandler({
            ringComplete() {
              completed += 1;
              for (let more = 0; more < 3 && submitted < 4000; more += 1) submit();
              if (completed === 4000) resolve();
            },
          });
          const submit = (): void => {
            submitted += 1;
            reactor.readAt(slot, 0, at, 512, handlerId, submitted);
          };
          submit();
        }),
      );
      t.is(submitted, 4000);
      t.is(completed, 4000);
      closeSync(fd);
    },
    { entries: 4, cqEntries: 8 },
  ),
);

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
    t.true(reactor.stats.sleeps >= 3 && reactor.stats.sleeps < 20);
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

test.serial('a cancelled request completes as cancelled', (t) =>
  withReactor(async (reactor) => {
    const fd = native.eventfd();
    const slot = reactor.registerFile(fd);
    const at = reactor.arena.allocate(64);
    const status = await reactor.drive(
      result(reactor, (handlerId) => {
        reactor.readAt(slot, 0, at, 8, handlerId, 99);
        reactor.cancelRequest(handlerId, 99);
      }),
    );
    t.is(status, -ECANCELED);
    native.fileClose(fd);
  }),
);

test.serial('poll, send, receive and shutdown work on a socket pair', (t) =>
  withReactor(async (reactor) => {
    const [a, b] = native.socketPair();
    const [slotA, slotB] = [reactor.registerFile(a), reactor.registerFile(b)];
    const at = reactor.arena.allocate(4096);
    reactor.arena.u8.set([1, 2, 3, 4], at);
    const readable = result(reactor, (id) => reactor.poll(slotB, 1, id, 0));
    t.is(await reactor.drive(result(reactor, (id) => reactor.send(slotA, at, 4, 0, id, 0))), 4);
    t.is((await reactor.drive(readable)) & 1, 1);
    const receive = (id: number): void => reactor.receive(slotB, at + 100, 100, 0, id, 0);
    t.is(await reactor.drive(result(reactor, receive)), 4);
    t.deepEqual([...reactor.arena.u8.subarray(at + 100, at + 104)], [1, 2, 3, 4]);
    t.is(await reactor.drive(result(reactor, (id) => reactor.shutdown(slotA, 1, id, 0))), 0);
    t.is(await reactor.drive(result(reactor, receive)), 0);
    native.fileClose(a);
    native.fileClose(b);
  }),
);

test.serial('sendMessage sends what the message header in the arena points to', (t) =>
  withReactor(async (reactor) => {
    const [a, b] = native.socketPair();
    const slotA = reactor.registerFile(a);
    const slotB = reactor.registerFile(b);
    const { arena } = reactor;
    const at = arena.allocate(4096);
    arena.u8.set([9, 8, 7], at);
    arena.u8.set([6, 5], at + 512);
    arena.u8.fill(0, at + 1024, at + 2048);
    // struct iovec × 2 at 1024, struct msghdr at 1536: msg_iov at 16, msg_iovlen at 24.
    arena.view.setBigUint64(at + 1024, BigInt(arena.address + at), true);
    arena.view.setBigUint64(at + 1032, 3n, true);
    arena.view.setBigUint64(at + 1040, BigInt(arena.address + at + 512), true);
    arena.view.setBigUint64(at + 1048, 2n, true);
    arena.view.setBigUint64(at + 1536 + 16, BigInt(arena.address + at + 1024), true);
    arena.view.setBigUint64(at + 1536 + 24, 2n, true);
    const send = (id: number): void => reactor.sendMessage(slotA, at + 1536, 0, id, 0);
    t.is(await reactor.drive(result(reactor, send)), 5);
    const receive = (id: number): void => reactor.receive(slotB, at + 3000, 64, 0, id, 0);
    t.is(await reactor.drive(result(reactor, receive)), 5);
    t.deepEqual([...arena.u8.subarray(at + 3000, at + 3005)], [9, 8, 7, 6, 5]);
    native.fileClose(a);
    native.fileClose(b);
  }),
);

test.serial('accept gives a descriptor of the new connection', (t) =>
  withReactor(async (reactor) => {
    const address = path.join(folder, 'listen');
    const listener = native.socketListenUnix(address, 0o600, 4);
    const slot = reactor.registerFile(listener);
    const accepted = result(reactor, (id) => reactor.accept(slot, id, 0));
    const { connect } = await import('node:net');
    const client = connect(address);
    const fd = await reactor.drive(accepted);
    t.true(fd > 0);
    client.destroy();
    native.fileClose(fd);
    native.fileClose(listener);
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
    const addon = path.resolve('native/ublk/build/Release/bandstand.node');
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

test.serial('the registered file table says when it is full, and slots come back', (t) =>
  withReactor(
    async (reactor) => {
      if (!reactor.stats.files_registered) {
        t.pass('this kernel has no file table');
        return;
      }
      const fd = openSync('/dev/null', 'r');
      const slots = [0, 1, 2, 3].map(() => reactor.registerFile(fd));
      t.is(new Set(slots).size, 4);
      t.throws(() => reactor.registerFile(fd), {
        code: 'BANDSTAND_URING_FAILED',
        message: 'cannot register a file with the io_uring of this process: all 4 slots are taken',
      });
      reactor.unregisterFile(slots[1]!);
      t.is(reactor.registerFile(fd), slots[1]!);
      // Files that may wait are not in the table, and so cannot fill it.
      t.notThrows(() => reactor.registerFile(fd, true));
      closeSync(fd);
    },
    { fileSlots: 4 },
  ),
);

test.serial('an arena that must not be registered is used without', (t) =>
  withReactor(
    async (reactor) => {
      t.false(reactor.stats.arena_registered);
      t.false(reactor.stats.files_registered);
      const file = path.join(folder, 'plain');
      writeFileSync(file, 'plain');
      const fd = openSync(file, 'r');
      const slot = reactor.registerFile(fd);
      const at = reactor.arena.allocate(64);
      const read = (id: number): void => reactor.readAt(slot, 0, at, 5, id, 0);
      t.is(await reactor.drive(result(reactor, read)), 5);
      t.is(Buffer.from(reactor.arena.u8.subarray(at, at + 5)).toString(), 'plain');
      reactor.unregisterFile(slot);
      closeSync(fd);
    },
    {
      native: {
        ...native,
        ringRegisterBuffers: () => -12,
        ringRegisterFileTable: () => -24,
      },
    },
  ),
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

test.serial('a bounded spin before sleeping is given up when it does not pay', (t) =>
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
      t.true(reactor.stats.sleeps >= 20);
    },
    { pollUs: 100 },
  ),
);
