/** A base that has become larger, and what a start makes of it. */

import test from 'ava';
import type { Geometry } from '../../src/block/block-device.ts';
import { OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { MAP_RUNS_MAX } from '../../src/ftl/ftl-superblock.ts';
import {
  deriveGeometry,
  FTL_BLOCK_BYTES,
  type FtlShape,
  isMapBand,
  pageRoom,
  planShape,
} from '../../src/ftl/geometry.ts';
import { grownShape } from '../../src/ftl/growth.ts';
import { pageUnit } from '../../src/ftl/map-page.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';

const GIB = 2 ** 30;
const BAND = 32;

function base(bytes: number): Geometry {
  return {
    blockBytes: 4096,
    blockCount: Math.floor(bytes / 4096),
    writeUnitBlocks: 1,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: 256,
    physicalBlockBytes: 4096,
    rotational: false,
    volatileCache: true,
    features: 0,
    trimGranularityBlocks: 1,
  };
}

// --- shapes -------------------------------------------------------------------------------------

/** What has to hold of a shape that another one has grown to, over a base of so many bytes. */
function soundness(before: FtlShape, shape: FtlShape, bytes: number): string[] {
  const old = deriveGeometry(before);
  const grown = deriveGeometry(shape);
  const physical = grown.dataBandCount * grown.bandUnits * grown.dataBlocks;
  const wrong: string[] = [];
  const must = (holds: boolean, what: string): unknown => (holds ? null : wrong.push(what));
  must(shape.blockCount > before.blockCount, 'it is larger');
  must(grown.units * grown.unitBlocks * FTL_BLOCK_BYTES <= bytes, 'it fits');
  must(grown.firstBandUnit === old.firstBandUnit, 'bands stay where they are');
  must(grown.firstPageUnit === old.firstPageUnit, 'pages stay where they are');
  must(pageRoom(shape) >= grown.pageCount, 'there is room for each page');
  must(shape.blockCount * (100 + shape.overProvisioning) <= physical * 100, 'as much is held back');
  must(grown.classCount >= old.classCount, 'no class is lost');
  for (let page = 0; page < old.pageCount; page += 1) {
    must(pageUnit(old, page, 1) === pageUnit(grown, page, 1), `page ${page} stays`);
  }
  const slots = Array.from({ length: 2 * grown.pageCount }, (_, slot) =>
    pageUnit(grown, Math.floor(slot / 2), slot % 2),
  );
  must(new Set(slots).size === slots.length, 'no two slots are one');
  for (const unit of slots.filter((one) => one >= grown.firstBandUnit)) {
    const band = Math.floor((unit - grown.firstBandUnit) / grown.bandUnits);
    must(isMapBand(shape, band) && band >= before.bandCount, `unit ${unit} is in a new map band`);
  }
  return wrong;
}

test('a shape grows to what the base gives, in one step or in many', (t) => {
  for (const [bytes, factors] of [
    [64 * GIB, [2]],
    [64 * GIB, [1.01, 1.5, 1.6, 4, 7.9]],
    [GIB, [3, 9]],
    [8192 * GIB, [1.5, 1.9]],
  ] as const) {
    const first = planShape('base', base(bytes));
    let shape = first;
    for (const factor of factors) {
      const grown = grownShape(base(bytes * factor), shape);
      if (grown === null) return t.fail(`${bytes} does not grow by ${factor}`);
      t.deepEqual(soundness(first, grown, bytes * factor), []);
      const ratio = grown.blockCount / first.blockCount;
      t.true(Math.abs(ratio / factor - 1) < 0.01, `${factor}: ${ratio}`);
      t.is(grownShape(base(bytes * factor), grown), null, 'it has grown as far as it can');
      shape = grown;
    }
  }
});

test('a base that is larger by less than a band, or smaller, changes nothing', (t) => {
  const shape = planShape('base', base(GIB));
  const { bandBlocks, units, unitBlocks } = deriveGeometry(shape);
  const used = units * unitBlocks * FTL_BLOCK_BYTES;
  t.is(grownShape(base(used + (bandBlocks - 1) * FTL_BLOCK_BYTES), shape), null);
  t.is(grownShape(base(used - FTL_BLOCK_BYTES), shape), null);
  t.not(grownShape(base(used + bandBlocks * FTL_BLOCK_BYTES), shape), null);
});

test('places of 4 bytes end the growth at 16 TiB, the table of pages long after', (t) => {
  const shape = planShape('base', base(8192 * GIB));
  t.is(shape.placeBytes, 4);
  const grown = grownShape(base(100 * 1024 * GIB), shape)!;
  const { bandBlocks } = deriveGeometry(grown);
  const places = grown.bandCount * bandBlocks;
  t.true(places < 2 ** 32 && places + bandBlocks >= 2 ** 32);
  const small = planShape('base', base(GIB));
  const huge = grownShape(base(8192 * GIB), small)!;
  t.deepEqual(soundness(small, huge, 8192 * GIB), []);
});

test('a device that has grown too often grows within the room for pages that it has', (t) => {
  const options = { pageEntries: 64, unitBytes: 16_384, bandBytes: 8 * 16_384 };
  const first = planShape('base', base(2 ** 24), options);
  const mapBands = Array.from({ length: MAP_RUNS_MAX }, (_, index) => ({
    first: 1 + index,
    count: 1,
  }));
  const shape = { ...first, mapBands };
  const grown = grownShape(base(2 ** 30), shape)!;
  t.is(grown.mapBands, mapBands);
  t.is(grown.blockCount, pageRoom(shape) * shape.pageEntries);
});

// --- devices ------------------------------------------------------------------------------------

const SHAPE = { pageEntries: 16 } as const;

function make(): Promise<FtlBench> {
  return FtlBench.make({ bands: 24, shape: SHAPE });
}

/** The base has so many bands more; what lies there is nobody's. */
function enlarge({ disk }: FtlBench, bands: number): void {
  const old = disk.bytes.length;
  disk.grow(bands * BAND);
  disk.bytes.fill(0xee, old);
}

/** Each block that was written holds the low byte of its number. */
async function fill(bench: FtlBench, first: number, end: number): Promise<void> {
  for (let block = first; block < end; block += 1) await bench.write(block, 1, block & 0xff);
}

async function wrongBlocks(bench: FtlBench, written: number, end: number): Promise<number[]> {
  const wrong: number[] = [];
  // Of what was never written, some.
  for (let block = 0; block < end; block += block < written ? 1 : 5) {
    const expected = block < written ? block & 0xff : 0;
    if ((await bench.read(block)) !== expected) wrong.push(block);
  }
  return wrong;
}

test('a device uses a larger base from the next start on, and what it had stays', async (t) => {
  const bench = await make();
  const before = await bench.open();
  const blocks = before.geometry.blockCount;
  await fill(bench, 0, blocks);
  await bench.close();
  let last = blocks;
  for (const bands of [3, 1, 24]) {
    enlarge(bench, bands);
    const reader = await bench.open({ readOnly: true });
    t.is(reader.geometry.blockCount, last, 'a start that only reads changes nothing');
    t.is(reader.growth, null);
    await bench.close();
    const ftl = await bench.open();
    const { blockCount } = ftl.geometry;
    t.like(ftl.growth, { blocksBefore: last, blocks: blockCount });
    t.true(blockCount > last);
    t.deepEqual(await wrongBlocks(bench, last, blockCount), []);
    await fill(bench, last, blockCount);
    const { wrongCount } = await bench.reactor.drive(ftl.check());
    t.is(wrongCount, 0);
    await bench.close();
    last = blockCount;
  }
  const again = await bench.open();
  t.is(again.growth, null);
  // Once more: bands of both parts are relocated.
  await fill(bench, 0, last);
  t.true(again.status()!.bands['map']! >= 2, 'pages of the map lie in bands');
  t.deepEqual(await wrongBlocks(bench, last, last), []);
  await bench.close();
  const ftl = await bench.open({ rebuildMap: true });
  t.deepEqual(ftl.restoreReport!.rebuilt, { outdated: 0, wrong: 0 });
  t.deepEqual(await wrongBlocks(bench, last, last), []);
  await bench.close();
});

test('a start that grows and dies anywhere leaves the old size or the new one', async (t) => {
  const bench = await make();
  const { blockCount: before } = (await bench.open()).geometry;
  await fill(bench, 0, 12);
  await bench.flush();
  await bench.kill();
  enlarge(bench, 3);
  const image = bench.disk.bytes.slice();
  const sizes = new Set<number>();
  for (let most = 0; ; most += 1) {
    bench.disk.bytes = image.slice();
    let changes = 0;
    // Everything before it has happened, nothing after it.
    bench.disk.fault = ({ op }) => {
      if (op === OP_WRITE || op === OP_FLUSH) changes += 1;
      return changes > most ? EIO : OK;
    };
    const opened = await bench.open().then(
      () => true,
      () => false,
    );
    bench.disk.fault = () => OK;
    if (opened) await bench.kill();
    const reader = await bench.open({ readOnly: true });
    const { blockCount } = reader.geometry;
    sizes.add(blockCount);
    t.deepEqual(await wrongBlocks(bench, 12, blockCount), [], `after ${most} writes`);
    await bench.close();
    const ftl = await bench.open();
    t.true(ftl.geometry.blockCount > before, 'the next start grows in any case');
    t.deepEqual(await wrongBlocks(bench, 12, 12), []);
    await bench.close();
    if (opened) break;
    t.true(most < 200);
  }
  t.is(sizes.size, 2);
});

test('units of another history of the device in what is new do not count', async (t) => {
  const bench = await make();
  const { blockCount: before } = (await bench.open()).geometry;
  await fill(bench, 0, before);
  await bench.close();
  const small = bench.disk.bytes.slice();
  enlarge(bench, 8);
  const larger = await bench.open();
  const { blockCount } = larger.geometry;
  for (let round = 0; round < 2; round += 1) {
    for (let block = 0; block < blockCount; block += 1) await bench.write(block, 1, 0x77);
  }
  await bench.close();
  // What was there before the growth comes back, for instance from a backup of one disk.
  bench.disk.bytes.set(small);
  await bench.open();
  t.deepEqual(await wrongBlocks(bench, before, blockCount), []);
  await bench.kill();
  await bench.open();
  t.deepEqual(await wrongBlocks(bench, before, blockCount), []);
  await bench.close();
  await bench.open({ rebuildMap: true });
  t.deepEqual(await wrongBlocks(bench, before, blockCount), []);
  await bench.close();
});

test('what a killed process had answered is taken over by a start that grows', async (t) => {
  const bench = await make();
  const memory = bench.memory();
  const { blockCount: before } = (await bench.open({ buffer: memory })).geometry;
  await fill(bench, 0, 50);
  await bench.kill();
  enlarge(bench, 6);
  const ftl = await bench.open({ buffer: bench.memory(true, memory.at) });
  t.true(ftl.geometry.blockCount > before);
  t.true(ftl.restoreReport!.adoption.units > 0);
  t.deepEqual(await wrongBlocks(bench, 50, ftl.geometry.blockCount), []);
  await bench.close();
});

test('a base that has become smaller again is refused', async (t) => {
  const bench = await make();
  const { disk } = bench;
  const { blockCount } = disk.geometry;
  enlarge(bench, 8);
  await bench.open();
  await bench.close();
  disk.geometry = { ...disk.geometry, blockCount };
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_INCONSISTENT');
  t.regex(error.message, /^cannot open .* on ram: it needs \d+ bytes, \d+ are there$/);
});
