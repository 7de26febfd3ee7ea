import test from 'ava';
import { OP_WRITE } from '../../src/block/block-io.ts';
import { readBlocks, writeBlocks } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import {
  type AssembleOptions,
  type Assembly,
  assembleArray,
  assemblySpec,
} from '../../src/raid/assemble.ts';
import { createArray } from '../../src/raid/create.ts';
import { examinationJson, examineDevice } from '../../src/raid/examine.ts';
import { encodeLabel, LABEL_OFFSETS, type Label, labelCopy } from '../../src/raid/label.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import { MemberLabels } from '../../src/raid/member-labels.ts';
import { planArray, plannedSuperblock, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { encodeSuperblock, type Superblock } from '../../src/raid/superblock.ts';
import { wipeDevice } from '../../src/raid/wipe.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { referenceImages, referenceSize } from '../_helpers/raid-reference.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const ARRAY = '00112233-4455-6677-8899-aabbccddeeff';
const MEMBERS = [
  '11111111-1111-4111-8111-111111111111',
  '22222222-2222-4222-8222-222222222222',
  '33333333-3333-4333-8333-333333333333',
  '44444444-4444-4444-8444-444444444444',
];
const DATA_BLOCKS = 512;

interface Bench {
  readonly reactor: SimulatedReactor;
  readonly devices: RamDevice[];
  assemble(options?: AssembleOptions, devices?: readonly RamDevice[]): Promise<Assembly>;
  refusal(options?: AssembleOptions, devices?: readonly RamDevice[]): Promise<string>;
  /** Puts a changed superblock on a device, past the codec of create. */
  put(slot: number, change: (superblock: Superblock) => Superblock): void;
  label(slot: number, change: (label: Label) => Label): void;
}

async function open(count: number, blockBytes = 512): Promise<Bench> {
  const reactor = new SimulatedReactor();
  const devices = Array.from(
    { length: count },
    (_, slot) =>
      new RamDevice(`/dev/ram${slot}`, {
        blockCount: 2 ** 20 / blockBytes + DATA_BLOCKS,
        blockBytes,
      }),
  );
  for (const device of devices) await device.open(reactor);
  const assemble: Bench['assemble'] = async (options = {}, used = devices) => {
    const examinations = [];
    for (const device of used) {
      examinations.push(await reactor.drive(examineDevice(reactor, device)));
    }
    return assembleArray(examinations, options);
  };
  return {
    reactor,
    devices,
    assemble,
    async refusal(options, used) {
      try {
        await assemble(options, used);
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        return `${error.code}: ${error.message}${error.hint === null ? '' : ` (${error.hint})`}`;
      }
      throw new Error('the array was assembled');
    },
    put(slot, change) {
      const plan = plannedSuperblock(PLANS.get(devices)!);
      devices[slot]!.bytes.set(encodeSuperblock(change(plan)), 0);
    },
    label(slot, change) {
      const plan = plannedSuperblock(PLANS.get(devices)!);
      const label = change({
        sequence: 2,
        memberUuid: plan.members[slot]!.uuid,
        arrayUuid: plan.uuid,
        superblockSeq: plan.seq,
        slot,
        state: 'clean',
        eventCount: 0,
        bitmap: null,
        process: { kind: 'none', slot: 0, block: 0 },
      });
      devices[slot]!.bytes.set(encodeLabel(label), LABEL_OFFSETS[labelCopy(label.sequence)]);
    },
  };
}

const PLANS = new WeakMap<RamDevice[], ReturnType<typeof planArray>>();

async function created(level: LevelName, count: number, blockBytes = 512): Promise<Bench> {
  const bench = await open(count, blockBytes);
  const plan = planArray({
    name: 'tank',
    level,
    stripBytes: level === 'raid1' ? null : 8 * blockBytes,
    superblock: true,
    members: bench.devices,
    uuid: ARRAY,
    memberUuids: MEMBERS,
  });
  PLANS.set(bench.devices, plan);
  await bench.reactor.drive(createArray(bench.reactor, plan, bench.devices));
  return bench;
}

for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
  for (const blockBytes of [512, 4096]) {
    test(`a created ${level} of ${blockBytes} assembles from its devices in any order and keeps its data`, async (t) => {
      const { reactor, devices, assemble } = await created(level, 4, blockBytes);
      const assembly = await assemble({ name: 'tank' });
      t.like(assembly, { degraded: false, clean: true, warnings: [], unused: [] });
      const byName = new Map(devices.map((device) => [device.name, device]));
      const array = new RaidArray(assemblySpec(assembly, byName), { membersOpened: true });
      await reactor.drive(array.open(reactor));
      const content = new Random(21).bytes(array.geometry.blockCount * blockBytes);
      await reactor.drive(writeWhole(array, reactor, content));
      await reactor.drive(array.close());
      for (const device of devices) await device.open(reactor);

      const shuffled = [devices[2]!, devices[0]!, devices[3]!, devices[1]!];
      const again = await assemble({ uuid: ARRAY.toUpperCase() }, shuffled);
      t.deepEqual(again.slots, assembly.slots);
      const second = new RaidArray(assemblySpec(again, byName), { membersOpened: true });
      await reactor.drive(second.open(reactor));
      t.deepEqual(
        await reactor.drive(readBlocks(reactor, second, 0, second.geometry.blockCount)),
        content,
      );
      await reactor.drive(second.close());
    });
  }
}

async function writeWhole(array: RaidArray, reactor: SimulatedReactor, content: Uint8Array) {
  const { blockBytes, writeUnitBlocks } = array.geometry;
  const step = writeUnitBlocks * blockBytes * Math.max(1, Math.floor(64 / writeUnitBlocks));
  for (let at = 0; at < content.length; at += step) {
    await writeBlocks(reactor, array, at / blockBytes, content.subarray(at, at + step));
  }
}

for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
  test(`a ${level} made by SPDK assembles with the UUIDs of its devices and reads back`, async (t) => {
    const sizes = level === 'concat' ? [200, 160, 300] : [DATA_BLOCKS, DATA_BLOCKS, DATA_BLOCKS];
    const layout = { level, strip: 16, sizes };
    const blocks = referenceSize(layout);
    const content = new Random(31).bytes(blocks * 512);
    const bench = await open(3);
    const used = sizes.map((size) => (level === 'raid1' ? size : size - (size % 16)));
    const superblock: Superblock = {
      versionMinor: 0,
      uuid: ARRAY,
      name: 'made by SPDK',
      raidSize: blocks,
      blockBytes: 512,
      level,
      stripBlocks: level === 'raid1' ? 0 : 16,
      seq: 7,
      members: used.map((dataSize, slot) => ({
        uuid: MEMBERS[slot]!,
        dataOffset: 2048,
        dataSize,
        state: 'configured',
        slot,
      })),
    };
    referenceImages(layout, 512, content).forEach((image, slot) => {
      bench.devices[slot]!.bytes.set(encodeSuperblock(superblock), 0);
      bench.devices[slot]!.bytes.set(image, 2 ** 20);
    });
    t.is(
      await bench.refusal(),
      `BANDSTAND_MEMBER_UNIDENTIFIED: cannot assemble made by SPDK: which member /dev/ram0 is cannot be told: it has no label (say which: /dev/ram0=UUID, one of ${MEMBERS.slice(0, 3).join(', ')})`,
    );
    const identities = new Map(
      bench.devices.map(({ name }, slot) => [name, MEMBERS[slot]!.toUpperCase()]),
    );
    const [a, b, c] = bench.devices as [RamDevice, RamDevice, RamDevice];
    const assembly = await bench.assemble({ identities }, [c, a, b]);
    t.deepEqual(
      assembly.slots.map(({ device }) => device),
      [a.name, b.name, c.name],
    );
    t.is(assembly.clean, null);
    t.deepEqual((await bench.assemble({ slotOrder: true })).slots, assembly.slots);

    const before = bench.devices.map(({ bytes }) => bytes.slice());
    const byName = new Map(bench.devices.map((device) => [device.name, device]));
    const array = new RaidArray(assemblySpec(assembly, byName), { membersOpened: true });
    await bench.reactor.drive(array.open(bench.reactor));
    t.deepEqual(await bench.reactor.drive(readBlocks(bench.reactor, array, 0, blocks)), content);
    t.deepEqual(
      bench.devices.map(({ bytes }) => bytes.slice()),
      before,
      'reading writes nothing',
    );

    // The first mark gives the members labels, and from then on nobody has to say who is who.
    const labels = new MemberLabels(bench.reactor, ARRAY, 7, labelled(assembly, byName));
    await bench.reactor.drive(labels.markDirty());
    t.is((await bench.assemble({}, [b, c, a])).clean, false);
    await bench.reactor.drive(labels.markClean());
    const known = await bench.assemble({}, [b, c, a]);
    t.is(known.clean, true);
    t.deepEqual(
      known.slots.map(({ device }) => device),
      [a.name, b.name, c.name],
    );
    await bench.reactor.drive(array.close());
  });
}

function labelled(assembly: Assembly, byName: ReadonlyMap<string, RamDevice>) {
  return assembly.slots.flatMap(({ slot, uuid, device, label }) =>
    device === null ? [] : [{ slot, uuid, device: byName.get(device)!, label }],
  );
}

test('labels alternate, count starts, and a torn label leaves the one before', async (t) => {
  const bench = await created('raid1', 2);
  const byName = new Map(bench.devices.map((device) => [device.name, device]));
  const assembly = await bench.assemble();
  const labels = new MemberLabels(bench.reactor, ARRAY, 1, labelled(assembly, byName));
  await bench.reactor.drive(labels.markDirty());
  const dirty = await bench.assemble();
  t.like(dirty.slots[1]?.label, { sequence: 3, state: 'dirty', eventCount: 1, slot: 1 });
  t.is(dirty.clean, false);
  await bench.reactor.drive(labels.markClean());
  t.like((await bench.assemble()).slots[1]?.label, { sequence: 4, state: 'clean', eventCount: 1 });
  bench.devices[1]!.bytes.fill(0x55, LABEL_OFFSETS[0] + 200, LABEL_OFFSETS[0] + 4096);
  const torn = await bench.assemble();
  t.like(torn.slots[1]?.label, { sequence: 3, state: 'dirty' });
  t.is(torn.clean, false);
});

test('bitmap and process of a label that the superblock left behind are void', async (t) => {
  const bench = await created('raid1', 2);
  const bitmap = { offsetBytes: 131072, bytes: 4096, regionBlocks: 64 };
  const process = { kind: 'rebuild', slot: 1, block: 77 } as const;
  bench.label(0, (label) => ({ ...label, bitmap, process }));
  bench.label(1, (label) => ({ ...label, bitmap, process, superblockSeq: 0 }));
  const byName = new Map(bench.devices.map((device) => [device.name, device]));
  const assembly = await bench.assemble();
  t.is(assembly.clean, null);
  const labels = new MemberLabels(bench.reactor, ARRAY, 1, labelled(assembly, byName));
  await bench.reactor.drive(labels.markDirty());
  const after = await bench.assemble();
  t.like(after.slots[0]?.label, { bitmap, process });
  t.is(after.slots[1]?.label?.bitmap, null);
  t.is(after.slots[1]?.label?.process.kind, 'none');
});

test('a mark that one member refuses fails', async (t) => {
  const bench = await created('raid1', 2);
  const byName = new Map(bench.devices.map((device) => [device.name, device]));
  const labels = new MemberLabels(
    bench.reactor,
    ARRAY,
    1,
    labelled(await bench.assemble(), byName),
  );
  bench.devices[0]!.fault = () => EIO;
  await t.throwsAsync(bench.reactor.drive(labels.markDirty()), { code: 'BANDSTAND_DEVICE_IO' });
});

// --- missing, stale and recorded losses ---------------------------------------------------------

test('a missing member is named, unless a degraded start is asked for', async (t) => {
  const bench = await created('raid5f', 4);
  const rest = [bench.devices[0]!, bench.devices[1]!, bench.devices[3]!];
  t.is(
    await bench.refusal({}, rest),
    `BANDSTAND_ARRAY_DEGRADED: cannot assemble tank: 1 of 4 members is missing: slot 2 (${MEMBERS[2]}): no device holds it (give the missing devices, or add --degraded to start without them)`,
  );
  const assembly = await bench.assemble({ degraded: true }, rest);
  t.true(assembly.degraded);
  t.deepEqual(
    assembly.slots.map(({ device }) => device),
    ['/dev/ram0', '/dev/ram1', null, '/dev/ram3'],
  );
});

test('more missing members than the level bears are refused even degraded', async (t) => {
  const bench = await created('raid5f', 4);
  t.is(
    await bench.refusal({ degraded: true }, [bench.devices[0]!, bench.devices[3]!]),
    `BANDSTAND_ARRAY_FAILED: cannot assemble tank: 2 of 4 members are missing and raid5f bears 1: slot 1 (${MEMBERS[1]}): no device holds it; slot 2 (${MEMBERS[2]}): no device holds it (give the devices that hold the missing members)`,
  );
  const flat = await created('raid0', 2);
  t.regex(
    await flat.refusal({ degraded: true }, [flat.devices[0]!]),
    /^BANDSTAND_ARRAY_FAILED: .*raid0 bears 0/,
  );
});

test('a loss that the superblock records needs no permission', async (t) => {
  const bench = await created('raid1', 2);
  bench.put(0, (superblock) => ({
    ...superblock,
    seq: 2,
    members: superblock.members.map((m) => (m.slot === 1 ? { ...m, state: 'failed' } : m)),
  }));
  const alone = await bench.assemble({}, [bench.devices[0]!]);
  t.true(alone.degraded);
  t.like(alone.slots[1], { device: null, reason: 'recorded as failed', recorded: true });
  const both = await bench.assemble();
  t.is(both.slots[1]?.reason, 'recorded as failed; /dev/ram1 has to be added again');
  t.deepEqual(both.unused, [
    { device: '/dev/ram1', reason: 'slot 1: recorded as failed; /dev/ram1 has to be added again' },
  ]);
  // A failed member that comes alone has an older superblock that calls everyone configured.
  t.regex(await bench.refusal({}, [bench.devices[1]!]), /^BANDSTAND_ARRAY_DEGRADED: .* slot 0 /);
});

test('a stale member stays out, whichever device comes first', async (t) => {
  const bench = await created('raid1', 2);
  bench.put(0, (superblock) => ({ ...superblock, seq: 5 }));
  const [fresh, stale] = bench.devices as [RamDevice, RamDevice];
  for (const order of [
    [fresh, stale],
    [stale, fresh],
  ]) {
    t.is(
      await bench.refusal({}, order),
      `BANDSTAND_ARRAY_DEGRADED: cannot assemble tank: 1 of 2 members is missing: slot 1 (${MEMBERS[1]}): /dev/ram1 is stale: superblock sequence 1, the array is at 5 (give the missing devices, or add --degraded to start without them)`,
    );
    const assembly = await bench.assemble({ degraded: true }, order);
    t.is(assembly.superblock.seq, 5);
    t.is(assembly.slots[1]?.device, null);
  }
});

test('an older superblock is only noted at a level without redundancy', async (t) => {
  const bench = await created('raid0', 2);
  bench.put(0, (superblock) => ({ ...superblock, seq: 5 }));
  const assembly = await bench.assemble();
  t.false(assembly.degraded);
  t.deepEqual(assembly.warnings, [
    '/dev/ram1 has an older superblock: superblock sequence 1, the array is at 5',
  ]);
});

// --- contradictions -----------------------------------------------------------------------------

test('a damaged superblock stops assembly with its device and field', async (t) => {
  const bench = await created('raid1', 2);
  bench.devices[1]!.bytes[130] = 9;
  t.regex(
    await bench.refusal(),
    /^BANDSTAND_SUPERBLOCK_CHECKSUM: cannot use the superblock on \/dev\/ram1: crc: /,
  );
  const assembly = await bench.assemble({ degraded: true });
  t.is(assembly.slots[1]?.device, null);
  t.regex(assembly.unused[0]!.reason, /crc/);
});

test('devices without a superblock are no array', async (t) => {
  const bench = await open(2);
  bench.devices[1]!.bytes.fill(0x45, 0, 4096);
  t.is(
    await bench.refusal({ name: 'tank' }),
    'BANDSTAND_ARRAY_NOT_FOUND: cannot assemble tank: no superblock of it was found: /dev/ram0: it has no superblock; /dev/ram1: it has no superblock (run `bandstand examine` on its members)',
  );
  t.is(
    await bench.refusal({}, []),
    'BANDSTAND_ARRAY_NOT_FOUND: cannot assemble an array: no superblock of it was found: no device was given (run `bandstand examine` on its members)',
  );
});

test('another array is not taken for the wanted one', async (t) => {
  const bench = await created('raid1', 2);
  t.is(
    await bench.refusal({ name: 'pond' }),
    `BANDSTAND_ARRAY_NOT_FOUND: cannot assemble pond: no superblock of it was found: /dev/ram0: it belongs to the array tank (${ARRAY}); /dev/ram1: it belongs to the array tank (${ARRAY}) (run \`bandstand examine\` on its members)`,
  );
});

test('two arrays with one name are refused, and the UUID decides', async (t) => {
  const bench = await created('raid1', 4);
  const other = MEMBERS[3]!;
  for (const slot of [2, 3]) {
    bench.put(slot, (superblock) => ({ ...superblock, uuid: other }));
    bench.label(slot, (label) => ({ ...label, arrayUuid: other }));
  }
  const list = `tank (${ARRAY}) on /dev/ram0, /dev/ram1; tank (${other}) on /dev/ram2, /dev/ram3`;
  const hint = '(give the devices of one array only, or its UUID)';
  t.is(
    await bench.refusal({ name: 'tank' }),
    `BANDSTAND_ARRAY_AMBIGUOUS: cannot assemble tank: different arrays have the name tank: ${list} ${hint}`,
  );
  t.is(
    await bench.refusal(),
    `BANDSTAND_ARRAY_AMBIGUOUS: cannot assemble an array: the devices belong to different arrays: ${list} ${hint}`,
  );
  const assembly = await bench.assemble({ uuid: ARRAY, degraded: true });
  t.deepEqual(
    assembly.slots.map(({ device }) => device),
    ['/dev/ram0', '/dev/ram1', null, null],
  );
});

test('a clone of a member is refused with both names', async (t) => {
  const bench = await created('raid1', 2);
  const clone = new RamDevice('/dev/clone', { blockCount: 2048 + DATA_BLOCKS });
  await clone.open(bench.reactor);
  clone.bytes.set(bench.devices[1]!.bytes);
  t.is(
    await bench.refusal({}, [...bench.devices, clone]),
    `BANDSTAND_MEMBER_DUPLICATE: cannot assemble tank: /dev/ram1 and /dev/clone both hold member ${MEMBERS[1]} (leave out the copy, or wipe it)`,
  );
});

test('a member that was replaced is refused, and left aside in a scan', async (t) => {
  const bench = await created('raid1', 3);
  for (const slot of [0, 1]) {
    bench.put(slot, (superblock) => ({
      ...superblock,
      seq: 4,
      members: superblock.members.slice(0, 2),
    }));
  }
  t.is(
    await bench.refusal(),
    `BANDSTAND_MEMBER_REPLACED: cannot assemble tank: /dev/ram2 is no member any more: it was member ${MEMBERS[2]}, which the newest superblock does not list: another device has taken its place (leave out /dev/ram2)`,
  );
  const assembly = await bench.assemble({ scan: true });
  t.false(assembly.degraded);
  t.is(assembly.unused[0]?.device, '/dev/ram2');
});

test('superblocks of one sequence that differ are refused', async (t) => {
  const bench = await created('raid1', 2);
  bench.put(1, (superblock) => ({
    ...superblock,
    members: superblock.members.map((m) => (m.slot === 0 ? { ...m, state: 'failed' } : m)),
  }));
  t.is(
    await bench.refusal(),
    'BANDSTAND_ARRAY_CONFLICT: cannot assemble tank: the superblocks of /dev/ram0 and /dev/ram1 differ although both have sequence 1 (the two were changed apart from each other; leave out the one whose data is not wanted)',
  );
});

test('a device that does not fit its slot is refused', async (t) => {
  const bench = await created('raid1', 2);
  const small = new RamDevice('/dev/small', { blockCount: 2048 + DATA_BLOCKS - 1 });
  await small.open(bench.reactor);
  small.bytes.set(bench.devices[1]!.bytes.subarray(0, small.bytes.length));
  t.is(
    await bench.refusal({}, [bench.devices[0]!, small]),
    `BANDSTAND_MEMBER_MISMATCH: cannot assemble tank: /dev/small (slot 1) has 2559 blocks, the array uses 2560 of it`,
  );
  const coarse = new RamDevice('/dev/coarse', { blockCount: 320, blockBytes: 4096 });
  await coarse.open(bench.reactor);
  coarse.bytes.set(bench.devices[1]!.bytes);
  t.is(
    await bench.refusal({}, [bench.devices[0]!, coarse]),
    `BANDSTAND_MEMBER_MISMATCH: cannot assemble tank: /dev/coarse (slot 1) has 4096-byte blocks, the array has 512-byte blocks`,
  );
});

test('labels that contradict the user or the superblock are refused', async (t) => {
  const bench = await created('raid1', 2);
  t.is(
    await bench.refusal({ identities: new Map([['/dev/ram0', MEMBERS[1]!]]) }),
    `BANDSTAND_LABEL_INVALID: cannot assemble tank: /dev/ram0 is labelled as member ${MEMBERS[0]}, not ${MEMBERS[1]} (leave out the UUID)`,
  );
  t.is(
    await bench.refusal({ identities: new Map([['/dev/ram0', 'me']]) }),
    "BANDSTAND_USAGE: cannot assemble tank: 'me', given for /dev/ram0, is not a UUID (give a UUID)",
  );
  bench.label(1, (label) => ({ ...label, slot: 0 }));
  t.is(
    await bench.refusal(),
    'BANDSTAND_LABEL_INVALID: cannot assemble tank: /dev/ram1 is labelled for slot 0, but the superblock has its member in slot 1 (run `bandstand examine` on the device)',
  );
});

test('slot order needs a device for every slot', async (t) => {
  const bench = await created('raid1', 2);
  bench.label(0, (label) => ({ ...label, arrayUuid: MEMBERS[3]! }));
  t.is(
    await bench.refusal({ slotOrder: true }, [bench.devices[0]!]),
    'BANDSTAND_MEMBER_UNIDENTIFIED: cannot assemble tank: 1 devices in slot order were given for 2 slots (name the devices one by one: /dev/ram0=UUID)',
  );
  t.false((await bench.assemble({ slotOrder: true })).degraded);
});

test('an array without superblock is assembled from its description', async (t) => {
  const { reactor, devices } = await open(3);
  const request = { name: 'plain', level: '5f', stripBytes: 4096, superblock: false };
  const plan = planArray({ ...request, members: devices });
  const array = new RaidArray(planSpec(plan, devices), { membersOpened: true });
  await reactor.drive(array.open(reactor));
  const content = new Random(5).bytes(array.geometry.blockCount * 512);
  await reactor.drive(writeWhole(array, reactor, content));
  const layout = {
    level: 'raid5f',
    strip: 8,
    sizes: devices.map(() => 2048 + DATA_BLOCKS),
  } as const;
  t.deepEqual(
    devices.map(({ bytes }) => bytes),
    referenceImages(layout, 512, content),
  );
  await reactor.drive(array.close());
});

// --- create and wipe ----------------------------------------------------------------------------

test('create leaves devices of another array untouched unless told to overwrite', async (t) => {
  const { reactor, devices } = await created('raid1', 2);
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
  t.deepEqual(devices[1]!.bytes, before[1]!);
  await reactor.drive(createArray(reactor, plan, devices, { overwrite: true }));
  const found = await reactor.drive(examineDevice(reactor, devices[1]!));
  t.is(found.superblock.value?.name, 'pond');
});

test('a crash at any write of create leaves nothing that assembles incompletely', async (t) => {
  const outcomes = new Map<string, number>();
  for (const torn of [false, true]) {
    for (let last = 0; ; last += 1) {
      const { reactor, devices, assemble } = await open(3);
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

test('a create that fails removes what it wrote', async (t) => {
  const { reactor, devices } = await open(2);
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
  const { reactor, devices } = await open(2);
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

test('wipe removes what is ours, and nothing else', async (t) => {
  const { reactor, devices, refusal } = await created('raid1', 2);
  devices[0]!.bytes[300] = 9;
  const [damaged, good] = devices as [RamDevice, RamDevice];
  good.bytes.fill(0x77, 2 ** 20);
  t.deepEqual(await reactor.drive(wipeDevice(reactor, damaged)), {
    superblock: true,
    labelCopies: 2,
  });
  t.deepEqual(await reactor.drive(wipeDevice(reactor, good)), { superblock: true, labelCopies: 2 });
  t.true(good.bytes.subarray(0, 2 ** 20).every((byte) => byte === 0));
  t.true(good.bytes.subarray(2 ** 20).every((byte) => byte === 0x77));
  t.regex(await refusal(), /^BANDSTAND_ARRAY_NOT_FOUND/);
  const foreign = new RamDevice('/dev/other', { blockCount: 4096 });
  await foreign.open(reactor);
  foreign.bytes.fill(0x53);
  t.deepEqual(await reactor.drive(wipeDevice(reactor, foreign)), {
    superblock: false,
    labelCopies: 0,
  });
  t.true(foreign.bytes.every((byte) => byte === 0x53));
});

// --- examine ------------------------------------------------------------------------------------

test('examine reports every field of a member as JSON', async (t) => {
  const { reactor, devices } = await created('raid1', 2);
  const json = examinationJson(await reactor.drive(examineDevice(reactor, devices[1]!)));
  t.like(json, {
    device: '/dev/ram1',
    block_size: 512,
    blocks: 2560,
    superblock: {
      state: 'ok',
      reason: null,
      offset_bytes: 0,
      fields: { raid_size: 512, block_size: 512, level: 1, seq_number: 1, num_base_bdevs: 2 },
      array: { name: 'tank', uuid: ARRAY, level: 'raid1', size_bytes: 262144, seq_number: 1 },
    },
    member: { uuid: MEMBERS[1]!, array_uuid: ARRAY, slot: 1, state: 'clean', in_superblock: true },
  });
  const labels = json['labels'] as Record<string, unknown>[];
  t.like(labels[0], {
    copy: 0,
    offset_bytes: 65536,
    state: 'ok',
    fields: { sequence: 2, state: 1 },
  });
  t.like(labels[1], {
    copy: 1,
    offset_bytes: 98304,
    state: 'ok',
    fields: { sequence: 1, state: 3 },
  });
  t.notThrows(() => JSON.stringify(json));
});

test('examine tells absent, damaged, foreign and unreadable apart', async (t) => {
  const { reactor, devices } = await created('raid1', 2);
  const [device] = devices as [RamDevice];
  device.bytes[2] = 0x2e;
  device.bytes[LABEL_OFFSETS[1] + 50]! ^= 1;
  const found = await reactor.drive(examineDevice(reactor, device));
  t.is(found.superblock.state, 'damaged');
  t.is(
    found.superblock.error?.message,
    'cannot use the superblock on /dev/ram0: signature: is not SPDKRAID',
  );
  t.is(found.labels[0].state, 'ok');
  t.is(found.labels[1].state, 'damaged');
  t.is(found.label?.sequence, 2);
  const json = examinationJson(found)['superblock'] as Record<string, unknown>;
  t.like(json, { state: 'damaged', code: 'BANDSTAND_SUPERBLOCK_SIGNATURE', field: 'signature' });
  device.bytes.fill(0x41, 0, 4096);
  t.is((await reactor.drive(examineDevice(reactor, device))).superblock.state, 'absent');
  device.fault = (io) => (io.block === 0 ? EIO : OK);
  const unreadable = await reactor.drive(examineDevice(reactor, device));
  t.is(unreadable.superblock.state, 'damaged');
  t.is(unreadable.superblock.error?.code, 'BANDSTAND_DEVICE_IO');
  const tiny = new RamDevice('/dev/tiny', { blockCount: 3 });
  await tiny.open(reactor);
  const small = await reactor.drive(examineDevice(reactor, tiny));
  t.is(small.superblock.state, 'absent');
  t.is(small.label, null);
});
