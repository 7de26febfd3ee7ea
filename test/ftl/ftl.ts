import test from 'ava';
import {
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { UNIT_HEADER } from '../../src/ftl/unit-format.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';

test('a write is answered from a write buffer that survives, without any I/O', async (t) => {
  const bench = await FtlBench.make();
  await bench.open({ buffer: bench.memory() });
  const before = bench.disk.log.length;
  t.is(await bench.write(3, 2, 0x11), OK);
  t.is(bench.disk.log.length, before);
  t.is(await bench.read(4), 0x11);
  await bench.close();
});

test('without such a buffer a write is answered when the base has it', async (t) => {
  const bench = await FtlBench.make();
  await bench.open();
  const before = bench.disk.log.length;
  t.is(await bench.write(3, 2, 0x11), OK);
  const since = bench.disk.log.slice(before);
  t.deepEqual(
    since.map(({ op, blockCount }) => [op, blockCount]),
    [[OP_WRITE, 3]],
    'one summary, two blocks, no flush',
  );
  await bench.close();
});

for (const survives of [true, false]) {
  const buffer = survives ? 'with' : 'without';
  test(`FUA writes the unit and flushes before it answers, ${buffer} a buffer`, async (t) => {
    const bench = await FtlBench.make();
    await bench.open({ buffer: survives ? bench.memory() : null });
    const before = bench.disk.log.length;
    t.is(await bench.write(3, 1, 0x11, FLAG_FUA), OK);
    const ops = bench.disk.log.slice(before).map(({ op }) => op);
    t.deepEqual(ops, [OP_WRITE, OP_FLUSH]);
    await bench.close();
  });
}

test('a flush writes what is open, waits for it, and flushes once for many', async (t) => {
  const bench = await FtlBench.make({ delayUsMax: 100 });
  await bench.open({ buffer: bench.memory() });
  await bench.write(0, 4, 0x22);
  const before = bench.disk.log.length;
  const flushes = Array.from({ length: 5 }, () => bench.flush());
  t.deepEqual(await Promise.all(flushes), [0, 0, 0, 0, 0]);
  const since = bench.disk.log.slice(before);
  t.is(since.at(-1)!.op, OP_FLUSH);
  t.true(since.filter(({ op }) => op === OP_FLUSH).length <= 2);
  t.true(since.some(({ op }) => op === OP_WRITE));
  await bench.close();
});

test('blocks never written, or trimmed, read as zeroes and take no space', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ buffer: bench.memory() });
  t.is(await bench.read(9), 0);
  await bench.write(5, 8, 0x33);
  t.is(ftl.status()!.mapped_blocks, 8);
  t.is(await bench.status(OP_TRIM, 6, 3), OK);
  t.is(await bench.status(OP_WRITE_ZEROES, 10, 1), OK);
  t.is(ftl.status()!.mapped_blocks, 4);
  t.is(await bench.read(6), 0);
  t.is(await bench.read(10), 0);
  t.is(await bench.read(9), 0x33);
  await bench.close();
});

test('a unit whose write fails goes elsewhere, and nobody hears of it', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ buffer: bench.memory() });
  let failures = 2;
  bench.disk.fault = (io) => {
    if (io.op !== OP_WRITE || !bench.isBandIo(io) || failures === 0) return OK;
    failures -= 1;
    return EIO;
  };
  t.is(await bench.write(0, 12, 0x44), OK);
  t.is(await bench.flush(), OK);
  t.is(ftl.status()!.units_failed, 2);
  t.is(ftl.status()!.read_only_reason, null);
  await bench.close();
  await bench.open({ buffer: bench.memory() });
  for (let block = 0; block < 12; block += 1) t.is(await bench.read(block), 0x44);
  await bench.close();
});

test('a unit whose write failed never passes for durable', async (t) => {
  const bench = await FtlBench.make();
  await bench.open({ buffer: bench.memory() });
  let failed = -1n;
  let newest = { unit_sequence: -1n, durable_below: -1n };
  bench.disk.fault = (io) => {
    if (io.op !== OP_WRITE || !bench.isBandIo(io)) return OK;
    const header = UNIT_HEADER.decode(bench.reactor.arena.u8, io.buffer);
    if (failed === -1n) {
      failed = header.unit_sequence;
      return EIO;
    }
    newest = header;
    return OK;
  };
  for (let block = 0; block < 30; block += 3) {
    await bench.write(block, 3, 0x11);
    await bench.flush();
  }
  t.true(newest.unit_sequence > failed + 8n);
  t.is(newest.durable_below, failed, 'although all after it are durable');
  await bench.close();
});

/** A device that has met something it cannot go on with. */
async function failedBench(
  fails: 'writes' | 'flush',
): Promise<{ bench: FtlBench; told: number[] }> {
  const bench = await FtlBench.make();
  const ftl = await bench.open({ buffer: bench.memory() });
  const told: number[] = [];
  ftl.observer = {
    deviceFailed: (_device, status) => told.push(status),
    deviceResized: () => {},
    deviceOverdue: () => false,
  };
  await bench.write(0, 3, 0x55);
  await bench.flush();
  bench.disk.fault = (io) => {
    if (fails === 'flush') return io.op === OP_FLUSH ? EIO : OK;
    return io.op === OP_WRITE && bench.isBandIo(io) ? EIO : OK;
  };
  await bench.write(0, 3, 0x66);
  return { bench, told };
}

test('after a failed flush nothing is changed any more, and reads go on', async (t) => {
  const { bench, told } = await failedBench('flush');
  t.is(await bench.flush(), EIO);
  bench.disk.fault = () => OK;
  t.is(await bench.flush(), EIO, 'it is not tried again');
  t.is(await bench.write(1, 1, 0x77), EIO);
  t.is(await bench.status(OP_TRIM, 0, 2), EIO);
  t.is(await bench.read(1), 0x66);
  t.deepEqual(told, [EIO], 'told once');
  t.is(bench.ftl.status()!.read_only_reason, 'a flush of the device below has failed');
  await bench.close();
});

test('too many failed writes in a row end all changes', async (t) => {
  const { bench, told } = await failedBench('writes');
  t.is(await bench.flush(), EIO);
  t.is(await bench.write(1, 1, 0x77), EIO);
  t.is(await bench.read(1), 0x66, 'what is in memory can be read');
  t.deepEqual(told, [EIO]);
  t.regex(bench.ftl.status()!.read_only_reason!, /writes in a row|no free band/);
  await bench.close();
});

/** A small generator: the tests have one history each. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
}

for (const survives of [true, false]) {
  const buffer = survives ? 'with' : 'without';
  test(`a full device is overwritten at random without an error, ${buffer} a buffer`, async (t) => {
    const bench = await FtlBench.make({
      bands: 40,
      delayUsMax: 50,
      shape: { overProvisioning: 25 },
    });
    const ftl = await bench.open({ buffer: survives ? bench.memory() : null });
    const { blockCount } = ftl.geometry;
    const expected = new Uint8Array(blockCount);
    const below = numbers(3);
    let longestUs = 0;
    const write = async (block: number, count: number): Promise<void> => {
      const byte = 1 + below(255);
      const began = bench.reactor.nowUs();
      if ((await bench.write(block, count, byte)) !== OK) t.fail('a write failed');
      longestUs = Math.max(longestUs, bench.reactor.nowUs() - began);
      expected.fill(byte, block, block + count);
    };
    for (let block = 0; block < blockCount; block += 8) {
      await write(block, Math.min(8, blockCount - block));
    }
    for (let done = 0; done < 2 * blockCount; done += 3) await write(below(blockCount - 3), 3);
    const { bands_relocated, mapped_blocks, write_amplification } = ftl.status()!;
    t.is(mapped_blocks, blockCount);
    t.true(bands_relocated > 10);
    t.log(`longest stall ${longestUs} us, write amplification ${write_amplification!.toFixed(2)}`);
    for (let block = 0; block < blockCount; block += 1) {
      if ((await bench.read(block)) !== expected[block]) t.fail(`block ${block}`);
    }
    await bench.close();
  });
}

test('what relocation cannot read stays, is reported, and takes nothing along', async (t) => {
  const bench = await FtlBench.make({ bands: 40 });
  const lost: number[] = [];
  const ftl = await bench.open({
    buffer: bench.memory(),
    found: ({ block, outcome }) => {
      if (outcome === 'lost') lost.push(block!);
    },
  });
  const { blockCount } = ftl.geometry;
  for (let block = 0; block < blockCount; block += 1)
    await bench.write(block, 1, 1 + (block % 250));
  await bench.flush();
  // Block 0, the first one of band 0, is never overwritten.
  const bad = bench.unitBlock(0, 0) + 1;
  bench.disk.fault = (io) => {
    const hit = io.op === OP_READ && io.block <= bad && bad < io.block + io.blockCount;
    return hit ? EIO : OK;
  };
  const below = numbers(9);
  for (let done = 0; done < 3 * blockCount; done += 1) {
    const block = 1 + below(blockCount - 1);
    t.is(await bench.write(block, 1, 1 + (block % 250)), OK);
  }
  t.deepEqual(lost, [0], 'told once');
  t.is(ftl.status()!.unreadable_blocks, 1);
  bench.disk.fault = () => OK;
  for (let block = 0; block < blockCount; block += 1) {
    if ((await bench.read(block)) !== 1 + (block % 250)) t.fail(`block ${block}`);
  }
  await bench.close();
});

test('the status and the description are plain data', async (t) => {
  const bench = await FtlBench.make();
  const ftl = await bench.open();
  await bench.write(0, 30, 0x12);
  const status = ftl.status()!;
  t.deepEqual(JSON.parse(JSON.stringify(status)), status);
  t.is(status.user_blocks, 30);
  t.true(status.write_amplification! >= 4 / 3);
  t.is(
    Object.values(status.bands).reduce((sum, count) => sum + count, 0),
    bench.geometry.bandCount,
  );
  t.is(ftl.describe().kind, 'ftl');
  await bench.close();
  t.is(ftl.status(), null);
});
