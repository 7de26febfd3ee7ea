/**
 * The map made anew from units alone: it says what the lost one said, up to what the units do not
 * know any more.
 */

import test, { type ExecutionContext } from 'ava';
import { OP_TRIM } from '../../src/block/block-io.ts';
import { OK } from '../../src/block/status.ts';
import { generator } from '../_helpers/acknowledged-writes.ts';
import { type BenchLevel, FtlArrayBench } from '../_helpers/ftl-array-bench.ts';
import { BLOCK, FtlBench } from '../_helpers/ftl-bench.ts';

/** Both slots of every page of the map, on every member. */
function spoilMap({ disks, geometry, level }: FtlArrayBench): void {
  const { firstPageUnit, firstBandUnit, unitBlocks } = geometry;
  const chunks = level === 'raid1' ? 1 : 2;
  for (const disk of disks) {
    const first = (firstPageUnit * unitBlocks * BLOCK) / chunks;
    disk.bytes.fill(0x5c, first, (firstBandUnit * unitBlocks * BLOCK) / chunks);
  }
}

async function same(
  t: ExecutionContext,
  bench: FtlArrayBench,
  model: ReadonlyMap<number, number>,
): Promise<void> {
  for (let block = 0; block < bench.ftl.geometry.blockCount; block += 1) {
    const byte = await bench.read(block);
    if (byte !== (model.get(block) ?? 0)) t.fail(`block ${block} reads as ${byte}`);
  }
}

/** Writes at random, with stops and kills, so that relocation has moved much of it. */
async function history(
  t: ExecutionContext,
  bench: FtlArrayBench,
  seed: number,
): Promise<Map<number, number>> {
  const random = generator(seed);
  const model = new Map<number, number>();
  for (let life = 0; life < 3; life += 1) {
    await bench.open({ checkpointUnits: 16 });
    const { blockCount } = bench.ftl.geometry;
    for (let done = 0; done < blockCount; done += 1) {
      // Some blocks more often than others.
      const block = Math.floor(random() * random() * blockCount);
      const byte = 1 + Math.floor(random() * 250);
      t.is(await bench.write(block, byte), OK);
      model.set(block, byte);
    }
    if (random() < 0.5) await bench.close();
    else bench.kill();
  }
  return model;
}

for (const level of ['raid0', 'raid1', 'raid5f'] as const) {
  test(`a map that is lost is made anew from the units, over ${level}`, async (t) => {
    for (let seed = 1; seed <= 2; seed += 1) {
      const bench = await FtlArrayBench.make(level);
      const model = await history(t, bench, seed);
      spoilMap(bench);
      const error = await refusal(bench);
      t.regex(error, /page \d+ of its map is not usable: it has no signature/);
      await bench.open({ rebuildMap: true });
      t.deepEqual(bench.ftl.restoreReport!.rebuilt, { outdated: 0, wrong: 0 });
      await same(t, bench, model);
      t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0 });
      // It works as any other: also without the units that were superseded.
      for (let block = 0; block < 200; block += 1) {
        t.is(await bench.write(block, 77), OK);
        model.set(block, 77);
      }
      await bench.close();
      await bench.open();
      t.true(bench.ftl.restoreReport!.clean);
      await same(t, bench, model);
      await bench.close();
    }
  });
}

async function refusal(bench: FtlArrayBench): Promise<string> {
  try {
    await bench.open();
  } catch (error) {
    return String(error);
  }
  return 'it was not refused';
}

/** Blocks 0 to 39 with their number and one, then 7 once more. */
async function twice(level: BenchLevel): Promise<FtlArrayBench> {
  const bench = await FtlArrayBench.make(level);
  await bench.open();
  for (let block = 0; block < 40; block += 1) await bench.write(block, block + 1);
  await bench.write(7, 99);
  await bench.close();
  spoilMap(bench);
  return bench;
}

test('what has rotted is mended, where there is redundancy', async (t) => {
  const bench = await twice('raid5f');
  bench.rot(bench.find(99));
  bench.rot(bench.unitOf(bench.find(20)));
  await bench.open({ rebuildMap: true });
  t.deepEqual(bench.ftl.restoreReport!.rebuilt, { outdated: 0, wrong: 0 });
  t.is(await bench.read(7), 99);
  t.is(await bench.read(19), 20);
  t.deepEqual(bench.findings.map(({ part }) => part).sort(), ['block', 'summary']);
  await bench.close();
});

test('how much is read is told, unit by unit, and never more than there is', async (t) => {
  const bench = await twice('raid1');
  const shares: number[] = [];
  let [last, total] = [-1, 0];
  const stepAdvanced = (step: string, done: number, all: number): void => {
    t.is(step, 'Rebuild the map');
    t.true(done > last && done < all, `${last} < ${done} < ${all}`);
    [last, total] = [done, all];
    shares.push(done / all);
  };
  const steps = { stepStarted: () => {}, stepEnded: () => {}, stepAdvanced };
  await bench.open({ rebuildMap: true, steps });
  const { bandUnits, unitBlocks } = bench.geometry;
  t.is(total % (bandUnits * unitBlocks * BLOCK), 0, 'all units of whole bands');
  t.is(shares[0], 0);
  t.is(shares.length, total / (unitBlocks * BLOCK));
  await bench.close();
});

test('where the newest copy is wrong an older one counts, and is counted', async (t) => {
  const bench = await twice('raid0');
  bench.rot(bench.find(99));
  bench.rot(bench.find(21));
  await bench.open({ rebuildMap: true });
  t.deepEqual(bench.ftl.restoreReport!.rebuilt, { outdated: 1, wrong: 1 });
  t.is(await bench.read(7), 8, 'the one before');
  const { wrong } = await bench.reactor.drive(bench.ftl.check());
  t.deepEqual(
    wrong.map(({ block, outcome }) => [block, outcome]),
    [[20, 'lost']],
    'what is right nowhere is found by a check',
  );
  await bench.close();
});

test('trims are played where their records are, and the write buffer is taken over', async (t) => {
  const bench = await FtlBench.make();
  const memory = bench.memory();
  await bench.open({ buffer: memory });
  for (let block = 0; block < 40; block += 1) await bench.write(block, 1, block + 1);
  t.is(await bench.status(OP_TRIM, 3, 5), OK);
  await bench.write(5, 1, 66);
  await bench.flush();
  await bench.write(30, 1, 67);
  await bench.kill();
  const { firstPageUnit, firstBandUnit, unitBlocks } = bench.geometry;
  bench.disk.bytes.fill(
    0x5c,
    firstPageUnit * unitBlocks * BLOCK,
    firstBandUnit * unitBlocks * BLOCK,
  );
  const ftl = await bench.open({ buffer: bench.memory(true, memory.at), rebuildMap: true });
  t.true(ftl.restoreReport!.adoption.units > 0);
  for (let block = 0; block < 40; block += 1) {
    const trimmed = block >= 3 && block < 8;
    const expected = block === 5 ? 66 : block === 30 ? 67 : trimmed ? 0 : block + 1;
    t.is(await bench.read(block), expected);
  }
  await bench.close();
});

test('a rebuild that is interrupted begins anew', async (t) => {
  const bench = await twice('raid5f');
  let left = 40;
  const opening = bench.open({
    rebuildMap: true,
    steps: {
      stepStarted: (name) => {
        if (name === 'Sort bands') left = 0;
      },
      stepEnded: () => {},
    },
  });
  opening.catch(() => {});
  for (const disk of bench.disks) {
    const submit = disk.submit.bind(disk);
    disk.submit = (io) => {
      // The machine stops: nothing is answered any more.
      if (left > 0) submit(io);
    };
  }
  await t.throwsAsync(opening);
  bench.kill();
  for (const disk of bench.disks) {
    disk.inFlight = 0;
    Reflect.deleteProperty(disk, 'submit');
  }
  await bench.open({ rebuildMap: true });
  t.is(await bench.read(7), 99);
  await bench.close();
});
