import test from 'ava';
import { OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { BLOCK, FAST, ManagedBench, OFFSET } from '../_helpers/managed-array.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const UNPACED = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 40 } };

async function whole(
  options: ConstructorParameters<typeof ManagedBench>[0],
): Promise<ManagedBench> {
  const bench = new ManagedBench(options);
  await bench.create();
  const used = bench.disks.slice(0, bench.disks.length - (options.blanks ?? 0));
  await bench.start(used, {}, UNPACED);
  const { blockCount } = bench.manager!.array.geometry;
  await bench.drive(bench.write(0, new Random(blockCount).bytes(blockCount * BLOCK)));
  await bench.settle();
  bench.events.length = 0;
  return bench;
}

test('a member that is replaced serves until its copy is complete', async (t) => {
  const bench = await whole({ level: 'raid1', members: 2, blanks: 1 });
  const { manager } = bench;
  const fresh = bench.disks[2]!;
  await bench.drive(fresh.open(bench.reactor));
  const before = manager!.status().members[0]!.uuid;
  const outcome = await bench.drive(manager!.replaceMember(0, fresh));
  t.like(outcome, { role: 'rebuild', slot: 0, mode: 'full' });
  t.deepEqual(bench.health(), ['ok', 'ok'], 'nothing is missing meanwhile');
  await bench.settle();
  t.like(manager!.status().members[0], { device: 'ram2', health: 'ok', uuid: outcome.uuid });
  t.not(outcome.uuid, before);
  t.false(bench.disks[0]!.isOpen);
  sameBytes(t, bench.data(fresh), bench.data(bench.disks[1]!));
  await bench.stop();
  await bench.start([bench.disks[1]!, fresh]);
  t.deepEqual(bench.health(), ['ok', 'ok']);
  await bench.stop();
});

test('a replacement reads what the old member cannot from the others', async (t) => {
  for (const [level, members] of [
    ['raid1', 2],
    ['raid5f', 3],
  ] as const) {
    const bench = await whole({ level, members, strip: 4, blanks: 1 });
    const fresh = bench.disks[members]!;
    const old = bench.data(bench.disks[0]!).slice();
    await bench.drive(fresh.open(bench.reactor));
    bench.disks[0]!.fault = (io) => (io.op !== OP_WRITE && io.block === OFFSET + 8 ? EIO : OK);
    await bench.drive(bench.manager!.replaceMember(0, fresh));
    await bench.settle();
    t.is(bench.manager!.status().members[0]!.device, fresh.name, level);
    sameBytes(t, bench.data(fresh), old, level);
    bench.disks[0]!.fault = () => OK;
    await bench.stop();
  }
});

test('a spare is added, and made an ordinary device again', async (t) => {
  const bench = await whole({ level: 'raid1', members: 2, blanks: 1 });
  const { manager } = bench;
  const blank = bench.disks[2]!;
  await bench.drive(blank.open(bench.reactor));
  const outcome = await bench.drive(manager!.addMember(blank, { spareOnly: true }));
  t.like(outcome, { role: 'spare', slot: null, mode: null });
  t.deepEqual(manager!.status().spares, [{ uuid: outcome.uuid, device: 'ram2' }]);
  await t.throwsAsync(bench.drive(manager!.removeSpare('00000000-0000-4000-8000-000000000000')), {
    code: 'BANDSTAND_MEMBER_NOT_FOUND',
  });
  await bench.drive(manager!.removeSpare(outcome.uuid));
  t.deepEqual(manager!.status().spares, []);
  t.false(blank.isOpen);
  t.true(
    blank.bytes.subarray(0, OFFSET * BLOCK).every((byte) => byte === 0),
    'no label is left',
  );
  t.deepEqual(bench.kinds(), ['spare-added', 'spare-removed']);
  await bench.stop();
});

test('a member that is needed is not failed, and one in service is not removed', async (t) => {
  const bench = await whole({ level: 'raid1', members: 2 });
  const { manager } = bench;
  await t.throwsAsync(bench.drive(manager!.removeMember(0)), {
    code: 'BANDSTAND_MEMBER_IN_SERVICE',
  });
  await bench.drive(manager!.failMember(0));
  await t.throwsAsync(bench.drive(manager!.failMember(0)), { code: 'BANDSTAND_MEMBER_STATE' });
  await t.throwsAsync(bench.drive(manager!.failMember(1)), { code: 'BANDSTAND_MEMBER_NEEDED' });
  await bench.drive(manager!.removeMember(0));
  t.false(bench.disks[0]!.isOpen);
  await t.throwsAsync(bench.drive(manager!.removeMember(0)), { code: 'BANDSTAND_MEMBER_STATE' });
  await bench.stop();
});

test('a member whose operations are still out is let go of when they are back', async (t) => {
  const bench = await whole({ level: 'raid1', members: 2, delayUsMax: 5000, seed: 3 });
  const { manager } = bench;
  const writes = Array.from({ length: 8 }, (_, block) =>
    bench.write(block * 8, new Uint8Array(BLOCK).fill(block + 1)),
  );
  const statuses = await bench.drive(
    (async () => {
      await bench.sleep(100);
      await manager!.failMember(1);
      await manager!.removeMember(1);
      return Promise.all(writes);
    })(),
  );
  t.deepEqual(statuses, new Array(8).fill(OK));
  t.is(bench.disks[1]!.inFlight, 0);
  await bench.stop();
});

test('one activity at a time: what would collide is refused', async (t) => {
  const bench = await whole({ level: 'raid1', members: 2, blocks: 1024, blanks: 1 });
  const { manager } = bench;
  manager!.setRate(2 ** 20);
  await bench.drive(manager!.startCheck({ repair: false }));
  await bench.drive(bench.disks[2]!.open(bench.reactor));
  const refused = { code: 'BANDSTAND_ACTIVITY_BUSY' };
  await t.throwsAsync(bench.drive(manager!.replaceMember(0, bench.disks[2]!)), refused);
  await t.throwsAsync(bench.drive(manager!.startCheck({ repair: true })), refused);
  await bench.drive(manager!.cancelProcess());
  t.like(bench.events.at(-1), { kind: 'check-stopped', reason: 'it was asked for' });
  await bench.drive(manager!.failMember(0));
  await t.throwsAsync(bench.drive(manager!.startCheck({ repair: false })), {
    code: 'BANDSTAND_ARRAY_DEGRADED',
  });
  await bench.stop();
});

test('a member that waited while another was rebuilt in its place is copied whole', async (t) => {
  const bench = new ManagedBench({ level: 'raid1', members: 3, blanks: 1 });
  await bench.create();
  const manager = await bench.start(bench.disks.slice(0, 3), {}, UNPACED);
  // What a new array begins with: nothing else begins before it has ended.
  t.is(manager.status().process?.kind, 'resync');
  await bench.drive(manager.pauseProcess());
  await bench.drive(manager.failMember(1));
  t.is(await bench.drive(bench.write(40, new Random(3).bytes(8 * BLOCK))), OK);
  await bench.drive(manager.removeMember(1));
  const [first, former, , blank] = bench.disks;
  for (const disk of [blank!, former!]) {
    await bench.drive(disk.open(bench.reactor));
    await bench.drive(manager.addMember(disk));
  }
  await bench.drive(manager.resumeProcess());
  await bench.settle();
  t.is(manager.status().members[1]!.device, blank!.name, 'who came first was taken first');
  await bench.drive(manager.failMember(1));
  await bench.settle();
  t.like(manager.status().members[1], { device: former!.name, health: 'ok' });
  sameBytes(t, bench.data(former!), bench.data(first!));
  await bench.stop();
});

test('a device that was a member ceases to be one before it loses its label', async (t) => {
  const bench = await whole({ level: 'raid1', members: 2, blanks: 1 });
  const manager = bench.manager!;
  const [, former, blank] = bench.disks;
  await bench.drive(manager.failMember(1));
  await bench.drive(manager.removeMember(1));
  await bench.drive(blank!.open(bench.reactor));
  await bench.drive(manager.addMember(blank!));
  await bench.settle();
  await bench.drive(former!.open(bench.reactor));
  former!.log.length = 0;
  await bench.drive(manager.addMember(former!));
  const changes = former!.log.filter(({ op }) => op !== OP_READ);
  t.like(changes[0], { op: OP_WRITE, block: 0, blockCount: 4096 / BLOCK });
  t.is(changes[1]!.op, OP_FLUSH, 'nothing else is written before that is durable');
  await bench.stop();
});
