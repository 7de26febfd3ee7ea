/**
 * What a review of the device has found, each as a test that failed before it was mended.
 */

import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO } from '../../src/block/status.ts';
import type { FtlCore } from '../../src/ftl/ftl-core.ts';
import { FtlEngine } from '../../src/ftl/ftl-engine.ts';
import { indexEntryAt, SLOT_FREE, SLOT_OPEN } from '../../src/ftl/write-buffer.ts';
import { generator } from '../_helpers/acknowledged-writes.ts';
import { BLOCK, FtlBench } from '../_helpers/ftl-bench.ts';

test('after a clean stop a head that cannot be read keeps nothing from starting', async (t) => {
  const bench = await FtlBench.make();
  await bench.open();
  await bench.write(0, 1, 7, 0);
  await bench.close();
  const head = bench.unitBlock(20, 0);
  bench.disk.fault = (io) => {
    const touched = io.op === OP_READ && io.block <= head && head < io.block + io.blockCount;
    return touched ? EIO : 0;
  };
  await t.notThrowsAsync(bench.open());
  t.is(await bench.read(0), 7);
});

test('an arena that others have filled does not end checkpoints', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ checkpointUnits: 8 });
  const { arena } = bench.reactor;
  const own = arena.allocate(BLOCK);
  for (let bytes = 2 ** 20; bytes >= BLOCK; bytes /= 2) {
    for (;;) {
      try {
        arena.allocate(bytes);
      } catch {
        break;
      }
    }
  }
  const { checkpoints } = ftl.status()!;
  for (let block = 0; block < 60; block += 1) {
    t.is(await bench.reactor.drive(submitStatus(ftl, OP_WRITE, block, 1, own)), 0);
    await bench.flush();
  }
  t.is(ftl.status()!.read_only_reason, null);
  t.true(ftl.status()!.checkpoints > checkpoints + 3);
});

test('what was answered survives a kill, also after 2^32 units in one life', async (t) => {
  const cores: FtlCore[] = [];
  const { wake } = FtlEngine.prototype;
  FtlEngine.prototype.wake = function (this: FtlEngine) {
    cores.push(this.core);
    wake.call(this);
  };
  t.teardown(() => {
    FtlEngine.prototype.wake = wake;
  });
  const bench = await FtlBench.make();
  const memory = bench.memory();
  await bench.open({ buffer: memory, checkpointUnits: 8 });
  await bench.write(0, 1, 1);
  await bench.flush();
  cores.at(-1)!.unitNumber = 2 ** 32 - 4;
  for (let block = 0; block < 60; block += 1) {
    await bench.write(block, 1, 2);
    await bench.flush();
  }
  for (const value of [99, 98]) {
    t.is(await bench.write(5, 1, value), 0);
    await bench.kill();
    await bench.open({ buffer: { ...memory, isAdopted: true } });
    t.is(await bench.read(5), value, 'a write that was answered');
    t.is(await bench.read(6), 2, 'a write that was flushed');
  }
});

test('no unit is sealed before there is something in it', async (t) => {
  const bench = await FtlBench.make({ bands: 40, delayUsMax: 2000 });
  const memory = bench.memory();
  const ftl = await bench.open({ buffer: memory, checkpointUnits: 4 });
  const { arena } = bench.reactor;
  const at = arena.allocate(16 * BLOCK);
  const random = generator(5);
  let empty = 0;
  const look = (): void => {
    for (let slot = 0; slot < 10; slot += 1) {
      const word = indexEntryAt(memory.at, slot) >>> 2;
      const state = arena.u32[word]! & 0xff;
      if (state === SLOT_FREE || state === SLOT_OPEN) continue;
      if (arena.u32[word + 1]! + arena.u32[word + 2]! === 0) empty += 1;
    }
  };
  for (let round = 0; round < 600; round += 1) {
    const blocks = new Set<number>();
    while (blocks.size < 16) blocks.add(Math.floor(random() * ftl.geometry.blockCount));
    const writes = [...blocks].map((block, index) =>
      submitStatus(ftl, OP_WRITE, block, 1, at + index * BLOCK).then((status) => {
        look();
        return status;
      }),
    );
    const statuses = await bench.reactor.drive(Promise.all(writes));
    t.true(statuses.every((status) => status === 0));
  }
  t.true(
    Object.values(ftl.status()!.throttled).some((count) => count > 0),
    'users had to wait',
  );
  t.is(empty, 0);
});
