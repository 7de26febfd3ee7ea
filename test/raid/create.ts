import test from 'ava';
import { OP_WRITE } from '../../src/block/block-io.ts';
import type { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { plannedBitmap, REGIONS_PER_BLOCK } from '../../src/raid/bitmap-format.ts';
import { writeBitmap } from '../../src/raid/bitmap-io.ts';
import { createArray } from '../../src/raid/create.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { planArray } from '../../src/raid/plan.ts';
import { wipeDevice } from '../../src/raid/wipe.ts';
import { ARRAY, createdArray, openMembers } from '../_helpers/member-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

test('create leaves devices of another array untouched unless told to overwrite', async (t) => {
  const { reactor, devices } = await createdArray('raid1', 2);
  const before = devices.map(({ bytes }) => bytes.slice());
  const request = { name: 'pond', level: '0', stripBytes: 4096, superblock: true };
  const plan = planArray({ ...request, members: devices });
  await t.throwsAsync(reactor.drive(createArray(reactor, plan, devices)), {
    code: 'BANDSTAND_DEVICE_IN_USE',
    message: `cannot create pond: /dev/ram0 holds a member of the array tank (${ARRAY})`,
  });
  devices[0]!.bytes[200] = 1;
  await t.throwsAsync(reactor.drive(createArray(reactor, plan, devices)), {
    message: 'cannot create pond: /dev/ram0 holds a damaged superblock of an array',
  });
  devices[0]!.bytes.fill(0, 0, 4096);
  await t.throwsAsync(reactor.drive(createArray(reactor, plan, devices)), {
    message: 'cannot create pond: /dev/ram0 holds a member label of an array',
  });
  sameBytes(t, devices[1]!.bytes, before[1]!);
  await reactor.drive(createArray(reactor, plan, devices, { overwrite: devices }));
  const found = await reactor.drive(examineDevice(reactor, devices[1]!));
  t.is(found.superblock.value?.name, 'pond');
});

test('a crash at any write of create leaves nothing that assembles incompletely', async (t) => {
  const outcomes = new Map<string, number>();
  for (const torn of [false, true]) {
    for (let last = 0; ; last += 1) {
      const { reactor, devices, assemble } = await openMembers(3);
      const request = { name: 'tank', level: '5f', stripBytes: 4096, superblock: true };
      const plan = planArray({ ...request, members: devices });
      let writes = 0;
      let crashed = false;
      for (const device of devices) {
        device.fault = (io) => {
          if (crashed) return EIO;
          if (io.op !== OP_WRITE) return OK;
          writes += 1;
          if (writes <= last) return OK;
          crashed = true;
          if (torn) {
            const half = Math.ceil(io.blockCount / 2) * 512;
            device.bytes.set(
              reactor.arena.u8.subarray(io.buffer, io.buffer + half),
              io.block * 512,
            );
          }
          return EIO;
        };
      }
      const creation = reactor.drive(createArray(reactor, plan, devices));
      const done = await creation.then(
        () => true,
        () => false,
      );
      for (const device of devices) device.fault = () => OK;
      const outcome = await assemble({ degraded: true }).then(
        (assembly) => (assembly.degraded ? 'degraded' : 'complete'),
        (error: BandstandError) => error.code,
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (done) t.is(outcome, 'complete');
      t.not(outcome, 'degraded', `crash after write ${last}`);
      if (done) break;
    }
  }
  t.deepEqual([...outcomes.keys()].sort(), [
    'BANDSTAND_ARRAY_INCOMPLETE',
    'BANDSTAND_ARRAY_NOT_FOUND',
    'complete',
  ]);
});

test('a spare gets a label, no superblock, and is overwritten only if named', async (t) => {
  const { reactor, devices } = await openMembers(3);
  const plan = planArray({
    name: 'tank',
    level: '1',
    stripBytes: null,
    superblock: true,
    members: devices.slice(0, 2),
    spares: devices.slice(2),
  });
  const spare = devices[2]!;
  const create = (overwrite: RamDevice[]) =>
    reactor.drive(createArray(reactor, plan, devices.slice(0, 2), { overwrite, spares: [spare] }));
  await create([]);
  const before = devices.map(({ bytes }) => bytes.slice());
  const found = await reactor.drive(examineDevice(reactor, spare));
  t.is(found.superblock.state, 'absent');
  t.like(found.label, { role: 'spare', memberUuid: plan.spares[0]!.uuid, arrayUuid: plan.uuid! });
  // Naming one device says nothing about another one.
  await t.throwsAsync(create(devices.slice(0, 2)), {
    code: 'BANDSTAND_DEVICE_IN_USE',
    message: 'cannot create tank: /dev/ram2 holds a member label of an array',
  });
  for (const [slot, { bytes }] of devices.entries()) sameBytes(t, bytes, before[slot]!);
  await create(devices);
});

test('a create that fails removes what it wrote', async (t) => {
  const { reactor, devices } = await openMembers(2);
  const plan = planArray({
    name: 'x',
    level: '1',
    stripBytes: null,
    superblock: true,
    members: devices,
  });
  let writes = 0;
  devices[1]!.fault = (io) => {
    if (io.op === OP_WRITE && io.block === 0) writes += 1;
    return writes >= 2 ? EIO : OK;
  };
  await t.throwsAsync(reactor.drive(createArray(reactor, plan, devices)), {
    code: 'BANDSTAND_DEVICE_IO',
  });
  devices[1]!.fault = () => OK;
  const found = await reactor.drive(examineDevice(reactor, devices[0]!));
  t.is(found.superblock.state, 'absent');
  t.is(found.label, null);
});

test('create notices a device that does not keep what was written', async (t) => {
  const { reactor, devices } = await openMembers(2);
  const plan = planArray({
    name: 'x',
    level: '1',
    stripBytes: null,
    superblock: true,
    members: devices,
  });
  const carryOut = devices[1]!.submit.bind(devices[1]!);
  let writes = 0;
  devices[1]!.submit = (io) => {
    carryOut(io);
    if (io.op === OP_WRITE && io.block === 0) {
      writes += 1;
      if (writes > 1) devices[1]!.bytes[300]! ^= 1;
    }
  };
  await t.throwsAsync(reactor.drive(createArray(reactor, plan, devices)), {
    code: 'BANDSTAND_METADATA_UNVERIFIED',
    message:
      'cannot trust /dev/ram1: the superblock read back differs from what was written, first at byte 300',
  });
});

test('a spare is created with a label and nothing else, and wiped again', async (t) => {
  const { reactor, devices, assemble } = await openMembers(4);
  const [spare, ...members] = devices as [RamDevice, RamDevice, RamDevice, RamDevice];
  spare.bytes.fill(0x66);
  const request = { name: 'tank', level: '5f', stripBytes: 4096, superblock: true };
  const plan = planArray({ ...request, members, spares: [spare] });
  await reactor.drive(createArray(reactor, plan, members, { spares: [spare] }));
  const found = await reactor.drive(examineDevice(reactor, spare));
  t.is(found.superblock.state, 'absent');
  t.like(found.label, {
    role: 'spare',
    slot: 0,
    state: 'clean',
    arrayUuid: plan.uuid!,
    memberUuid: plan.spares[0]!.uuid,
  });
  t.true(spare.bytes.subarray(0, 65536).every((byte) => byte === 0));
  t.true(spare.bytes.subarray(2 ** 20).every((byte) => byte === 0x66));
  const assembly = await assemble();
  t.deepEqual(assembly.spares, [
    { uuid: plan.spares[0]!.uuid, device: '/dev/ram0', labelSequence: 1 },
  ]);
  t.deepEqual(assembly.unused, []);
  await t.throwsAsync(reactor.drive(createArray(reactor, plan, members, { spares: [spare] })), {
    code: 'BANDSTAND_DEVICE_IN_USE',
  });
  t.deepEqual(await reactor.drive(wipeDevice(reactor, spare)), {
    superblock: false,
    labelCopies: 1,
    bitmapBlocks: 0,
  });
  t.is((await reactor.drive(examineDevice(reactor, spare))).label, null);
  t.deepEqual((await assemble()).spares, []);
});

test('a spare that cannot be written undoes the creation', async (t) => {
  const { reactor, devices } = await openMembers(3);
  const [a, b, spare] = devices as [RamDevice, RamDevice, RamDevice];
  const request = { name: 'tank', level: '1', stripBytes: null, superblock: true };
  const plan = planArray({ ...request, members: [a, b], spares: [spare] });
  spare.fault = (io) => (io.op === OP_WRITE && io.block > 0 ? EIO : OK);
  const creation = reactor.drive(createArray(reactor, plan, [a, b], { spares: [spare] }));
  await t.throwsAsync(creation, { code: 'BANDSTAND_DEVICE_IO' });
  for (const device of devices) {
    const found = await reactor.drive(examineDevice(reactor, device));
    t.is(found.superblock.state, 'absent');
    t.is(found.label, null);
  }
});

test('wipe removes what is ours, and nothing else', async (t) => {
  const { reactor, devices, refusal } = await createdArray('raid1', 2);
  devices[0]!.bytes[300] = 9;
  const [damaged, good] = devices as [RamDevice, RamDevice];
  good.bytes.fill(0x77, 2 ** 20);
  t.deepEqual(await reactor.drive(wipeDevice(reactor, damaged)), {
    superblock: true,
    labelCopies: 2,
    bitmapBlocks: 0,
  });
  const bitmap = plannedBitmap(64 * (2 * REGIONS_PER_BLOCK + 1), 64);
  const states = new Uint8Array(2 * REGIONS_PER_BLOCK + 1).fill(1);
  await reactor.drive(writeBitmap(reactor, good, bitmap, ARRAY, states));
  good.bytes.fill(0, 2 ** 17 + 4096, 2 ** 17 + 8192);
  t.deepEqual(await reactor.drive(wipeDevice(reactor, good)), {
    superblock: true,
    labelCopies: 2,
    bitmapBlocks: 2,
  });
  t.true(good.bytes.subarray(0, 2 ** 20).every((byte) => byte === 0));
  t.true(good.bytes.subarray(2 ** 20).every((byte) => byte === 0x77));
  t.regex(await refusal(), /^BANDSTAND_ARRAY_NOT_FOUND/);
  const foreign = new RamDevice('/dev/other', { blockCount: 4096 });
  await foreign.open(reactor);
  foreign.bytes.fill(0x53);
  t.deepEqual(await reactor.drive(wipeDevice(reactor, foreign)), {
    superblock: false,
    labelCopies: 0,
    bitmapBlocks: 0,
  });
  t.true(foreign.bytes.every((byte) => byte === 0x53));
});
