import test from 'ava';
import type { LiveRanges } from '../../src/block/live-ranges.ts';
import { REGION_MISSED } from '../../src/raid/bitmap-format.ts';
import { RebuildRanges, UnsyncedRanges } from '../../src/raid/rebuild-ranges.ts';
import { REGIONS_UNFLUSHED } from '../../src/raid/region-kind.ts';
import { CommonRanges } from '../../src/raid/work-ranges.ts';
import { Random } from '../_helpers/array-fixture.ts';
import { IntentBench, REGION_BLOCKS } from '../_helpers/intent-bench.ts';

const REGIONS = 32;

/** Every block of a set, found by walking through it. */
function blocksOf(ranges: LiveRanges): number[] {
  const blocks: number[] = [];
  let at = ranges.nextLive(0);
  while (at !== -1) {
    const end = ranges.nextDead(at);
    for (let block = at; block < end; block += 1) blocks.push(block);
    at = ranges.nextLive(end);
  }
  return blocks;
}

function bench(
  missed: readonly number[],
  unsynced: readonly number[] = [],
  count = REGIONS,
): IntentBench {
  const states = new Uint8Array(count);
  const differ = new Uint8Array(count);
  for (const region of missed) states[region] = REGION_MISSED;
  for (const region of unsynced) differ[region] = 1;
  return new IntentBench({ regions: count, states, unsynced: differ });
}

const regions = (list: readonly number[], end: number): number[] =>
  list.flatMap((region) =>
    Array.from({ length: REGION_BLOCKS }, (_, index) => region * REGION_BLOCKS + index).filter(
      (block) => block < end,
    ),
  );

test('a rebuild copies the missed regions below its checkpoint, and everything above', (t) => {
  const end = REGIONS * REGION_BLOCKS;
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new Random(seed);
    const missed = Array.from({ length: REGIONS }, (_, region) => region).filter(
      () => random.below(4) === 0,
    );
    // The last region may be cut short, and a checkpoint lies anywhere.
    const stop = end - random.below(REGION_BLOCKS);
    const fullFrom = random.below(stop + 1);
    const ranges = new RebuildRanges(bench(missed).intent, fullFrom, stop);
    const wanted = new Set(regions(missed, stop));
    for (let block = fullFrom; block < stop; block += 1) wanted.add(block);
    const expected = [...wanted].sort((a, b) => a - b);
    t.deepEqual(blocksOf(ranges), expected, `seed ${seed}`);
  }
});

test('a search from inside a region begins there', (t) => {
  const ranges = new RebuildRanges(bench([2]).intent, 1000, 1000);
  t.is(ranges.nextLive(2 * REGION_BLOCKS + 1), 2 * REGION_BLOCKS + 1);
  t.is(ranges.nextDead(2 * REGION_BLOCKS + 1), 3 * REGION_BLOCKS);
  t.is(ranges.nextDead(0), 0, 'a block that is not in the set is dead itself');
});

test('a region that is missed later is found, one that is not any more is left out', (t) => {
  const one = bench([2]);
  const ranges = new RebuildRanges(one.intent, REGIONS * REGION_BLOCKS, REGIONS * REGION_BLOCKS);
  one.write(9);
  one.eject(1);
  t.is(ranges.nextLive(3 * REGION_BLOCKS), 9 * REGION_BLOCKS);
  one.intent.clearMissed();
  t.is(ranges.nextLive(0), -1);
});

test('a resync compares the unsynced regions', (t) => {
  const end = REGIONS * REGION_BLOCKS - 1;
  const one = bench([4], [0, 1, 7, 31]);
  t.deepEqual(blocksOf(new UnsyncedRanges(one.intent, end)), regions([0, 1, 7, 31], end));
  t.is(new UnsyncedRanges(one.intent, end).nextLive(end), -1);
  t.is(new UnsyncedRanges(one.intent, end, REGIONS_UNFLUSHED).nextLive(0), -1);
});

test('of both, only what the layer above uses', (t) => {
  const one = bench([4, 5], [0]);
  const live: LiveRanges = {
    nextLive: (from) => (from < 23 ? Math.max(18, from) : -1),
    nextDead: () => 23,
  };
  const rebuild = new RebuildRanges(one.intent, 1000, 128);
  t.deepEqual(blocksOf(new CommonRanges(rebuild, live)), [18, 19, 20, 21, 22]);
});

test('of a long run only a part is looked at, and nothing of it is left out', (t) => {
  const all = Array.from({ length: 1000 }, (_, region) => region);
  const end = all.length * REGION_BLOCKS;
  const { intent } = bench(all, all, all.length);
  for (const ranges of [new RebuildRanges(intent, end, end), new UnsyncedRanges(intent, end)]) {
    t.true(ranges.nextDead(0) < end / 10);
    t.deepEqual(blocksOf(ranges), regions(all, end));
  }
});
