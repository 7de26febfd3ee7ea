import test from 'ava';
import type { Geometry } from '../../src/block/block-device.ts';
import type { BandstandError } from '../../src/block/errors.ts';
import { type PlanRequest, planArray, plannedSuperblock } from '../../src/raid/plan.ts';

const MIB = 2 ** 20;

function member(name: string, bytes: number, changes: Partial<Geometry> = {}) {
  const blockBytes = changes.blockBytes ?? 512;
  const geometry: Geometry = {
    blockBytes,
    blockCount: bytes / blockBytes,
    writeUnitBlocks: 1,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: 2048,
    physicalBlockBytes: 512,
    rotational: false,
    volatileCache: false,
    features: 0,
    trimGranularityBlocks: 1,
    ...changes,
  };
  return { name, geometry };
}

function request(changes: Partial<PlanRequest> = {}): PlanRequest {
  return {
    name: 'tank',
    level: 'raid0',
    stripBytes: 65536,
    superblock: true,
    members: [member('a', 32 * MIB), member('b', 33 * MIB + 512), member('c', 40 * MIB)],
    ...changes,
  };
}

test('sizes are those of SPDK at every level', (t) => {
  const sizes = (changes: Partial<PlanRequest>) => {
    const plan = planArray(request(changes));
    return [plan.blockCount, plan.stripBlocks, plan.members.map(({ dataSize }) => dataSize)];
  };
  t.deepEqual(sizes({}), [190464, 128, [63488, 63488, 63488]]);
  t.deepEqual(sizes({ level: 'raid1', stripBytes: null }), [63488, 0, [63488, 63488, 63488]]);
  t.deepEqual(sizes({ level: 'raid5f' }), [126976, 128, [63488, 63488, 63488]]);
  t.deepEqual(sizes({ level: 'concat' }), [63488 + 65536 + 79872, 128, [63488, 65536, 79872]]);
  t.deepEqual(sizes({ superblock: false }), [196608, 128, [65536, 65536, 65536]]);
  const odd = [member('a', 32 * MIB + 512 * 5), member('b', 32 * MIB + 512 * 9)];
  t.deepEqual(sizes({ members: odd, level: 'raid1', stripBytes: 0 }), [63493, 0, [63493, 63493]]);
  t.deepEqual(sizes({ members: odd }), [126976, 128, [63488, 63488]]);
});

test('the two arrays of SPDK resize test have its sizes', (t) => {
  // 32 MiB members of 512-byte blocks: raid1 with superblock has 63488 blocks; 64 MiB ones 129024.
  const two = (mib: number) => [member('a', mib * MIB), member('b', mib * MIB)];
  const raid1 = { level: 'raid1', stripBytes: null } as const;
  t.is(planArray(request({ ...raid1, members: two(62 + 1) })).blockCount, 126976);
  t.is(planArray(request({ members: two(32) })).blockCount, 126976);
});

test('a spare has to hold the data of any member behind its own metadata', (t) => {
  const mirror = { level: 'raid1', stripBytes: null } as const;
  const members = [member('a', 8 * MIB), member('b', 8 * MIB)];
  const plan = planArray(request({ ...mirror, members, spares: [member('s', 8 * MIB)] }));
  t.deepEqual(
    plan.spares.map(({ device }) => device),
    ['s'],
  );
  const refused = (spare: ReturnType<typeof member>, level: Partial<PlanRequest> = mirror) =>
    t.throws(() => planArray(request({ ...level, members, spares: [spare] }))) as BandstandError;
  t.like(refused(member('s', 8 * MIB - 512)), {
    code: 'BANDSTAND_DEVICE_TOO_SMALL',
    message: 'cannot create tank: the spare s has 8388096 bytes, at least 8388608 are needed',
    hint: 'name a spare that can take the place of any member',
  });
  // Its data begins later than a member's, so it needs more.
  t.is(
    refused(member('s', 8 * MIB, { optimalBoundaryBlocks: 3000 })).code,
    'BANDSTAND_DEVICE_TOO_SMALL',
  );
  const coarse = member('s', 8 * MIB, { blockBytes: 4096 });
  t.is(refused(coarse).code, 'BANDSTAND_MEMBER_MISMATCH');
  t.is(refused(member('a', 8 * MIB)).code, 'BANDSTAND_MEMBER_DUPLICATE');
  t.is(
    refused(member('s', 8 * MIB), { level: 'raid0', stripBytes: 65536 }).code,
    'BANDSTAND_USAGE',
  );
});

test('data begins at 1 MiB, rounded up to what the member likes best', (t) => {
  const offsets = (changes: Partial<Geometry>) =>
    planArray(request({ members: [member('a', 32 * MIB, changes)] })).members[0]?.dataOffset;
  t.is(offsets({}), 2048);
  t.is(offsets({ optimalBoundaryBlocks: 30 }), 2070);
  t.is(offsets({ optimalBoundaryBlocks: 128 }), 2048);
  t.is(offsets({ blockBytes: 4096 }), 256);
  t.is(planArray(request({ superblock: false })).members[1]?.dataOffset, 0);
});

test('levels are understood in every spelling of SPDK', (t) => {
  for (const [text, level] of [
    ['0', 'raid0'],
    ['RAID0', 'raid0'],
    ['5f', 'raid5f'],
    ['Raid5F', 'raid5f'],
    ['concat', 'concat'],
  ] as const) {
    t.is(planArray(request({ level: text })).level, level);
  }
});

test('UUIDs are random unless given', (t) => {
  const [a, b] = [planArray(request()), planArray(request())];
  t.not(a.uuid, b.uuid);
  t.is(new Set([...a.members, ...b.members].map(({ uuid }) => uuid)).size, 6);
  const uuid = '00112233-4455-6677-8899-aabbccddeeff';
  const given = planArray(request({ uuid: uuid.toUpperCase(), memberUuids: [uuid] }));
  t.is(given.uuid, uuid);
  t.is(given.members[0]?.uuid, uuid);
  t.is(planArray(request({ superblock: false })).uuid, null);
});

test('a plan becomes the first superblock', (t) => {
  const plan = planArray(request({ level: 'raid5f' }));
  const superblock = plannedSuperblock(plan);
  t.like(superblock, { name: 'tank', seq: 1, raidSize: 126976, stripBlocks: 128 });
  t.deepEqual(
    superblock.members.map(({ slot, state, dataOffset }) => [slot, state, dataOffset]),
    [0, 1, 2].map((slot) => [slot, 'configured', 2048]),
  );
});

const refuses = test.macro({
  exec(t, changes: Partial<PlanRequest>, code: string, message: string) {
    const error = t.throws(() => planArray(request(changes)), { code });
    t.is(error?.message, message);
  },
  title: (name = '') => `refuses ${name}`,
});

const few = (count: number) => Array.from({ length: count }, (_, i) => member(`d${i}`, 4 * MIB));

test(
  'an empty name',
  refuses,
  { name: '' },
  'BANDSTAND_NAME_INVALID',
  'cannot create an array: the name is empty',
);
test(
  'a name of 64 bytes',
  refuses,
  { name: 'ä'.repeat(32) },
  'BANDSTAND_NAME_INVALID',
  `cannot create ${'ä'.repeat(32)}: the name has 64 bytes, at most 63 are possible`,
);
test(
  'a name with a slash',
  refuses,
  { name: 'a/b' },
  'BANDSTAND_NAME_INVALID',
  "cannot create a/b: the name contains a control character, half a surrogate pair or '/'",
);
test(
  'a name with half a surrogate pair',
  refuses,
  { name: 'a\ud800' },
  'BANDSTAND_NAME_INVALID',
  "cannot create a\ud800: the name contains a control character, half a surrogate pair or '/'",
);
test(
  'a name that looks like an option',
  refuses,
  { name: '-x' },
  'BANDSTAND_NAME_INVALID',
  "cannot create -x: the name begins with '-'",
);
test(
  'an unknown level',
  refuses,
  { level: 'raid6' },
  'BANDSTAND_LEVEL_INVALID',
  "cannot create tank: the level 'raid6' is unknown",
);
test(
  'raid1 over one member',
  refuses,
  { level: 'raid1', stripBytes: null, members: few(1) },
  'BANDSTAND_MEMBER_COUNT',
  'cannot create tank: raid1 needs at least 2 members, 1 given',
);
test(
  'raid5f over two members',
  refuses,
  { level: 'raid5f', members: few(2) },
  'BANDSTAND_MEMBER_COUNT',
  'cannot create tank: raid5f needs at least 3 members, 2 given',
);
test(
  'no members',
  refuses,
  { members: [] },
  'BANDSTAND_MEMBER_COUNT',
  'cannot create tank: raid0 needs at least 1 members, 0 given',
);
test(
  '256 members',
  refuses,
  { members: few(256) },
  'BANDSTAND_MEMBER_COUNT',
  'cannot create tank: an array has at most 255 members, 256 given',
);
test(
  'a device given twice',
  refuses,
  { members: [...few(2), ...few(1)] },
  'BANDSTAND_MEMBER_DUPLICATE',
  'cannot create tank: d0 is given twice',
);
test(
  'different block sizes',
  refuses,
  { members: [member('a', MIB * 4), member('b', MIB * 4, { blockBytes: 4096 })] },
  'BANDSTAND_MEMBER_MISMATCH',
  'cannot create tank: b has 4096-byte blocks, a has 512-byte blocks',
);
test(
  'a member with a write unit',
  refuses,
  { members: [member('a', MIB * 4, { writeUnitBlocks: 16 })] },
  'BANDSTAND_MEMBER_MISMATCH',
  'cannot create tank: a can only be written in units of 16 blocks',
);
test(
  'a missing strip size',
  refuses,
  { stripBytes: null },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: raid0 needs a strip size',
);
test(
  'a strip size that is no power of two',
  refuses,
  { stripBytes: 98304 },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: the strip size of 98304 bytes is not a power of two',
);
test(
  'a strip size of 0',
  refuses,
  { stripBytes: 0 },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: the strip size of 0 bytes is not a power of two',
);
test(
  'a fractional strip size',
  refuses,
  { stripBytes: 0.5 },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: the strip size of 0.5 bytes is not a power of two',
);
test(
  'a strip below a block',
  refuses,
  { stripBytes: 256 },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: the strip size of 256 bytes is less than a block of 512',
);
test(
  'a strip beyond 32 bits of blocks',
  refuses,
  { stripBytes: 2 ** 41 },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: the strip size of 2199023255552 bytes is more than a superblock can hold',
);
test(
  'a strip size for raid1',
  refuses,
  { level: 'raid1' },
  'BANDSTAND_STRIP_INVALID',
  'cannot create tank: raid1 has no strips, a strip size of 65536 bytes is given',
);
test(
  'a member that is too small',
  refuses,
  { members: [...few(1), member('s', MIB + 65024)] },
  'BANDSTAND_DEVICE_TOO_SMALL',
  'cannot create tank: s has 1113600 bytes, at least 1114112 are needed',
);
test(
  'a UUID that is none',
  refuses,
  { uuid: 'x' },
  'BANDSTAND_USAGE',
  "cannot create tank: 'x' is not a UUID",
);
test(
  'assembly without superblock in its own words',
  refuses,
  { superblock: false, stripBytes: null },
  'BANDSTAND_STRIP_INVALID',
  'cannot assemble tank: raid0 needs a strip size',
);

// --- spares -------------------------------------------------------------------------------------

const mirrors = (...spares: ReturnType<typeof member>[]): Partial<PlanRequest> => ({
  level: 'raid1',
  stripBytes: null,
  members: few(2),
  spares,
});

test('a spare that fits into every slot gets a UUID of its own', (t) => {
  const spareUuids = ['99999999-9999-4999-8999-999999999999'];
  const spares = [member('s', 4 * MIB), member('r', 9 * MIB)];
  const plan = planArray(request({ ...mirrors(...spares), spareUuids }));
  t.deepEqual(plan.spares[0], { device: 's', uuid: spareUuids[0]! });
  t.is(plan.spares[1]?.device, 'r');
  t.regex(plan.spares[1]!.uuid, /^[0-9a-f-]{36}$/);
  t.deepEqual(planArray(request()).spares, []);
  t.is(plannedSuperblock(plan).members.length, 2);
});

test(
  'a spare that is too small',
  refuses,
  mirrors(member('s', 4 * MIB - 512)),
  'BANDSTAND_DEVICE_TOO_SMALL',
  'cannot create tank: the spare s has 4193792 bytes, at least 4194304 are needed',
);
test(
  'a spare with other blocks',
  refuses,
  mirrors(member('s', 4 * MIB, { blockBytes: 4096 })),
  'BANDSTAND_MEMBER_MISMATCH',
  'cannot create tank: the spare s has 4096-byte blocks, the members have 512-byte blocks',
);
test(
  'a spare that takes only large writes',
  refuses,
  mirrors(member('s', 4 * MIB, { writeUnitBlocks: 8 })),
  'BANDSTAND_MEMBER_MISMATCH',
  'cannot create tank: the spare s can only be written in units of 8 blocks',
);
test(
  'a spare that is a member',
  refuses,
  mirrors(member('d1', 4 * MIB)),
  'BANDSTAND_MEMBER_DUPLICATE',
  'cannot create tank: d1 is given twice',
);
test(
  'a spare given twice',
  refuses,
  mirrors(member('s', 4 * MIB), member('s', 4 * MIB)),
  'BANDSTAND_MEMBER_DUPLICATE',
  'cannot create tank: s is given twice',
);
test(
  'a spare at a level without redundancy',
  refuses,
  { spares: [member('s', 40 * MIB)] },
  'BANDSTAND_USAGE',
  'cannot create tank: raid0 has no redundancy, so nothing could be rebuilt onto a spare',
);
test(
  'a spare of an array without superblock',
  refuses,
  { ...mirrors(member('s', 4 * MIB)), superblock: false },
  'BANDSTAND_USAGE',
  'cannot assemble tank: an array without superblock cannot have spares',
);
