/**
 * What the checksums of a log-structured device find wrong is mended from the redundancy below it:
 * by relocation, by a check, and by a start.
 */

import test, { type ExecutionContext } from 'ava';
import { OP_READ } from '../../src/block/block-io.ts';
import { EILSEQ, EIO, OK } from '../../src/block/status.ts';
import type { Finding } from '../../src/ftl/finding.ts';
import { generator } from '../_helpers/acknowledged-writes.ts';
import { FtlArrayBench } from '../_helpers/ftl-array-bench.ts';
import { BLOCK } from '../_helpers/ftl-bench.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const LEVELS = ['raid1', 'raid5f'] as const;

/** 40 blocks, each filled with its number and one, all on the base. */
async function filled(level: 'raid0' | 'raid1' | 'raid5f'): Promise<FtlArrayBench> {
  const bench = await FtlArrayBench.make(level);
  await bench.open();
  for (let block = 0; block < 40; block += 1) await bench.write(block, block + 1);
  await bench.flush();
  return bench;
}

const isLost = ({ outcome }: Finding): boolean => outcome === 'lost';

/** Overwrites everything but block 0 at random, until every band has been relocated. */
async function churn(t: ExecutionContext, bench: FtlArrayBench): Promise<void> {
  const { blockCount } = bench.ftl.geometry;
  const random = generator(9);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let done = 0; done < 4 * blockCount; done += 1) {
    const block = 1 + below(blockCount - 1);
    t.is(await bench.write(block, 1 + (block % 250)), OK);
  }
}

for (const level of LEVELS) {
  test(`relocation moves what is right and mends what is wrong, over ${level}`, async (t) => {
    const bench = await filled(level);
    const bad = bench.find(1);
    const { slot } = bench.member(bad);
    bench.rot(bad);
    if (level === 'raid5f') t.is(await bench.read(0), -1, 'a read does not verify');
    await churn(t, bench);
    t.is(await bench.read(0), 1);
    t.deepEqual(
      bench.findings.map(({ part, block, slots, status, outcome }) => [
        part,
        block,
        slots,
        status,
        outcome,
      ]),
      [['block', 0, [slot], EILSEQ, 'repaired']],
    );
    const status = bench.ftl.status()!;
    t.like(status, { unreadable_blocks: 0, wrong_parts: 1, repaired_parts: 1 });
    t.is(status.bands['damaged'] ?? 0, 0);
    await bench.close();
    t.true(bench.agrees);
  });

  test(`relocation mends a summary that is wrong, over ${level}`, async (t) => {
    const bench = await filled(level);
    const summary = bench.unitOf(bench.find(1));
    bench.rot(summary);
    await churn(t, bench);
    t.is(await bench.read(0), 1);
    const { findings } = bench;
    t.like(findings[0], { part: 'summary', outcome: 'repaired' });
    t.is(findings.length, 1);
    t.deepEqual(bench.lost, []);
    await bench.close();
    t.true(bench.agrees);
  });

  test(`a check finds each wrong copy, and mends it if asked, over ${level}`, async (t) => {
    const bench = await filled(level);
    // Of a mirror, the copy that is not read by users.
    bench.rot(bench.find(8), [1]);
    bench.rot(bench.unitOf(bench.find(30)), [1]);
    const before = bench.disks.map(({ bytes }) => bytes.slice());
    const looked = await bench.reactor.drive(bench.ftl.check());
    t.like(looked, { wrongCount: 2, repairedCount: 0, lostCount: 0, checkedBlocks: 40 });
    t.deepEqual(looked.wrong.map(({ part, block, outcome }) => [part, block, outcome]).sort(), [
      ['block', 7, 'repairable'],
      ['summary', null, 'repairable'],
    ]);
    for (const [slot, bytes] of before.entries()) sameBytes(t, bench.disks[slot]!.bytes, bytes);
    const mended = await bench.reactor.drive(bench.ftl.check({ repair: true }));
    t.like(mended, { wrongCount: 2, repairedCount: 2, lostCount: 0 });
    const again = await bench.reactor.drive(bench.ftl.check());
    t.like(again, { wrongCount: 0, checkedBlocks: 40 });
    await bench.close();
    t.true(bench.agrees);
  });

  test(`a check finds and mends what one member cannot read, over ${level}`, async (t) => {
    const bench = await filled(level);
    const bad = bench.find(8);
    const { slot, at } = bench.member(bad);
    let broken = true;
    bench.disks[slot]!.fault = (io) => {
      const hit = io.block <= at && at < io.block + io.blockCount;
      if (hit && io.op !== OP_READ) broken = false;
      return hit && broken && io.op === OP_READ ? EIO : OK;
    };
    const report = await bench.reactor.drive(bench.ftl.check({ repair: true }));
    t.is(report.lostCount, 0);
    t.false(broken, 'it was written again');
    t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0, checkedBlocks: 40 });
    await bench.close();
  });

  test(`superblocks and pages of the map are checked and mended, over ${level}`, async (t) => {
    const bench = await filled(level);
    await bench.close();
    await bench.open();
    const { superblockUnits, unitBlocks, firstPageUnit } = bench.geometry;
    bench.rot(superblockUnits * unitBlocks, [1]);
    for (const page of [0, 1]) bench.rot((firstPageUnit + page) * unitBlocks, [1]);
    const looked = await bench.reactor.drive(bench.ftl.check());
    t.deepEqual(
      looked.wrong.map(({ part, number, outcome }) => [part, number, outcome]),
      [
        ['superblock', 1, 'repairable'],
        ['map page', 0, 'repairable'],
      ],
    );
    t.like(await bench.reactor.drive(bench.ftl.check({ repair: true })), {
      wrongCount: 2,
      repairedCount: 2,
    });
    t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0 });
    await bench.close();
  });
}

for (const level of LEVELS) {
  test(`a start mends superblocks and pages that are wrong, over ${level}`, async (t) => {
    const bench = await filled(level);
    await bench.close();
    const { superblockUnits, unitBlocks, firstPageUnit } = bench.geometry;
    // Both copies of the superblock, and both slots of a page, on one member each.
    const copies = [0, superblockUnits * unitBlocks];
    const pages = [0, 1].map((slot) => (firstPageUnit + slot) * unitBlocks);
    for (const block of [...copies, ...pages]) bench.rot(block);
    await bench.open();
    t.true(bench.ftl.restoreReport!.clean, 'what is mended is believed');
    t.deepEqual(bench.findings.map(({ part, number, outcome }) => [part, number, outcome]).sort(), [
      ['map page', 0, 'repaired'],
      ['superblock', 0, 'repaired'],
      ['superblock', 1, 'repaired'],
    ]);
    for (let block = 0; block < 40; block += 1) t.is(await bench.read(block), block + 1);
    await bench.close();
    bench.findings.splice(0);
    await bench.open();
    t.deepEqual(bench.findings, []);
    await bench.close();
  });

  test(`a dirty start leaves out nothing that has rotted, over ${level}`, async (t) => {
    const bench = await filled(level);
    bench.kill();
    const [head, summary, block] = [bench.unitOf(bench.find(1)), bench.find(14), bench.find(23)];
    bench.rot(head);
    bench.rot(bench.unitOf(summary));
    bench.rot(block);
    await bench.open();
    for (let number = 0; number < 40; number += 1) t.is(await bench.read(number), number + 1);
    // A start reads one mirror of each summary.
    const { wrong } = await bench.reactor.drive(bench.ftl.check());
    t.is(level === 'raid5f' ? wrong.length : wrong.filter(isLost).length, 0);
    await bench.close();
  });

  test(`a head that has rotted costs nothing after a clean stop, over ${level}`, async (t) => {
    const bench = await filled(level);
    await bench.close();
    bench.rot(bench.unitOf(bench.find(1)));
    await bench.open();
    t.like(bench.findings, [{ part: 'summary', outcome: 'repaired' }]);
    t.is(bench.ftl.status()!.bands['damaged'] ?? 0, 0);
    await bench.close();
  });
}

/** Spoils blocks of one member, anywhere in what the device uses; of some all, of others a bit. */
function spoil(bench: FtlArrayBench, random: () => number, slot: number): void {
  const { bytes } = bench.disks[slot]!;
  const chunks = bench.level === 'raid5f' ? 2 : 1;
  const used = (bench.geometry.units * bench.geometry.unitBlocks) / chunks;
  for (let block = 0; block < used; block += 1) {
    if (random() > 0.2) continue;
    if (random() < 0.5) bytes[block * BLOCK + Math.floor(random() * BLOCK)]! ^= 1;
    else bytes.fill(0xe7, block * BLOCK, (block + 1) * BLOCK);
  }
}

for (const level of LEVELS) {
  for (const when of ['in use', 'before a clean start', 'before a dirty start'] as const) {
    test(`nothing is lost by what rots on one member ${when}, over ${level}`, async (t) => {
      for (let seed = 1; seed <= 2; seed += 1) {
        const random = generator(seed);
        const bench = await FtlArrayBench.make(level);
        await bench.open({ checkpointUnits: 24 });
        const { blockCount } = bench.ftl.geometry;
        const model = new Map<number, number>();
        for (let done = 0; done < 2 * blockCount; done += 1) {
          const block = Math.floor(random() * random() * blockCount);
          model.set(block, 1 + Math.floor(random() * 250));
          t.is(await bench.write(block, model.get(block)!), OK);
        }
        await bench.flush();
        if (when === 'before a clean start') await bench.close();
        if (when === 'before a dirty start') bench.kill();
        spoil(bench, random, Math.floor(random() * bench.disks.length));
        if (when !== 'in use') await bench.open();
        const report = await bench.reactor.drive(bench.ftl.check({ repair: true }));
        t.true(report.wrongCount > 0 || when !== 'in use');
        t.deepEqual(report.wrong.filter(isLost), []);
        t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0 });
        for (const [block, byte] of model) {
          if ((await bench.read(block)) !== byte) t.fail(`block ${block} of seed ${seed}`);
        }
        await bench.close();
      }
    });
  }
}

test('a superblock that is right nowhere is told, and written over by the start', async (t) => {
  for (const copy of [0, 1]) {
    const bench = await filled('raid0');
    await bench.close();
    const { superblockUnits, unitBlocks } = bench.geometry;
    bench.rot(copy * superblockUnits * unitBlocks);
    await bench.open();
    t.false(bench.ftl.restoreReport!.clean, 'it may have been the newer one');
    t.like(bench.findings, [{ part: 'superblock', number: copy, outcome: 'repaired' }]);
    t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0 });
    await bench.close();
  }
});

test('without redundancy what is wrong is lost, except what memory has', async (t) => {
  const bench = await filled('raid0');
  await bench.close();
  await bench.open();
  const { unitBlocks, firstPageUnit } = bench.geometry;
  bench.rot(bench.find(8));
  bench.rot(0);
  for (const page of [0, 1]) bench.rot((firstPageUnit + page) * unitBlocks);
  const report = await bench.reactor.drive(bench.ftl.check({ repair: true }));
  t.deepEqual(
    report.wrong.map(({ part, block, outcome }) => [part, block, outcome]),
    [
      ['superblock', null, 'repaired'],
      ['map page', null, 'repaired'],
      ['block', 7, 'lost'],
    ],
  );
  t.is(await bench.write(7, 99), OK);
  t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0 });
  await bench.close();
  await bench.open();
  t.is(await bench.read(7), 99);
  await bench.close();
});

test('blocks behind a summary that is nowhere are told, counted, and stay', async (t) => {
  const bench = await filled('raid1');
  const summary = bench.unitOf(bench.find(1));
  bench.rot(summary, [0, 1]);
  await churn(t, bench);
  // The others of its unit have been overwritten meanwhile.
  t.deepEqual(
    bench.lost.map(({ count, blocks }) => [count, blocks[0]]),
    [[1, 0]],
  );
  t.like(bench.ftl.status()!, { unreadable_blocks: 1, bands: { damaged: 1 } });
  t.is(await bench.read(0), 1, 'it reads, unverified');
  await bench.close();
});

test('a band that was damaged is relocated after a check has mended it', async (t) => {
  const bench = await filled('raid1');
  const bad = bench.find(1);
  bench.rot(bad, [0, 1]);
  await churn(t, bench);
  t.like(bench.findings, [{ block: 0, outcome: 'lost' }]);
  t.is(bench.ftl.status()!.bands['damaged'], 1);
  bench.disks[1]!.bytes[bad * BLOCK + 77]! ^= 1;
  t.like(await bench.reactor.drive(bench.ftl.check({ repair: true })), { repairedCount: 1 });
  t.is(bench.ftl.status()!.bands['damaged'] ?? 0, 0);
  await churn(t, bench);
  t.is(await bench.read(0), 1);
  await bench.close();
});

test('a check can be paused, and goes on where it was', async (t) => {
  const bench = await filled('raid5f');
  const checking = bench.ftl.check();
  const check = bench.ftl.runningCheck!;
  check.pause();
  t.like(check.progress, { paused: true, rateBytesPerSecond: null });
  for (let round = 0; round < 50; round += 1) await bench.write(round % 40, 1 + (round % 40));
  t.not(bench.ftl.runningCheck, null);
  check.resume();
  t.like(await bench.reactor.drive(checking), { wrongCount: 0, stopped: false });
  t.is(bench.ftl.runningCheck, null);
  const stopping = bench.ftl.check();
  bench.ftl.runningCheck!.stop();
  t.like(await bench.reactor.drive(stopping), { checkedBlocks: 0, stopped: true });
  await bench.close();
});
