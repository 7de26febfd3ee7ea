import { closeSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { DeviceObserver } from '../../src/block/block-device.ts';
import { OP_READ, OP_WRITE, OP_WRITE_ZEROES } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import type { Timer } from '../../src/block/reactor.ts';
import { ETIMEDOUT, OK } from '../../src/block/status.ts';
import { Deadline } from '../../src/device/deadline.ts';
import { FileDevice } from '../../src/device/file-device.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** Ticks of a deadline after which an operation may be late. */
const TICKS = 8;
const STEP_BYTES = 2 ** 30;

/** A file whose deadline is wound by hand, and whose kernel answers when it is told to. */
async function bench(sizeBytes: number, goesOnWithout: boolean) {
  const file = path.join(folder, `disk-${sizeBytes}-${goesOnWithout}`);
  closeSync(openSync(file, 'w'));
  truncateSync(file, sizeBytes);
  const reactor = openRingReactor();
  const device = new FileDevice(file, { blockBytes: 4096, atOnce: false, deadlineUs: 1_000_000 });
  await reactor.drive(device.open(reactor));
  let clock: Deadline | null = null;
  const schedule = reactor.schedule.bind(reactor);
  reactor.schedule = (timer: Timer, delayUs: number): void => {
    if (timer instanceof Deadline) clock = timer;
    else schedule(timer, delayUs);
  };
  const held: (() => void)[] = [];
  for (const name of ['readAt', 'writeAt', 'allocateRange'] as const) {
    const start = reactor[name].bind(reactor) as (...args: number[]) => void;
    reactor[name] = (...args: number[]) => held.push(() => start(...args));
  }
  let overdue = 0;
  const observer: DeviceObserver = {
    deviceFailed: () => {},
    deviceResized: () => {},
    deviceOverdue: () => {
      overdue += 1;
      return goesOnWithout;
    },
  };
  device.observer = observer;
  return {
    reactor,
    device,
    held,
    overdue: () => overdue,
    tick: (count: number) => {
      for (let left = count; left > 0; left -= 1) clock!.expire();
    },
    close: async () => {
      await reactor.drive(device.close());
      await reactor.close();
    },
  };
}

test('an operation of many steps is not late while each of them comes back in time', async (t) => {
  const { device, held, overdue, reactor, tick, close } = await bench(4 * STEP_BYTES, true);
  const blocks = (4 * STEP_BYTES) / 4096;
  let status = -1;
  const done = submitStatus(device, OP_WRITE_ZEROES, 0, blocks, 0).then((value) => {
    status = value;
  });
  for (let step = 0; step < 4; step += 1) {
    t.is(held.length, 1, `step ${step}`);
    tick(TICKS - 1);
    held.shift()!();
    const answered = (): boolean => held.length === 1 || status !== -1;
    while (!answered()) await reactor.drive(new Promise<void>((resolve) => setImmediate(resolve)));
  }
  await reactor.drive(done);
  t.is(status, OK);
  t.is(overdue(), 0);
  await close();
});

test('a write that does not come back is given back, a read waits for the kernel', async (t) => {
  const { device, held, overdue, reactor, tick, close } = await bench(2 ** 20, true);
  const buffer = reactor.arena.allocate(8192);
  let read = -1;
  const reading = submitStatus(device, OP_READ, 0, 1, buffer).then((value) => {
    read = value;
  });
  const writing = submitStatus(device, OP_WRITE, 0, 1, buffer + 4096);
  tick(TICKS);
  t.is(overdue(), 0);
  tick(1);
  t.is(overdue(), 1);
  t.is(await reactor.drive(writing), ETIMEDOUT);
  t.is(read, -1, 'the kernel may still write into its memory');
  let closed = false;
  const closing = close().then(() => {
    closed = true;
  });
  await new Promise<void>((resolve) => setImmediate(resolve));
  t.false(closed, 'the kernel still has both');
  for (const start of held.splice(0)) start();
  await closing;
  await reading;
  t.is(read, OK);
});

test('nothing is given back of a device that is needed', async (t) => {
  const { device, held, overdue, reactor, tick, close } = await bench(2 ** 20, false);
  const buffer = reactor.arena.allocate(4096);
  const writing = submitStatus(device, OP_WRITE, 0, 1, buffer);
  tick(2 * TICKS);
  t.true(overdue() > 0);
  held.shift()!();
  t.is(await reactor.drive(writing), OK);
  await close();
});
