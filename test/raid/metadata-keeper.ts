import test from 'ava';
import { FEATURE_FUA } from '../../src/block/block-device.ts';
import { FLAG_FUA, OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO, ENODEV, ETIMEDOUT, OK } from '../../src/block/status.ts';
import { Alarm } from '../_helpers/alarm.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { BLOCK, FAST, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import type { RamDevice } from '../_helpers/ram-device.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

/** Blocks of the bitmap on a member. */
const BITMAP_FIRST = (128 * 1024) / BLOCK;
const isBitmap = (block: number): boolean => block >= BITMAP_FIRST && block < OFFSET;

test('a member that fails the last flush is out on record, the stop is clean', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2 });
  await bench.create();
  await bench.start();
  await bench.settle();
  const part = new Random(1).bytes(BLOCK);
  t.is(await bench.drive(bench.write(3, part)), OK);
  bench.disks[1]!.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
  await bench.stop();
  bench.disks[1]!.fault = () => OK;
  bench.events.length = 0;
  await bench.start();
  t.deepEqual(
    bench.manager!.superblock?.members.map(({ state }) => state),
    ['configured', 'failed'],
  );
  t.false(bench.kinds().includes('resync-started'), 'the stop was clean');
  t.deepEqual(await bench.drive(bench.read(3, 1)), part);
  await bench.stop();
});

test('a loss whose missed regions cannot be written down stops all changes', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3 });
  await bench.create();
  const manager = await bench.start([...bench.disks], {}, { autoRebuild: false });
  await bench.settle();
  const [a, b] = bench.disks as [(typeof bench.disks)[0], (typeof bench.disks)[0]];
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK))), OK);
  for (const disk of [a, b]) {
    disk.fault = (io) => (io.op === OP_WRITE && isBitmap(io.block) ? EIO : OK);
  }
  bench.disks[2]!.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK).fill(1))), EIO);
  t.true(manager.status().failed);
  t.true(bench.kinds().includes('array-failed'));
  await t.notThrowsAsync(bench.drive(bench.read(0, 1)));
  for (const disk of bench.disks) disk.fault = () => OK;
  await t.throwsAsync(bench.stop(), { code: 'BANDSTAND_DEVICE_IO' });
});

test('a member that left during a rebuild gets all it missed when it returns', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3, blocks: 1024 });
  await bench.create();
  const content = new Random(2).bytes(1024 * BLOCK);
  await bench.start([...bench.disks]);
  t.is(await bench.drive(bench.write(0, content)), OK);
  await bench.settle();
  await bench.stop();
  const fresh = bench.disk('fresh');
  const survivors = bench.disks.slice(0, 2);
  const slow = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 20 } };
  await bench.start(survivors, { degraded: true }, slow);
  await bench.drive(fresh.open(bench.reactor));
  await bench.drive(bench.manager!.addMember(fresh));
  await bench.drive(bench.sleep(200_000));
  t.is(bench.manager!.status().process?.kind, 'rebuild');
  await bench.drive(bench.manager!.failMember(1));
  const part = new Random(3).bytes(4 * BLOCK);
  t.is(await bench.drive(bench.write(0, part)), OK);
  content.set(part);
  await bench.drive(bench.sleep(100_000));
  t.is(bench.manager!.status().process?.kind, 'rebuild', 'passes ran while it went on');
  await bench.drive(bench.manager!.removeMember(1));
  await bench.drive(survivors[1]!.open(bench.reactor));
  await bench.drive(bench.manager!.addMember(survivors[1]!));
  bench.manager!.setRate(null);
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok', 'ok']);
  for (const disk of [...survivors, fresh]) {
    sameBytes(t, bench.data(disk), content, disk.name);
  }
  await bench.stop();
});

test('a new member knows what one misses that left while it came into service', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3, blanks: 1 });
  await bench.create();
  const members = bench.disks.slice(0, 3);
  const slow = { intentIdleUs: 60_000_000 };
  await bench.start(members, {}, slow);
  const { manager } = bench;
  t.is(await bench.drive(bench.write(0, new Random(1).bytes(256 * BLOCK))), OK);
  await bench.settle();
  const [, leaving, replaced, fresh] = bench.disks as RamDevice[];
  await bench.drive(manager!.failMember(2));
  await bench.drive(manager!.removeMember(2));
  t.false(replaced!.isOpen);
  await bench.drive(fresh!.open(bench.reactor));
  // Its superblock calls the new one configured by then.
  let left = false;
  fresh!.fault = (io) => {
    const entry = manager!.superblock!.members[2]!;
    if (io.op !== OP_FLUSH || entry.state !== 'configured' || left) return OK;
    left = true;
    leaving!.observer!.deviceFailed(leaving!, ENODEV);
    return OK;
  };
  await bench.drive(manager!.addMember(fresh!));
  await bench.settle();
  t.true(left);
  t.deepEqual(bench.health(), ['ok', 'missing', 'ok']);
  const part = new Random(2).bytes(BLOCK);
  t.is(await bench.drive(bench.write(7, part)), OK);
  const [, back, , only] = bench.crash();
  await bench.stop();
  const after = new ManagedBench(bench.options, [back!, only!]);
  await after.start([back!, only!], { degraded: true });
  await after.settle();
  const started = after.events.find(({ kind }) => kind === 'rebuild-started');
  t.like(started?.details, { delta: true });
  sameBytes(t, after.data(back!).subarray(7 * BLOCK, 8 * BLOCK), part);
  sameBytes(t, after.data(back!), after.data(only!));
  await after.stop();
});

test('a write that no member takes is resynced, behind a resync as well', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, blocks: 1024 });
  await bench.create();
  const paced = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 20 } };
  await bench.start([...bench.disks], {}, paced);
  await bench.drive(bench.sleep(100_000));
  t.is(bench.manager!.status().process?.kind, 'resync');
  const content = new Uint8Array(BLOCK).fill(7);
  t.is(await bench.drive(bench.write(1, content)), OK);
  for (const disk of bench.disks) disk.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
  t.is(await bench.drive(bench.write(0, content)), EIO);
  for (const disk of bench.disks) disk.fault = () => OK;
  // What a torn write may have left on one of them.
  bench.data(bench.disks[1]!)[3] = 9;
  bench.manager!.setRate(null);
  await bench.settle();
  const finished = bench.events.filter(({ kind }) => kind === 'resync-finished');
  t.is(finished.length, 2);
  t.deepEqual(bench.health(), ['ok', 'ok']);
  sameBytes(t, bench.data(bench.disks[1]!), bench.data(bench.disks[0]!));
  await bench.stop();
});

test('a write that waits for the record of a loss fails when the last member goes', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2 });
  await bench.create();
  await bench.start([...bench.disks], {}, { autoRebuild: false });
  await bench.settle();
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK))), OK);
  const [stays, fails] = bench.disks as RamDevice[];
  let cut = false;
  fails!.fault = (io) => {
    if (io.op !== OP_WRITE || cut) return OK;
    cut = true;
    // In the turn in which the write comes back, before anything is recorded.
    const goes = new Alarm(() => {
      stays!.fault = () => ENODEV;
      stays!.observer!.deviceFailed(stays!, ENODEV);
    });
    bench.reactor.schedule(goes, 0);
    return EIO;
  };
  t.not(await bench.drive(bench.write(0, new Uint8Array(BLOCK).fill(1))), OK);
  t.true(bench.manager!.status().failed);
  t.not(await bench.drive(bench.write(0, new Uint8Array(BLOCK).fill(2))), OK);
  await t.throwsAsync(bench.stop());
});

for (const [who, fails] of [
  ['a clearing pass', 'pass'],
  ['a bitmap block', 'bitmap'],
] as const) {
  test(`the flush of ${who} that the last member fails is not forgotten`, async (t) => {
    const bench = new ManagedBench({ level: 'raid1', members: 2 });
    for (const disk of bench.disks) {
      const features = disk.geometry.features & ~FEATURE_FUA;
      disk.geometry = { ...disk.geometry, volatileCache: true, features };
    }
    await bench.create();
    const manager = await bench.start([...bench.disks], {}, { autoRebuild: false });
    await bench.settle();
    await bench.drive(manager.failMember(1));
    const [disk] = bench.disks as [RamDevice];
    let flushes = 0;
    // A disk tells once that it has lost what was in its cache, and not again.
    const fault: typeof disk.fault = ({ op }) => {
      if (op !== OP_FLUSH) return OK;
      flushes += 1;
      return flushes === 1 ? EIO : OK;
    };
    if (fails === 'bitmap') disk.fault = fault;
    const status = await bench.drive(bench.write(0, new Uint8Array(BLOCK)));
    t.is(status, fails === 'bitmap' ? EIO : OK);
    disk.fault = fault;
    await bench.drive(bench.sleep(10_000));
    t.true(flushes > 0);
    t.is(await bench.drive(submitStatus(manager.array, OP_FLUSH, 0, 0, 0)), EIO);
    t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK), FLAG_FUA)), EIO);
    await t.throwsAsync(bench.stop());
  });
}

test('a loss is recorded while a device that was given up cannot be closed', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3, spares: 1 });
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  const [, fails, , hangs] = bench.disks as RamDevice[];
  manager.setRate(BLOCK);
  await bench.drive(manager.failMember(2));
  t.is(manager.status().process?.kind, 'rebuild');
  // Its deadline has passed, so its writes are given back; the kernel still has them.
  const submit = hangs!.submit.bind(hangs);
  let held = 0;
  hangs!.submit = (io) => {
    if (io.op !== OP_WRITE || held > 0) return submit(io);
    held += 1;
    hangs!.inFlight += 1;
    bench.reactor.finish(io, ETIMEDOUT);
  };
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK).fill(1))), OK);
  t.is(held, 1);
  t.is(manager.array.target, null);
  fails!.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK).fill(2))), OK);
  t.is(manager.superblock!.members[1]!.state, 'failed');
  // A stop waits for it, in the end.
  let stopped = false;
  const stop = manager.close().then(() => {
    stopped = true;
  });
  await bench.drive(bench.sleep(10_000));
  t.false(stopped);
  hangs!.submit = submit;
  hangs!.letGo();
  await bench.drive(stop);
});
