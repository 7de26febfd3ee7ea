import test from 'ava';
import {
  ARRAY,
  createdArray,
  DATA_BLOCKS,
  MEMBERS,
  openMembers,
} from '../_helpers/member-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

// --- missing, stale and recorded losses ---------------------------------------------------------

test('a missing member is named, unless a degraded start is asked for', async (t) => {
  const bench = await createdArray('raid5f', 4);
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
  const bench = await createdArray('raid5f', 4);
  t.is(
    await bench.refusal({ degraded: true }, [bench.devices[0]!, bench.devices[3]!]),
    `BANDSTAND_ARRAY_FAILED: cannot assemble tank: 2 of 4 members are missing and raid5f bears 1: slot 1 (${MEMBERS[1]}): no device holds it; slot 2 (${MEMBERS[2]}): no device holds it (give the devices that hold the missing members)`,
  );
  const flat = await createdArray('raid0', 2);
  t.regex(
    await flat.refusal({ degraded: true }, [flat.devices[0]!]),
    /^BANDSTAND_ARRAY_FAILED: .*raid0 bears 0/,
  );
});

test('a loss that the superblock records needs no permission', async (t) => {
  const bench = await createdArray('raid1', 2);
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
  const bench = await createdArray('raid1', 2);
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
  const bench = await createdArray('raid0', 2);
  bench.put(0, (superblock) => ({ ...superblock, seq: 5 }));
  const assembly = await bench.assemble();
  t.false(assembly.degraded);
  t.deepEqual(assembly.warnings, [
    '/dev/ram1 has an older superblock: superblock sequence 1, the array is at 5',
  ]);
});

// --- contradictions -----------------------------------------------------------------------------

test('a damaged superblock stops assembly with its device and field', async (t) => {
  const bench = await createdArray('raid1', 2);
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
  const bench = await openMembers(2);
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
  const bench = await createdArray('raid1', 2);
  t.is(
    await bench.refusal({ name: 'pond' }),
    `BANDSTAND_ARRAY_NOT_FOUND: cannot assemble pond: no superblock of it was found: /dev/ram0: it belongs to the array tank (${ARRAY}); /dev/ram1: it belongs to the array tank (${ARRAY}) (run \`bandstand examine\` on its members)`,
  );
});

test('two arrays with one name are refused, and the UUID decides', async (t) => {
  const bench = await createdArray('raid1', 4);
  const other = MEMBERS[3]!;
  for (const slot of [2, 3]) {
    bench.put(slot, (superblock) => ({ ...superblock, uuid: other }));
    bench.label(slot, (label) => ({ ...label, arrayUuid: other }));
  }
  const list = `tank (${ARRAY}) on /dev/ram0, /dev/ram1; tank (${other}) on /dev/ram2, /dev/ram3`;
  const code = 'BANDSTAND_ARRAY_AMBIGUOUS';
  const rest = `${list} (give the devices of one array only, or its UUID)`;
  t.is(
    await bench.refusal({ name: 'tank' }),
    `${code}: cannot assemble tank: different arrays have the name tank: ${rest}`,
  );
  t.is(
    await bench.refusal(),
    `${code}: cannot assemble an array: the devices belong to different arrays: ${rest}`,
  );
  const assembly = await bench.assemble({ uuid: ARRAY, degraded: true });
  t.deepEqual(
    assembly.slots.map(({ device }) => device),
    ['/dev/ram0', '/dev/ram1', null, null],
  );
});

test('a clone of a member is refused with both names', async (t) => {
  const bench = await createdArray('raid1', 2);
  const clone = new RamDevice('/dev/clone', { blockCount: 2048 + DATA_BLOCKS });
  await clone.open(bench.reactor);
  clone.bytes.set(bench.devices[1]!.bytes);
  t.is(
    await bench.refusal({}, [...bench.devices, clone]),
    `BANDSTAND_MEMBER_DUPLICATE: cannot assemble tank: /dev/ram1 and /dev/clone both hold member ${MEMBERS[1]} (leave out the copy, or wipe it)`,
  );
});

test('a member that was replaced is refused, and left aside in a scan', async (t) => {
  const bench = await createdArray('raid1', 3);
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
  const bench = await createdArray('raid1', 2);
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
  const bench = await createdArray('raid1', 2);
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
  const bench = await createdArray('raid1', 2);
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
  const bench = await createdArray('raid1', 2);
  bench.label(0, (label) => ({ ...label, arrayUuid: MEMBERS[3]! }));
  t.is(
    await bench.refusal({ slotOrder: true }, [bench.devices[0]!]),
    'BANDSTAND_MEMBER_UNIDENTIFIED: cannot assemble tank: 1 devices in slot order were given for 2 slots (name the devices one by one: /dev/ram0=UUID)',
  );
  t.false((await bench.assemble({ slotOrder: true })).degraded);
});
