import test from 'ava';
import {
  type BlockDevice,
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import {
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../src/block/block-io.ts';
import { EIO, ENODEV, OK } from '../../src/block/status.ts';
import type { ArrayKeeper } from '../../src/raid/array-keeper.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { type Fixture, openArray, Random } from '../_helpers/array-fixture.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const RAM_FEATURES = FEATURE_TRIM | FEATURE_WRITE_ZEROES | FEATURE_FUA | FEATURE_TRIM_ZEROES;
const TRIO = { strip: 8, sizes: [64, 64, 64] };

function ops(fixture: Fixture): number[][] {
  return fixture.devices.map(({ log }) => log.map(({ op }) => op));
}

test('the geometry of each level follows from its members', async (t) => {
  const geometry = (slot: number) => ({
    rotational: slot === 2,
    volatileCache: slot === 1,
    physicalBlockBytes: slot === 0 ? 4096 : 512,
    trimGranularityBlocks: slot === 0 ? 16 : 1,
    features: RAM_FEATURES | FEATURE_ATOMIC_BLOCK,
  });
  const shared = {
    blockBytes: 512,
    physicalBlockBytes: 4096,
    rotational: true,
    volatileCache: true,
    features: RAM_FEATURES | FEATURE_ATOMIC_BLOCK,
    writeUnitBlocks: 1,
    requestBlocksMax: 2048,
  };
  const expected = {
    raid0: { ...shared, blockCount: 192, optimalBoundaryBlocks: 8, trimGranularityBlocks: 48 },
    raid1: { ...shared, blockCount: 64, optimalBoundaryBlocks: 0, trimGranularityBlocks: 16 },
    raid5f: {
      ...shared,
      blockCount: 128,
      optimalBoundaryBlocks: 8,
      trimGranularityBlocks: 32,
      features: RAM_FEATURES,
      writeUnitBlocks: 16,
    },
    concat: { ...shared, blockCount: 192, optimalBoundaryBlocks: 8, trimGranularityBlocks: 16 },
  };
  for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
    const fixture = await openArray({ ...TRIO, level, geometry });
    t.deepEqual(fixture.array.geometry, expected[level], level);
    await fixture.close();
  }
});

test('an array has the features that all present members share, and always FUA', async (t) => {
  const features = async (ofSlot: (slot: number) => number, missing: number[] = []) => {
    const geometry = (slot: number) => ({ features: ofSlot(slot) });
    const fixture = await openArray({ ...TRIO, level: 'raid1', geometry, missing });
    await fixture.close();
    return fixture.array.geometry.features;
  };
  t.is(await features((slot) => (slot === 1 ? 0 : RAM_FEATURES)), FEATURE_FUA);
  t.is(await features((slot) => (slot === 1 ? 0 : RAM_FEATURES), [1]), RAM_FEATURES);
  t.is(
    await features((slot) => (slot === 0 ? FEATURE_READ_ONLY : 0)),
    FEATURE_FUA | FEATURE_READ_ONLY,
  );
});

test('raid5f offers trim only when trimmed blocks of every member read as zeroes', async (t) => {
  const geometry = (slot: number) => ({
    features: slot === 1 ? RAM_FEATURES & ~FEATURE_TRIM_ZEROES : RAM_FEATURES,
  });
  const fixture = await openArray({ ...TRIO, level: 'raid5f', geometry });
  t.is(fixture.array.geometry.features, FEATURE_WRITE_ZEROES | FEATURE_FUA);
  await fixture.close();
});

test('a raid5f request is whole stripes, at least one', async (t) => {
  const wide = { level: 'raid5f', strip: 4096, sizes: [4096, 4096, 4096] } as const;
  const fixture = await openArray(wide);
  t.is(fixture.array.geometry.requestBlocksMax, 8192);
  await fixture.close();
  const odd = await openArray({ level: 'raid5f', strip: 128, sizes: [256, 256, 256, 256] });
  t.is(odd.array.geometry.requestBlocksMax, 6 * 384);
  await odd.close();
});

test('a flush reaches every present member and no other', async (t) => {
  for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
    const fixture = await openArray({ ...TRIO, level, delayUsMax: 20 });
    t.is(await fixture.reactor.drive(fixture.run(OP_FLUSH, 0, 0)), OK);
    t.deepEqual(ops(fixture), [[OP_FLUSH], [OP_FLUSH], [OP_FLUSH]]);
    t.deepEqual(
      fixture.devices.map(({ log }) => log[0]?.blockCount),
      [0, 0, 0],
    );
    await fixture.close();
  }
  const degraded = await openArray({ ...TRIO, level: 'raid1', missing: [1] });
  t.is(await degraded.reactor.drive(degraded.run(OP_FLUSH, 0, 0)), OK);
  t.deepEqual(ops(degraded), [[OP_FLUSH], [], [OP_FLUSH]]);
  await degraded.close();
});

test('a flush that fails on one member fails', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid1' });
  fixture.devices[1]!.fault = () => EIO;
  t.is(await fixture.reactor.drive(fixture.run(OP_FLUSH, 0, 0)), EIO);
  t.is(fixture.array.memberStatus()[1]?.write_errors, 1);
  await fixture.close();
});

test('a member whose flush has failed once is never trusted with a flush again', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid1' });
  fixture.devices[1]!.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
  t.is(await fixture.reactor.drive(fixture.run(OP_FLUSH, 0, 0)), EIO);
  fixture.devices[1]!.fault = () => OK;
  t.is(await fixture.reactor.drive(fixture.run(OP_FLUSH, 0, 0)), EIO);
  t.is(await fixture.reactor.drive(fixture.run(OP_WRITE, 0, 1, new Uint8Array(512))), OK);
  t.false(fixture.array.steadyReads, 'the mirrors do not differ for that');
  await fixture.close();
});

test('after a write that one mirror missed, reads stay with one mirror', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid1' });
  fixture.devices[0]!.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
  t.is(await fixture.reactor.drive(fixture.run(OP_WRITE, 0, 1, new Uint8Array(512))), EIO);
  t.true(fixture.array.steadyReads);
  for (const device of fixture.devices) device.log.length = 0;
  const reads = [0, 1, 2, 3].map((block) => fixture.run(OP_READ, block, 1));
  t.deepEqual(await fixture.reactor.drive(Promise.all(reads)), [OK, OK, OK, OK]);
  t.deepEqual(
    fixture.devices.map(({ log }) => log.length),
    [4, 0, 0],
  );
  await fixture.close();
});

test('FUA and NOUNMAP are passed down to members that have FUA', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid1', geometry: { volatileCache: true } });
  await fixture.write(0, new Uint8Array(512), FLAG_FUA);
  await fixture.reactor.drive(fixture.run(OP_WRITE_ZEROES, 0, 4, undefined, FLAG_NOUNMAP));
  for (const { log } of fixture.devices) {
    t.deepEqual(
      log.map(({ op, flags }) => [op, flags]),
      [
        [OP_WRITE, FLAG_FUA],
        [OP_WRITE_ZEROES, FLAG_NOUNMAP],
      ],
    );
  }
  await fixture.close();
});

test('members without FUA are flushed once after a FUA write, only where it wrote', async (t) => {
  const fixture = await openArray({
    ...TRIO,
    level: 'raid0',
    delayUsMax: 20,
    geometry: (slot) => ({ volatileCache: true, features: slot === 0 ? FEATURE_FUA : 0 }),
  });
  // 3 strips on members 0 and 1, none on member 2.
  await fixture.write(0, new Uint8Array(16 * 512), FLAG_FUA);
  t.deepEqual(
    fixture.devices.map(({ log }) => log.map(({ op, flags }) => [op, flags])),
    [
      [[OP_WRITE, FLAG_FUA]],
      [
        [OP_WRITE, 0],
        [OP_FLUSH, 0],
      ],
      [],
    ],
  );
  await fixture.write(24, new Uint8Array(48 * 512), FLAG_FUA);
  t.deepEqual(ops(fixture)[1]!.slice(2), [OP_WRITE, OP_WRITE, OP_FLUSH]);
  await fixture.write(0, new Uint8Array(48 * 512));
  t.false(fixture.devices.some(({ log }) => log.at(-1)?.op === OP_FLUSH));
  await fixture.close();
});

test('a FUA write is not durable, and fails, when the flush after it fails', async (t) => {
  const geometry = { volatileCache: true, features: 0 };
  const fixture = await openArray({ ...TRIO, level: 'raid5f', geometry });
  fixture.devices[2]!.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
  const run = fixture.run(OP_WRITE, 0, 16, new Uint8Array(16 * 512), FLAG_FUA);
  t.is(await fixture.reactor.drive(run), EIO);
  await fixture.close();
});

test('members with neither FUA nor a volatile cache need no flush', async (t) => {
  const geometry = { volatileCache: false, features: 0 };
  const fixture = await openArray({ ...TRIO, level: 'raid1', geometry });
  await fixture.write(0, new Uint8Array(512), FLAG_FUA);
  t.deepEqual(ops(fixture), [[OP_WRITE], [OP_WRITE], [OP_WRITE]]);
  await fixture.close();
});

for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
  test(`${level} with empty pools delays operations and loses none`, async (t) => {
    const fixture = await openArray({
      level,
      strip: 2,
      sizes: [256, 256, 256],
      delayUsMax: 300,
      geometry: { volatileCache: true, features: FEATURE_TRIM | FEATURE_TRIM_ZEROES },
      array: { depth: 1 },
      missing: level === 'raid5f' ? [1] : [],
    });
    const random = new Random(99);
    const unit = fixture.array.geometry.writeUnitBlocks;
    const blocks = fixture.array.geometry.blockCount;
    const all: Promise<number>[] = [];
    for (let index = 0; index < 600; index += 1) {
      const block = random.below(blocks / unit / 2) * unit;
      const count = (1 + random.below(blocks / unit / 2)) * unit;
      const choice = random.below(4);
      if (choice === 0) all.push(fixture.run(OP_FLUSH, 0, 0));
      else if (choice === 1) all.push(fixture.run(OP_TRIM, block, count));
      else if (choice === 2) all.push(fixture.run(OP_READ, block, 1, new Uint8Array(512)));
      else {
        const few = Math.min(count, unit * 8);
        const flags = random.below(2) === 0 ? FLAG_FUA : 0;
        all.push(fixture.run(OP_WRITE, block, few, new Uint8Array(few * 512), flags));
      }
    }
    const statuses = await fixture.reactor.drive(Promise.all(all));
    t.is(statuses.length, 600);
    t.true(statuses.every((status) => status === OK));
    await fixture.close();
  });

  test(`${level} with failing members and empty pools completes every operation`, async (t) => {
    const fixture = await openArray({
      level,
      strip: 2,
      sizes: [256, 256, 256, 256],
      delayUsMax: 300,
      geometry: { volatileCache: true, features: 0 },
      array: { depth: 1 },
    });
    const random = new Random(17);
    for (const device of fixture.devices) device.fault = () => (random.below(5) === 0 ? EIO : OK);
    const unit = fixture.array.geometry.writeUnitBlocks;
    const blocks = fixture.array.geometry.blockCount;
    const all: Promise<number>[] = [];
    for (let index = 0; index < 500; index += 1) {
      const block = random.below(blocks / unit / 2) * unit;
      const count = (1 + random.below(20)) * unit;
      const bytes = new Uint8Array(count * 512);
      const op = ([OP_READ, OP_WRITE, OP_FLUSH] as const)[random.below(3)]!;
      all.push(
        fixture.run(op, op === OP_FLUSH ? 0 : block, op === OP_FLUSH ? 0 : count, bytes, FLAG_FUA),
      );
    }
    const statuses = await fixture.reactor.drive(Promise.all(all));
    t.true(statuses.every((status) => status === OK || status === EIO));
    t.true(statuses.includes(EIO) && statuses.includes(OK));
    await fixture.close();
  });
}

test('submit never completes inline', async (t) => {
  for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
    const fixture = await openArray({ ...TRIO, level });
    let completed = 0;
    const all = [OP_FLUSH, OP_READ, OP_WRITE, OP_TRIM, OP_WRITE_ZEROES].map((op) =>
      fixture
        .run(op as typeof OP_READ, 0, op === OP_FLUSH ? 0 : 16, new Uint8Array(16 * 512))
        .then(() => {
          completed += 1;
        }),
    );
    t.is(completed, 0);
    await fixture.reactor.drive(Promise.all(all));
    t.is(completed, 5);
    await fixture.close();
  }
});

test('close waits for what is in flight, closes every member, and may be repeated', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid0', delayUsMax: 900 });
  const free = fixture.reactor.arena.freeBytes;
  let done = false;
  const write = fixture.run(OP_WRITE, 0, 100, new Uint8Array(100 * 512)).then(() => {
    done = true;
  });
  await fixture.reactor.drive(fixture.array.close());
  await fixture.reactor.drive(write);
  t.true(done);
  await fixture.close();
  t.deepEqual(
    fixture.devices.map(({ closes }) => closes),
    [1, 1, 1],
  );
  t.is(fixture.reactor.arena.freeBytes, free);
});

test('raid5f gives its scratch memory back at close', async (t) => {
  const reactor = new SimulatedReactor();
  const free = reactor.arena.freeBytes;
  const array = arrayOver(reactor, [64, 64, 64]);
  await reactor.drive(array.open(reactor));
  t.true(reactor.arena.freeBytes < free);
  await reactor.drive(array.close());
  t.is(reactor.arena.freeBytes, free);
});

test('a keeper that asks for latencies hears of operations in several pieces, too', async (t) => {
  const fixture = await openArray({
    level: 'raid5f',
    strip: 8,
    sizes: [64, 64, 64],
    delayUsMax: 9,
  });
  const seen: number[] = [];
  const keeper = {
    wantsLatency: true,
    foregroundDone: (us: number) => seen.push(us),
  } as unknown as ArrayKeeper & { wantsLatency: boolean };
  fixture.array.keep(keeper, null);
  // Time 0 counts as no time.
  await fixture.reactor.drive(fixture.read(0, 1));
  for (const [op, count, pieces] of [
    [OP_READ, 4, 1],
    [OP_READ, 16, 2],
    [OP_WRITE, 16, 1],
    [OP_WRITE, 32, 2],
  ] as const) {
    seen.length = 0;
    const done = fixture.run(op, 0, count, new Uint8Array(count * 512));
    t.is(await fixture.reactor.drive(done), OK);
    t.is(seen.length, pieces, `${op} of ${count} blocks`);
    t.true(seen.every((us) => us >= 0 && us < 100));
  }
  keeper.wantsLatency = false;
  seen.length = 0;
  await fixture.reactor.drive(fixture.read(0, 16));
  t.deepEqual(seen, [], 'and only as long as it asks');
  await fixture.close();
});

function arrayOver(
  _reactor: SimulatedReactor,
  sizes: readonly number[],
  make: (slot: number, blockCount: number) => BlockDevice = (slot, blockCount) =>
    new RamDevice(`ram${slot}`, { blockCount }),
): RaidArray {
  return new RaidArray({
    name: 'tank',
    uuid: null,
    level: 'raid5f',
    blockBytes: 512,
    stripBlocks: 8,
    blockCount: 128,
    members: sizes.map((size, slot) => ({
      uuid: null,
      device: make(slot, size),
      dataOffset: 0,
      dataSize: 64,
    })),
  });
}

const opens = test.macro({
  async exec(t, make: (slot: number, blockCount: number) => RamDevice, message: string) {
    const reactor = new SimulatedReactor();
    const devices: RamDevice[] = [];
    const array = arrayOver(reactor, [64, 64, 64], (slot, blockCount) => {
      devices.push(make(slot, blockCount));
      return devices[slot]!;
    });
    await t.throwsAsync(reactor.drive(array.open(reactor)), { message });
    t.false(devices.some(({ isOpen }) => isOpen));
  },
  title: (name = '') => `open refuses ${name} and leaves nothing open`,
});

test(
  'a member that is too small',
  opens,
  (slot, blockCount) =>
    new RamDevice(`ram${slot}`, { blockCount: blockCount - (slot === 1 ? 1 : 0) }),
  'cannot use ram1 in slot 1 of tank: it has 63 blocks, the array uses 64',
);
test(
  'a member with other blocks',
  opens,
  (slot, blockCount) =>
    new RamDevice(`ram${slot}`, { blockCount, blockBytes: slot === 2 ? 4096 : 512 }),
  'cannot use ram2 in slot 2 of tank: it has 4096-byte blocks, the array 512-byte blocks',
);
test(
  'a member that is written in larger units',
  opens,
  (slot, blockCount) =>
    new RamDevice(`ram${slot}`, { blockCount, geometry: { writeUnitBlocks: slot === 0 ? 8 : 1 } }),
  'cannot use ram0 in slot 0 of tank: it can only be written in units of 8 blocks',
);

test('an array fails, once, when more members fail than its level can bear', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid5f' });
  const failures: unknown[] = [];
  fixture.array.observer = {
    deviceFailed: (device, status) => failures.push([device.name, status]),
    deviceResized: () => {},
    deviceOverdue: () => false,
  };
  const [first, second, third] = fixture.devices;
  first!.observer!.deviceFailed(first!, ENODEV);
  first!.observer!.deviceFailed(first!, EIO);
  t.deepEqual(failures, []);
  t.is(fixture.array.memberStatus()[0]?.health, 'failed');
  second!.observer!.deviceFailed(second!, EIO);
  third!.observer!.deviceFailed(third!, EIO);
  t.deepEqual(failures, [['tank', EIO]]);
  await fixture.close();
});

test('members that are open already are not opened again', async (t) => {
  const reactor = new SimulatedReactor();
  const device = new RamDevice('ram', { blockCount: 64 });
  await device.open(reactor);
  const member = { uuid: null, device, dataOffset: 0, dataSize: 64 };
  const spec = { name: 'a', uuid: null, level: 'raid0', blockBytes: 512, stripBlocks: 8 } as const;
  const array = new RaidArray(
    { ...spec, blockCount: 64, members: [member] },
    { membersOpened: true },
  );
  await reactor.drive(array.open(reactor));
  await reactor.drive(array.close());
  t.false(device.isOpen);
});

test('an array describes itself and its members', async (t) => {
  const fixture = await openArray({ ...TRIO, level: 'raid1', missing: [1] });
  t.deepEqual(fixture.array.describe(), {
    kind: 'raid1',
    name: 'tank',
    children: [0, 2].map((slot) => ({
      kind: 'ram',
      name: `ram${slot}`,
      children: [],
      details: {},
    })),
    details: {
      uuid: null,
      block_size: 512,
      blocks: 64,
      strip_size_bytes: 0,
      members: 3,
      missing: 1,
    },
  });
  t.deepEqual(
    fixture.array.memberStatus().map(({ device, health }) => [device, health]),
    [
      ['ram0', 'ok'],
      [null, 'missing'],
      ['ram2', 'ok'],
    ],
  );
  await fixture.close();
});
