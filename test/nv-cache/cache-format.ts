import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { BandstandError } from '../../src/block/errors.ts';
import {
  blockCrc,
  LOG_ENTRY,
  makeSequence,
  TRIM_RECORD,
  writeEntryCrc,
  writeName,
  writeTrim,
} from '../../src/block/log-entry.ts';
import { PortableKernels } from '../../src/block/portable-kernels.ts';
import { uuidBytes } from '../../src/block/uuid.ts';
import {
  RECORD_DATA_MAX,
  RECORD_HEADER,
  RECORD_TRIMS_MAX,
  RecordHeader,
  readRecord,
  recordDataAt,
  recordEntryAt,
  recordTrimAt,
  uuidWords,
  writeRecord,
} from '../../src/nv-cache/cache-format.ts';
import {
  type CacheHeader,
  decodeCacheHeader,
  encodeCacheHeader,
} from '../../src/nv-cache/cache-header.ts';

const UUID = '0ca40ca4-0000-4000-8000-000000000001';
const OWNER = '0f71f71f-0000-4000-8000-000000000001';
const RECORD = 8192;

/** Made by a program of its own from the description of the format. */
const GOLDEN_HEADER =
  '42534e56010002000ca40ca40000400080000000000000010f71f71f00004000800000000000000158020000' +
  '000000000900000000000000ffffffffffffffff050000000700000002000000070000004d00000000000000' +
  '0700000001000000010000000000000006000000070000000000000000000000000000000000000003000000' +
  '010000000400000000000000';
const GOLDEN_HEADER_CRC = '51f2b8b9';
const GOLDEN_RECORD =
  '42534e52010003000ca40ca4000040008000000000000001090000000700000002000000070000004e000000' +
  '00000000020000000100000000000000fe055a139078563412090000000700000fa845eb0300000000090000' +
  '000700000a440616';
const GOLDEN_TRIM = '050000000009000000070000070000000100000000000000000000000a0233c6';

const HEADER: CacheHeader = {
  uuid: UUID,
  owner: OWNER,
  sizeBlocks: 600,
  sequence: 9,
  epoch: 7,
  phase: 2,
  currentAddress: null,
  headSequence: makeSequence(7, 5),
  tailSequence: makeSequence(7, 2),
  tailAddress: 77,
  tailPhase: 1,
  lost: [{ block: 2 ** 32 + 3, blockCount: 4 }],
  lostSequence: makeSequence(7, 6),
};

function makeRecord() {
  const arena = new Arena(new ArrayBuffer(65536), 0);
  const kernels = new PortableKernels(arena);
  const uuid = uuidWords(uuidBytes(UUID));
  const header = Object.assign(new RecordHeader(), {
    phase: 3,
    sequence: makeSequence(7, 9),
    tailSequence: makeSequence(7, 2),
    address: 78,
    dataCount: 2,
    trimCount: 1,
  });
  [0x1234567890, 3].forEach((block, index) => {
    const data = recordDataAt(RECORD, index);
    for (let at = 0; at < 4096; at += 1) arena.u8[data + at] = index * 37 + at * 11 + (at >> 8);
    const entry = recordEntryAt(RECORD, index);
    writeName(arena.u32, entry, block, header.sequence);
    writeEntryCrc(arena.u32, entry, blockCrc(arena, kernels, entry, data));
  });
  writeTrim(arena.u32, kernels, recordTrimAt(RECORD, 0), 5, 2 ** 32 + 7, header.sequence);
  writeRecord(arena.u32, kernels, RECORD, uuid, header);
  return { arena, kernels, uuid, header };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('a header has the bytes of the golden image', (t) => {
  const bytes = encodeCacheHeader(HEADER);
  t.is(bytes.length, 4096);
  t.is(hex(bytes.subarray(0, GOLDEN_HEADER.length / 2)), GOLDEN_HEADER);
  t.true(bytes.subarray(GOLDEN_HEADER.length / 2, 4092).every((byte) => byte === 0));
  t.is(hex(bytes.subarray(4092)), GOLDEN_HEADER_CRC);
  t.deepEqual(decodeCacheHeader(bytes, 'here'), HEADER);
  const clean = { ...HEADER, currentAddress: 600, lost: [] };
  t.deepEqual(decodeCacheHeader(encodeCacheHeader(clean), 'here'), clean);
});

test('a description has the bytes of the golden image', (t) => {
  const { arena } = makeRecord();
  const bytes = arena.u8.slice(RECORD, RECORD + 4096);
  t.is(hex(bytes.subarray(0, GOLDEN_RECORD.length / 2)), GOLDEN_RECORD);
  const trim = recordTrimAt(0, 0);
  t.true(bytes.subarray(GOLDEN_RECORD.length / 2, trim).every((byte) => byte === 0));
  t.is(hex(bytes.subarray(trim, trim + TRIM_RECORD.bytes)), GOLDEN_TRIM);
  t.true(bytes.subarray(trim + TRIM_RECORD.bytes).every((byte) => byte === 0));
  t.is(recordEntryAt(0, RECORD_DATA_MAX), trim);
  t.is(recordTrimAt(0, RECORD_TRIMS_MAX), 4096 - LOG_ENTRY.bytes);
});

test('what is written is read back, and as the table says', (t) => {
  const { arena, kernels, uuid, header } = makeRecord();
  const read = new RecordHeader();
  t.true(readRecord(arena.u32, kernels, RECORD, uuid, read));
  t.deepEqual(read, header);
  const table = RECORD_HEADER.decode(arena.u8, RECORD);
  t.is(table.sequence, BigInt(header.sequence));
  t.is(table.tail_sequence, BigInt(header.tailSequence));
  t.is(table.address, 78n);
  t.deepEqual([table.phase, table.data_count, table.trim_count], [3, 2, 1]);
  t.is(hex(table.uuid), UUID.replaceAll('-', ''));
});

test('any byte of a description or a header that changes makes it invalid', (t) => {
  const { arena, kernels, uuid } = makeRecord();
  const bytes = encodeCacheHeader(HEADER);
  const read = new RecordHeader();
  for (let at = 0; at < 4096; at += 1) {
    arena.u8[RECORD + at]! ^= 0x40;
    if (readRecord(arena.u32, kernels, RECORD, uuid, read)) t.fail(`byte ${at} of a record`);
    arena.u8[RECORD + at]! ^= 0x40;
    bytes[at]! ^= 0x40;
    t.throws(() => decodeCacheHeader(bytes, 'here'), { instanceOf: BandstandError });
    bytes[at]! ^= 0x40;
  }
  t.true(readRecord(arena.u32, kernels, RECORD, uuid, read));
});

test('a record of another content, or with impossible counts, is none', (t) => {
  const { arena, kernels, uuid, header } = makeRecord();
  const read = new RecordHeader();
  const other = uuidWords(uuidBytes(OWNER));
  t.false(readRecord(arena.u32, kernels, RECORD, other, read));
  for (const counts of [{ dataCount: RECORD_DATA_MAX + 1 }, { trimCount: RECORD_TRIMS_MAX + 1 }]) {
    writeRecord(arena.u32, kernels, RECORD, uuid, { ...header, ...counts });
    t.false(readRecord(arena.u32, kernels, RECORD, uuid, read));
  }
});

const FIELDS: readonly [string, Partial<CacheHeader>, RegExp][] = [
  ['uuid', { uuid: '00000000-0000-0000-0000-000000000000' }, /uuid is all zeroes/],
  ['phase', { phase: 4 }, /phase is 4/],
  ['tail_phase', { tailPhase: 0 }, /tail_phase is 0/],
  ['epoch', { epoch: 2 ** 21 }, /epoch is 2097152/],
  ['size_blocks', { sizeBlocks: 100 }, /size_blocks is 100/],
  ['current_address', { currentAddress: 601 }, /current_address is 601/],
  ['tail_address', { tailAddress: 1 }, /tail_address is 1/],
  ['header_sequence', { sequence: 0 }, /header_sequence is 0/],
  ['lost_ranges', { lost: [{ block: 1, blockCount: 0 }] }, /lost_ranges name 0 blocks at 1/],
];

for (const [field, change, message] of FIELDS) {
  test(`a header whose ${field} is impossible is refused`, (t) => {
    const bytes = encodeCacheHeader({ ...HEADER, ...change });
    const error = t.throws(() => decodeCacheHeader(bytes, 'at block 1 of disk'));
    t.like(error, { code: 'BANDSTAND_CACHE_HEADER' });
    t.regex(error!.message, message);
    t.regex(error!.message, /at block 1 of disk/);
  });
}
