import { createHash } from 'node:crypto';
import test from 'ava';
import { crc32cRaw } from '../../src/block/crc32c.ts';
import { BandstandError } from '../../src/block/errors.ts';
import {
  decodeSuperblock,
  dumpSuperblock,
  encodeSuperblock,
  type Superblock,
} from '../../src/raid/superblock.ts';
import {
  SUPERBLOCK_BYTES_MAX,
  SUPERBLOCK_ENTRY,
  SUPERBLOCK_HEADER,
} from '../../src/raid/superblock-layout.ts';

const UUIDS = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];

const GOLDEN: Superblock = {
  versionMinor: 0,
  uuid: '00112233-4455-6677-8899-aabbccddeeff',
  name: 'Raid1',
  raidSize: 126976,
  blockBytes: 512,
  level: 'raid1',
  stripBlocks: 0,
  seq: 1,
  members: UUIDS.map((uuid, slot) => ({
    uuid,
    dataOffset: 2048,
    dataSize: 126976,
    state: 'configured' as const,
    slot,
  })),
};

/** A copy of the golden superblock with other bytes in place, and the checksum made right again. */
function patched(patch: (view: DataView, bytes: Uint8Array) => void, of = GOLDEN): Uint8Array {
  const bytes = encodeSuperblock(of);
  const view = new DataView(bytes.buffer);
  patch(view, bytes);
  view.setUint32(16, 0, true);
  const length = Math.min(view.getUint32(12, true), bytes.length);
  view.setUint32(16, crc32cRaw(0, bytes, 0, length), true);
  return bytes;
}

function refusal(bytes: Uint8Array): { code: string; message: string; field: unknown } {
  try {
    decodeSuperblock(bytes, '/dev/sdx');
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return { code: error.code, message: error.message, field: error.details['field'] };
  }
  throw new Error('the superblock was accepted');
}

test('the golden superblock of the format is encoded byte for byte', (t) => {
  const bytes = encodeSuperblock(GOLDEN);
  t.is(bytes.length, 384);
  t.is(new DataView(bytes.buffer).getUint32(16, true), 0xff90470c);
  t.is(
    createHash('sha256').update(bytes).digest('hex'),
    '4288d251bc5ddc5ebaeaf4fab2e26aad164ca1b6e178073ca026949a8f4f9b35',
  );
});

test('what was encoded is decoded to the same values', (t) => {
  const decoded = decodeSuperblock(encodeSuperblock(GOLDEN), 'x');
  t.deepEqual(decoded, { superblock: GOLDEN, warnings: [] });
  const wide: Superblock = {
    ...GOLDEN,
    name: 'ä'.repeat(31),
    level: 'raid5f',
    blockBytes: 4096,
    stripBlocks: 16,
    raidSize: 254 * 160,
    seq: 2 ** 52,
    members: Array.from({ length: 255 }, (_, slot) => ({
      uuid: `00000000-0000-4000-8000-${(slot + 1).toString(16).padStart(12, '0')}`,
      dataOffset: 256 + slot,
      dataSize: 160,
      state: (['missing', 'configured', 'failed', 'spare'] as const)[slot % 4]!,
      slot,
    })),
  };
  const bytes = encodeSuperblock(wide);
  t.is(bytes.length, SUPERBLOCK_BYTES_MAX);
  t.is(SUPERBLOCK_BYTES_MAX, 16576);
  t.deepEqual(decodeSuperblock(bytes, 'x')?.superblock, wide);
});

test('a block of zeroes is no superblock and no error', (t) => {
  t.is(decodeSuperblock(new Uint8Array(SUPERBLOCK_BYTES_MAX), 'x'), null);
  t.is(decodeSuperblock(new Uint8Array(256), 'x'), null);
});

test('every single-byte corruption is refused and names a field or the checksum', (t) => {
  const golden = encodeSuperblock(GOLDEN);
  for (let offset = 0; offset < golden.length; offset += 1) {
    for (const mask of [0x01, 0x02, 0x80, 0x5a, 0xff]) {
      const bytes = new Uint8Array(SUPERBLOCK_BYTES_MAX);
      bytes.set(golden);
      bytes[offset]! ^= mask;
      const { code, field, message } = refusal(bytes);
      const expected =
        offset < 8
          ? 'signature'
          : (offset >= 12 && offset < 16) || offset === 255
            ? 'length'
            : 'crc';
      t.is(field, expected, `offset ${offset} mask ${mask}: ${code} ${message}`);
      t.true(message.startsWith(`cannot use the superblock on /dev/sdx: ${expected}: `));
    }
  }
});

test('a wrong byte whose checksum is right is refused with the name of its field', (t) => {
  const golden = encodeSuperblock(GOLDEN);
  const named = new Map<string, string>();
  const note = (offset: number, name: string, bytes: number): void => {
    for (let index = 0; index < bytes; index += 1) named.set(String(offset + index), name);
  };
  for (const { name, offset, bytes } of SUPERBLOCK_HEADER.fields) note(offset, name, bytes);
  for (let entry = 0; entry < 2; entry += 1) {
    for (const { name, offset, bytes } of SUPERBLOCK_ENTRY.fields) {
      note(256 + entry * 64 + offset, `base_bdevs[${entry}].${name}`, bytes);
    }
  }
  // Fields whose other values are as good: no reader can tell that they are wrong.
  const free = /^(uuid|seq_number|crc|base_bdevs\[\d\]\.(uuid|data_offset|state)|version_minor)$/;
  for (let offset = 0; offset < golden.length; offset += 1) {
    const name = named.get(String(offset))!;
    if (free.test(name)) continue;
    const bytes = patched((_view, all) => {
      all[offset]! ^= 0x81;
    });
    if (name === 'name' && offset < 45) continue;
    const { field } = refusal(bytes);
    const allowed: Readonly<Record<string, readonly unknown[]>> = {
      level: ['level'],
      base_bdevs_size: ['length'],
      'base_bdevs[0].data_size': ['base_bdevs.data_size', 'base_bdevs[0].data_size'],
      'base_bdevs[1].data_size': ['base_bdevs.data_size', 'base_bdevs[1].data_size'],
    };
    t.true((allowed[name] ?? [name]).includes(field), `offset ${offset} (${name}): got ${field}`);
  }
});

const refuses = test.macro({
  exec(
    t,
    patch: (view: DataView, bytes: Uint8Array) => void,
    code: string,
    field: string,
    why: string,
    of: Superblock = GOLDEN,
  ) {
    t.deepEqual(refusal(patched(patch, of)), {
      code: `BANDSTAND_SUPERBLOCK_${code}`,
      field,
      message: `cannot use the superblock on /dev/sdx: ${field}: ${why}`,
    });
  },
  title: (name = '') => `refuses ${name}`,
});

const RAID0: Superblock = {
  ...GOLDEN,
  level: 'raid0',
  stripBlocks: 128,
  raidSize: 2 * 126976,
};

test(
  'a signature',
  refuses,
  (view) => view.setUint8(0, 0x73),
  'SIGNATURE',
  'signature',
  'is not SPDKRAID',
);
test(
  'a major version',
  refuses,
  (view) => view.setUint16(8, 2, true),
  'VERSION',
  'version_major',
  'version 2.0 is not supported, only 1.x',
);
test(
  'a length',
  refuses,
  (view) => view.setUint32(12, 320, true),
  'LENGTH',
  'length',
  '320 bytes do not hold a header and 2 entries, which take 384',
);
test(
  'a length beyond what is there',
  refuses,
  (view) => {
    view.setUint8(255, 3);
    view.setUint8(136, 3);
    view.setUint32(12, 448, true);
  },
  'LENGTH',
  'length',
  '448 bytes are more than the 384 there',
);
test(
  'flags',
  refuses,
  (view) => view.setUint32(20, 4, true),
  'INVALID',
  'flags',
  '0x00000004 holds unknown flags',
);
test(
  'a null uuid',
  refuses,
  (_view, bytes) => {
    bytes.fill(0, 24, 40);
  },
  'INVALID',
  'uuid',
  'is all zeroes',
);
test(
  'an empty name',
  refuses,
  (_view, bytes) => {
    bytes.fill(0, 40, 104);
  },
  'INVALID',
  'name',
  'is empty',
);
test(
  'a name without end',
  refuses,
  (_view, bytes) => {
    bytes.fill(0x61, 40, 104);
  },
  'INVALID',
  'name',
  'is not terminated by a NUL',
);
test(
  'a name with a tail',
  refuses,
  (_view, bytes) => {
    bytes[103] = 1;
  },
  'INVALID',
  'name',
  'has bytes after its terminating NUL',
);
test(
  'a name that is not UTF-8',
  refuses,
  (_view, bytes) => {
    bytes[41] = 0xff;
  },
  'INVALID',
  'name',
  'is not valid UTF-8',
);
test(
  'an array of 0 blocks',
  refuses,
  (view) => view.setBigUint64(104, 0n, true),
  'INVALID',
  'raid_size',
  'is 0 blocks',
);
test(
  'an array beyond 2^53',
  refuses,
  (view) => view.setBigUint64(104, 2n ** 63n, true),
  'INVALID',
  'raid_size',
  '9223372036854775808 blocks are beyond 2^53',
);
test(
  'an array of another size',
  refuses,
  (view) => view.setBigUint64(104, 126975n, true),
  'INVALID',
  'raid_size',
  '126975 blocks, but raid1 over these members has 126976',
);
test(
  'a block size',
  refuses,
  (view) => view.setUint32(112, 1024, true),
  'INVALID',
  'block_size',
  '1024 is neither 512 nor 4096',
);
test(
  'a level',
  refuses,
  (view) => view.setUint32(116, 6, true),
  'INVALID',
  'level',
  '6 is unknown',
);
test(
  'a strip of raid1',
  refuses,
  (view) => view.setUint32(120, 8, true),
  'INVALID',
  'strip_size',
  '8 blocks, but raid1 has no strips',
);
test(
  'no strip of raid0',
  refuses,
  (view) => view.setUint32(120, 0, true),
  'INVALID',
  'strip_size',
  '0 blocks are not a power of two',
  RAID0,
);
test(
  'an odd strip of raid0',
  refuses,
  (view) => view.setUint32(120, 96, true),
  'INVALID',
  'strip_size',
  '96 blocks are not a power of two',
  RAID0,
);
test(
  'a state',
  refuses,
  (view) => view.setUint32(124, 3, true),
  'INVALID',
  'state',
  '3 is unknown',
);
test(
  'a sequence beyond 2^53',
  refuses,
  (view) => view.setBigUint64(128, 2n ** 53n, true),
  'INVALID',
  'seq_number',
  '9007199254740992 is beyond 2^53',
);
test(
  'slots that are not entries',
  refuses,
  (view) => view.setUint8(136, 3),
  'INVALID',
  'num_base_bdevs',
  '3 slots but 2 entries',
);
test(
  'too few members',
  refuses,
  (view) => {
    view.setUint32(116, 95, true);
    view.setUint32(120, 8, true);
  },
  'INVALID',
  'num_base_bdevs',
  'raid5f needs at least 3 members, not 2',
);
test(
  'reserved bytes',
  refuses,
  (view) => view.setUint8(140, 9),
  'INVALID',
  'reserved',
  'byte 3 is not zero',
);
test(
  'a null entry uuid',
  refuses,
  (_view, bytes) => {
    bytes.fill(0, 320, 336);
  },
  'INVALID',
  'base_bdevs[1].uuid',
  'is all zeroes',
);
test(
  'an entry uuid twice',
  refuses,
  (_view, bytes) => {
    bytes.copyWithin(320, 256, 272);
  },
  'INVALID',
  'base_bdevs[1].uuid',
  `${UUIDS[0]} stands in two entries`,
);
test(
  'a data offset below 1 MiB',
  refuses,
  (view) => view.setBigUint64(272, 2047n, true),
  'INVALID',
  'base_bdevs[0].data_offset',
  '2047 blocks are less than 1 MiB',
);
test(
  'a data offset of 0',
  refuses,
  (view) => view.setBigUint64(272, 0n, true),
  'INVALID',
  'base_bdevs[0].data_offset',
  'is 0 blocks',
);
test(
  'a data offset beyond 2^53',
  refuses,
  (view) => view.setBigUint64(272, 2n ** 64n - 1n, true),
  'INVALID',
  'base_bdevs[0].data_offset',
  '18446744073709551615 blocks are beyond 2^53',
);
test(
  'data that ends beyond 2^53 bytes',
  refuses,
  (view) => view.setBigUint64(272, 2n ** 52n, true),
  'INVALID',
  'base_bdevs[0].data_size',
  'ends at block 4503599627497472, beyond 2^53 bytes',
);
test(
  'data of 0 blocks',
  refuses,
  (view) => view.setBigUint64(280, 0n, true),
  'INVALID',
  'base_bdevs[0].data_size',
  'is 0 blocks',
);
test(
  'data that is not whole strips',
  refuses,
  (view) => view.setBigUint64(280, 126975n, true),
  'INVALID',
  'base_bdevs[0].data_size',
  '126975 blocks are not a multiple of the strip size 128',
  RAID0,
);
test(
  'data of unequal sizes',
  refuses,
  (view) => view.setBigUint64(344, 126848n, true),
  'INVALID',
  'base_bdevs.data_size',
  'slot 1 has 126848 blocks and slot 0 has 126976, but raid0 needs equal sizes',
  RAID0,
);
test(
  'an entry state',
  refuses,
  (view) => view.setUint32(288, 4, true),
  'INVALID',
  'base_bdevs[0].state',
  '4 is unknown',
);
test(
  'entry flags',
  refuses,
  (view) => view.setUint32(292, 1, true),
  'INVALID',
  'base_bdevs[0].flags',
  '0x00000001 holds unknown flags',
);
test(
  'a slot out of range',
  refuses,
  (view) => view.setUint8(296, 2),
  'INVALID',
  'base_bdevs[0].slot',
  '2 is not below the number of slots 2',
);
test(
  'a slot twice',
  refuses,
  (view) => view.setUint8(360, 0),
  'INVALID',
  'base_bdevs[1].slot',
  '0 stands in two entries',
);
test(
  'reserved bytes of an entry',
  refuses,
  (view) => view.setUint8(383, 1),
  'INVALID',
  'base_bdevs[1].reserved',
  'byte 22 is not zero',
);
test(
  "the superblock of Longhorn's fork",
  refuses,
  (view) => {
    view.setUint8(254, 2);
    view.setUint8(255, 0);
  },
  'FORK',
  'base_bdevs_size',
  "the number of entries (2) stands at byte 254 instead of 255, as Longhorn's fork of SPDK writes it; such arrays are not supported",
);

test('a checksum is refused with both values', (t) => {
  const bytes = encodeSuperblock(GOLDEN);
  bytes[16]! ^= 1;
  t.is(
    refusal(bytes).message,
    'cannot use the superblock on /dev/sdx: crc: the checksum is 0xff90470d but the content has 0xff90470c',
  );
});

test('a greater minor version is accepted with a warning, and may use reserved bytes', (t) => {
  const bytes = patched((view) => {
    view.setUint16(10, 3, true);
    view.setUint8(140, 9);
  });
  const decoded = decodeSuperblock(bytes, '/dev/sdx');
  t.deepEqual(decoded?.superblock, { ...GOLDEN, versionMinor: 3 });
  t.deepEqual(decoded?.warnings, [
    'the superblock of /dev/sdx has version 1.3, newer than 1.0: what the newer version added is ignored',
  ]);
});

test('entries may stand in any order', (t) => {
  const bytes = patched((view) => {
    view.setUint8(296, 1);
    view.setUint8(360, 0);
  });
  const members = decodeSuperblock(bytes, 'x')?.superblock.members;
  t.deepEqual(
    members?.map(({ slot, uuid }) => [slot, uuid]),
    [
      [0, UUIDS[1]],
      [1, UUIDS[0]],
    ],
  );
});

test('fewer bytes than a header are refused', (t) => {
  t.is(
    refusal(new Uint8Array(100)).message,
    'cannot use the superblock on /dev/sdx: length: only 100 of 256 header bytes can be read',
  );
});

test('a dump holds every field under its name on disk', (t) => {
  const dump = dumpSuperblock(encodeSuperblock(GOLDEN));
  t.deepEqual(Object.keys(dump), [
    ...SUPERBLOCK_HEADER.fields.map(({ name }) => name),
    'base_bdevs',
  ]);
  t.is(dump['signature'], Buffer.from('SPDKRAID').toString('hex'));
  t.is(dump['crc'], 0xff90470c);
  const [entry] = dump['base_bdevs'] as Record<string, unknown>[];
  t.deepEqual(
    Object.keys(entry!),
    SUPERBLOCK_ENTRY.fields.map(({ name }) => name),
  );
  t.is(entry?.['data_offset'], 2048);
});
