import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { PortableKernels } from '../../src/block/portable-kernels.ts';
import { uuidBytes } from '../../src/block/uuid.ts';
import { deriveGeometry } from '../../src/ftl/geometry.ts';
import {
  blockCrc,
  blockCrcOf,
  dataAt,
  deviceWords,
  entryAt,
  entryCrc,
  epochOf,
  makeSequence,
  nameBlock,
  nameSequence,
  readHeader,
  TRIM_RECORD,
  trimAt,
  trimBlockCount,
  trimIsIntact,
  UNIT_ENTRY,
  UNIT_HEADER,
  UnitHeader,
  writeEntryCrc,
  writeHeader,
  writeName,
  writeTrim,
} from '../../src/ftl/unit-format.ts';

const GEOMETRY = deriveGeometry({
  unitBlocks: 4,
  bandUnits: 8,
  bandCount: 32,
  overProvisioning: 25,
  blockCount: 600,
  pageEntries: 64,
  placeBytes: 4,
  superblockUnits: 1,
  frontPages: 10,
  mapBands: [],
});
const UUID = '00112233-4455-6677-8899-aabbccddeeff';
const UNIT = 8192;
const SUMMARY = 4096;

/** Made by a program of its own from the description of the format; up to the first trim record. */
const GOLDEN =
  '4253554e010003000011223344556677' +
  '090000000700000002000000070000000b000000060000000300000001000000' +
  '04000000060000000000000059b1a337' +
  '00000000000100000000000098411' +
  '31a9078563412ffffffffffff1f40db0ce9' +
  '4d0000000005000000010000a59184ee' +
  '0500000000010000000200000700000001000000' +
  '0000000000000000408a9630';

/** Block and sequence of each data block. */
const BLOCKS = [
  [0, 1],
  [0x1234567890, Number.MAX_SAFE_INTEGER],
  [77, 2 ** 32 + 5],
] as const;

function makeHeader(): UnitHeader {
  const [low, high] = deviceWords(uuidBytes(UUID));
  return Object.assign(new UnitHeader(), {
    classNumber: 3,
    deviceLow: low,
    deviceHigh: high,
    sequence: makeSequence(7, 9),
    bandSequence: makeSequence(7, 2),
    band: 11,
    unit: 6,
    dataCount: 3,
    trimCount: 1,
    durableBelow: makeSequence(6, 4),
  });
}

function makeUnit() {
  const arena = new Arena(new ArrayBuffer(65536), 0);
  const kernels = new PortableKernels(arena);
  BLOCKS.forEach(([block, sequence], index) => {
    const data = dataAt(GEOMETRY, UNIT, index);
    for (let at = 0; at < 4096; at += 1) {
      arena.u8[data + at] = index * 37 + at * 11 + (at >> 8);
    }
    const entry = entryAt(UNIT, index);
    writeName(arena.u32, entry, block, sequence);
    writeEntryCrc(arena.u32, entry, blockCrc(arena, kernels, entry, data));
  });
  writeTrim(arena.u32, kernels, trimAt(GEOMETRY, UNIT, 0), 5, 2 ** 32 + 7, 2 ** 33 + 1);
  writeHeader(arena.u32, kernels, GEOMETRY, UNIT, makeHeader());
  return { arena, kernels };
}

function read(unit: ReturnType<typeof makeUnit>): UnitHeader | null {
  const header = makeHeader();
  const { u32 } = unit.arena;
  return readHeader(u32, unit.kernels, GEOMETRY, UNIT, header) ? header : null;
}

test('a unit has the bytes of the golden image', (t) => {
  const { arena } = makeUnit();
  const bytes = arena.u8.slice(UNIT, UNIT + SUMMARY);
  t.is(Buffer.from(bytes.subarray(0, GOLDEN.length / 2)).toString('hex'), GOLDEN);
  t.true(
    bytes.subarray(GOLDEN.length / 2).every((byte) => byte === 0),
    'the rest of the summary is zero',
  );
});

test('what is written is read back, and as the tables say', (t) => {
  const unit = makeUnit();
  const { u8, u32 } = unit.arena;
  t.deepEqual(read(unit), makeHeader());
  const table = UNIT_HEADER.decode(u8, UNIT);
  t.is(table.unit_sequence, BigInt(makeSequence(7, 9)));
  t.is(table.band_sequence, BigInt(makeSequence(7, 2)));
  t.is(table.durable_below, BigInt(makeSequence(6, 4)));
  t.deepEqual(
    [table.version, table.class, table.band, table.unit, table.data_count, table.trim_count],
    [1, 3, 11, 6, 3, 1],
  );
  t.is(epochOf(makeSequence(7, 9)), 7);
  BLOCKS.forEach(([block, sequence], index) => {
    const entry = entryAt(UNIT, index);
    t.is(nameBlock(u32, entry), block);
    t.is(nameSequence(u32, entry), sequence);
    const name = u8.slice(entry, entry + 12);
    const data = u8.slice(dataAt(GEOMETRY, UNIT, index)).subarray(0, 4096);
    t.is(entryCrc(u32, entry), blockCrcOf(name, data));
    t.is(UNIT_ENTRY.decode(u8, entry).crc, entryCrc(u32, entry));
  });
  const trim = trimAt(GEOMETRY, UNIT, 0);
  t.is(TRIM_RECORD.decode(u8, trim).block_count, BigInt(trimBlockCount(u32, trim)));
  t.is(trimBlockCount(u32, trim), 2 ** 32 + 7);
  t.is(nameBlock(u32, trim), 5);
  t.is(nameSequence(u32, trim), 2 ** 33 + 1);
});

test('any byte of a summary that changes makes it invalid', (t) => {
  const unit = makeUnit();
  const { u8 } = unit.arena;
  for (let at = UNIT; at < UNIT + SUMMARY; at += 1) {
    u8[at]! ^= 0x40;
    if (read(unit) !== null) t.fail(`byte ${at - UNIT}`);
    u8[at]! ^= 0x40;
  }
  t.not(read(unit), null);
});

test('the checksum of a block binds data, block and sequence', (t) => {
  const { arena, kernels } = makeUnit();
  const entry = entryAt(UNIT, 1);
  const data = dataAt(GEOMETRY, UNIT, 1);
  const right = entryCrc(arena.u32, entry);
  t.is(blockCrc(arena, kernels, entry, data), right);
  t.not(blockCrc(arena, kernels, entryAt(UNIT, 0), data), right, 'under another name');
  t.not(blockCrc(arena, kernels, entry, dataAt(GEOMETRY, UNIT, 0)), right, 'with other data');
  writeName(arena.u32, entry, BLOCKS[1][0], 5);
  t.not(blockCrc(arena, kernels, entry, data), right, 'of another write');
});

test('a trim record checks itself', (t) => {
  const { arena, kernels } = makeUnit();
  const at = trimAt(GEOMETRY, UNIT, 0);
  t.true(trimIsIntact(arena.u32, kernels, at));
  for (let byte = at; byte < at + TRIM_RECORD.bytes; byte += 1) {
    arena.u8[byte]! ^= 1;
    t.false(trimIsIntact(arena.u32, kernels, at));
    arena.u8[byte]! ^= 1;
  }
});

test('a unit of another device, or with impossible counts, does not count', (t) => {
  const unit = makeUnit();
  const other = makeHeader();
  other.deviceHigh += 1;
  t.false(readHeader(unit.arena.u32, unit.kernels, GEOMETRY, UNIT, other));
  for (const counts of [{ dataCount: 4 }, { trimCount: GEOMETRY.trimsMax + 1 }]) {
    const header = Object.assign(makeHeader(), counts);
    writeHeader(unit.arena.u32, unit.kernels, GEOMETRY, UNIT, header);
    t.is(read(unit), null);
  }
});
