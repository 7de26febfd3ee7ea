import test from 'ava';
import { InvariantError } from '../../../src/block/assert.ts';
import { FEATURE_READ_ONLY, FEATURE_TRIM, type Geometry } from '../../../src/block/block-device.ts';
import {
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../../src/block/block-io.ts';
import { UblkQueue } from '../../../src/exporter/ublk/ublk-queue.ts';
import { resultOfStatus } from '../../../src/exporter/ublk/ublk-result.ts';
import { FakeDriver, ManualDevice, type Request } from './_fake-driver.ts';

const READ = 0;
const WRITE = 1;
const FLUSH = 2;
const DISCARD = 3;
const WRITE_ZEROES = 5;
const FUA = 1 << 13;
const NOUNMAP = 1 << 15;

const EIO = 5;
const EINVAL = 22;
const EOPNOTSUPP = 95;

const BUFFER_BYTES = 16384;
const DEADLINE_US = 800_000;

interface Fixture {
  readonly driver: FakeDriver;
  readonly device: ManualDevice;
  readonly queue: UblkQueue;
  readonly events: string[];
}

function setup(geometry: Partial<Geometry> = {}, depth = 4, deadlineUs = DEADLINE_US): Fixture {
  const driver = new FakeDriver(depth);
  const device = new ManualDevice(geometry);
  const events: string[] = [];
  const owner = {
    queueRetired: () => events.push('retired'),
    queueFailed: (errno: number) => events.push(`failed ${errno}`),
    requestsTimedOut: (count: number) => events.push(`timed out ${count}`),
  };
  const queue = new UblkQueue(owner, driver, device, {
    queue: 1,
    depth,
    bufferBytes: BUFFER_BYTES,
    deadlineUs,
    descriptors: driver.descriptors,
    slot: 3,
  });
  queue.fetchAll();
  return { driver, device, queue, events };
}

const block = (byte: number, bytes = 4096): Uint8Array => new Uint8Array(bytes).fill(byte);

test('every tag is fetched once, with a buffer of its own', (t) => {
  const { driver } = setup();
  t.deepEqual(
    driver.commands,
    [0, 1, 2, 3].map((tag) => [3, 0xc0107520, 1, tag] as const),
  );
  const addresses = [0, 1, 2, 3].map((tag) => driver.waitsAt(tag)!);
  addresses.forEach((address, tag) => {
    t.is(address, driver.arena.address + tag * BUFFER_BYTES);
    t.is(address % 4096, 0);
  });
  t.true(addresses.some((address) => address < 5 * 2 ** 32));
  t.true(addresses.some((address) => address >= 5 * 2 ** 32));
});

test('a read fills the buffer of its tag and answers with its bytes', (t) => {
  const { driver, device } = setup();
  driver.deliver(2, { op: READ, sectors: 16, start: 80 });
  const io = device.submitted[0]!;
  t.is(io.op, OP_READ);
  t.is(io.block, 10);
  t.is(io.blockCount, 2);
  t.is(driver.arena.address + io.buffer, driver.arena.address + 2 * BUFFER_BYTES);
  t.is(driver.answers.length, 0);
  driver.arena.u8.fill(7, io.buffer, io.buffer + 8192);
  device.finish();
  t.deepEqual(driver.answers, [{ tag: 2, result: 8192, data: block(7, 8192) }]);
  t.is(driver.waitsAt(2), driver.arena.address + io.buffer);
});

test('a write carries its data, and FUA where it is asked for', (t) => {
  const { driver, device } = setup();
  driver.deliver(0, { op: WRITE, sectors: 8, start: 8, data: block(1) });
  driver.deliver(1, { op: WRITE, sectors: 8, start: 16, flags: FUA, data: block(2) });
  const [plain, durable] = device.submitted;
  t.is(plain!.op, OP_WRITE);
  t.is(plain!.flags, 0);
  t.is(durable!.flags, FLAG_FUA);
  t.deepEqual(driver.arena.u8.slice(durable!.buffer, durable!.buffer + 4096), block(2));
  device.finish(0, durable);
  device.finish(0, plain);
  t.deepEqual(
    driver.answers.map(({ tag, result }) => [tag, result]),
    [
      [1, 4096],
      [0, 4096],
    ],
  );
});

test('FUA on a device without it is a flush after the write', (t) => {
  const { driver, device } = setup({ features: FEATURE_TRIM });
  driver.deliver(0, { op: WRITE, sectors: 8, start: 8, flags: FUA, data: block(1) });
  t.is(device.submitted[0]!.op, OP_WRITE);
  t.is(device.submitted[0]!.flags, 0);
  device.finish();
  t.is(driver.answers.length, 0);
  t.is(device.submitted[0]!.op, OP_FLUSH);
  device.finish();
  t.is(driver.last.result, 4096);

  driver.deliver(0, { op: WRITE, sectors: 8, start: 8, flags: FUA, data: block(1) });
  device.finish();
  device.finish(EIO);
  t.is(driver.last.result, -EIO);

  driver.deliver(0, { op: WRITE, sectors: 8, start: 8, flags: FUA, data: block(1) });
  device.finish(EIO);
  t.is(device.submitted.length, 0);
  t.is(driver.last.result, -EIO);
});

test('a flush has no range, whatever its descriptor says', (t) => {
  const { driver, device } = setup();
  const view = new DataView(driver.descriptors);
  driver.deliver(0, { op: FLUSH, sectors: 0 });
  t.is(device.submitted[0]!.op, OP_FLUSH);
  device.finish();
  t.is(driver.last.result, 0);
  // The kernel's start sector of a flush is all ones.
  driver.deliver(1, { op: FLUSH, sectors: 0, start: 2 ** 52 });
  view.setBigUint64(24 + 8, 2n ** 64n - 1n, true);
  device.finish();
  t.is(driver.last.result, 0);
});

test('discard and write-zeroes answer 0, however long they are', (t) => {
  const { driver, device } = setup({ blockCount: 2 ** 30 });
  driver.deliver(0, { op: DISCARD, sectors: 8388600, start: 2 ** 32 });
  driver.deliver(1, { op: WRITE_ZEROES, sectors: 8388600, start: 8 });
  driver.deliver(2, { op: WRITE_ZEROES, sectors: 8, start: 8, flags: NOUNMAP | FUA });
  const [trim, zeroes, allocated] = device.submitted;
  t.is(trim!.op, OP_TRIM);
  t.is(trim!.block, 2 ** 29);
  t.is(trim!.blockCount, 1048575);
  t.is(zeroes!.op, OP_WRITE_ZEROES);
  t.is(zeroes!.flags, 0);
  t.is(allocated!.flags, FLAG_NOUNMAP | FLAG_FUA);
  for (let count = 0; count < 3; count += 1) device.finish();
  t.deepEqual(
    driver.answers.map(({ result }) => result),
    [0, 0, 0],
  );
});

test('sectors are blocks on a device with 512-byte blocks', (t) => {
  const { driver, device } = setup({ blockBytes: 512, blockCount: 2 ** 40 });
  driver.deliver(0, { op: READ, sectors: 3, start: 2 ** 39 + 5 });
  t.is(device.submitted[0]!.block, 2 ** 39 + 5);
  t.is(device.submitted[0]!.blockCount, 3);
  device.finish();
  t.is(driver.last.result, 1536);
});

const REFUSED: ReadonlyArray<readonly [string, Request, number, Partial<Geometry>?]> = [
  ['an unknown operation', { op: 4, sectors: 8 }, EOPNOTSUPP],
  ['a zone operation', { op: 15, sectors: 8 }, EOPNOTSUPP],
  ['an operation beyond every list', { op: 255, sectors: 8 }, EOPNOTSUPP],
  ['a misaligned start', { op: READ, sectors: 8, start: 9 }, EINVAL],
  ['a misaligned length', { op: WRITE, sectors: 9 }, EINVAL],
  ['nothing to read', { op: READ, sectors: 0 }, EINVAL],
  ['more than a buffer', { op: READ, sectors: BUFFER_BYTES / 512 + 8 }, EINVAL],
  ['more than the device takes', { op: READ, sectors: 16 }, EINVAL, { requestBlocksMax: 1 }],
  ['a read past the end', { op: READ, sectors: 16, start: 7992 }, EINVAL],
  ['a trim past the end', { op: DISCARD, sectors: 16, start: 7992 }, EINVAL],
  ['a start that no Number holds', { op: READ, sectors: 8, start: 2 ** 63 }, EINVAL],
  ['a trim without trim', { op: DISCARD, sectors: 8 }, EOPNOTSUPP, { features: 0 }],
  ['zeroes without zeroes', { op: WRITE_ZEROES, sectors: 8 }, EOPNOTSUPP, { features: 0 }],
  ['half a write unit', { op: WRITE, sectors: 8 }, EINVAL, { writeUnitBlocks: 2 }],
  ['a write when read-only', { op: WRITE, sectors: 8 }, EIO, { features: FEATURE_READ_ONLY }],
];

for (const [title, request, errno, geometry] of REFUSED) {
  test(`refused without asking the device: ${title}`, (t) => {
    const { driver, device } = setup(geometry);
    driver.deliver(1, request);
    t.is(device.submitted.length, 0);
    t.deepEqual(driver.answers, [{ tag: 1, result: -errno, data: null }]);
    t.not(driver.waitsAt(1), null);
  });
}

test('a trim keeps to whole write units', (t) => {
  const { driver, device } = setup({ writeUnitBlocks: 3 });
  driver.deliver(0, { op: DISCARD, sectors: 8 * 8, start: 8 * 2 });
  t.is(device.submitted[0]!.block, 3);
  t.is(device.submitted[0]!.blockCount, 6);
  device.finish();
  driver.deliver(0, { op: DISCARD, sectors: 8 * 4, start: 8 * 1 });
  t.is(device.submitted.length, 0);
  t.deepEqual(
    driver.answers.map(({ result }) => result),
    [0, 0],
  );
});

test('statuses become errnos that the kernel knows, and never success', (t) => {
  for (const errno of [5, 12, 22, 28, 61, 67, 84, 95, 110, 121]) {
    t.is(resultOfStatus(errno), -errno);
  }
  for (const errno of [0, 1, 11, 16, 19, 30, 125, 255, 256, 4096, -5]) {
    t.is(resultOfStatus(errno), -EIO);
  }
  const { driver, device } = setup();
  driver.deliver(0, { op: READ, sectors: 8 });
  device.finish(61);
  t.is(driver.last.result, -61);
});

test('a retired tag is not fetched again, and the last one is reported', (t) => {
  const { driver, device, queue, events } = setup();
  driver.deliver(0, { op: READ, sectors: 8 });
  for (const tag of [1, 2, 3]) driver.retire(tag);
  driver.pass(1);
  t.is(queue.retired, 3);
  t.false(queue.idle);
  t.deepEqual(events, []);
  device.finish();
  driver.retire(0);
  driver.pass(1);
  t.true(queue.idle);
  t.deepEqual(events, ['retired']);
  t.is(driver.commands.filter(([, op]) => op === 0xc0107521).length, 1);
  queue.dispose();
  t.is(driver.arena.freeBytes, driver.arena.bytes);
  t.is(driver.mappings.size, 0);
  t.is(driver.handlers.size, 0);
});

test('a refused command is reported and its tag given up', (t) => {
  const { driver, queue, events } = setup();
  driver.retire(1, -EINVAL);
  driver.pass(1);
  t.deepEqual(events, ['failed 22']);
  t.is(queue.retired, 1);
});

test('a request delivered twice stops the server', (t) => {
  const { driver, device } = setup();
  driver.deliver(0, { op: READ, sectors: 8 });
  t.throws(() => driver.complete(0, 0), { instanceOf: InvariantError });
  const [io] = device.submitted;
  device.finish();
  t.throws(() => io!.completer.complete(io!), { instanceOf: InvariantError });
});

test('a write that a new server gets again is simply written again', (t) => {
  const { driver, device } = setup();
  for (let time = 0; time < 2; time += 1) {
    driver.deliver(time, { op: WRITE, sectors: 8, start: 8, data: block(9) });
    device.finish();
    t.is(driver.last.result, 4096);
  }
});

test('requests are answered in the order in which the device finishes', (t) => {
  const { driver, device } = setup();
  for (const tag of [0, 1, 2, 3]) driver.deliver(tag, { op: READ, sectors: 8, start: 8 * tag });
  for (const index of [2, 0, 1, 0]) device.finish(0, device.submitted[index]);
  t.deepEqual(
    driver.answers.map(({ tag }) => tag),
    [2, 0, 3, 1],
  );
});
