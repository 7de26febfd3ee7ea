/**
 * What an FTL does for a cache above it: it tells which of the writes that it has answered are
 * durable, and does not start without the cache that it names.
 */

import test from 'ava';
import { OP_FLUSH, OP_TRIM, OP_WRITE } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';

/** Data blocks of a unit of the bench. */
const UNIT = 3;

test('below a cache a write is answered at once, from ordinary memory', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  const before = bench.disk.log.length;
  t.is(await bench.write(0, 1, 7), OK);
  t.is(bench.disk.log.length, before);
  t.true(ftl.geometry.volatileCache);
  t.is(await bench.read(0), 7);
  await bench.close();
});

for (const volatileCache of [true, false]) {
  const disk = volatileCache ? 'with a cache' : 'without a cache';

  test(`what has filled a unit settles without padding, over a disk ${disk}`, async (t) => {
    const bench = await FtlBench.make({ volatileCache });
    const ftl = await bench.open({ isCached: true });
    t.is(ftl.settledMark, ftl.acceptedMark);
    const written = () => bench.disk.log.filter(({ op }) => op === OP_WRITE).length;
    const before = written();
    await bench.write(0, UNIT, 1);
    const first = ftl.acceptedMark;
    await bench.write(9, 1, 2);
    t.true(ftl.acceptedMark > first);
    await bench.reactor.drive(ftl.settle());
    t.is(ftl.settledMark, first);
    await bench.reactor.drive(ftl.settle());
    t.is(ftl.settledMark, first, 'the unit that is half full is left open');
    t.is(written(), before + 1);
    await bench.status(OP_FLUSH, 0, 0);
    t.is(ftl.settledMark, ftl.acceptedMark);
    await bench.close();
  });
}

test('what holds all others back is filled first when it is asked for, not padded', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  await bench.write(0, UNIT, 1);
  // Trims have a unit of their own, to which nothing else comes by itself.
  await bench.status(OP_TRIM, 0, 1);
  const late = ftl.acceptedMark;
  for (let block = 1; block < 1 + 17 * UNIT; block += 1) await bench.write(block, 1, 2);
  await bench.reactor.drive(ftl.settle());
  t.is(ftl.settledMark, late - 1);
  for (let block = 60; block < 60 + UNIT; block += 1) await bench.write(block, 1, 3);
  await bench.reactor.drive(ftl.settle());
  t.true(ftl.settledMark > late);
  t.is(ftl.status()!.units_padded, 0);
  await bench.close();
});

test('without a flush nothing settles over a disk that has a cache', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  const begin = ftl.settledMark;
  await bench.write(0, UNIT, 1);
  await bench.write(3, UNIT, 2);
  t.is(ftl.settledMark, begin);
  await bench.close();
});

test('a trim settles with the unit that tells of it', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  await bench.write(0, UNIT, 1);
  await bench.reactor.drive(ftl.settle());
  const before = ftl.settledMark;
  await bench.status(OP_TRIM, 0, 2);
  t.is(ftl.acceptedMark, before + 1);
  await bench.reactor.drive(ftl.settle());
  t.is(ftl.settledMark, before);
  await bench.status(OP_FLUSH, 0, 0);
  t.is(ftl.settledMark, ftl.acceptedMark);
  await bench.close();
});

test('what has settled is there after a kill, and what has not is gone', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  await bench.write(0, UNIT, 1);
  await bench.reactor.drive(ftl.settle());
  await bench.write(1, 1, 2);
  await bench.kill();
  await bench.open();
  t.is(await bench.read(0), 1);
  t.is(await bench.read(1), 1);
  await bench.close();
});

test('nothing settles by a flush that fails', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  const begin = ftl.settledMark;
  await bench.write(0, UNIT, 1);
  bench.disk.fault = ({ op }) => (op === OP_FLUSH ? EIO : OK);
  await bench.reactor.drive(ftl.settle());
  t.is(ftl.settledMark, begin);
  await bench.close();
});

const CACHE = { uuid: '0c0c0c0c-0000-4000-8000-00000000cace', epoch: 7 };

test('a device that names a cache does not start without it', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  t.is(ftl.cache, null);
  await bench.reactor.drive(ftl.nameCache(CACHE));
  t.deepEqual(ftl.cache, CACHE);
  await bench.kill();
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_CACHE');
  t.true(error.message.includes(CACHE.uuid));
  t.is((await bench.refusal({ readOnly: true })).code, 'BANDSTAND_FTL_CACHE');
  await bench.open({ isCached: true });
  t.deepEqual(bench.ftl.cache, CACHE);
  await bench.close();
});

test('whichever superblock is lost, the other one names the cache', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  await bench.reactor.drive(ftl.nameCache(CACHE));
  await bench.kill();
  const copyBytes = bench.geometry.superblockUnits * bench.geometry.unitBlocks * 4096;
  for (const copy of [0, 1]) {
    const kept = bench.disk.bytes.slice();
    bench.disk.bytes[copy * copyBytes + 40]! ^= 0xff;
    t.is((await bench.refusal()).code, 'BANDSTAND_FTL_CACHE');
    bench.disk.bytes.set(kept);
  }
});

const OTHER = '0c0c0c0c-0000-4000-8000-000000000ffe';

/** Whether the device says it may have the cache, and whether a start after a kill says it does. */
async function named(bench: FtlBench): Promise<readonly [may: boolean, does: boolean]> {
  const may = bench.ftl.mayName(CACHE.uuid);
  bench.disk.fault = () => OK;
  await bench.kill();
  await bench.open({ isCached: true });
  const does = bench.ftl.cache?.uuid === CACHE.uuid;
  await bench.close();
  return [may, does];
}

for (let writes = 0; writes < 2; writes += 1) {
  for (const op of [OP_WRITE, OP_FLUSH]) {
    const title = `${op === OP_WRITE ? 'write' : 'flush'} ${writes + 1}`;
    test(`a device that fails to name a cache, at ${title}, may name it`, async (t) => {
      const bench = await FtlBench.make();
      const ftl = await bench.open({ isCached: true });
      t.false(ftl.mayName(CACHE.uuid));
      let left = writes;
      bench.disk.fault = (io) => {
        if (io.op !== op) return OK;
        left -= 1;
        return left < 0 ? EIO : OK;
      };
      await t.throwsAsync(bench.reactor.drive(ftl.nameCache(CACHE)));
      t.false(ftl.mayName(OTHER));
      // A write that fails may have come to the disk, which here it has not.
      t.deepEqual(await named(bench), [true, op === OP_FLUSH || writes > 0]);
    });
  }
}

test('a device that has forgotten a cache does not name it', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  await bench.reactor.drive(ftl.nameCache(CACHE));
  t.true(ftl.mayName(CACHE.uuid));
  await bench.reactor.drive(ftl.nameCache(null));
  t.deepEqual(await named(bench), [false, false]);
});

test('a device that fails before it can name a cache does not name it', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  bench.disk.fault = ({ op }) => (op === OP_FLUSH ? EIO : OK);
  t.is(await bench.flush(), EIO);
  await t.throwsAsync(bench.reactor.drive(ftl.nameCache(CACHE)));
  t.deepEqual(await named(bench), [false, false]);
});

test('a cache that is given up is named no more', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  await bench.reactor.drive(ftl.nameCache(CACHE));
  await bench.close();
  await bench.open({ discardsCache: true });
  t.is(bench.ftl.cache, null);
  await bench.kill();
  await bench.open();
  await bench.close();
});

test('a cache that cannot be named is an error, and the device changes nothing more', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ isCached: true });
  bench.disk.fault = ({ op }) => (op === OP_WRITE ? EIO : OK);
  const naming = bench.reactor.drive(ftl.nameCache(CACHE));
  await t.throwsAsync(naming, { instanceOf: BandstandError });
  t.is(ftl.cache, null);
  t.not(ftl.status()!.read_only_reason, null);
  bench.disk.fault = () => OK;
  await bench.close();
});
