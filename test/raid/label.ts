import test from 'ava';
import { crc32c } from '../../src/block/crc32c.ts';
import { BandstandError } from '../../src/block/errors.ts';
import {
  decodeLabel,
  encodeLabel,
  LABEL_BYTES,
  LABEL_LAYOUT,
  LABEL_OFFSETS,
  type Label,
  labelCopy,
  NO_PROCESS,
} from '../../src/raid/label.ts';

const TARGET = '44444444-4444-4444-8444-444444444444';
const LABEL: Label = {
  sequence: 6,
  memberUuid: '11111111-1111-4111-8111-111111111111',
  arrayUuid: '00112233-4455-6677-8899-aabbccddeeff',
  superblockSeq: 3,
  slot: 2,
  role: 'member',
  state: 'dirty',
  ftl: false,
  nvCache: false,
  eventCount: 9,
  bitmap: { offsetBytes: 131072, bytes: 4096, regionBlocks: 8192 },
  process: {
    kind: 'rebuild',
    slot: 1,
    block: 2 ** 40,
    repair: false,
    replace: true,
    paused: true,
    delta: false,
    uuid: TARGET,
  },
  missedSince: 2,
};
const AS_TARGET: Label = { ...LABEL, memberUuid: TARGET, slot: 1, role: 'target' };
const DELTA: Label = {
  ...AS_TARGET,
  process: { ...LABEL.process, replace: false, paused: false, delta: true },
};
const MIRROR: Label = { ...LABEL, nvCache: true };
const SPARE: Label = {
  ...LABEL,
  slot: 0,
  role: 'spare',
  state: 'clean',
  bitmap: null,
  process: NO_PROCESS,
  missedSince: 0,
};
const CHECK: Label = {
  ...LABEL,
  process: { ...NO_PROCESS, kind: 'check', slot: 0, block: 5, repair: true },
};

function refusal(bytes: Uint8Array, copy: 0 | 1 = 0): { field: unknown; message: string } {
  const error = (() => {
    try {
      return decodeLabel(bytes, copy, '/dev/sdx');
    } catch (thrown) {
      return thrown;
    }
  })();
  if (!(error instanceof BandstandError)) throw new Error('the label was accepted');
  return { field: error.details['field'], message: error.message };
}

test('what was encoded is decoded, and copies alternate', (t) => {
  for (const label of [LABEL, AS_TARGET, DELTA, SPARE, CHECK, { ...LABEL, ftl: true }, MIRROR]) {
    t.deepEqual(decodeLabel(encodeLabel(label), 0, 'x'), label);
  }
  const plain: Label = {
    ...LABEL,
    sequence: 7,
    state: 'clean',
    bitmap: null,
    process: NO_PROCESS,
  };
  t.deepEqual(decodeLabel(encodeLabel(plain), 1, 'x'), plain);
  t.deepEqual([1, 2, 3, 4].map(labelCopy), [1, 0, 1, 0]);
  t.deepEqual(LABEL_OFFSETS, [65536, 98304]);
});

test('an all-zero label is none', (t) => {
  t.is(decodeLabel(new Uint8Array(LABEL_BYTES), 0, 'x'), null);
});

test('every single-byte corruption of a label is refused', (t) => {
  const good = encodeLabel(LABEL);
  for (let offset = 0; offset < LABEL_BYTES; offset += 1) {
    const bytes = Uint8Array.from(good);
    bytes[offset]! ^= 1 << (offset % 8);
    const { field } = refusal(bytes);
    const expected = offset < 8 ? 'signature' : offset >= 12 && offset < 16 ? 'length' : 'crc';
    t.is(field, expected, `offset ${offset}`);
  }
});

test('a label in the place of the other copy is refused', (t) => {
  t.deepEqual(refusal(encodeLabel(LABEL), 1), {
    field: 'sequence',
    message:
      'cannot use copy 1 of the member label on /dev/sdx: sequence: label 6 belongs in the other copy',
  });
});

const refuses = test.macro({
  exec(t, change: (view: DataView) => void, field: string, why: string, of: Label = LABEL) {
    const bytes = encodeLabel(of);
    const view = new DataView(bytes.buffer);
    change(view);
    view.setUint32(16, 0, true);
    view.setUint32(16, crc32c(bytes), true);
    t.deepEqual(refusal(bytes), {
      field,
      message: `cannot use copy 0 of the member label on /dev/sdx: ${field}: ${why}`,
    });
  },
  title: (name = '') => `refuses ${name}`,
});

const at = (name: Parameters<typeof LABEL_LAYOUT.field>[0]) => LABEL_LAYOUT.field(name).offset;
const u32 = (name: Parameters<typeof at>[0], value: number) => (view: DataView) =>
  view.setUint32(at(name), value, true);
const u64 = (name: Parameters<typeof at>[0], value: bigint) => (view: DataView) =>
  view.setBigUint64(at(name), value, true);

test(
  'a major version',
  refuses,
  (v) => v.setUint16(8, 2, true),
  'version_major',
  'version 2.1 is not supported, only 1.x',
);
test('flags', refuses, u32('flags', 4), 'flags', '4 holds unknown flags');
test(
  'an FTL that is an NV cache',
  refuses,
  u32('flags', 3),
  'flags',
  'an FTL and an NV cache cannot be one',
);
test('reserved bytes', refuses, (v) => v.setUint8(4095, 1), 'reserved', 'byte 3935 is not zero');
test('sequence 0', refuses, u64('sequence', 0n), 'sequence', 'is 0');
test(
  'a wide sequence',
  refuses,
  u64('sequence', 2n ** 60n),
  'sequence',
  '1152921504606846976 is beyond 2^53',
);
test(
  'a wide superblock sequence',
  refuses,
  u64('superblock_seq', 2n ** 53n),
  'superblock_seq',
  '9007199254740992 is beyond 2^53',
);
test(
  'a wide event count',
  refuses,
  u64('event_count', 2n ** 53n),
  'event_count',
  '9007199254740992 is beyond 2^53',
);
test(
  'a null member',
  refuses,
  (v) => {
    v.setBigUint64(32, 0n);
    v.setBigUint64(40, 0n);
  },
  'member_uuid',
  'is all zeroes',
);
test(
  'a null array',
  refuses,
  (v) => {
    v.setBigUint64(48, 0n);
    v.setBigUint64(56, 0n);
  },
  'array_uuid',
  'is all zeroes',
);
test('a slot', refuses, u32('slot', 255), 'slot', '255 is not below 255');
test('a state of 0', refuses, u32('state', 0), 'state', '0 is unknown');
test('a state of 4', refuses, u32('state', 4), 'state', '4 is unknown');
test(
  'a bitmap over the labels',
  refuses,
  u64('bitmap_offset', 65536n),
  'bitmap_offset',
  '65536 lies outside the area for bitmaps',
);
test(
  'a bitmap beyond 1 MiB',
  refuses,
  u64('bitmap_bytes', 917505n),
  'bitmap_bytes',
  '917505 bytes at 131072 do not lie in the area for bitmaps',
);
test(
  'bitmap regions',
  refuses,
  u64('bitmap_region_blocks', 3n),
  'bitmap_region_blocks',
  '3 is not a power of two',
);
test('a process', refuses, u32('process_kind', 4), 'process_kind', '4 is unknown');
test('a process slot', refuses, u32('process_slot', 256), 'process_slot', '256 is not below 255');
test(
  'a process block',
  refuses,
  u64('process_block', 2n ** 63n),
  'process_block',
  '9223372036854775808 is beyond 2^53',
);
test(
  'a bitmap that is not on a block',
  refuses,
  u64('bitmap_offset', 131584n),
  'bitmap_offset',
  '131584 is not a multiple of 4096',
);
test(
  'a bitmap of half a block',
  refuses,
  u64('bitmap_bytes', 2048n),
  'bitmap_bytes',
  '2048 is not a multiple of 4096',
);
test('a role', refuses, u32('role', 3), 'role', '3 is unknown');
test('process flags', refuses, u32('process_flags', 16), 'process_flags', '16 holds unknown flags');
test(
  'a replacement by delta',
  refuses,
  u32('process_flags', 10),
  'process_flags',
  'only the rebuild of a former member can be by delta',
);
test(
  'the last sequence',
  refuses,
  u64('sequence', 2n ** 53n - 1n),
  'sequence',
  '9007199254740991 leaves no number for the next',
);
test(
  'a wide missed_since',
  refuses,
  u64('missed_since', 2n ** 53n),
  'missed_since',
  '9007199254740992 is beyond 2^53',
);
test(
  'a missed_since of the future',
  refuses,
  u64('missed_since', 4n),
  'missed_since',
  '4 lies after superblock_seq 3',
);
test('a spare with a slot', refuses, u32('slot', 1), 'slot', 'a spare has slot 0, not 1', SPARE);
test(
  'a spare with a bitmap',
  refuses,
  (view) => {
    u64('bitmap_offset', 131072n)(view);
    u64('bitmap_bytes', 4096n)(view);
    u64('bitmap_region_blocks', 64n)(view);
  },
  'bitmap_offset',
  'a spare has no bitmap',
  SPARE,
);
test(
  'a spare in a process',
  refuses,
  u32('process_kind', 2),
  'process_kind',
  'a spare takes part in no process',
  SPARE,
);
test(
  'a spare that missed something',
  refuses,
  u64('missed_since', 1n),
  'missed_since',
  'a spare has missed nothing',
  SPARE,
);
test(
  'a rebuild without a target',
  refuses,
  (view) => {
    u64('process_uuid', 0n)(view);
    view.setBigUint64(at('process_uuid') + 8, 0n);
  },
  'process_uuid',
  'a rebuild without a target',
);
test(
  'a target without a rebuild',
  refuses,
  (view) => {
    u32('process_kind', 2)(view);
    u32('process_flags', 0)(view);
  },
  'process_uuid',
  'a target without a rebuild',
);
test(
  'a check that replaces',
  refuses,
  u32('process_flags', 2),
  'process_flags',
  'only a rebuild can replace',
  CHECK,
);
test(
  'a rebuild that repairs',
  refuses,
  u32('process_flags', 1),
  'process_flags',
  'only a check or a resync can repair',
);
test(
  'a pause of nothing',
  refuses,
  u32('process_flags', 4),
  'process_flags',
  'no process is there that could be paused',
  { ...LABEL, process: NO_PROCESS },
);
test(
  'a target that is another one',
  refuses,
  u32('process_slot', 2),
  'process_slot',
  'the target is for slot 1, not 2',
  AS_TARGET,
);
test(
  'a target of somebody else',
  refuses,
  (view) => view.setUint8(at('process_uuid'), 0x55),
  'process_uuid',
  'a target carries its own UUID here',
  AS_TARGET,
);
test(
  'a member that is the target',
  refuses,
  u32('role', 0),
  'role',
  'a member is not the target of a rebuild, but process_uuid names it',
  AS_TARGET,
);

// --- version 1.0 --------------------------------------------------------------------------------

/** The first 128 bytes of a label written by version 1.0; all others are zero. */
const GOLDEN_1_0 =
  '42414e4453544e440100000000100000bede38b4000000000600000000000000' +
  '1111111111114111811111111111111100112233445566778899aabbccddeeff' +
  '0300000000000000020000000200000009000000000000000000000000000000' +
  '0000000000000000000000000000000000000000000000000000000000000000';

/** The first 160 bytes of LABEL; all others are zero. */
const GOLDEN_1_1 =
  '42414e4453544e440100010000100000a44877d2000000000600000000000000' +
  '1111111111114111811111111111111100112233445566778899aabbccddeeff' +
  '0300000000000000020000000200000009000000000000000000020000000000' +
  '0010000000000000002000000000000001000000010000000000000000010000' +
  '0000000006000000444444444444444484444444444444440200000000000000';

test('a label of version 1.0 is read, and what it did not know is absent', (t) => {
  const bytes = new Uint8Array(LABEL_BYTES);
  bytes.set(Buffer.from(GOLDEN_1_0, 'hex'));
  t.deepEqual(decodeLabel(bytes, 0, 'x'), {
    ...LABEL,
    role: 'member',
    bitmap: null,
    process: NO_PROCESS,
    missedSince: 0,
  });
});

test('a process or bitmap of version 1.0 says nothing', (t) => {
  const bytes = new Uint8Array(LABEL_BYTES);
  bytes.set(Buffer.from(GOLDEN_1_0, 'hex'));
  const view = new DataView(bytes.buffer);
  u64('bitmap_offset', 131072n)(view);
  u64('bitmap_bytes', 4096n)(view);
  u64('bitmap_region_blocks', 64n)(view);
  u32('process_kind', 1)(view);
  view.setUint32(16, 0, true);
  view.setUint32(16, crc32c(bytes), true);
  t.like(decodeLabel(bytes, 0, 'x'), { bitmap: null, process: NO_PROCESS });
  u32('role', 2)(view);
  view.setUint32(16, 0, true);
  view.setUint32(16, crc32c(bytes), true);
  t.like(refusal(bytes), { field: 'reserved' });
});

test('a label of version 1.1 has the bytes that it always had', (t) => {
  const bytes = encodeLabel(LABEL);
  t.is(Buffer.from(bytes.subarray(0, 160)).toString('hex'), GOLDEN_1_1);
  t.true(bytes.subarray(160).every((byte) => byte === 0));
});

test('a label that contradicts itself is never written', (t) => {
  t.throws(() => encodeLabel({ ...SPARE, slot: 1 }), { message: /agrees with itself/ });
});
