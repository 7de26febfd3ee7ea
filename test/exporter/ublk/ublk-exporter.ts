import test from 'ava';
import type { BandstandError } from '../../../src/block/errors.ts';
import {
  UblkExporter,
  type UblkExporterOptions,
} from '../../../src/exporter/ublk/ublk-exporter.ts';
import { FakeDriver, ManualDevice } from './_fake-driver.ts';

const DEPTH = 4;
const EINVAL = 22;
const ENOENT = 2;
const EBUSY = 16;
const EACCES = 13;

interface Fixture {
  readonly driver: FakeDriver;
  readonly device: ManualDevice;
  readonly exporter: UblkExporter;
  readonly events: string[];
}

function setup(options: Partial<UblkExporterOptions> = {}): Fixture {
  const driver = new FakeDriver(DEPTH);
  const events: string[] = [];
  const exporter = new UblkExporter({
    id: 5,
    queues: 1,
    depth: DEPTH,
    maxIoBytes: 8192,
    observer: {
      deviceStopped: () => events.push('stopped'),
      queueFailed: (error) => events.push(error.code),
      requestsTimedOut: (count) => events.push(`timed out ${count}`),
    },
    ...options,
  });
  return { driver, device: new ManualDevice(), exporter, events };
}

function start({ driver, device, exporter }: Fixture): Promise<void> {
  return driver.drive(exporter.start(driver, device));
}

/** Nothing of the exporter is left in the process. */
function nothingLeft({ driver }: Fixture): boolean {
  return (
    driver.arena.freeBytes === driver.arena.bytes &&
    driver.mappings.size === 0 &&
    driver.handlers.size === 0 &&
    driver.registeredFiles.size === 0 &&
    driver.openFiles.size === 0
  );
}

async function startError(fixture: Fixture): Promise<BandstandError> {
  return start(fixture).then(
    () => {
      throw new Error('the exporter does not start');
    },
    (error: BandstandError) => error,
  );
}

test('an exporter is ready when every tag is fetched', async (t) => {
  const fixture = setup();
  await start(fixture);
  for (let tag = 0; tag < DEPTH; tag += 1) t.not(fixture.driver.waitsAt(tag), null);
  t.deepEqual(fixture.exporter.describe(), {
    kind: 'ublk',
    address: '/dev/ublkb5',
    read_only: false,
  });
  t.deepEqual(fixture.events, []);
});

test('a node that appears late is waited for', async (t) => {
  const fixture = setup();
  fixture.driver.openResults.push(-ENOENT, -ENOENT, -ENOENT);
  await start(fixture);
  t.true(fixture.driver.nowUs() >= 15_000);
  t.not(fixture.driver.waitsAt(0), null);
});

test('a node that never appears is an error after five seconds', async (t) => {
  const fixture = setup();
  fixture.driver.openResults.push(...new Array<number>(2000).fill(-ENOENT));
  const error = await startError(fixture);
  t.is(error.code, 'BANDSTAND_UBLK_NO_DEVICE');
  t.is(
    error.message,
    'cannot serve /dev/ublkb5: opening /dev/ublkc5: no such file or directory (ENOENT)',
  );
  t.true(nothingLeft(fixture));
});

for (const [errno, code, why] of [
  [EBUSY, 'BANDSTAND_UBLK_BUSY', 'another server has it open (EBUSY)'],
  [EACCES, 'BANDSTAND_UBLK_PERMISSION', 'permission denied (EACCES)'],
  [EINVAL, 'BANDSTAND_UBLK_FAILED', 'invalid argument (EINVAL)'],
] as const) {
  test(`a node that cannot be opened is an error at once: ${code}`, async (t) => {
    const fixture = setup();
    fixture.driver.openResults.push(-errno);
    const error = await startError(fixture);
    t.is(error.code, code);
    t.is(error.message, `cannot serve /dev/ublkb5: opening /dev/ublkc5: ${why}`);
    t.true(nothingLeft(fixture));
  });
}

test('a driver that refuses to be fetched from fails the start, and nothing is left', async (t) => {
  const fixture = setup();
  fixture.driver.refuse = -EINVAL;
  const error = await startError(fixture);
  t.is(error.code, 'BANDSTAND_UBLK_FAILED');
  t.is(
    error.message,
    'cannot go on serving /dev/ublkb5: the driver refused a command: invalid argument (EINVAL)',
  );
  t.true(nothingLeft(fixture));
});

test('more tags than the ring has room for are refused before anything is opened', async (t) => {
  const fixture = setup({ queues: 3, depth: 1024 });
  const error = await startError(fixture);
  t.is(error.code, 'BANDSTAND_UBLK_REFUSED');
  t.regex(error.message, /3 queues of 1024 requests are more than 2048 requests$/);
  t.is(fixture.driver.openFiles.size, 0);
});

test('buffers that do not fit into the arena leave nothing behind', async (t) => {
  const fixture = setup({ maxIoBytes: 2 ** 19 });
  const error = await startError(fixture);
  t.is(error.code, 'BANDSTAND_ARENA_FULL');
  t.true(nothingLeft(fixture));
});

test('stop waits for the last request and for every tag, then lets go of everything', async (t) => {
  const fixture = setup();
  const { driver, device, exporter, events } = fixture;
  await start(fixture);
  driver.deliver(0, { op: 0, sectors: 8 });
  let stopped = false;
  const stopping = exporter.stop().then(() => {
    stopped = true;
  });
  for (const tag of [1, 2, 3]) driver.retire(tag);
  driver.pass(1000);
  await Promise.resolve();
  t.false(stopped);
  device.finish();
  t.is(driver.last.result, 4096);
  driver.retire(0);
  driver.pass(1000);
  await stopping;
  t.deepEqual(events, ['stopped']);
  t.true(nothingLeft(fixture));
  await exporter.stop();
});

test('handing over finishes what is in flight, and leaves the rest to another', async (t) => {
  const fixture = setup();
  const { driver, device, exporter } = fixture;
  await start(fixture);
  driver.deliver(0, { op: 0, sectors: 8 });
  let isDone = false;
  const handing = exporter.handOver().then(() => {
    isDone = true;
  });
  driver.deliver(1, { op: 1, sectors: 8, data: new Uint8Array(4096) });
  driver.pass(10_000);
  await Promise.resolve();
  t.false(isDone);
  t.is(device.submitted.length, 1, 'the write does not come to the device');
  device.finish();
  await driver.drive(handing);
  t.is(driver.last.result, 4096);
  t.is(driver.waitsAt(1), null, 'nor is it answered');
  t.deepEqual(
    driver.answers.map(({ tag }) => tag),
    [0],
  );
});

test('what does not get quiet is not handed over, and what was held goes on', async (t) => {
  const fixture = setup({ deadlineMs: 0 });
  const { driver, device, exporter } = fixture;
  await start(fixture);
  driver.deliver(0, { op: 0, sectors: 8 });
  const handing = exporter.handOver();
  driver.deliver(1, { op: 0, sectors: 8, start: 8 });
  const error = await t.throwsAsync(driver.drive(handing));
  t.regex(error!.message, /^cannot hand over \/dev\/ublkb5: requests in flight were not/);
  t.is(device.submitted.length, 2);
  device.finish();
  device.finish();
  driver.pass(1000);
  t.deepEqual(driver.answers.map(({ tag }) => tag).sort(), [0, 1]);
});

test('a device that the kernel stops on its own is reported, and stop then ends', async (t) => {
  const fixture = setup();
  await start(fixture);
  for (let tag = 0; tag < DEPTH; tag += 1) fixture.driver.retire(tag);
  fixture.driver.pass(1000);
  t.deepEqual(fixture.events, ['stopped']);
  await fixture.exporter.stop();
  t.true(nothingLeft(fixture));
});

test('an exporter that never started stops at once', async (t) => {
  const { exporter } = setup();
  await exporter.stop();
  t.pass();
});

test('overdue requests are reported', async (t) => {
  const fixture = setup({ deadlineMs: 100 });
  await start(fixture);
  fixture.driver.deliver(0, { op: 0, sectors: 8 });
  fixture.driver.pass(200_000);
  t.deepEqual(fixture.events, ['timed out 1']);
});
