import test from 'ava';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { BlockIo, OP_FLUSH, OP_READ, OP_TRIM, OP_WRITE } from '../../src/block/block-io.ts';
import { readBlocks, submitStatus, writeBlocks } from '../../src/block/control-io.ts';
import { EIO, ENODEV, ENOSPC } from '../../src/block/status.ts';
import { DelayDevice } from '../../src/device/delay-device.ts';
import { ErrorDevice, type FaultRule } from '../../src/device/error-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { MeterDevice } from '../../src/device/meter-device.ts';
import { NullDevice } from '../../src/device/null-device.ts';
import { OffsetDevice } from '../../src/device/offset-device.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { conformance } from '../_helpers/conformance.ts';
import { History } from '../_helpers/conformance-history.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

const memory = (blocks = 1000): MemoryDevice =>
  new MemoryDevice('mem', { sizeBytes: blocks * 4096 });

const stacks: readonly (readonly [name: string, make: () => BlockDevice])[] = [
  ['offset', () => new OffsetDevice(memory(), { firstBlock: 100, blockCount: 500 })],
  ['error without faults', () => new ErrorDevice(memory())],
  ['random delay', () => new DelayDevice(memory(), { minUs: 0, maxUs: 50, seed: 5 })],
  ['short queue of delays', () => new DelayDevice(memory(), { minUs: 1, depth: 3 })],
  ['meter', () => new MeterDevice(memory())],
  [
    'meter over delay over offset over error',
    () =>
      new MeterDevice(
        new DelayDevice(new OffsetDevice(new ErrorDevice(memory()), { firstBlock: 8 }), {
          minUs: 0,
          maxUs: 30,
        }),
      ),
  ],
  [
    'offset over a device with a write unit',
    () =>
      new OffsetDevice(
        new RamDevice('ram', { blockCount: 1200, geometry: { writeUnitBlocks: 6 } }),
        { firstBlock: 12, blockCount: 600 },
      ),
  ],
];
for (const [name, make] of stacks) {
  conformance(
    `${name}, simulated`,
    () => ({ reactor: new SimulatedReactor({ seed: 3 }), device: make() }),
    { persistent: false, operations: 1000 },
  );
}
conformance(
  'meter over delay over memory, on the ring',
  () => {
    const reactor = openRingReactor();
    const device = new MeterDevice(new DelayDevice(memory(), { minUs: 0, maxUs: 20 }));
    return { reactor, device, dispose: () => reactor.close() };
  },
  { persistent: false, operations: 1000 },
);

async function opened<T extends BlockDevice>(device: T): Promise<[SimulatedReactor, T]> {
  const reactor = new SimulatedReactor({ seed: 1 });
  await reactor.drive(device.open(reactor));
  return [reactor, device];
}

test('the conformance history notices a device that returns wrong data', async (t) => {
  for (const wrong of ['read', 'write'] as const) {
    const ram = new RamDevice('ram', { blockCount: 500 });
    const [reactor] = await opened(ram);
    const submit = ram.submit.bind(ram);
    let count = 0;
    ram.submit = (io: BlockIo): void => {
      count += 1;
      if (wrong === 'write' && io.op === OP_WRITE && count > 200) {
        reactor.finish(io, 0);
        return;
      }
      submit(io);
      if (wrong === 'read' && io.op === OP_READ && count > 200) {
        reactor.arena.u8[io.buffer + 100]! ^= 1;
      }
    };
    const history = new History(reactor, ram, { seed: 1, operations: 2000 });
    await reactor.drive(history.run());
    t.true(history.violations.length > 0, wrong);
    t.regex(history.violations[0]!, /^read of block .*wrong content/);
  }
});

test('a window maps its first block and ends where it should', async (t) => {
  const lower = new RamDevice('ram', { blockCount: 100 });
  const [reactor, device] = await opened(
    new OffsetDevice(lower, { firstBlock: 10, blockCount: 20, name: 'part' }),
  );
  t.is(device.geometry.blockCount, 20);
  await reactor.drive(writeBlocks(reactor, device, 19, new Uint8Array(512).fill(3)));
  t.true(lower.bytes.subarray(29 * 512, 30 * 512).every((byte) => byte === 3));
  t.true(lower.bytes.subarray(30 * 512).every((byte) => byte === 0));
  await reactor.drive(device.close());
  t.false(lower.isOpen);
});

test('a window outside its device is refused, and the device closed again', async (t) => {
  const reactor = new SimulatedReactor();
  const lower = new RamDevice('ram', { blockCount: 100 });
  const error = await t.throwsAsync(
    reactor.drive(new OffsetDevice(lower, { firstBlock: 90, blockCount: 20 }).open(reactor)),
    { code: 'BANDSTAND_DEVICE_TOO_SMALL' },
  );
  t.is(error?.message, 'cannot use a window of ram: it ends at block 110, the device at block 100');
  t.false(lower.isOpen);
  const uneven = new RamDevice('ram', { blockCount: 100, geometry: { writeUnitBlocks: 4 } });
  await t.throwsAsync(reactor.drive(new OffsetDevice(uneven, { firstBlock: 6 }).open(reactor)), {
    code: 'BANDSTAND_DEVICE_INVALID',
  });
});

/** Statuses of `count` one-block operations, in order. */
async function statuses(
  rules: readonly FaultRule[],
  operations: readonly (readonly [op: 0 | 1 | 2 | 3, block: number])[],
): Promise<number[]> {
  const [reactor, device] = await opened(new ErrorDevice(memory(), rules));
  const at = reactor.arena.allocate(4096);
  const seen: number[] = [];
  for (const [op, block] of operations) {
    const count = op === OP_FLUSH ? 0 : 1;
    seen.push(await reactor.drive(submitStatus(device, op, block, count, at)));
  }
  await reactor.drive(device.close());
  return seen;
}

test('a fault strikes the k-th operation, every n-th, a kind or a range', async (t) => {
  const reads = [0, 1, 2, 3, 4, 5].map((block) => [OP_READ, block] as const);
  t.deepEqual(await statuses([{ skip: 2, times: 1 }], reads), [0, 0, EIO, 0, 0, 0]);
  t.deepEqual(await statuses([{ every: 3 }], reads), [0, 0, EIO, 0, 0, EIO]);
  t.deepEqual(await statuses([{ skip: 1, every: 2, times: 1 }], reads), [0, 0, EIO, 0, 0, 0]);
  t.deepEqual(await statuses([{ firstBlock: 2, blockCount: 2, status: ENOSPC }], reads), [
    0,
    0,
    ENOSPC,
    ENOSPC,
    0,
    0,
  ]);
  const mixed = [
    [OP_READ, 0],
    [OP_WRITE, 0],
    [OP_FLUSH, 0],
    [OP_TRIM, 0],
  ] as const;
  t.deepEqual(await statuses([{ ops: [OP_WRITE] }], mixed), [0, EIO, 0, 0]);
  t.deepEqual(await statuses([{ ops: [OP_FLUSH, OP_TRIM] }], mixed), [0, 0, EIO, EIO]);
  t.deepEqual(await statuses([{ firstBlock: 0 }], mixed), [EIO, EIO, 0, EIO]);
});

test('faults come and go while the device runs, and count what they do', async (t) => {
  const [reactor, device] = await opened(new ErrorDevice(memory()));
  const at = reactor.arena.allocate(4096);
  const write = (): Promise<number> => reactor.drive(submitStatus(device, OP_WRITE, 7, 1, at));
  t.is(await write(), 0);
  const fault = device.addFault({ ops: [OP_WRITE] });
  t.is(await write(), EIO);
  t.is(await write(), EIO);
  t.deepEqual([fault.matched, fault.struck], [2, 2]);
  device.removeFault(fault);
  t.is(await write(), 0);
  device.addFault({});
  device.clearFaults();
  t.is(await write(), 0);
});

test('a struck write leaves the old content', async (t) => {
  const [reactor, device] = await opened(new ErrorDevice(memory()));
  await reactor.drive(writeBlocks(reactor, device, 3, new Uint8Array(4096).fill(1)));
  device.addFault({ ops: [OP_WRITE] });
  await t.throwsAsync(
    reactor.drive(writeBlocks(reactor, device, 3, new Uint8Array(4096).fill(2))),
    { code: 'BANDSTAND_DEVICE_IO' },
  );
  const content = await reactor.drive(readBlocks(reactor, device, 3, 1));
  t.true(content.every((byte) => byte === 1));
});

test('a vanished device fails everything, says so once, and can come back', async (t) => {
  const error = new ErrorDevice(memory());
  const [reactor, device] = await opened(new MeterDevice(error));
  const told: number[] = [];
  device.observer = {
    deviceFailed: (which, status) => {
      t.is(which, device);
      told.push(status);
    },
    deviceResized: () => t.fail(),
    deviceOverdue: () => false,
  };
  const at = reactor.arena.allocate(4096);
  error.vanish();
  error.vanish();
  t.deepEqual(told, []);
  for (const op of [OP_READ, OP_WRITE, OP_FLUSH] as const) {
    t.is(await reactor.drive(submitStatus(device, op, 0, op === OP_FLUSH ? 0 : 1, at)), ENODEV);
  }
  t.deepEqual(told, [ENODEV]);
  error.restore();
  t.is(await reactor.drive(submitStatus(device, OP_READ, 0, 1, at)), 0);
});

test('a fixed delay takes that long and keeps the order', async (t) => {
  const [reactor, device] = await opened(new DelayDevice(memory(), { minUs: 700 }));
  const at = reactor.arena.allocate(4096);
  const order: number[] = [];
  const started = reactor.nowUs();
  await reactor.drive(
    Promise.all(
      [0, 1, 2, 3].map((block) =>
        submitStatus(device, OP_READ, block, 1, at).then(() => order.push(block)),
      ),
    ),
  );
  t.is(reactor.nowUs() - started, 700);
  t.deepEqual(order, [0, 1, 2, 3]);
});

test('a random delay reorders, the same way for the same seed', async (t) => {
  const run = async (seed: number): Promise<number[]> => {
    const [reactor, device] = await opened(
      new DelayDevice(memory(), { minUs: 10, maxUs: 1000, seed }),
    );
    const at = reactor.arena.allocate(4096);
    const order: number[] = [];
    await reactor.drive(
      Promise.all(
        Array.from({ length: 20 }, (_, block) =>
          submitStatus(device, OP_READ, block, 1, at).then(() => order.push(block)),
        ),
      ),
    );
    t.true(reactor.nowUs() <= 1000);
    return order;
  };
  const first = await run(1);
  t.deepEqual(await run(1), first);
  t.notDeepEqual(await run(2), first);
  t.notDeepEqual(
    first,
    [...first].sort((a, b) => a - b),
  );
});

test('a meter counts operations, bytes, errors and times by kind', async (t) => {
  const error = new ErrorDevice(memory());
  const [reactor, meter] = await opened(new MeterDevice(new DelayDevice(error, { minUs: 250 })));
  const at = reactor.arena.allocate(8192);
  for (let round = 0; round < 10; round += 1) {
    await reactor.drive(submitStatus(meter, OP_READ, 0, 2, at));
  }
  await reactor.drive(submitStatus(meter, OP_WRITE, 0, 1, at));
  await reactor.drive(submitStatus(meter, OP_FLUSH, 0, 0, 0));
  error.addFault({ ops: [OP_WRITE] });
  await reactor.drive(submitStatus(meter, OP_WRITE, 0, 1, at));
  const reads = meter.meter(OP_READ);
  t.deepEqual([reads.ios, reads.bytes, reads.errors], [10, 81920, 0]);
  t.true(Math.abs(reads.latency.quantileUs(0.5) - 250) < 8);
  t.is(reads.latency.maxUs, 250);
  const writes = meter.meter(OP_WRITE);
  t.deepEqual([writes.ios, writes.bytes, writes.errors], [2, 4096, 1]);
  t.is(meter.meter(OP_FLUSH).ios, 1);
  meter.reset();
  t.deepEqual([reads.ios, reads.bytes, reads.latency.count], [0, 0, 0]);
});

test('a null device completes everything in a later turn and touches no buffer', async (t) => {
  const [reactor, device] = await opened(new NullDevice('null', { sizeBytes: 2 ** 40 }));
  t.is(device.geometry.blockCount, 2 ** 28);
  const at = reactor.arena.allocate(4096);
  reactor.arena.u8.fill(0x77, at, at + 4096);
  for (const op of [OP_READ, OP_WRITE, OP_TRIM] as const) {
    t.is(await reactor.drive(submitStatus(device, op, 2 ** 28 - 1, 1, at)), 0);
  }
  t.is(await reactor.drive(submitStatus(device, OP_FLUSH, 0, 0, 0)), 0);
  t.true(reactor.arena.u8.subarray(at, at + 4096).every((byte) => byte === 0x77));
  let completed = false;
  const io = new BlockIo();
  io.blockCount = 1;
  io.completer = {
    complete: () => {
      completed = true;
    },
  };
  device.submit(io);
  t.false(completed);
  await reactor.drive(device.close());
  t.true(completed);
  t.throws(() => device.submit(io), { name: 'InvariantError' });
});
