import test from 'ava';
import { OP_WRITE } from '../../src/block/block-io.ts';
import { BAND_EMPTIED, BAND_FREE, BAND_OPENING, BAND_STATES } from '../../src/ftl/bands.ts';
import type { FtlCore } from '../../src/ftl/ftl-core.ts';
import { LiveBands } from '../../src/ftl/live-bands.ts';
import type { SuperblockKeeper } from '../../src/ftl/superblock-io.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';
import { blocksOf, coreOf } from '../_helpers/ftl-core.ts';

const SHAPE = {
  unitBlocks: 4,
  bandUnits: 4,
  bandCount: 200,
  overProvisioning: 50,
  blockCount: 1500,
  pageEntries: 100,
  placeBytes: 4,
  superblockUnits: 1,
  frontPages: 15,
  mapBands: [],
};
const CHECKPOINT = 1000;

/** The bands of `core`, after a checkpoint that found these ones open. */
function live(core: FtlCore, openBands: readonly number[] = []): LiveBands {
  core.checkpointed = CHECKPOINT;
  return new LiveBands(core, { current: { openBands } } as unknown as SuperblockKeeper);
}

/** As the definition has it, block by block. */
function expected(core: FtlCore, isDead: (band: number) => boolean): number[] {
  const { firstBandUnit, unitBlocks, bandBlocks, bandCount, summaryBlocks } = core.geometry;
  const first = firstBandUnit * unitBlocks * core.factor;
  const found: number[] = Array.from({ length: first }, (_, block) => block);
  for (let block = first; block < first + bandCount * bandBlocks * core.factor; block += 1) {
    const place = Math.floor((block - first) / core.factor);
    const band = Math.floor(place / bandBlocks);
    if (!isDead(band) || place - band * bandBlocks < summaryBlocks) found.push(block);
  }
  return found;
}

for (const blockBytes of [512, 4096] as const) {
  test(`of free bands the head is live, over blocks of ${blockBytes} bytes`, (t) => {
    const core = coreOf(SHAPE, blockBytes);
    const ranges = live(core);
    const end = core.base.geometry.blockCount;
    t.deepEqual(
      blocksOf(ranges, end),
      expected(core, () => true),
    );
    t.is(ranges.nextLive(end - 1), -1, 'nothing behind the last band');
    t.is(ranges.nextDead(end - 1), end - 1);
  });

  test(`bands in any state, over blocks of ${blockBytes} bytes`, (t) => {
    const core = coreOf(SHAPE, blockBytes);
    const { bands } = core;
    const random = new Random(5);
    for (let round = 0; round < 20; round += 1) {
      const liveShare = 1 + (round % 8);
      for (let band = 0; band < bands.count; band += 1) {
        bands.state[band] = random.below(8) < liveShare ? random.below(8) : BAND_FREE;
        bands.sequence[band] = random.below(10) === 0 ? CHECKPOINT + random.below(2) : 0;
      }
      const openBands = [random.below(200), random.below(200)];
      const isDead = (band: number): boolean =>
        bands.state[band] === BAND_FREE &&
        bands.sequence[band]! < CHECKPOINT &&
        !openBands.includes(band);
      const blocks = blocksOf(live(core, openBands), core.base.geometry.blockCount);
      t.deepEqual(blocks, expected(core, isDead), `round ${round}`);
    }
  });
}

test('only a free band may be dead', (t) => {
  const core = coreOf(SHAPE, 4096);
  const ranges = live(core);
  const inside = core.baseBlock(7 * core.geometry.bandBlocks + core.geometry.summaryBlocks);
  for (const state of BAND_STATES.keys()) {
    core.bands.state[7] = state;
    t.is(ranges.nextLive(inside) === inside, state !== BAND_FREE, BAND_STATES[state]);
  }
});

test('a band that is free, and that a start would look into, is live', (t) => {
  const core = coreOf(SHAPE, 4096);
  const { bands } = core;
  const inside = core.baseBlock(7 * core.geometry.bandBlocks + core.geometry.summaryBlocks);
  const isLive = (ranges: LiveBands): boolean => ranges.nextLive(inside) === inside;
  t.false(isLive(live(core)));
  t.true(isLive(live(core, [3, 7])), 'open at the checkpoint');
  bands.sequence[7] = CHECKPOINT;
  t.true(isLive(live(core)), 'begun since the checkpoint');
  core.checkpointed = CHECKPOINT + 1;
  t.false(isLive(new LiveBands(core, { current: { openBands: [] } } as never)));
});

test('from opening on a band is live', (t) => {
  const core = coreOf(SHAPE, 4096);
  const { bands } = core;
  const ranges = live(core);
  bands.giveFree(7);
  t.is(bands.takeFree(0), 7);
  t.is(bands.state[7], BAND_OPENING);
  const end = core.baseBlock(8 * core.geometry.bandBlocks);
  t.is(ranges.nextLive(end - 1), end - 1);
  bands.state[7] = BAND_EMPTIED;
  t.is(ranges.nextLive(end - 1), end - 1);
});

test('an FTL that has started says what it needs, also when it is closed', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open();
  const space = ftl.space!;
  const end = bench.disk.geometry.blockCount;
  const before = blocksOf(space.liveRanges, end).length;
  await bench.write(0, 1, 7);
  const { bandUnits, unitBlocks, summaryBlocks } = bench.geometry;
  const after = blocksOf(space.liveRanges, end).length;
  t.is(after - before, bandUnits * unitBlocks - summaryBlocks);
  const units = bench.disk.log.filter((io) => bench.isBandIo(io) && io.op === OP_WRITE);
  for (const { block } of units) t.is(space.liveRanges.nextLive(block), block);
  await bench.close();
  t.is(blocksOf(space.liveRanges, end).length, after);
});
