import test from 'ava';
import { crc32c } from '../../src/block/crc32c.ts';
import {
  BITMAP_BLOCKS_MAX,
  bitmapBytes,
  decodeBitmapBlock,
  encodeBitmapBlock,
  plannedBitmap,
  REGIONS_PER_BLOCK,
  regionBlocksFor,
  regionsOf,
} from '../../src/raid/bitmap-format.ts';
import { Random } from '../_helpers/array-fixture.ts';

const ARRAY = '00112233-4455-6677-8899-aabbccddeeff';
const KEY = { arrayUuid: ARRAY, regionBlocks: 2048, index: 1 };
const REGIONS = REGIONS_PER_BLOCK + 10;

function states(): Uint8Array {
  const bytes = new Uint8Array(REGIONS);
  bytes.set([1, 2, 3, 0, 0, 0, 0, 3, 0, 1], REGIONS_PER_BLOCK);
  return bytes;
}

function block(): Uint8Array {
  const bytes = new Uint8Array(4096);
  encodeBitmapBlock(states(), KEY, bytes);
  return bytes;
}

test('the layout is as described: 16 128 regions in each of at most 224 blocks', (t) => {
  t.is(REGIONS_PER_BLOCK, 16128);
  t.is(BITMAP_BLOCKS_MAX, 224);
  t.is(bitmapBytes(1), 4096);
  t.is(bitmapBytes(16128), 4096);
  t.is(bitmapBytes(16129), 8192);
});

test('a bitmap block has the bytes that it always had', (t) => {
  const bytes = block();
  t.is(
    Buffer.from(bytes.subarray(0, 68)).toString('hex'),
    '42414e445354424db4b0b4320100000000112233445566778899aabbccddeeff' +
      '0008000000000000000000000000000000000000000000000000000000000000' +
      '39c00400',
  );
  t.true(bytes.subarray(68).every((byte) => byte === 0));
});

test('random states come back, each block by itself', (t) => {
  const random = new Random(41);
  const count = 2 * REGIONS_PER_BLOCK + 4001;
  const all = random.bytes(count).map((byte) => byte & 3);
  const read = new Uint8Array(count).fill(3);
  for (const index of [2, 0, 1]) {
    const bytes = new Uint8Array(8192);
    encodeBitmapBlock(all, { ...KEY, index }, bytes, 4096);
    t.true(bytes.subarray(0, 4096).every((byte) => byte === 0));
    t.is(decodeBitmapBlock(bytes.subarray(4096), { ...KEY, index }, read), 'ok');
  }
  t.deepEqual(Buffer.compare(read, all), 0);
});

test('every single-byte corruption of a block is refused and leaves the states alone', (t) => {
  const good = block();
  for (let offset = 0; offset < good.length; offset += 1) {
    const bytes = Uint8Array.from(good);
    bytes[offset]! ^= 1 << (offset % 8);
    const read = new Uint8Array(REGIONS).fill(3);
    if (decodeBitmapBlock(bytes, KEY, read) !== 'damaged' || read.some((state) => state !== 3)) {
      t.fail(`a corruption of byte ${offset} was accepted`);
    }
  }
  t.is(decodeBitmapBlock(good, KEY, new Uint8Array(REGIONS)), 'ok');
});

test('a block of zeroes is damage: a disk may have lost it', (t) => {
  const read = new Uint8Array(REGIONS).fill(3);
  t.is(decodeBitmapBlock(new Uint8Array(4096), KEY, read), 'damaged');
  t.true(read.every((state) => state === 3));
});

test('a good block of another array, place, region size or length is damage here', (t) => {
  const read = new Uint8Array(3 * REGIONS_PER_BLOCK);
  const other = '11112233-4455-6677-8899-aabbccddeeff';
  t.is(decodeBitmapBlock(block(), KEY, read), 'ok');
  t.is(decodeBitmapBlock(block(), { ...KEY, arrayUuid: other }, read), 'damaged');
  t.is(decodeBitmapBlock(block(), { ...KEY, regionBlocks: 4096 }, read), 'damaged');
  t.is(decodeBitmapBlock(block(), { ...KEY, index: 0 }, read), 'damaged');
  t.is(decodeBitmapBlock(block(), { ...KEY, index: 2 }, read), 'damaged');
  t.is(decodeBitmapBlock(block().subarray(0, 2048), KEY, read), 'damaged');
});

test('bits beyond the last region and reserved bytes are damage in spite of the checksum', (t) => {
  const resealed = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = block();
    change(bytes);
    bytes.fill(0, 8, 12);
    new DataView(bytes.buffer).setUint32(8, crc32c(bytes), true);
    return bytes;
  };
  const verdict = (bytes: Uint8Array) => decodeBitmapBlock(bytes, KEY, new Uint8Array(REGIONS));
  t.is(verdict(resealed(() => {})), 'ok');
  t.is(verdict(resealed((bytes) => bytes.fill(0x10, 66, 67))), 'damaged');
  t.is(verdict(resealed((bytes) => bytes.fill(1, 67, 68))), 'damaged');
  t.is(verdict(resealed((bytes) => bytes.fill(1, 4095))), 'damaged');
  t.is(verdict(resealed((bytes) => bytes.fill(1, 63, 64))), 'damaged');
});

test('regions are at least 1 MiB and so large that a million suffices', (t) => {
  t.is(regionBlocksFor(1, 512), 2048);
  t.is(regionBlocksFor(2 ** 31, 512), 2048, '1 TiB');
  t.is(regionBlocksFor(2 ** 31 + 1, 512), 4096, 'a block more');
  t.is(regionBlocksFor(2 ** 28, 4096), 256);
  t.is(regionBlocksFor(2 ** 53 - 1, 512), 2 ** 33);
  for (const blockBytes of [512, 4096]) {
    for (let power = 0; power <= 53; power += 1) {
      for (const blocks of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
        if (blocks < 1 || blocks > Number.MAX_SAFE_INTEGER) continue;
        const region = regionBlocksFor(blocks, blockBytes);
        const regions = regionsOf(blocks, region);
        t.true(regions >= 1 && regions <= 2 ** 20);
        t.true(region * blockBytes >= 2 ** 20);
        const bitmap = plannedBitmap(blocks, region);
        t.true(bitmap.offsetBytes + bitmap.bytes <= 2 ** 20);
        const smaller = region / 2;
        t.true(smaller * blockBytes < 2 ** 20 || regionsOf(blocks, smaller) > 2 ** 20);
      }
    }
  }
});

test('the largest bitmap that a label can describe fits its area exactly', (t) => {
  const regions = BITMAP_BLOCKS_MAX * REGIONS_PER_BLOCK;
  t.deepEqual(plannedBitmap(regions * 8, 8), {
    offsetBytes: 131072,
    bytes: 2 ** 20 - 131072,
    regionBlocks: 8,
  });
  t.throws(() => plannedBitmap(regions * 8 + 1, 8), { message: /fits into its area/ });
});
