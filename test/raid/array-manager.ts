import test from 'ava';
import { FEATURE_FUA, FEATURE_TRIM, FEATURE_WRITE_ZEROES } from '../../src/block/block-device.ts';
import { FLAG_FUA, OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, ENODEV, OK } from '../../src/block/status.ts';
import { assembleArray } from '../../src/raid/assemble.ts';
import { type Examination, examineDevice } from '../../src/raid/examine.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { BLOCK, FAST, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import type { RamDevice } from '../_helpers/ram-device.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

test('a new array is made equal by a resync, and stops clean', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2 });
  await bench.create();
  bench.data(bench.disks[1]!).fill(7);
  await bench.start();
  await bench.settle();
  t.deepEqual(bench.data(bench.disks[0]!), bench.data(bench.disks[1]!));
  t.deepEqual(
    bench.kinds(),
    ['resync-started', 'mismatch-found', 'resync-finished'].filter(
      (kind) => kind !== 'mismatch-found',
    ),
  );
  await bench.stop();
  bench.events.length = 0;
  await bench.start();
  t.deepEqual(bench.kinds(), []);
  await bench.stop();
});

for (const [level, members] of [
  ['raid1', 2],
  ['raid5f', 3],
] as const) {
  test(`${level}: a write error ejects the member, a spare is rebuilt`, async (t) => {
    const bench = new ManagedBench({ level, members, spares: 1, delayUsMax: 50 });
    await bench.create();
    const manager = await bench.start();
    const { blockCount } = manager.array.geometry;
    const content = new Random(5).bytes(blockCount * BLOCK);
    t.is(await bench.drive(bench.write(0, content)), OK);
    const bad = bench.disks[1]!;
    bad.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
    const unit = manager.array.geometry.writeUnitBlocks;
    const part = new Random(6).bytes(unit * BLOCK);
    t.is(await bench.drive(bench.write(0, part)), OK);
    content.set(part, 0);
    await bench.settle();
    t.deepEqual(bench.health(), new Array(members).fill('ok'));
    t.is(manager.status().members[1]?.device, `ram${members}`);
    sameBytes(t, await bench.drive(bench.read(0, blockCount)), content);
    t.true(bench.kinds().includes('member-failed'));
    t.true(bench.kinds().includes('rebuild-finished'));
    await bench.stop();
    bad.fault = () => OK;
    const without = bench.disks.filter((disk) => disk !== bad && disk !== bench.disks[0]);
    await bench.start(without, { degraded: true });
    sameBytes(t, await bench.drive(bench.read(0, blockCount)), content, 'the spare holds it');
    await bench.stop();
  });
}

test('a member that was away comes back by delta', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, blocks: 1024 });
  await bench.create();
  await bench.start();
  const content = new Random(8).bytes(1024 * BLOCK);
  t.is(await bench.drive(bench.write(0, content)), OK);
  await bench.settle();
  await bench.stop();
  await bench.start([bench.disks[0]!], { degraded: true });
  const part = new Random(9).bytes(4 * BLOCK);
  t.is(await bench.drive(bench.write(100, part)), OK);
  content.set(part, 100 * BLOCK);
  await bench.stop();
  bench.events.length = 0;
  bench.disks[1]!.log.length = 0;
  await bench.start();
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  const started = bench.events.find(({ kind }) => kind === 'rebuild-started');
  t.true(started?.details['delta']);
  const copied = bench.disks[1]!.log.filter(
    ({ op, block }) => op === OP_WRITE && block >= 2048,
  ).reduce((sum, { blockCount }) => sum + blockCount, 0);
  t.is(copied, 16, 'one region');
  sameBytes(t, bench.data(bench.disks[1]!).slice(), content);
  await bench.stop();
});

test('a device that vanishes is ejected as missing', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3 });
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  const gone = bench.disks[2]!;
  gone.fault = () => ENODEV;
  gone.observer!.deviceFailed(gone, ENODEV);
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK))), OK);
  t.deepEqual(bench.health(), ['ok', 'ok', 'missing']);
  t.is(manager.superblock?.members[2]?.state, 'missing');
  gone.fault = () => OK;
  await bench.stop();
});

for (const level of ['raid0', 'raid1'] as const) {
  test(`${level} grows with the least of its members, and stays so`, async (t) => {
    const bench = new ManagedBench({ level, members: 2, blocks: 256 });
    await bench.create();
    const manager = await bench.start();
    await bench.settle();
    const before = manager.array.geometry.blockCount;
    const content = new Random(21).bytes(before * BLOCK);
    t.is(await bench.drive(bench.write(0, content)), OK);
    bench.disks[0]!.grow(128);
    await bench.drive(bench.sleep(5000));
    t.is(manager.array.geometry.blockCount, before, 'one member alone changes nothing');
    bench.disks[1]!.grow(64);
    await bench.drive(bench.sleep(5000));
    const after = before + (level === 'raid0' ? 128 : 64);
    t.is(manager.array.geometry.blockCount, after);
    t.true(bench.kinds().includes('array-resized'));
    const more = new Random(22).bytes((after - before) * BLOCK);
    t.is(await bench.drive(bench.write(before, more)), OK);
    await bench.settle();
    await bench.stop();
    const again = await bench.start();
    t.is(again.array.geometry.blockCount, after);
    sameBytes(t, await bench.drive(bench.read(0, before)), content);
    sameBytes(t, await bench.drive(bench.read(before, after - before)), more);
    await bench.stop();
  });
}

test('a member that cannot trim takes the offer of trims back when it comes', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, spares: 1 });
  await bench.create();
  const without = bench.disks[2]!;
  without.geometry = { ...without.geometry, features: FEATURE_WRITE_ZEROES };
  const manager = await bench.start();
  t.true((manager.array.geometry.features & FEATURE_TRIM) !== 0);
  await bench.drive(manager.failMember(0));
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  t.is(manager.array.geometry.features & FEATURE_TRIM, 0);
  t.true((manager.array.geometry.features & FEATURE_WRITE_ZEROES) !== 0);
  await bench.stop();
});

test('a rebuild that was interrupted tells how far it had come', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, spares: 1 });
  await bench.create();
  await bench.start();
  await bench.settle();
  await bench.stop();
  bench.events.length = 0;
  const slow = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 20 } };
  const manager = await bench.start(bench.disks, {}, slow);
  await bench.drive(manager.failMember(0));
  await bench.drive(bench.sleep(60_000));
  await bench.stop();
  // Whom the spare replaces is no member any more.
  await bench.start(bench.disks.slice(1));
  await bench.settle();
  const [begun, again] = bench.events.filter(({ kind }) => kind === 'rebuild-started');
  t.like(begun?.details, { resumed: false, done_bytes: 0, total_bytes: 256 * BLOCK });
  t.like(again?.details, { resumed: true, total_bytes: 256 * BLOCK });
  const done = Number(again?.details['done_bytes']);
  t.true(done > 40 * 1024 && done < 256 * BLOCK, `${done} bytes`);
  t.deepEqual(bench.health(), ['ok', 'ok']);
  await bench.stop();
});

test('a loss is on record although the target of a rebuild does not take the record', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3, spares: 1 });
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  manager.setRate(BLOCK);
  await bench.drive(manager.failMember(1));
  t.is(manager.status().process?.kind, 'rebuild');
  const [, , bad, spare] = bench.disks;
  bad!.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
  spare!.fault = (io) => (io.op === OP_WRITE && io.block === 0 ? EIO : OK);
  t.is(await bench.drive(bench.write(0, new Uint8Array(BLOCK).fill(9))), OK);
  await bench.drive(bench.sleep(1000));
  t.deepEqual(
    manager.superblock?.members.map(({ state }) => state),
    ['configured', 'missing', 'failed'],
  );
  t.is(manager.status().process, null, 'the rebuild is given up');
  await bench.stop();
});

test('a replacement that fails in its last step leaves the member in service', async (t) => {
  const bench = new ManagedBench({ level: 'raid5f', members: 3, blanks: 1 });
  await bench.create();
  const known = bench.disks.slice(0, 3);
  const manager = await bench.start(known);
  await bench.settle();
  const { blockCount } = manager.array.geometry;
  const content = new Random(5).bytes(blockCount * BLOCK);
  t.is(await bench.drive(bench.write(0, content)), OK);
  await bench.drive(manager.failMember(2));
  await bench.drive(manager.removeMember(2));
  const blank = bench.disks[3]!;
  await blank.open(bench.reactor);
  let records = 0;
  blank.fault = (io) => {
    if (io.op !== OP_WRITE || io.block !== 0) return OK;
    records += 1;
    // Erased in two steps, and named as target; the fourth would call it the member.
    return records === 4 ? EIO : OK;
  };
  await bench.drive(manager.replaceMember(0, blank));
  await bench.settle();
  t.is(records, 4);
  t.deepEqual(bench.health(), ['ok', 'ok', 'failed']);
  sameBytes(t, await bench.drive(bench.read(0, blockCount)), content);
  await bench.stop();
  await bench.start(known.slice(0, 2));
  t.deepEqual(bench.health().slice(0, 2), ['ok', 'ok'], 'and so it is found again');
  sameBytes(t, await bench.drive(bench.read(0, blockCount)), content);
  await bench.stop();
});

test('a FUA write that waits while a member without FUA comes is durable there, too', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 2, spares: 1 });
  const comes = bench.disks[2]!;
  const features = comes.geometry.features & ~FEATURE_FUA;
  comes.geometry = { ...comes.geometry, volatileCache: true, features };
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  let writing: Promise<number> | null = null;
  comes.fault = ({ op }) => {
    const { state, uuid } = manager.superblock!.members[1]!;
    const ends = state === 'configured' && manager.array.target?.uuid === uuid;
    // The whole array is locked now.
    if (op === OP_FLUSH && ends) writing ??= bench.write(7, new Uint8Array(BLOCK), FLAG_FUA);
    return OK;
  };
  await bench.drive(manager.failMember(1));
  await bench.settle();
  t.deepEqual(bench.health(), ['ok', 'ok']);
  t.not(writing, null);
  t.is(await bench.drive(writing!), OK);
  const { log } = comes;
  const at = log.findLastIndex(({ op, block }) => op === OP_WRITE && block === OFFSET + 7);
  t.true(at > 0 && log.slice(at).some(({ op }) => op === OP_FLUSH));
  await bench.stop();
});

test('a member that vanishes while others are closed does not disturb the stop', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3 });
  await bench.create();
  const manager = await bench.start();
  await bench.settle();
  const [first, second] = bench.disks;
  const close = first!.close.bind(first);
  first!.close = async () => {
    await close();
    second!.observer?.deviceFailed(second!, ENODEV);
    await bench.sleep(1000);
  };
  const { seq } = manager.superblock!;
  await bench.stop();
  first!.close = close;
  const again = await bench.start();
  t.is(again.superblock?.seq, seq);
  t.deepEqual(bench.health(), ['ok', 'ok', 'ok']);
  await bench.stop();
});

test('that an FTL owns the array is known whatever becomes of its members', async (t) => {
  const known = async (bench: ManagedBench, disks: readonly RamDevice[]): Promise<boolean> => {
    const examinations: Examination[] = [];
    for (const disk of disks) {
      await bench.drive(disk.open(bench.reactor));
      examinations.push(await bench.drive(examineDevice(bench.reactor, disk)));
      await bench.drive(disk.close());
    }
    return assembleArray(examinations, { degraded: true }).ftl;
  };
  for (const ftl of [false, true]) {
    const bench = new ManagedBench({ level: 'raid1', members: 2, spares: 1, ftl });
    await bench.create();
    t.is(await known(bench, bench.disks), ftl, 'after the creation');
    await bench.start();
    await bench.settle();
    bench.disks[1]!.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
    t.is(await bench.drive(bench.write(0, new Random(3).bytes(BLOCK))), OK);
    await bench.settle();
    await bench.stop();
    t.true(bench.kinds().includes('rebuild-finished'));
    for (const disk of bench.disks) t.is(await known(bench, [disk]), ftl, disk.name);
  }
});
