import test from 'ava';
import {
  plannedBitmap,
  REGION_ALL,
  REGION_INTENT,
  REGION_MISSED,
} from '../../src/raid/bitmap-format.ts';
import { encodeBitmap } from '../../src/raid/bitmap-io.ts';
import type { Label } from '../../src/raid/label.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import { type LoadedIntent, loadIntent } from '../../src/raid/load-intent.ts';
import { UNFLUSHED, UNSYNCED } from '../../src/raid/region-kind.ts';
import { ARRAY, createdArray, type MemberBench } from '../_helpers/member-bench.ts';

const REGION_BLOCKS = 16;
const ON_DISK = { 3: REGION_INTENT, 5: REGION_MISSED, 9: REGION_ALL };

interface World extends MemberBench {
  readonly regions: number;
  /** Writes a label like the one of a run before, with its bitmap, on the member. */
  ran(slot: number, change?: Partial<Label>, states?: Readonly<Record<number, number>>): void;
  load(degraded?: boolean, slots?: readonly number[]): Promise<LoadedIntent>;
}

async function world(level: LevelName = 'raid1', members = 2): Promise<World> {
  const bench = await createdArray(level, members);
  const arrayBlocks = level === 'raid1' ? 512 : 512 * (members - 1);
  const regions = arrayBlocks / REGION_BLOCKS;
  const bitmap = plannedBitmap(arrayBlocks, REGION_BLOCKS);
  return {
    ...bench,
    regions,
    ran(slot, change = {}, states = ON_DISK) {
      bench.label(slot, (label) => ({
        ...label,
        eventCount: 4,
        bitmap,
        missedSince: 1,
        ...change,
      }));
      const bytes = Uint8Array.from({ length: regions }, (_, region) => states[region] ?? 0);
      bench.devices[slot]!.bytes.set(encodeBitmap(bitmap, ARRAY, bytes), bitmap.offsetBytes);
    },
    async load(degraded = false, slots = bench.devices.map((_, slot) => slot)) {
      const used = slots.map((slot) => bench.devices[slot]!);
      const assembly = await bench.assemble({ degraded }, used);
      const byName = new Map(used.map((device) => [device.name, device]));
      return bench.reactor.drive(loadIntent(bench.reactor, assembly, byName, REGION_BLOCKS));
    },
  };
}

/** The regions that are not 0. */
function set(bytes: Uint8Array | null): Record<number, number> | null {
  if (bytes === null) return null;
  return Object.fromEntries(
    [...bytes].flatMap((state, region) => (state === 0 ? [] : [[region, state]])),
  );
}

/** Regions in use at a crash. */
const CRASHED = UNSYNCED | UNFLUSHED;

const all = (regions: number, state: number) =>
  Object.fromEntries(Array.from({ length: regions }, (_, region) => [region, state]));

test('after a clean stop nothing differs, and intent on disk means nothing', async (t) => {
  const { ran, load } = await world();
  for (const slot of [0, 1]) ran(slot);
  const { states, unsynced, missedSince } = await load();
  t.deepEqual(set(states), { 5: REGION_MISSED, 9: REGION_MISSED });
  t.deepEqual(set(unsynced), {});
  t.is(missedSince, 1);
});

test('after a crash the regions with intent are unsynced', async (t) => {
  const { ran, load } = await world();
  ran(0, { state: 'dirty' });
  ran(1, { state: 'dirty' }, { 20: REGION_INTENT });
  const { states, unsynced } = await load();
  t.deepEqual(
    set(unsynced),
    { 3: CRASHED, 9: CRASHED, 20: CRASHED },
    'what any member says counts',
  );
  t.deepEqual(set(states), { ...ON_DISK, 20: REGION_INTENT });
});

test('one member that was not stopped cleanly is enough for a crash', async (t) => {
  const { ran, load } = await world();
  ran(0);
  ran(1, { state: 'dirty' });
  t.deepEqual(set((await load()).unsynced), { 3: CRASHED, 9: CRASHED });
});

test('everything is unsynced in an array that was never started', async (t) => {
  const { regions, load } = await world();
  const { states, unsynced, bitmap } = await load();
  t.deepEqual(set(states), all(regions, REGION_INTENT));
  t.deepEqual(set(unsynced), all(regions, UNSYNCED), 'and none of it was acknowledged');
  t.is(bitmap.regionBlocks, REGION_BLOCKS);
});

test('an array without bitmaps is equal after a clean stop, not after a crash', async (t) => {
  const { regions, ran, load } = await world();
  for (const slot of [0, 1]) ran(slot, { bitmap: null });
  t.deepEqual(set((await load()).unsynced), {});
  ran(1, { bitmap: null, state: 'dirty' });
  t.deepEqual(set((await load()).unsynced), all(regions, CRASHED));
});

test('everything is unsynced when a label does not go with the superblock', async (t) => {
  const behind = await world();
  behind.ran(0);
  behind.ran(1, { superblockSeq: 0, missedSince: 0 });
  t.deepEqual(set((await behind.load()).unsynced), all(behind.regions, CRASHED));
  const none = await world();
  for (const slot of [0, 1]) none.ran(slot);
  // SPDK moves the superblock on and leaves the labels.
  for (const slot of [0, 1]) none.put(slot, (superblock) => ({ ...superblock, seq: 2 }));
  const { states, missedSince } = await none.load();
  t.deepEqual(set(states), all(none.regions, REGION_INTENT));
  t.is(missedSince, 2, 'nobody is missing: the superblock of now');
});

test('bitmaps that the labels do not agree on are not used', async (t) => {
  const { regions, ran, load } = await world();
  ran(0, { state: 'dirty' });
  ran(1, { state: 'dirty', bitmap: { offsetBytes: 131072, bytes: 4096, regionBlocks: 32 } });
  t.deepEqual(set((await load()).unsynced), all(regions, CRASHED));
});

test('the regions of the bitmap on disk stay, whatever size is asked for', async (t) => {
  const { ran, load } = await world();
  const bitmap = { offsetBytes: 131072, bytes: 4096, regionBlocks: 64 };
  for (const slot of [0, 1]) ran(slot, { bitmap });
  const loaded = await load();
  t.deepEqual(loaded.bitmap, bitmap);
  t.is(loaded.states.length, 8);
});

test('a damaged block counts as all set, unless another member has it', async (t) => {
  const { devices, regions, ran, load } = await world();
  for (const slot of [0, 1]) ran(slot, { state: 'dirty' });
  devices[0]!.bytes[131072 + 70] ^= 1;
  t.deepEqual(set((await load()).states), ON_DISK);
  devices[1]!.bytes[131072 + 70] ^= 1;
  t.deepEqual(set((await load()).states), all(regions, REGION_ALL));
});

test('with a slot out, what was being written counts as missed', async (t) => {
  const { ran, load } = await world('raid1', 3);
  for (const slot of [0, 1]) ran(slot, { state: 'dirty' });
  const { states, unsynced, missedSince } = await load(true, [0, 1]);
  t.deepEqual(set(states), { 3: REGION_ALL, 5: REGION_MISSED, 9: REGION_ALL });
  t.deepEqual(set(unsynced), { 3: CRASHED, 9: CRASHED }, 'two members are left to compare');
  t.is(missedSince, 1);
});

test('what cannot be compared is not unsynced, but missed it is', async (t) => {
  for (const [level, members, slots] of [
    ['raid1', 2, [1]],
    ['raid5f', 3, [0, 2]],
  ] as const) {
    const { ran, load } = await world(level, members);
    for (const slot of slots) ran(slot, { state: 'dirty' });
    const { states, unsynced } = await load(true, slots);
    t.is(unsynced, null, level);
    t.deepEqual(set(states), { 3: REGION_MISSED, 5: REGION_MISSED, 9: REGION_MISSED }, level);
  }
});

test('without a history it begins with the record of the members missing now', async (t) => {
  const { ran, load } = await world();
  for (const slot of [0, 1]) ran(slot, { superblockSeq: 0, missedSince: 0 });
  t.is((await load(true, [0])).missedSince, 2);
  t.is((await load()).missedSince, 1, 'nobody is missing');
});

test('with members out already, labels say since when their lack is known', async (t) => {
  const { ran, load, put } = await world('raid1', 3);
  const lost = (change: Partial<Label>) => {
    for (const slot of [0, 1]) {
      put(slot, (superblock) => ({
        ...superblock,
        seq: 7,
        members: superblock.members.map((entry) =>
          entry.slot === 2 ? { ...entry, state: 'missing' } : entry,
        ),
      }));
      ran(slot, { superblockSeq: 7, ...change });
    }
  };
  lost({ missedSince: 4 });
  t.is((await load(true, [0, 1])).missedSince, 4);
  lost({ missedSince: 0 });
  t.is((await load(true, [0, 1])).missedSince, 7, 'since the record that they are out');
});
