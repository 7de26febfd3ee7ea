import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { runWorkload, Workload, type WorkloadOptions } from '../../src/bench/workload.ts';
import { type BlockIo, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { DelayDevice } from '../../src/device/delay-device.ts';
import { ErrorDevice } from '../../src/device/error-device.ts';
import { NullDevice } from '../../src/device/null-device.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

const SIZE_BYTES = 1000 * 4096;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Submitted {
  readonly op: number;
  readonly block: number;
  readonly blockCount: number;
}

/** What a workload submits to a null device of 1000 blocks, and its result. */
async function trace(options: Partial<WorkloadOptions>) {
  const reactor = new SimulatedReactor();
  const device = new NullDevice('null', { sizeBytes: SIZE_BYTES });
  await reactor.drive(device.open(reactor));
  const log: Submitted[] = [];
  const submit = device.submit.bind(device);
  device.submit = (io: BlockIo): void => {
    log.push({ op: io.op, block: io.block, blockCount: io.blockCount });
    submit(io);
  };
  const result = await reactor.drive(
    runWorkload(reactor, device, {
      rw: 'randread',
      requestBytes: 8192,
      depth: 4,
      ios: 2000,
      cpuUs: () => 0,
      ...options,
    }),
  );
  return { log, result, reactor };
}

test('a random load stays in its region, aligned, and reaches all of it', async (t) => {
  const { log, result } = await trace({ regionBytes: 100 * 4096 });
  t.is(result.ios, 2000);
  t.is(result.errors, 0);
  t.is(log.length, 2000);
  t.true(log.every(({ op, blockCount }) => op === OP_READ && blockCount === 2));
  t.true(log.every(({ block }) => block % 2 === 0 && block >= 0 && block <= 98));
  t.is(new Set(log.map(({ block }) => block)).size, 50);
});

test('a sequential load goes through the region in order and starts again', async (t) => {
  const { log } = await trace({ rw: 'write', regionBytes: 10 * 4096, ios: 12 });
  t.true(log.every(({ op }) => op === OP_WRITE));
  t.deepEqual(
    log.map(({ block }) => block),
    [0, 2, 4, 6, 8, 0, 2, 4, 6, 8, 0, 2],
  );
});

test('a mixed load has about the share of reads that was asked for', async (t) => {
  for (const mixPercent of [0, 30, 100]) {
    const { log } = await trace({ rw: 'randrw', mixPercent });
    const reads = log.filter(({ op }) => op === OP_READ).length / log.length;
    t.true(Math.abs(reads - mixPercent / 100) < 0.05, `${mixPercent}: ${reads}`);
  }
});

test('the same seed gives the same load', async (t) => {
  const first = await trace({ rw: 'randrw', seed: 7 });
  t.deepEqual((await trace({ rw: 'randrw', seed: 7 })).log, first.log);
  t.notDeepEqual((await trace({ rw: 'randrw', seed: 8 })).log, first.log);
});

test('no more than the depth is in flight, and that much is', async (t) => {
  const reactor = new SimulatedReactor();
  const device = new RamDevice('ram', { blockCount: 100, delayUsMax: 50 });
  await reactor.drive(device.open(reactor));
  let most = 0;
  const submit = device.submit.bind(device);
  device.submit = (io: BlockIo): void => {
    submit(io);
    most = Math.max(most, device.inFlight);
  };
  await reactor.drive(
    runWorkload(reactor, device, { rw: 'randrw', requestBytes: 512, depth: 7, ios: 500 }),
  );
  t.is(most, 7);
});

test('a time limit ends the load, and rates and latencies follow from virtual time', async (t) => {
  const reactor = new SimulatedReactor();
  const null_ = new NullDevice('null', { sizeBytes: SIZE_BYTES });
  const device = new DelayDevice(null_, { minUs: 100 });
  await reactor.drive(device.open(reactor));
  const result = await reactor.drive(
    runWorkload(reactor, device, {
      rw: 'read',
      requestBytes: 4096,
      depth: 2,
      timeUs: 10_000,
      cpuUs: () => 0,
    }),
  );
  t.is(result.ios, 200);
  t.is(result.iops, 20_000);
  t.is(result.bytes_per_second, 20_000 * 4096);
  t.is(result.latency_us.max, 100);
  t.is(result.latency_us.mean, 100);
});

test('failed operations are counted apart from the rate', async (t) => {
  const reactor = new SimulatedReactor();
  const device = new ErrorDevice(new NullDevice('null', { sizeBytes: SIZE_BYTES }), [{ every: 4 }]);
  await reactor.drive(device.open(reactor));
  const result = await reactor.drive(
    runWorkload(reactor, device, { rw: 'randread', requestBytes: 4096, depth: 4, ios: 100 }),
  );
  t.is(result.ios, 100);
  t.is(result.errors, 25);
});

test('the payload holds no zero words, and its memory is given back', async (t) => {
  const reactor = new SimulatedReactor();
  const free = reactor.arena.freeBytes;
  const device = new RamDevice('ram', { blockCount: 64 });
  await reactor.drive(device.open(reactor));
  await reactor.drive(
    runWorkload(reactor, device, { rw: 'write', requestBytes: 512, depth: 8, ios: 64 }),
  );
  t.true(new Uint32Array(device.bytes.buffer).every((word) => word !== 0));
  t.is(reactor.arena.freeBytes, free);
});

test('options that do not suit the device are refused in words', async (t) => {
  const reactor = new SimulatedReactor();
  const device = new RamDevice('ram', { blockCount: 120, geometry: { writeUnitBlocks: 6 } });
  await reactor.drive(device.open(reactor));
  const refuse = (options: Partial<WorkloadOptions>, message: string): void => {
    const all = { rw: 'write' as const, requestBytes: 3072, depth: 1, ios: 1, ...options };
    const error = t.throws(() => new Workload(reactor, device, all), { code: 'BANDSTAND_USAGE' });
    t.is(error?.message, `cannot run this load on ram: ${message}`);
  };
  refuse({ requestBytes: 512 }, '512 bytes are not a multiple of 3072');
  refuse({ depth: 0 }, 'depth 0 is not positive');
  refuse({ regionBytes: 1024 }, 'a region of 1024 bytes is less than one operation of 3072');
  refuse({ rw: 'randrw', mixPercent: 101 }, 'a mix of 101 is not a percentage');
  refuse({ rw: 'read', requestBytes: 2 * 2 ** 20 }, '2097152 bytes exceed its limit of 1048576');
  const { ios: _, ...endless } = { rw: 'read' as const, requestBytes: 512, depth: 1, ios: 1 };
  t.throws(() => new Workload(reactor, device, endless), {
    message: /neither a time nor a number of operations is given$/,
  });
});

test.serial('a million operations on the ring leave the heap as it was', async (t) => {
  const reactor = openRingReactor();
  const device = new NullDevice('null', { sizeBytes: 2 ** 40 });
  await reactor.drive(device.open(reactor));
  const run = async (ios: number): Promise<void> => {
    const load = new Workload(reactor, device, {
      rw: 'randrw',
      requestBytes: 4096,
      depth: 64,
      ios,
    });
    load.start(() => reactor.stop());
    await reactor.run();
    load.dispose();
    t.is(load.result().ios, ios);
  };
  await run(100_000);
  collect();
  const before = process.memoryUsage().heapUsed;
  await run(1_000_000);
  collect();
  // One byte kept per operation would be a megabyte; what remains is the compiler's.
  const growth = process.memoryUsage().heapUsed - before;
  t.true(growth < 800_000, `grew by ${growth} bytes`);
  await reactor.drive(device.close());
  await reactor.close();
});
