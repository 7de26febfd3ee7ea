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
} from '../../src/raid/label.ts';

const LABEL: Label = {
  sequence: 6,
  memberUuid: '11111111-1111-4111-8111-111111111111',
  arrayUuid: '00112233-4455-6677-8899-aabbccddeeff',
  superblockSeq: 3,
  slot: 2,
  state: 'dirty',
  eventCount: 9,
  bitmap: { offsetBytes: 131072, bytes: 4096, regionBlocks: 8192 },
  process: { kind: 'rebuild', slot: 1, block: 2 ** 40 },
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
  t.deepEqual(decodeLabel(encodeLabel(LABEL), 0, 'x'), LABEL);
  const plain: Label = {
    ...LABEL,
    sequence: 7,
    state: 'clean',
    bitmap: null,
    process: { kind: 'none', slot: 0, block: 0 },
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
  exec(t, change: (view: DataView) => void, field: string, why: string) {
    const bytes = encodeLabel(LABEL);
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
  'version 2.0 is not supported, only 1.x',
);
test('flags', refuses, u32('flags', 2), 'flags', '2 holds unknown flags');
test('reserved bytes', refuses, (v) => v.setUint8(4095, 1), 'reserved', 'byte 3967 is not zero');
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
