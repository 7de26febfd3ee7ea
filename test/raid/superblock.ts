import { createHash } from 'node:crypto';
import test from 'ava';
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
import { GOLDEN, patched, refusal, UUIDS } from '../_helpers/golden-superblock.ts';

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
