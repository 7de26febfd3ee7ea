/**
 * A device that is opened to be read: what a start has to do is done in memory, and nothing below
 * it changes.
 */

import test from 'ava';
import { checkIo, FEATURE_READ_ONLY } from '../../src/block/block-device.ts';
import { BlockIo, OP_WRITE } from '../../src/block/block-io.ts';
import { EROFS } from '../../src/block/status.ts';
import { EPOCHS_MAX } from '../../src/ftl/unit-format.ts';
import { FtlArrayBench } from '../_helpers/ftl-array-bench.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

test('a clean device, and a dirty one, are read without a write', async (t) => {
  for (const clean of [true, false]) {
    for (const level of ['raid1', 'raid5f'] as const) {
      const bench = await FtlArrayBench.make(level);
      await bench.open();
      for (let block = 0; block < 60; block += 1) await bench.write(block, block + 1);
      await bench.flush();
      for (let block = 0; block < 20; block += 1) await bench.write(block, 101 + block);
      if (clean) await bench.close();
      else bench.kill();
      bench.rot(bench.find(31));
      const before = bench.disks.map(({ bytes }) => bytes.slice());
      for (const disk of bench.disks) disk.log.splice(0);
      await bench.open({ readOnly: true });
      t.is(bench.ftl.restoreReport!.clean, clean);
      t.true((bench.ftl.geometry.features & FEATURE_READ_ONLY) !== 0);
      for (let block = 0; block < 60; block += 1) {
        if (block === 30) continue;
        t.is(await bench.read(block), block < 20 ? 101 + block : block + 1);
      }
      const report = await bench.reactor.drive(bench.ftl.check({ repair: true }));
      const ofBlock = report.wrong.filter(({ part }) => part === 'block');
      t.like(ofBlock, [{ block: 30, outcome: 'repairable' }]);
      await bench.close();
      for (const disk of bench.disks)
        t.false(
          disk.log.some(({ op }) => op !== 0),
          'only reads',
        );
      for (const [slot, bytes] of before.entries()) {
        sameBytes(t, bench.disks[slot]!.bytes, bytes);
      }
      await bench.open();
      t.is(bench.ftl.restoreReport!.clean, clean, 'it is as it was');
      await bench.close();
    }
  }
});

test('a device that is read refuses to be written, and has not failed', async (t) => {
  const bench = await FtlBench.make();
  await bench.open();
  await bench.write(0, 1, 7);
  await bench.close();
  const told: number[] = [];
  const ftl = await bench.open({ readOnly: true });
  ftl.observer = {
    deviceFailed: (_device, status) => told.push(status),
    deviceResized: () => {},
    deviceOverdue: () => false,
  };
  const io = new BlockIo();
  io.op = OP_WRITE;
  io.blockCount = 1;
  t.is(checkIo(ftl.geometry, io), EROFS);
  t.is(await bench.read(0), 7);
  await bench.close();
  t.deepEqual(told, []);
});

test('what a killed server had answered is not hidden behind what is older', async (t) => {
  const bench = await FtlBench.make();
  const memory = bench.memory();
  await bench.open({ buffer: memory });
  await bench.write(0, 1, 9);
  await bench.kill();
  const before = bench.reactor.arena.u8.slice(memory.at, memory.at + memory.bytes);
  const error = await bench.refusal({ readOnly: true, buffer: bench.memory(true, memory.at) });
  t.is(error.code, 'BANDSTAND_FTL_BUFFER');
  t.regex(error.message, /^cannot read ram as it is: \d+ units? of writes/);
  sameBytes(t, bench.reactor.arena.u8.slice(memory.at, memory.at + memory.bytes), before);
  await bench.open({ buffer: bench.memory(true, memory.at) });
  t.is(await bench.read(0), 9);
  await bench.close();
  await bench.open({ readOnly: true, buffer: bench.memory(true, memory.at) });
  t.is(await bench.read(0), 9, 'after a stop there is nothing in it');
  await bench.close();
});

test('a device that was started as often as its format counts can be read', async (t) => {
  const bench = await FtlBench.make();
  await bench.open();
  await bench.write(0, 1, 7);
  await bench.close();
  await bench.age(EPOCHS_MAX);
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_READ_ONLY');
  t.is(
    error.message,
    'cannot open the log-structured device on ram for writing: this would be start number 2097151, and its format counts to 2097150',
  );
  await bench.open({ readOnly: true });
  t.is(await bench.read(0), 7);
  await bench.close();
});
