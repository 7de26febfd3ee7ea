import test from 'ava';
import { WrittenUnits } from '../../src/ftl/written-units.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';
import { blocksOf, coreOf } from '../_helpers/ftl-core.ts';

const SHAPE = {
  unitBlocks: 4,
  bandUnits: 4,
  bandCount: 100,
  overProvisioning: 50,
  blockCount: 800,
  pageEntries: 100,
  placeBytes: 4,
  superblockUnits: 1,
  frontPages: 8,
  mapBands: [],
};

for (const blockBytes of [512, 4096] as const) {
  test(`units count up to their last mapped block, with ${blockBytes}-byte blocks`, async (t) => {
    const core = coreOf(SHAPE, blockBytes);
    const { bandCount, bandBlocks, summaryBlocks, unitBlocks } = core.geometry;
    const random = new Random(3);
    const top = new Map<number, number>();
    for (let round = 0; round < 300; round += 1) {
      const place = random.below(bandCount * bandBlocks);
      const unit = Math.floor(place / unitBlocks);
      if (place - unit * unitBlocks < summaryBlocks) continue;
      core.l2p.set(round, place);
      top.set(unit, Math.max(top.get(unit) ?? 0, place - unit * unitBlocks + 1));
    }
    // A run of full units, longer than what is given at once.
    for (let unit = 100; unit < 200; unit += 1) {
      core.l2p.set(400 + unit, (unit + 1) * unitBlocks - 1);
      top.set(unit, unitBlocks);
    }
    // One that is still in memory.
    core.buffer.take(0);
    core.buffer.assign(0, 150);
    top.delete(150);
    const first = core.baseBlock(0);
    const end = core.base.geometry.blockCount;
    const expected: number[] = Array.from({ length: first }, (_, block) => block);
    for (let block = first; block < end; block += 1) {
      const place = Math.floor((block - first) / core.factor);
      const unit = Math.floor(place / unitBlocks);
      if (place - unit * unitBlocks < (top.get(unit) ?? 0)) expected.push(block);
    }
    const found = core.reactor.drive(WrittenUnits.find(core, () => true));
    t.deepEqual(blocksOf((await found)!, end), expected);
  });
}

test('an empty map has superblocks and map pages', async (t) => {
  const core = coreOf(SHAPE, 4096);
  const ranges = (await core.reactor.drive(WrittenUnits.find(core, () => true)))!;
  t.is(ranges.nextLive(0), 0);
  t.is(ranges.nextDead(0), core.baseBlock(0));
  t.is(ranges.nextLive(core.baseBlock(0)), -1);
});

test('a device that is closed meanwhile has no answer', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open();
  await bench.write(0, 3, 7);
  const { space } = ftl;
  const answer = space!.writtenRanges();
  await bench.close();
  t.is(await bench.reactor.drive(answer), null);
});

test('what has been written is written, and no tail of a unit', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open();
  await bench.write(0, 1, 7);
  await bench.write(1, 3, 8);
  await bench.flush();
  const ranges = (await bench.reactor.drive(ftl.space!.writtenRanges()))!;
  const { summaryBlocks } = bench.geometry;
  const first = bench.unitBlock(0, 0);
  t.is(ranges.nextLive(first), first);
  t.is(ranges.nextDead(first), first + summaryBlocks + 1);
  t.is(ranges.nextLive(first + summaryBlocks + 1), bench.unitBlock(0, 1));
  await bench.close();
});
