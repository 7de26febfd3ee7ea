import test from 'ava';
import type { BlockIo } from '../../../src/block/block-io.ts';
import { OP_READ, OP_WRITE } from '../../../src/block/block-io.ts';
import { UblkQueue } from '../../../src/exporter/ublk/ublk-queue.ts';
import { FakeDriver, ManualDevice } from './_fake-driver.ts';

const READ = 0;
const WRITE = 1;
const FLUSH = 2;
const ETIMEDOUT = 110;

const BUFFER_BYTES = 8192;
const DEADLINE_US = 800_000;

function setup(depth = 4, deadlineUs = DEADLINE_US) {
  const driver = new FakeDriver(depth);
  const device = new ManualDevice();
  const events: string[] = [];
  const owner = {
    queueRetired: () => events.push('retired'),
    queueFailed: (errno: number) => events.push(`failed ${errno}`),
    requestsTimedOut: (count: number) => events.push(`timed out ${count}`),
  };
  const queue = new UblkQueue(owner, driver, device, {
    queue: 0,
    depth,
    bufferBytes: BUFFER_BYTES,
    deadlineUs,
    descriptors: driver.descriptors,
    slot: 3,
  });
  queue.fetchAll();
  return { driver, device, queue, events };
}

const block = (byte: number): Uint8Array => new Uint8Array(4096).fill(byte);

test('a request is answered after its deadline, and not before', (t) => {
  const { driver, events } = setup();
  driver.deliver(0, { op: READ, sectors: 8 });
  driver.pass(DEADLINE_US - 1);
  t.is(driver.answers.length, 0);
  driver.pass(DEADLINE_US / 8 + 2);
  t.deepEqual(driver.answers, [{ tag: 0, result: -ETIMEDOUT, data: null }]);
  t.deepEqual(events, ['timed out 1']);
});

test('each request has the whole deadline, however busy the queue is', (t) => {
  const { driver, device, events } = setup();
  for (let round = 0; round < 100; round += 1) {
    driver.deliver(0, { op: READ, sectors: 8 });
    driver.pass(DEADLINE_US / 10);
    driver.deliver(1, { op: READ, sectors: 8 });
    driver.pass(DEADLINE_US / 10);
    device.finish();
    device.finish();
  }
  t.deepEqual(events, []);
  driver.pass(10 * DEADLINE_US);
  t.true(driver.answers.every(({ result }) => result === 4096));
  // With nothing in flight no timer is left.
  t.false(driver.advance());
});

test('without a deadline a request waits as long as it takes', (t) => {
  const { driver, device, queue } = setup(4, 0);
  driver.deliver(0, { op: READ, sectors: 8 });
  driver.pass(3600e6);
  t.is(driver.answers.length, 0);
  device.finish();
  t.is(driver.last.result, 4096);
  t.is(driver.mappings.size, 0);
  t.is(queue.abandoned, 0);
});

test('an overdue tag goes on with another buffer until it gets the first one back', (t) => {
  const { driver, device, queue } = setup();
  const own = driver.waitsAt(0)!;
  driver.deliver(0, { op: WRITE, sectors: 8, start: 0, data: block(1) });
  const late = device.submitted[0]!;
  driver.pass(2 * DEADLINE_US);
  t.is(driver.last.result, -ETIMEDOUT);
  const bounce = driver.waitsAt(0)!;
  t.not(bounce, own);
  t.is(queue.abandoned, 1);

  // What arrives meanwhile is refused, and does not touch the buffer that the device writes from.
  driver.deliver(0, { op: WRITE, sectors: 8, start: 800, data: block(2) });
  t.is(driver.last.result, -ETIMEDOUT);
  t.is(device.submitted.length, 1);
  t.deepEqual(driver.memory(own, 4096), block(1));
  t.is(driver.waitsAt(0), bounce);

  const answers = driver.answers.length;
  device.finish(0, late);
  t.is(driver.answers.length, answers);
  t.is(queue.abandoned, 0);
});

test('the first request after a stall is served through the other buffer', (t) => {
  const { driver, device } = setup();
  const own = driver.waitsAt(0)!;
  for (const op of [READ, WRITE]) {
    driver.deliver(0, { op: READ, sectors: 8 });
    driver.pass(2 * DEADLINE_US);
    device.finish(5);
    t.not(driver.waitsAt(0), own);
    if (op === WRITE) {
      driver.deliver(0, { op, sectors: 8, start: 8, data: block(3) });
      const io = device.submitted[0]!;
      t.deepEqual(driver.arena.u8.slice(io.buffer, io.buffer + 4096), block(3));
    } else {
      driver.deliver(0, { op, sectors: 8, start: 8 });
      const io = device.submitted[0]!;
      driver.arena.u8.fill(4, io.buffer, io.buffer + 4096);
    }
    device.finish();
    t.is(driver.last.result, 4096);
    if (op === READ) t.deepEqual(driver.last.data, block(4));
    t.is(driver.waitsAt(0), own);
  }
});

test('what overlaps an abandoned write is refused, so that an old write cannot win', (t) => {
  const { driver, device } = setup();
  driver.deliver(0, { op: WRITE, sectors: 16, start: 80, data: block(1) });
  driver.pass(2 * DEADLINE_US);
  const late = device.submitted[0]!;
  for (const [op, start] of [
    [WRITE, 80],
    [WRITE, 88],
    [READ, 88],
  ] as const) {
    driver.deliver(1, { op, sectors: 8, start, data: block(2) });
    t.is(driver.last.result, -ETIMEDOUT, `${op} at ${start}`);
    t.is(device.submitted.length, 1);
  }
  for (const start of [72, 96]) {
    driver.deliver(1, { op: WRITE, sectors: 8, start, data: block(2) });
    device.finish(0, device.submitted[1]);
    t.is(driver.last.result, 4096);
  }
  driver.deliver(1, { op: FLUSH, sectors: 0 });
  device.finish(0, device.submitted[1]);
  t.is(driver.last.result, 0);

  device.finish(0, late);
  driver.deliver(1, { op: WRITE, sectors: 8, start: 80, data: block(2) });
  device.finish();
  t.is(driver.last.result, 4096);
});

test('an abandoned read does not stand in the way of others', (t) => {
  const { driver, device } = setup();
  driver.deliver(0, { op: READ, sectors: 8, start: 80 });
  driver.pass(2 * DEADLINE_US);
  driver.deliver(1, { op: WRITE, sectors: 8, start: 80, data: block(1) });
  device.finish(0, device.submitted[1]);
  t.is(driver.last.result, 4096);
});

test('a device that never answers costs every request its deadline once', (t) => {
  const { driver, events } = setup();
  for (const tag of [0, 1, 2, 3]) driver.deliver(tag, { op: READ, sectors: 8 });
  driver.pass(2 * DEADLINE_US);
  t.is(driver.answers.length, 4);
  t.deepEqual(events, ['timed out 4']);
  for (const tag of [0, 1, 2, 3]) driver.deliver(tag, { op: READ, sectors: 8 });
  t.is(driver.answers.length, 8);
  t.true(driver.answers.every(({ result }) => result === -ETIMEDOUT));
});

test('a stopped device is released only when the device below has given everything back', (t) => {
  const { driver, device, queue, events } = setup();
  driver.deliver(0, { op: READ, sectors: 8 });
  driver.pass(2 * DEADLINE_US);
  for (const tag of [0, 1, 2, 3]) driver.retire(tag);
  driver.pass(1);
  t.is(queue.retired, 4);
  t.false(queue.idle);
  device.finish();
  t.true(queue.idle);
  t.deepEqual(events, ['timed out 1', 'retired']);
  queue.dispose();
  t.is(driver.mappings.size, 0);
});

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 1);

/** mulberry32. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

/** A disk of ten blocks under the queue, which takes effect when it completes. */
class Disk {
  readonly blocks = new Uint8Array(10);

  apply(driver: FakeDriver, io: BlockIo): void {
    const u8 = driver.arena.u8;
    for (let index = 0; index < io.blockCount; index += 1) {
      const at = io.buffer + index * 4096;
      if (io.op === OP_READ) u8.fill(this.blocks[io.block + index]!, at, at + 4096);
      else if (io.op === OP_WRITE) this.blocks[io.block + index] = u8[at + 4095]!;
    }
  }
}

for (let seed = SEED; seed < SEED + 20; seed += 1) {
  test(`any history gives one answer per request and right data, seed ${seed}`, (t) => {
    const random = generator(seed);
    const { driver, device, queue } = setup(6);
    const disk = new Disk();
    /** What a read of each block may give. */
    const allowed = Array.from({ length: 10 }, () => new Set([0]));
    const inFlight = new Map<number, { op: number; at: number; count: number; value: number }>();
    let delivered = 0;
    let answered = 0;
    let value = 0;
    const settle = (): void => {
      for (; answered < driver.answers.length; answered += 1) {
        const { tag, result, data } = driver.answers[answered]!;
        const { op, at, count, value: written } = inFlight.get(tag)!;
        inFlight.delete(tag);
        for (let index = 0; index < count; index += 1) {
          const set = allowed[at + index]!;
          if (op === WRITE && result > 0) allowed[at + index] = new Set([written]);
          else if (op === WRITE) set.add(written);
          else if (result > 0) t.true(set.has(data![index * 4096]!), `block ${at + index}`);
        }
        if (op !== FLUSH) t.true(result === count * 4096 || result === -ETIMEDOUT);
      }
    };
    for (let step = 0; step < 400; step += 1) {
      const tag = random(6);
      const busy = new Set([...inFlight.values()].flatMap(({ at, count }) => [at, at + count - 1]));
      const at = random(9);
      const count = 1 + random(2);
      const free = !busy.has(at) && !busy.has(at + count - 1);
      if (random(2) === 0 && driver.waitsAt(tag) !== null && free) {
        value = (value % 250) + 1;
        const op = random(2);
        inFlight.set(tag, { op, at, count, value });
        delivered += 1;
        const data = new Uint8Array(count * 4096).fill(value);
        driver.deliver(tag, {
          op,
          sectors: 8 * count,
          start: 8 * at,
          ...(op === WRITE && { data }),
        });
      } else if (device.submitted.length > 0 && random(3) > 0) {
        const io = device.submitted[random(device.submitted.length)]!;
        disk.apply(driver, io);
        device.finish(0, io);
      } else {
        driver.pass(random(DEADLINE_US / 2));
      }
      settle();
    }
    while (device.submitted.length > 0) {
      disk.apply(driver, device.submitted[0]!);
      device.finish();
    }
    settle();
    t.is(answered, delivered);
    t.is(inFlight.size, 0);
    t.is(queue.abandoned, 0);
    t.true(driver.answers.some(({ result }) => result === -ETIMEDOUT));
  });
}
