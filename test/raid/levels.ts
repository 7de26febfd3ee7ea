import test, { type ExecutionContext } from 'ava';
import {
  type BlockIo,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { type Fixture, openArray, Random } from '../_helpers/array-fixture.ts';
import { type Layout, referenceImages, referenceSize } from '../_helpers/raid-reference.ts';
import { sameBytes, sameImages } from '../_helpers/same-bytes.ts';

const LAYOUTS: readonly Layout[] = [
  { level: 'raid0', strip: 8, sizes: [100] },
  { level: 'raid0', strip: 1, sizes: [40, 40] },
  { level: 'raid0', strip: 16, sizes: [100, 120, 99] },
  { level: 'raid0', strip: 8, sizes: [64, 64, 64, 64, 70] },
  { level: 'raid1', strip: 0, sizes: [100, 131] },
  { level: 'raid1', strip: 0, sizes: [90, 80, 70, 85] },
  { level: 'raid5f', strip: 8, sizes: [80, 81, 99] },
  { level: 'raid5f', strip: 1, sizes: [40, 40, 40, 40] },
  { level: 'raid5f', strip: 16, sizes: [160, 160, 170, 160, 160] },
  { level: 'concat', strip: 8, sizes: [50, 17, 96] },
  { level: 'concat', strip: 4, sizes: [33] },
];

function describe({ level, strip, sizes }: Layout): string {
  return `${level} strip ${strip} over ${sizes.join('+')} blocks`;
}

function unitOf({ level, strip, sizes }: Layout): number {
  return level === 'raid5f' ? strip * (sizes.length - 1) : 1;
}

/** The data areas of the devices, for comparison with the reference. */
function images(fixture: Fixture, blockBytes: number, dataOffset: number): Uint8Array[] {
  return fixture.devices.map(({ bytes }) => bytes.slice(dataOffset * blockBytes));
}

for (const layout of LAYOUTS) {
  for (const blockBytes of [512, 4096]) {
    test(`${describe(layout)} of ${blockBytes} lays data out as the reference does`, async (t) => {
      const fixture = await openArray({ ...layout, blockBytes, dataOffset: 10 });
      const blocks = referenceSize(layout);
      t.is(fixture.array.geometry.blockCount, blocks);
      const content = new Random(7).bytes(blocks * blockBytes);
      const unit = unitOf(layout);
      for (let block = 0; block < blocks; block += unit) {
        const payload = content.subarray(block * blockBytes, (block + unit) * blockBytes);
        await fixture.write(block, payload);
      }
      const expected = referenceImages(layout, blockBytes, content);
      sameImages(t, images(fixture, blockBytes, 10), expected);
      t.true(
        fixture.devices.every(({ bytes }) => bytes.slice(0, 10 * blockBytes).every((b) => !b)),
      );
      sameBytes(t, await fixture.read(0, blocks), content);
      for (let block = 0; block < blocks; block += 7) {
        const got = await fixture.read(block, 1);
        sameBytes(t, got, content.slice(block * blockBytes, (block + 1) * blockBytes));
      }
      await fixture.close();
    });
  }

  test(`${describe(layout)} is read correctly from an image made by the reference`, async (t) => {
    const blocks = referenceSize(layout);
    const content = new Random(11).bytes(blocks * 512);
    const made = referenceImages(layout, 512, content);
    const fixture = await openArray({ ...layout, dataOffset: 3 });
    fixture.devices.forEach(({ bytes }, slot) => {
      bytes.set(made[slot]!, 3 * 512);
    });
    sameBytes(t, await fixture.read(0, blocks), content);
    await fixture.close();
  });

  test(`${describe(layout)} keeps a random history of concurrent operations`, async (t) => {
    await randomHistory(t, layout, []);
  });
}

for (const layout of LAYOUTS.filter(({ level }) => level === 'raid1' || level === 'raid5f')) {
  for (const slot of layout.sizes.keys()) {
    test(`${describe(layout)} keeps a random history without member ${slot}`, async (t) => {
      await randomHistory(t, layout, [slot]);
    });
  }
}

test('raid1 keeps a random history with one of four members', async (t) => {
  await randomHistory(t, { level: 'raid1', strip: 0, sizes: [64, 64, 64, 64] }, [0, 1, 3]);
});

/**
 * Rounds of concurrent operations on disjoint ranges, over devices that reorder, with pools so
 * small that operations wait; after each round everything is read back, and at the end the members
 * are compared with the reference.
 */
async function randomHistory(
  t: ExecutionContext,
  layout: Layout,
  missing: readonly number[],
): Promise<void> {
  const seed = 0x5eed + layout.sizes.length * 16 + layout.strip + missing.length;
  const random = new Random(seed);
  const fixture = await openArray({
    ...layout,
    seed,
    missing,
    delayUsMax: 500,
    geometry: { requestBlocksMax: layout.level === 'raid1' ? 64 : 5 },
    array: { depth: 16 },
  });
  const blocks = referenceSize(layout);
  const unit = unitOf(layout);
  const units = blocks / unit;
  const model = new Uint8Array(blocks * 512);
  for (let round = 0; round < 12; round += 1) {
    const outcomes: Promise<number>[] = [];
    let at = 0;
    while (at < units) {
      const count = Math.min(units - at, 1 + random.below(random.below(4) === 0 ? 24 : 3));
      const [block, length] = [at * unit, count * unit];
      at += count;
      const choice = random.below(8);
      if (choice === 0) continue;
      if (choice === 1 || choice === 2) {
        model.fill(0, block * 512, (block + length) * 512);
        outcomes.push(fixture.run(choice === 1 ? OP_TRIM : OP_WRITE_ZEROES, block, length));
        continue;
      }
      let done = 0;
      while (done < length) {
        const step = Math.min(length - done, layout.level === 'raid1' ? 64 : 2048);
        const payload = random.bytes(step * 512);
        model.set(payload, (block + done) * 512);
        outcomes.push(fixture.run(OP_WRITE, block + done, step, payload));
        done += step;
      }
    }
    const statuses = await fixture.reactor.drive(Promise.all(outcomes));
    t.is(statuses.find((status) => status !== OK) ?? OK, OK, `seed ${seed} round ${round}`);
    const read = new Uint8Array(blocks * 512);
    const reads: Promise<number>[] = [];
    for (let block = 0; block < blocks; ) {
      const count = Math.min(blocks - block, 1 + random.below(40));
      const part = read.subarray(block * 512, (block + count) * 512);
      reads.push(fixture.run(OP_READ, block, count, part));
      block += count;
    }
    await fixture.reactor.drive(Promise.all(reads));
    sameBytes(t, read, model, `seed ${seed} round ${round}`);
  }
  const expected = referenceImages(layout, 512, model);
  fixture.devices.forEach((device, slot) => {
    if (missing.includes(slot)) t.is(device.log.length, 0);
    else sameBytes(t, device.bytes, expected[slot]!, `seed ${seed} member ${slot}`);
  });
  await fixture.close();
}

test('raid0 over one member is the member', async (t) => {
  const fixture = await openArray({ level: 'raid0', strip: 8, sizes: [64] });
  t.is(fixture.array.geometry.optimalBoundaryBlocks, 0);
  t.is(fixture.array.geometry.blockCount, 64);
  await fixture.close();
});

test('a raid0 trim is one range on each member, whatever its length', async (t) => {
  const fixture = await openArray({ level: 'raid0', strip: 4, sizes: [64, 64, 64] });
  t.is(await fixture.reactor.drive(fixture.run(OP_TRIM, 5, 150)), OK);
  t.deepEqual(
    fixture.devices.map(({ log }) => log.map(({ block, blockCount }) => [block, blockCount])),
    [[[4, 48]], [[1, 51]], [[0, 51]]],
  );
  await fixture.close();
});

test('raid1 reads where the fewest blocks are in flight, from the first of equals', async (t) => {
  const fixture = await openArray({
    level: 'raid1',
    strip: 0,
    sizes: [100, 100, 100],
    delayUsMax: 9,
  });
  const counts = () => fixture.devices.map(({ log }) => log.length);
  const buffer = new Uint8Array(100 * 512);
  const all = [fixture.run(OP_READ, 0, 10, buffer)];
  t.deepEqual(counts(), [1, 0, 0]);
  all.push(fixture.run(OP_READ, 0, 4, buffer), fixture.run(OP_READ, 0, 6, buffer));
  t.deepEqual(counts(), [1, 1, 1]);
  all.push(fixture.run(OP_READ, 0, 1, buffer), fixture.run(OP_READ, 0, 1, buffer));
  t.deepEqual(counts(), [1, 3, 1]);
  all.push(fixture.run(OP_READ, 0, 5, buffer), fixture.run(OP_READ, 0, 1, buffer));
  t.deepEqual(counts(), [1, 4, 2]);
  await fixture.reactor.drive(Promise.all(all));
  t.deepEqual(
    fixture.array.members.map(({ readingBlocks }) => readingBlocks),
    [0, 0, 0],
  );
  await fixture.close();
});

test('raid1 reads elsewhere after an error, in slot order, and counts it', async (t) => {
  const fixture = await openArray({ level: 'raid1', strip: 0, sizes: [50, 50, 50] });
  const content = new Random(3).bytes(50 * 512);
  await fixture.write(0, content);
  const onRead = (io: BlockIo): number => (io.op === OP_READ ? EIO : OK);
  fixture.devices[0]!.fault = onRead;
  fixture.devices[1]!.fault = onRead;
  const errors: unknown[] = [];
  fixture.array.memberObserver = {
    memberError: (slot, op, status) => errors.push([slot, op, status]),
  };
  sameBytes(t, await fixture.read(0, 50), content);
  t.deepEqual(errors, [
    [0, OP_READ, EIO],
    [1, OP_READ, EIO],
  ]);
  t.deepEqual(
    fixture.array.memberStatus().map(({ read_errors }) => read_errors),
    [1, 1, 0],
  );
  await fixture.close();
});

for (const level of ['raid1', 'raid5f'] as const) {
  test(`${level} writes back what a member could not read, and counts it`, async (t) => {
    const fixture = await openArray({ level, strip: 8, sizes: [64, 64, 64] });
    const { blockCount } = fixture.array.geometry;
    const content = new Random(31).bytes(blockCount * 512);
    await fixture.write(0, content);
    const bad = fixture.devices[0]!;
    const sound = bad.bytes.slice();
    bad.bytes.fill(0xee, 0, 64 * 512);
    const unreadable = new Set(Array.from({ length: 64 }, (_, block) => block));
    bad.fault = (io) => {
      for (let block = io.block; block < io.block + io.blockCount; block += 1) {
        if (io.op === OP_WRITE) unreadable.delete(block);
        else if (unreadable.has(block)) return EIO;
      }
      return OK;
    };
    sameBytes(t, await fixture.read(0, blockCount), content);
    const repaired = fixture.array.memberStatus()[0]!.repaired_blocks;
    t.is(repaired, level === 'raid1' ? 64 : 64 - 8 * 2, 'parity is not read, so not repaired');
    t.is(unreadable.size, 64 - repaired);
    for (let block = 0; block < 64; block += 1) {
      if (unreadable.has(block)) continue;
      const [from, to] = [block * 512, (block + 1) * 512];
      sameBytes(t, bad.bytes.slice(from, to), sound.slice(from, to), `block ${block}`);
    }
    await fixture.close();
  });

  test(`${level} delivers a range whose blocks are unreadable on different members`, async (t) => {
    const fixture = await openArray({ level, strip: 8, sizes: [64, 64, 64] });
    const { blockCount } = fixture.array.geometry;
    const content = new Random(32).bytes(blockCount * 512);
    await fixture.write(0, content);
    for (const [slot, device] of fixture.devices.entries()) {
      // Each block is unreadable on one member at most.
      device.fault = (io) => {
        for (let block = io.block; block < io.block + io.blockCount; block += 1) {
          if (io.op === OP_READ && block % 3 === slot) return EIO;
        }
        return OK;
      };
    }
    sameBytes(t, await fixture.read(0, blockCount), content);
    await fixture.close();
  });
}

test('a raid1 read that starts at a later member also tries the earlier ones', async (t) => {
  const fixture = await openArray({ level: 'raid1', strip: 0, sizes: [50, 50], delayUsMax: 5 });
  const content = new Random(4).bytes(50 * 512);
  await fixture.write(0, content);
  fixture.devices[1]!.fault = () => EIO;
  const [a, b] = [new Uint8Array(512), new Uint8Array(512)];
  const statuses = await fixture.reactor.drive(
    Promise.all([fixture.run(OP_READ, 0, 1, a), fixture.run(OP_READ, 1, 1, b)]),
  );
  t.deepEqual(statuses, [OK, OK]);
  t.deepEqual(b, content.slice(512, 1024));
  t.is(fixture.array.memberStatus()[1]?.read_errors, 1);
  await fixture.close();
});

test('a raid1 read fails with the first error when no member can deliver', async (t) => {
  const fixture = await openArray({ level: 'raid1', strip: 0, sizes: [50, 50] });
  fixture.devices[0]!.fault = () => 61;
  fixture.devices[1]!.fault = () => EIO;
  t.is(await fixture.reactor.drive(fixture.run(OP_READ, 0, 1, new Uint8Array(512))), 61);
  await fixture.close();
});

for (const level of ['raid0', 'raid1', 'raid5f', 'concat'] as const) {
  test(`a ${level} write that a present member refuses is not acknowledged`, async (t) => {
    const layout: Layout = { level, strip: 4, sizes: [32, 32, 32] };
    for (const slot of [0, 1, 2]) {
      const fixture = await openArray({ ...layout, delayUsMax: 50 });
      fixture.devices[slot]!.fault = () => EIO;
      const blocks = referenceSize(layout);
      for (const op of [OP_WRITE, OP_TRIM, OP_WRITE_ZEROES] as const) {
        const run = fixture.run(op, 0, blocks, new Uint8Array(blocks * 512));
        t.is(await fixture.reactor.drive(run), EIO);
      }
      t.true(fixture.array.memberStatus()[slot]!.write_errors >= 3);
      t.true(fixture.devices.every(({ inFlight }) => inFlight === 0));
      await fixture.close();
    }
  });
}

test('a raid5f read error on a present member is answered from the others', async (t) => {
  const layout: Layout = { level: 'raid5f', strip: 8, sizes: [64, 64, 64, 64] };
  const blocks = referenceSize(layout);
  const content = new Random(5).bytes(blocks * 512);
  for (const slot of layout.sizes.keys()) {
    const fixture = await openArray({ ...layout, delayUsMax: 100 });
    referenceImages(layout, 512, content).forEach((image, member) => {
      fixture.devices[member]!.bytes.set(image);
    });
    fixture.devices[slot]!.fault = (io) => (io.op === OP_READ && io.block >= 16 ? EIO : OK);
    sameBytes(t, await fixture.read(0, blocks), content);
    t.true(fixture.array.memberStatus()[slot]!.read_errors > 0);
    await fixture.close();
  }
});

test('a raid5f read error is final when another member is missing or fails too', async (t) => {
  const layout: Layout = { level: 'raid5f', strip: 8, sizes: [64, 64, 64] };
  const degraded = await openArray({ ...layout, missing: [2] });
  degraded.devices[0]!.fault = () => EIO;
  t.is(await degraded.reactor.drive(degraded.run(OP_READ, 0, 1, new Uint8Array(512))), EIO);
  // Chunk 1 of stripe 0 is on member 1, which is present and works.
  t.is(await degraded.reactor.drive(degraded.run(OP_READ, 8, 1, new Uint8Array(512))), OK);
  await degraded.close();
  const failing = await openArray(layout);
  failing.devices[0]!.fault = () => EIO;
  failing.devices[2]!.fault = () => 61;
  t.is(await failing.reactor.drive(failing.run(OP_READ, 0, 1, new Uint8Array(512))), 61);
  await failing.close();
});

test('a raid5f strip larger than the scratch memory is carried out in slices', async (t) => {
  const layout: Layout = { level: 'raid5f', strip: 1024, sizes: [2048, 2048, 2048] };
  const blocks = referenceSize(layout);
  const content = new Random(6).bytes(blocks * 512);
  const fixture = await openArray({ ...layout, geometry: { requestBlocksMax: 300 } });
  for (let block = 0; block < blocks; block += 2048) {
    await fixture.write(block, content.subarray(block * 512, (block + 2048) * 512));
  }
  const expected = referenceImages(layout, 512, content);
  fixture.devices.forEach(({ bytes }, slot) => {
    sameBytes(t, bytes, expected[slot]!);
  });
  fixture.devices[1]!.fault = () => EIO;
  sameBytes(t, await fixture.read(0, 2048), content.slice(0, 2048 * 512));
  await fixture.close();
});

test('255 members work', async (t) => {
  const layout: Layout = { level: 'raid5f', strip: 1, sizes: Array.from({ length: 255 }, () => 4) };
  const blocks = referenceSize(layout);
  t.is(blocks, 254 * 4);
  const content = new Random(8).bytes(blocks * 512);
  const fixture = await openArray({ ...layout, missing: [17] });
  await fixture.write(0, content);
  sameBytes(t, await fixture.read(0, blocks), content);
  await fixture.close();
});
