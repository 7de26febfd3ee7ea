import test from 'ava';
import { type BlockIo, OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, ENOSPC, OK } from '../../src/block/status.ts';
import type { ArrayMetadata } from '../../src/raid/array-metadata.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { LABEL_OFFSETS, labelCopy, NO_PROCESS } from '../../src/raid/label.ts';
import { Alarm } from '../_helpers/alarm.ts';
import { createdArray, MEMBERS, type MemberBench, metadataOf } from '../_helpers/member-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

interface Kept extends MemberBench {
  readonly metadata: ArrayMetadata;
}

async function kept(members = 2): Promise<Kept> {
  const bench = await createdArray('raid1', members);
  const byName = new Map(bench.devices.map((device) => [device.name, device]));
  const metadata = metadataOf(bench.reactor, await bench.assemble(), byName);
  for (const device of bench.devices) device.log.length = 0;
  return { ...bench, metadata };
}

async function labelOn({ reactor }: MemberBench, device: RamDevice) {
  return (await reactor.drive(examineDevice(reactor, device))).label;
}

const blockOf = (sequence: number) => LABEL_OFFSETS[labelCopy(sequence)] / 512;

test('labels alternate between two copies, and a torn one leaves the one before', async (t) => {
  const bench = await kept();
  const { reactor, metadata, devices } = bench;
  t.deepEqual(await reactor.drive(metadata.writeLabels({ state: 'dirty' })), []);
  const dirty = await bench.assemble();
  t.like(dirty.slots[1]?.label, { sequence: 3, state: 'dirty', eventCount: 1, slot: 1 });
  t.is(dirty.clean, false);
  t.deepEqual(await reactor.drive(metadata.writeLabels({ state: 'clean' })), []);
  t.like((await bench.assemble()).slots[1]?.label, { sequence: 4, state: 'clean', eventCount: 1 });
  devices[1]!.bytes.fill(0x55, LABEL_OFFSETS[0] + 200, LABEL_OFFSETS[0] + 4096);
  const torn = await bench.assemble();
  t.like(torn.slots[1]?.label, { sequence: 3, state: 'dirty' });
  t.is(torn.clean, false);
});

test('facts are kept from one label to the next, and are the same on every place', async (t) => {
  const bench = await kept(3);
  const { reactor, metadata, devices } = bench;
  const process = { ...NO_PROCESS, kind: 'check', block: 77, repair: true } as const;
  await reactor.drive(metadata.writeLabels({ state: 'dirty', process }));
  await reactor.drive(metadata.writeLabels({ missedSince: 1 }));
  for (const [slot, device] of devices.entries()) {
    const facts = { state: 'dirty', process, missedSince: 1, superblockSeq: 1 };
    t.like(await labelOn(bench, device), { ...facts, slot, memberUuid: MEMBERS[slot]! });
  }
});

test('every write is flushed on its place, and the superblock moves on by one', async (t) => {
  const { reactor, metadata, devices } = await kept();
  t.deepEqual(await reactor.drive(metadata.writeSuperblock((sb) => ({ ...sb, name: 'pond' }))), []);
  t.like(metadata.superblock, { seq: 2, name: 'pond' });
  await reactor.drive(metadata.writeLabels({}));
  for (const { log } of devices) {
    t.deepEqual(
      log.map(({ op, block }) => [op, block]),
      [
        [OP_WRITE, 0],
        [OP_FLUSH, 0],
        [OP_WRITE, blockOf(3)],
        [OP_FLUSH, 0],
      ],
    );
  }
});

test('a label goes with the superblock of the time at which it is written', async (t) => {
  const bench = await kept();
  const { reactor, metadata, devices } = bench;
  await reactor.drive(metadata.writeSuperblock((superblock) => superblock));
  t.like(await labelOn(bench, devices[0]!), { superblockSeq: 1 });
  await reactor.drive(metadata.writeLabels({}));
  t.like(await labelOn(bench, devices[0]!), { superblockSeq: 2 });
});

test('all places are written at the same time', async (t) => {
  const { reactor, metadata, devices } = await kept(3);
  const work = metadata.writeLabels({ state: 'dirty' });
  // One turn of the event loop, and none of the reactor: nothing has completed yet.
  await new Promise<void>((resolve) => setImmediate(resolve));
  t.deepEqual(
    devices.map(({ log }) => log.length),
    [1, 1, 1],
  );
  t.deepEqual(await reactor.drive(work), []);
});

test('places that do not take a write are given back with their errno', async (t) => {
  for (const op of [OP_WRITE, OP_FLUSH]) {
    const bench = await kept(3);
    const { reactor, metadata, devices } = bench;
    devices[0]!.fault = (io) => (io.op === op ? EIO : OK);
    devices[2]!.fault = (io) => (io.op === op ? ENOSPC : OK);
    for (const work of [
      () => metadata.writeSuperblock((superblock) => superblock),
      () => metadata.writeLabels({ state: 'dirty' }),
    ]) {
      const failed = await reactor.drive(work());
      t.deepEqual(
        failed.map(({ place, status }) => [place.slot, status]),
        [
          [0, EIO],
          [2, ENOSPC],
        ],
      );
    }
    t.like(await labelOn(bench, devices[1]!), { state: 'dirty', superblockSeq: 2 });
  }
});

test('a label that was not written is tried again in the same copy', async (t) => {
  const bench = await kept();
  const { reactor, metadata, devices } = bench;
  const [bad, good] = devices as [RamDevice, RamDevice];
  bad.fault = (io) => (io.op === OP_WRITE ? EIO : OK);
  t.is((await reactor.drive(metadata.writeLabels({ state: 'dirty' }))).length, 1);
  t.like(await labelOn(bench, bad), { sequence: 2, state: 'clean' });
  bad.fault = () => OK;
  t.is((await reactor.drive(metadata.writeLabels({}))).length, 0);
  t.like(await labelOn(bench, bad), { sequence: 3, state: 'dirty' });
  t.like(await labelOn(bench, good), { sequence: 4, state: 'dirty' });
  const blocks = ({ log }: RamDevice) =>
    log.filter(({ op, block }) => op === OP_WRITE && block > 0).map(({ block }) => block);
  t.deepEqual(blocks(bad), [blockOf(3), blockOf(3)], 'the other copy is the good one');
  t.deepEqual(blocks(good), [blockOf(3), blockOf(4)]);
});

test('a place that was dropped is not written, one that was added is', async (t) => {
  const bench = await kept();
  const { reactor, metadata, devices } = bench;
  const added = new RamDevice('/dev/late', { blockCount: 2048 + 512 });
  await added.open(reactor);
  metadata.drop(devices[1]!);
  metadata.drop(devices[1]!);
  devices[1]!.log.length = 0;
  const uuid = MEMBERS[3]!;
  metadata.add({ device: added, uuid, slot: 1, role: 'target', sequence: 6 });
  t.is(metadata.place(devices[1]!), null);
  const process = { ...NO_PROCESS, kind: 'rebuild', slot: 1, uuid } as const;
  await reactor.drive(metadata.writeSuperblock((superblock) => superblock));
  await reactor.drive(metadata.writeLabels({ process }));
  t.is(devices[1]!.log.length, 0);
  t.like(await labelOn(bench, added), { sequence: 7, role: 'target', memberUuid: uuid, slot: 1 });
  metadata.place(added)!.role = 'member';
  await reactor.drive(metadata.writeLabels({ process: NO_PROCESS }));
  t.like(await labelOn(bench, added), { sequence: 8, role: 'member', memberUuid: uuid });
  t.throws(() => metadata.add({ device: added, uuid, slot: 2, role: 'member', sequence: 0 }), {
    message: /a device is one place/,
  });
});

test('the target of a rebuild gets a superblock when all members have it for good', async (t) => {
  const bench = await kept();
  const { reactor, metadata, devices } = bench;
  const target = new RamDevice('/dev/target', { blockCount: 2048 + 512 });
  await target.open(reactor);
  // The first place, and written last all the same.
  const [first] = devices as [RamDevice];
  metadata.drop(first);
  metadata.add({ device: target, uuid: MEMBERS[2]!, slot: 1, role: 'target', sequence: 0 });
  metadata.add({ device: first, uuid: MEMBERS[0]!, slot: 0, role: 'member', sequence: 2 });
  const before: number[][] = [];
  target.fault = ({ op }) => {
    if (op === OP_WRITE) before.push(devices.map(({ log }) => log.at(-1)?.op ?? -1));
    return OK;
  };
  t.deepEqual(await reactor.drive(metadata.writeSuperblock((superblock) => superblock)), []);
  t.deepEqual(before, [[OP_FLUSH, OP_FLUSH]]);
});

test('the target of a rebuild does not get a superblock that no member has taken', async (t) => {
  const bench = await kept();
  const { reactor, metadata, devices } = bench;
  const target = new RamDevice('/dev/target', { blockCount: 2048 + 512 });
  await target.open(reactor);
  metadata.add({ device: target, uuid: MEMBERS[2]!, slot: 1, role: 'target', sequence: 0 });
  for (const device of devices) device.fault = (io) => (io.op === OP_FLUSH ? EIO : OK);
  const failed = await reactor.drive(metadata.writeSuperblock((superblock) => superblock));
  t.is(failed.length, 2);
  t.is(target.log.length, 0);
});

for (const wave of [0, 1]) {
  test(`a power cut tears no more than can be told, wave ${wave} of a superblock`, async (t) => {
    const bench = await createdArray('raid1', 5);
    const { reactor, devices } = bench;
    const byName = new Map(devices.map((device) => [device.name, device]));
    const metadata = metadataOf(reactor, await bench.assemble(), byName);
    await reactor.drive(metadata.writeLabels({ state: 'dirty' }));
    const flying: (() => void)[] = [];
    let waves = 0;
    for (const device of devices) {
      const submit = device.submit.bind(device);
      const tear = (io: BlockIo): void => {
        const half = reactor.arena.u8.subarray(io.buffer, io.buffer + 512);
        device.bytes.set(half, 0);
        reactor.finish(io, EIO);
      };
      device.submit = (io) => {
        if (waves > wave) return reactor.finish(io, EIO);
        if (io.op !== OP_WRITE || io.block !== 0) return submit(io);
        if (flying.length === 0) {
          const cut = new Alarm(() => {
            waves += 1;
            for (const land of flying.splice(0)) land();
          });
          reactor.schedule(cut, 10);
        }
        flying.push(() => (waves <= wave ? submit(io) : tear(io)));
      };
    }
    // All entries differ, so none of the sectors is what it was.
    await reactor.drive(
      metadata.writeSuperblock((superblock) => ({
        ...superblock,
        members: superblock.members.map((one) => ({ ...one, dataSize: one.dataSize - 8 })),
        raidSize: superblock.raidSize - 8,
      })),
    );
    t.is(waves, wave + 1);
    for (const device of devices) device.submit = RamDevice.prototype.submit;
    const after = await bench.assemble();
    t.is(after.superblock.seq, 1 + wave);
    t.true(after.slots.every(({ device }) => device !== null));
  });
}
