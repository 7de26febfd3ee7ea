/**
 * What a review of the device has found, each as a test that failed before it was mended.
 */

import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { EIO } from '../../src/block/status.ts';
import { makeUuid } from '../../src/block/uuid.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import type { FtlCore } from '../../src/ftl/ftl-core.ts';
import { FtlEngine } from '../../src/ftl/ftl-engine.ts';
import { deriveGeometry } from '../../src/ftl/geometry.ts';
import { indexEntryAt, SLOT_FREE, SLOT_OPEN } from '../../src/ftl/write-buffer.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { generator } from '../_helpers/acknowledged-writes.ts';
import { BLOCK, FtlBench } from '../_helpers/ftl-bench.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

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

test('after a clean stop a head whose read fails once does not cost its band', async (t) => {
  const bench = await FtlBench.make();
  await bench.open();
  for (let block = 0; block < 40; block += 1) await bench.write(block, 1, 7);
  await bench.close();
  const head = bench.unitBlock(0, 0);
  let failures = 1;
  bench.disk.fault = (io) => {
    if (io.op !== OP_READ || io.block !== head || failures === 0) return 0;
    failures -= 1;
    return EIO;
  };
  await bench.open();
  t.is(failures, 0);
  t.like(await bench.reactor.drive(bench.ftl.check()), { wrongCount: 0, checkedBlocks: 40 });
  t.is(bench.ftl.status()!.bands['damaged'] ?? 0, 0);
  await bench.close();
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

test('what a killed server of another device has left is not formatted over', async (t) => {
  const killed = await FtlBench.make();
  const left = killed.memory();
  await killed.open({ buffer: left });
  await killed.write(5, 1, 99);
  await killed.kill();
  const bytes = killed.reactor.arena.u8.slice(left.at, left.at + left.bytes);

  const uuid = '0f71f71f-0000-4000-8000-0000000000d1';
  const other = await FtlBench.make({ shape: { uuid } });
  const memory = other.memory(true);
  const { u8 } = other.reactor.arena;
  u8.set(bytes, memory.at);
  const { code, message, hint } = await other.refusal({ buffer: memory });
  t.is(code, 'BANDSTAND_FTL_BUFFER');
  t.regex(
    message,
    /^cannot use memory as the write buffer of ram: .* \(0f71f71f-.*be9c\) .*1 unit/,
  );
  t.regex(hint!, /rm memory$/);
  t.deepEqual(u8.slice(memory.at, memory.at + memory.bytes), bytes);

  await killed.open({ buffer: { ...left, isAdopted: true } });
  t.is(await killed.read(5), 99);
  await killed.close();
  u8.set(killed.reactor.arena.u8.subarray(left.at, left.at + left.bytes), memory.at);
  await t.notThrowsAsync(other.open({ buffer: memory }), 'an empty one is anybody’s');
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

test('what was in flight at a crash has its parity made good by the start', async (t) => {
  const strip = 8;
  const geometry = { volatileCache: true, features: 0 };
  const shape = { blockBytes: BLOCK, blockCount: 256 * strip, geometry };
  const made = (bytes: readonly (Uint8Array | null)[]): Ftl => {
    const members = bytes.map((content, slot) => {
      const disk = new RamDevice(`ram${slot}`, { ...shape, ...(content && { bytes: content }) });
      return { uuid: null, device: disk, dataOffset: 0, dataSize: shape.blockCount };
    });
    disks = members.map(({ device }) => device);
    const blockCount = 2 * shape.blockCount;
    const spec = { name: 'tank', uuid: null, level: 'raid5f' as const, stripBlocks: strip };
    return new Ftl(new RaidArray({ ...spec, blockBytes: BLOCK, blockCount, members }));
  };
  let disks: RamDevice[] = [];
  const reactor = new SimulatedReactor({ seed: 1 });
  const ftl = made([null, null, null]);
  await reactor.drive(ftl.base.open(reactor));
  const sizes = { unitBytes: 2 * strip * BLOCK, bandBytes: 16 * strip * BLOCK };
  const { shape: plan } = await reactor.drive(
    createFtl(reactor, ftl.base, { uuid: makeUuid(), ...sizes }),
  );
  const { firstBandUnit, unitBlocks } = deriveGeometry(plan);
  const firstStripe = (firstBandUnit * unitBlocks) / (2 * strip);
  await reactor.drive(ftl.base.close());
  const before = disks.map(({ bytes }) => bytes.slice());
  const first = made(before.map((bytes) => bytes.slice()));
  await reactor.drive(first.open(reactor));
  const at = reactor.arena.allocate(BLOCK);
  for (let block = 0; block < 40; block += 1) {
    reactor.arena.u8.fill(block + 1, at, at + BLOCK);
    t.is(await reactor.drive(submitStatus(first, OP_WRITE, block, 1, at)), 0);
  }
  // The server dies; of some stripes that it has written the parity did not arrive.
  const left = disks.map(({ bytes }) => bytes.slice());
  const stripBytes = strip * BLOCK;
  let spoiled = 0;
  for (let stripe = 0; stripe < 256; stripe += 1) {
    const parity = 2 - (stripe % 3);
    const from = stripe * stripBytes;
    const now = left[parity]!.subarray(from, from + stripBytes);
    if (Buffer.compare(now, before[parity]!.subarray(from, from + stripBytes)) === 0) continue;
    // Superblocks and map pages were flushed.
    if (stripe < firstStripe) continue;
    now.fill(0xee);
    spoiled += 1;
  }
  t.true(spoiled > 0);
  const second = made(left);
  await reactor.drive(second.open(reactor));
  for (let byte = 0; byte < left[0]!.length; byte += 1) {
    const sum = disks.reduce((parity, { bytes }) => parity ^ bytes[byte]!, 0);
    if (sum !== 0) t.fail(`byte ${byte} of stripe ${Math.floor(byte / stripBytes)}`);
    if (sum !== 0) break;
  }
  for (let block = 0; block < 40; block += 1) {
    t.is(await reactor.drive(submitStatus(second, OP_READ, block, 1, at)), 0);
    t.is(reactor.arena.u8[at], block + 1);
  }
  await reactor.drive(second.close());
});
