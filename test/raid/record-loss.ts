import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { readBlocks, submitOrThrow, writeBlocks } from '../../src/block/control-io.ts';
import { EIO } from '../../src/block/status.ts';
import { type Assembly, assembleArray, assemblySpec } from '../../src/raid/assemble.ts';
import { createArray } from '../../src/raid/create.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { NO_PROCESS } from '../../src/raid/label.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import { planArray } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { missedSinceAfterLoss, needsRecord, recordLoss } from '../../src/raid/record-loss.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { metadataOf } from '../_helpers/member-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const BLOCK_BYTES = 4096;

interface Bench {
  readonly reactor: SimulatedReactor;
  readonly devices: RamDevice[];
}

async function created(level: LevelName, count: number): Promise<Bench> {
  const reactor = new SimulatedReactor({ arenaBytes: 4 * 2 ** 20 });
  const devices = Array.from(
    { length: count },
    (_, slot) => new RamDevice(`ram${slot}`, { blockCount: 384, blockBytes: BLOCK_BYTES }),
  );
  for (const device of devices) if (!device.isOpen) await device.open(reactor);
  const plan = planArray({
    name: 'tank',
    level,
    stripBytes: level === 'raid1' ? null : 8 * BLOCK_BYTES,
    superblock: true,
    members: devices,
  });
  await reactor.drive(createArray(reactor, plan, devices));
  return { reactor, devices };
}

async function assemble(
  { reactor }: Bench,
  devices: readonly RamDevice[],
  degraded = false,
): Promise<Assembly> {
  const examinations = [];
  for (const device of devices) {
    examinations.push(await reactor.drive(examineDevice(reactor, device)));
  }
  return assembleArray(examinations, { degraded });
}

const byName = (devices: readonly RamDevice[]) =>
  new Map(devices.map((device) => [device.name, device]));

function record(bench: Bench, assembly: Assembly): Promise<Assembly> {
  return bench.reactor.drive(recordLoss(bench.reactor, assembly, byName(bench.devices)));
}

async function markDirty({ reactor, devices }: Bench, assembly: Assembly): Promise<void> {
  const metadata = metadataOf(reactor, assembly, byName(devices));
  await reactor.drive(metadata.writeLabels({ state: 'dirty' }));
}

const used = (assembly: Assembly) => assembly.slots.map(({ device }) => device);

test('a complete array needs no record', async (t) => {
  const bench = await created('raid1', 2);
  const assembly = await assemble(bench, bench.devices);
  t.false(needsRecord(assembly));
  t.is(await record(bench, assembly), assembly);
});

test('a member that was away while the array was written never returns as current', async (t) => {
  const bench = await created('raid1', 2);
  const { reactor, devices } = bench;
  const [present] = devices;
  const assembly = await record(bench, await assemble(bench, [present!], true));
  t.is(assembly.superblock.seq, 2);
  t.deepEqual(
    assembly.superblock.members.map(({ state }) => state),
    ['configured', 'missing'],
  );
  await markDirty(bench, assembly);
  const array = new RaidArray(assemblySpec(assembly, byName(devices)), { membersOpened: true });
  await reactor.drive(array.open(reactor));
  const content = new Uint8Array(BLOCK_BYTES).fill(0x5a);
  await reactor.drive(writeBlocks(reactor, array, 7, content));
  await reactor.drive(array.close());
  for (const device of devices) if (!device.isOpen) await device.open(reactor);

  for (const order of [devices, [...devices].reverse()]) {
    const again = await assemble(bench, order);
    t.deepEqual(used(again), ['ram0', null]);
    t.regex(again.slots[1]!.reason!, /recorded as missing; ram1 has to be added again/);
    const reopened = new RaidArray(assemblySpec(again, byName(devices)), { membersOpened: true });
    await reactor.drive(reopened.open(reactor));
    t.deepEqual(await reactor.drive(readBlocks(reactor, reopened, 7, 1)), content);
    await reactor.drive(reopened.close());
    for (const device of devices) if (!device.isOpen) await device.open(reactor);
  }
});

test('two members that went on apart from each other are refused together', async (t) => {
  const bench = await created('raid1', 2);
  for (const device of bench.devices) {
    await record(bench, await assemble(bench, [device], true));
  }
  const error = await t.throwsAsync(assemble(bench, bench.devices, true));
  t.like(error, { code: 'BANDSTAND_ARRAY_CONFLICT' });
});

test('a record that was interrupted after any member leaves all survivors usable', async (t) => {
  for (const [level, count] of [
    ['raid1', 3],
    ['raid5f', 4],
  ] as const) {
    for (let reached = 0; reached < count; reached += 1) {
      const bench = await created(level, count);
      const survivors = bench.devices.slice(0, count - 1);
      const before = survivors.map((device) => device.bytes.slice());
      await record(bench, await assemble(bench, survivors, true));
      // Power goes when `reached` of the survivors have the new superblock.
      survivors.forEach((device, index) => {
        if (index >= reached) device.bytes.set(before[index]!);
      });
      const assembly = await assemble(bench, survivors, true);
      const names: (string | null)[] = survivors.map(({ name }) => name);
      t.deepEqual(used(assembly), [...names, null], `${level}, ${reached} reached`);
      t.is(needsRecord(assembly), reached < count - 1);
      const recorded = await record(bench, assembly);
      t.false(needsRecord(recorded));
      const final = await assemble(bench, bench.devices);
      t.deepEqual(used(final), [...names, null]);
      t.false(needsRecord(final));
    }
  }
});

test('a member that missed a superblock under which the array ran is stale', async (t) => {
  const bench = await created('raid1', 3);
  const [a, b, c] = bench.devices as [RamDevice, RamDevice, RamDevice];
  const old = b.bytes.slice();
  const assembly = await record(bench, await assemble(bench, [a, b], true));
  await markDirty(bench, assembly);
  b.bytes.set(old);
  const again = await assemble(bench, [a, b, c], true);
  t.deepEqual(used(again), ['ram0', null, null]);
  t.regex(again.slots[1]!.reason!, /ram1 is stale: superblock sequence 1, the array is at 2/);
});

test('a record that cannot be written stops the start', async (t) => {
  const bench = await created('raid1', 2);
  const assembly = await assemble(bench, [bench.devices[0]!], true);
  bench.devices[0]!.fault = () => 5;
  const error = await t.throwsAsync(record(bench, assembly));
  t.like(error, { code: 'BANDSTAND_DEVICE_IO' });
});

// --- what absent members miss, and targets -------------------------------------------------------

const BITMAP = { offsetBytes: 131072, bytes: 4096, regionBlocks: 64 };

test('a member that is absent once returns by delta', async (t) => {
  const bench = await created('raid1', 2);
  const [present] = bench.devices;
  const assembly = await record(bench, await assemble(bench, [present!], true));
  t.is(assembly.missedSince, 1, 'the last superblock of the complete array');
  const marks = metadataOf(bench.reactor, assembly, byName(bench.devices));
  const mark = { process: NO_PROCESS, missedSince: 1, bitmap: BITMAP };
  await bench.reactor.drive(marks.writeLabels({ ...mark, state: 'dirty' }));
  const again = await assemble(bench, bench.devices);
  t.is(again.missedSince, 1);
  t.like(again.returning, [{ slot: 1, device: 'ram1', delta: true, failed: false }]);
  t.false(needsRecord(again));
});

test('a further loss keeps what was known of the ones before', async (t) => {
  const bench = await created('raid1', 3);
  const [a, b] = bench.devices as [RamDevice, RamDevice];
  const first = await record(bench, await assemble(bench, [a, b], true));
  const mark = { state: 'dirty', process: NO_PROCESS, bitmap: BITMAP } as const;
  const marks = metadataOf(bench.reactor, first, byName(bench.devices));
  await bench.reactor.drive(marks.writeLabels({ ...mark, missedSince: 1 }));
  const second = await record(bench, await assemble(bench, [a], true));
  t.is(second.superblock.seq, 3);
  t.is(second.missedSince, 1);
  t.is(missedSinceAfterLoss(first.superblock, 0), 2, 'nothing was known');
  t.is(missedSinceAfterLoss(first.superblock, 1), 1);
});

async function rebuilding() {
  const bench = await created('raid1', 3);
  const [a, b, c] = bench.devices as [RamDevice, RamDevice, RamDevice];
  const assembly = await record(bench, await assemble(bench, [a, b], true));
  const { uuid } = assembly.superblock.members[2]!;
  const process = { ...NO_PROCESS, kind: 'rebuild', slot: 2, block: 50, uuid } as const;
  const marks = metadataOf(bench.reactor, assembly, byName(bench.devices));
  c.bytes.set(a.bytes.subarray(0, BLOCK_BYTES));
  marks.add({ slot: 2, uuid, device: c, role: 'target', sequence: 2 });
  const mark = { state: 'dirty', missedSince: 1, bitmap: BITMAP } as const;
  await bench.reactor.drive(marks.writeLabels({ ...mark, process }));
  return { ...bench, bench, a, b, c };
}

test('the target gets the record, too, after the members', async (t) => {
  const { bench, a, c } = await rebuilding();
  t.like((await assemble(bench, bench.devices)).target, { device: 'ram2', block: 50 });
  const found = await assemble(bench, [c, a], true);
  t.like(found.target, { device: 'ram2', block: 50 });
  let before = 0;
  a.fault = () => 0;
  c.fault = (io) => {
    if (io.op === OP_WRITE) before = a.log.filter((one) => one.op === OP_WRITE).length;
    return 0;
  };
  const recorded = await record(bench, found);
  t.true(before > 0, 'the member was written first');
  t.like(recorded.target, { device: 'ram2' });
  const again = await assemble(bench, [a, c]);
  t.is(again.superblock.seq, 3);
  t.like(again.target, { device: 'ram2', block: 0 }, 'no label goes with the record yet');
});

test('a target that does not take the record is none any more, and the array starts', async (t) => {
  const { bench, a, c } = await rebuilding();
  const found = await assemble(bench, [a, c], true);
  c.fault = (io) => (io.op === OP_WRITE ? EIO : 0);
  const recorded = await record(bench, found);
  t.is(recorded.target, null);
  t.like(recorded.returning, [{ slot: 2, device: 'ram2', delta: false, failed: true }]);
  t.regex(recorded.warnings.at(-1)!, /^the rebuild of ram2 does not go on: cannot access ram2/);
  c.fault = () => 0;
  t.like((await assemble(bench, [a, c])).target, { block: 0 }, 'nothing was written under it yet');
  await markDirty(bench, recorded);
  const again = await assemble(bench, [a, c]);
  t.is(again.target, null);
  t.like(again.returning[0], { device: 'ram2', delta: false });
});

test('a target that is not open is a target no more', async (t) => {
  const { bench, a, c } = await rebuilding();
  const found = await assemble(bench, [a, c], true);
  const only = new Map([[a.name, a]]);
  const recorded = await bench.reactor.drive(recordLoss(bench.reactor, found, only));
  t.is(recorded.target, null);
  t.regex(recorded.unused.at(-1)!.reason, /^slot 2: .* it is not open$/);
});

test('mirrors that may differ are read from one member only', async (t) => {
  const bench = await created('raid1', 2);
  const { reactor, devices } = bench;
  const assembly = await assemble(bench, devices);
  devices[0]!.bytes.fill(1, 2 ** 20);
  devices[1]!.bytes.fill(2, 2 ** 20);
  const array = new RaidArray(assemblySpec(assembly, byName(devices)), {
    membersOpened: true,
    steadyReads: true,
  });
  await reactor.drive(array.open(reactor));
  const buffers = Array.from({ length: 8 }, () => reactor.arena.allocate(BLOCK_BYTES));
  await reactor.drive(
    Promise.all(buffers.map((at, block) => submitOrThrow(array, OP_READ, block, 1, at))),
  );
  t.deepEqual(
    buffers.map((at) => reactor.arena.u8[at]),
    [1, 1, 1, 1, 1, 1, 1, 1],
  );
});
