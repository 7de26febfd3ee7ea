import test from 'ava';
import { OP_READ } from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { plannedBitmap, REGIONS_PER_BLOCK, regionsOf } from '../../src/raid/bitmap-format.ts';
import {
  type BitmapCopy,
  mergeBitmaps,
  readBitmap,
  writeBitmap,
} from '../../src/raid/bitmap-io.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const ARRAY = '00112233-4455-6677-8899-aabbccddeeff';
const REGIONS = 2 * REGIONS_PER_BLOCK + 100;
const BITMAP = plannedBitmap(REGIONS * 64, 64);

function pattern(seed: number): Uint8Array {
  return Uint8Array.from({ length: REGIONS }, (_, region) => (region * seed + (region >> 7)) & 3);
}

async function opened(blockBytes = 512) {
  const reactor = new SimulatedReactor({ arenaBytes: 4 * 2 ** 20 });
  const device = new RamDevice('ram', { blockCount: 2 ** 21 / blockBytes, blockBytes });
  await device.open(reactor);
  return {
    device,
    read: (bitmap = BITMAP, regions = REGIONS) =>
      reactor.drive(readBitmap(reactor, device, bitmap, ARRAY, regions)),
    write: (states: Uint8Array) =>
      reactor.drive(writeBitmap(reactor, device, BITMAP, ARRAY, states)),
  };
}

for (const blockBytes of [512, 4096]) {
  test(`blocks of ${blockBytes} give back what was written and no more changes`, async (t) => {
    const { device, read, write } = await opened(blockBytes);
    t.is(regionsOf(REGIONS * 64, 64), REGIONS);
    device.bytes.fill(0x77);
    await write(pattern(5));
    const copy = await read();
    sameBytes(t, copy.states, pattern(5));
    t.is(copy.damagedBlocks, 0);
    t.true(device.bytes.subarray(0, 131072).every((byte) => byte === 0x77));
    t.true(device.bytes.subarray(131072 + 3 * 4096).every((byte) => byte === 0x77));
  });
}

test('a member that has lost its bitmap has everything set', async (t) => {
  const { read } = await opened();
  const copy = await read();
  t.true(copy.states.every((state) => state === 3));
  t.is(copy.damagedBlocks, 3);
});

test('a damaged block costs its own regions and no others', async (t) => {
  const { device, read, write } = await opened();
  await write(pattern(3));
  device.bytes[131072 + 4096 + 99]! ^= 4;
  const copy = await read();
  t.deepEqual([...copy.damaged], [0, 1, 0]);
  t.is(copy.damagedBlocks, 1);
  const expected = pattern(3);
  expected.fill(3, REGIONS_PER_BLOCK, 2 * REGIONS_PER_BLOCK);
  sameBytes(t, copy.states, expected);
});

test('a block that cannot be read costs its own regions and no others', async (t) => {
  const { device, read, write } = await opened();
  await write(pattern(3));
  const bad = (131072 + 2 * 4096) / 512;
  device.fault = (io) =>
    io.op === OP_READ && io.block <= bad && bad < io.block + io.blockCount ? EIO : OK;
  const copy = await read();
  t.deepEqual([...copy.damaged], [0, 0, 1]);
  const expected = pattern(3);
  expected.fill(3, 2 * REGIONS_PER_BLOCK);
  sameBytes(t, copy.states, expected);
});

test('regions that the bitmap of the label does not cover are all set', async (t) => {
  const { read, write } = await opened();
  await write(pattern(3));
  const copy = await read({ ...BITMAP, bytes: 8192 });
  t.deepEqual([...copy.damaged], [0, 0, 1]);
  t.true(copy.states.subarray(2 * REGIONS_PER_BLOCK).every((state) => state === 3));
});

test('a bitmap of another region size is damaged as a whole', async (t) => {
  const { read, write } = await opened();
  await write(pattern(3));
  const copy = await read({ ...BITMAP, regionBlocks: 128 });
  t.is(copy.damagedBlocks, 3);
  t.true(copy.states.every((state) => state === 3));
});

test('copies add up, and a damaged block counts only when no good copy is there', (t) => {
  const copy = (seed: number, ...bad: number[]): BitmapCopy => {
    const states = pattern(seed);
    const damaged = new Uint8Array(3);
    for (const index of bad) {
      damaged[index] = 1;
      states.fill(3, index * REGIONS_PER_BLOCK, (index + 1) * REGIONS_PER_BLOCK);
    }
    return { states, damaged, damagedBlocks: bad.length };
  };
  const merged = mergeBitmaps([copy(3, 0, 2), copy(5, 2)], REGIONS);
  t.deepEqual([...merged.damaged], [0, 0, 1]);
  t.is(merged.damagedBlocks, 1);
  const [a, b] = [pattern(3), pattern(5)];
  const expected = a.map((state, region) => {
    if (region < REGIONS_PER_BLOCK) return b[region]!;
    return region < 2 * REGIONS_PER_BLOCK ? state | b[region]! : 3;
  });
  sameBytes(t, merged.states, expected);
  const none = mergeBitmaps([], REGIONS);
  t.is(none.damagedBlocks, 3);
  t.true(none.states.every((state) => state === 3));
});
