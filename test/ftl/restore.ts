import test from 'ava';
import { OP_READ, OP_TRIM } from '../../src/block/block-io.ts';
import { crc32c } from '../../src/block/crc32c.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { superblockCopyBytes } from '../../src/ftl/ftl-superblock.ts';
import { BLOCK, BUFFER_BYTES, FtlBench } from '../_helpers/ftl-bench.ts';

test('a clean start reads heads of bands and no more; a dirty one what came since', async (t) => {
  const bench = await FtlBench.make();
  await bench.open({ buffer: bench.memory() });
  for (let block = 0; block < 90; block += 1) await bench.write(block, 1, block);
  await bench.close();
  const clean = await bench.open({ buffer: bench.memory() });
  const { bandCount, bandUnits } = bench.geometry;
  t.true(clean.restoreReport!.clean);
  t.is(clean.restoreReport!.unitsPlayed, 0);
  t.true(clean.restoreReport!.blocksRead <= bandCount + 2 * bandUnits);
  for (let block = 0; block < 12; block += 1) await bench.write(block, 1, 100);
  await bench.flush();
  await bench.kill();
  const dirty = await bench.open({ buffer: bench.memory() });
  t.false(dirty.restoreReport!.clean);
  t.is(dirty.restoreReport!.unitsPlayed, 4);
  t.true(dirty.restoreReport!.blocksRead <= bandCount + 4 * bandUnits + 4 * 4);
  t.is(await bench.read(11), 100);
  t.is(await bench.read(12), 12);
  await bench.close();
});

test('a start is a list of steps that are told', async (t) => {
  const bench = await FtlBench.make();
  const names: string[] = [];
  const steps = { stepStarted: (name: string) => names.push(name), stepEnded: () => {} };
  await bench.open({ steps });
  t.deepEqual(names, [
    'Begin a new epoch',
    'Load the map',
    'Adopt the write buffer',
    'Read the heads of bands',
    'Roll forward',
    'Sort bands',
  ]);
  await bench.close();
});

// --- the write buffer of a process that was killed ----------------------------------------------

/** A device that was killed with unflushed writes and a trim in its buffer at `at`. */
async function killed(): Promise<{ bench: FtlBench; at: number }> {
  const bench = await FtlBench.make();
  const memory = bench.memory();
  await bench.open({ buffer: memory });
  await bench.write(0, 12, 0x11);
  await bench.flush();
  await bench.write(4, 5, 0x22);
  await bench.status(OP_TRIM, 0, 2);
  await bench.write(20, 2, 0x33);
  await bench.kill();
  return { bench, at: memory.at };
}

test('what a killed process had answered is there at the next start', async (t) => {
  const { bench, at } = await killed();
  const ftl = await bench.open({ buffer: bench.memory(true, at) });
  t.true(ftl.restoreReport!.adoption.units > 0);
  t.deepEqual(await Promise.all([0, 1, 2].map((block) => bench.read(block))), [0, 0, 0x11]);
  t.deepEqual(
    await Promise.all([3, 4, 8, 9].map((block) => bench.read(block))),
    [0x11, 0x22, 0x22, 0x11],
  );
  t.is(await bench.read(21), 0x33);
  await bench.close();
});

test('without the memory a start has what was flushed', async (t) => {
  const { bench } = await killed();
  const ftl = await bench.open({ buffer: bench.memory() });
  t.is(ftl.restoreReport!.adoption.units, 0);
  t.is(await bench.read(0), 0x11);
  t.is(await bench.read(21), 0);
  await bench.close();
});

test('memory that a later life has superseded is left alone', async (t) => {
  const { bench, at } = await killed();
  const stale = bench.reactor.arena.u8.slice(at, at + BUFFER_BYTES);
  await bench.open({ buffer: bench.memory(true, at) });
  await bench.write(4, 5, 0x44);
  await bench.flush();
  await bench.kill();
  bench.reactor.arena.u8.set(stale, at);
  const ftl = await bench.open({ buffer: bench.memory(true, at) });
  t.is(ftl.restoreReport!.adoption.units, 0);
  t.is(await bench.read(4), 0x44);
  await bench.close();
});

test('memory without a signature is left alone', async (t) => {
  const { bench, at } = await killed();
  bench.reactor.arena.u8.fill(0xa5, at, at + 64);
  const ftl = await bench.open({ buffer: bench.memory(true, at) });
  t.is(ftl.restoreReport!.adoption.units, 0);
  await bench.close();
});

const PREFIX = 'cannot take over the write buffer memory of ram: ';
const SPOILT: readonly (readonly [why: RegExp, patch: (view: DataView) => void, fix: boolean])[] = [
  [/its index is damaged$/, (view) => view.setUint32(40, 7, true), false],
  [/it has version 9$/, (view) => view.setUint32(4, 9, true), true],
  [/its units have 8 blocks$/, (view) => view.setUint32(28, 8, true), true],
  [/it has 900 units in \d+ bytes$/, (view) => view.setUint32(24, 900, true), true],
  [/the index entry of slot 0 is impossible$/, (view) => spoilSlot(view, 4, 4), true],
  [/the index entry of slot 0 is impossible$/, (view) => spoilSlot(view, 12, 1e6), true],
];

/** A slot that is in use, with something impossible in it. */
function spoilSlot(view: DataView, at: number, value: number): void {
  view.setUint32(64, 1, true);
  view.setUint32(68, 1, true);
  view.setUint32(64 + at, value, true);
}

test('memory of this device that cannot be taken over keeps it from starting', async (t) => {
  for (const [why, patch, fix] of SPOILT) {
    const { bench, at } = await killed();
    const { u8, view } = bench.reactor.arena;
    patch(new DataView(u8.buffer, at, BUFFER_BYTES));
    if (fix) view.setUint32(at + 60, crc32c(u8, at, at + 60), true);
    const error = await bench.refusal({ buffer: bench.memory(true, at) });
    t.is(error.code, 'BANDSTAND_FTL_BUFFER');
    t.true(error.message.startsWith(PREFIX), error.message);
    t.regex(error.message, why);
    t.false(bench.disk.isOpen, 'nothing is left open');
  }
});

test('a write buffer that is too small is refused with what it takes', async (t) => {
  const bench = await FtlBench.make();
  const at = bench.reactor.arena.allocate(20480);
  const buffer = { at, bytes: 20480, isAdopted: false, path: 'memory', discard: () => {} };
  const error = await bench.refusal({ buffer });
  t.is(error.code, 'BANDSTAND_FTL_BUFFER');
  t.regex(error.message, /^cannot use a write buffer of 20480 bytes for ram: it holds 1 units, \d/);
});

// --- what may be wrong on the base --------------------------------------------------------------

/** A device that was stopped cleanly, with some content. */
async function stopped(): Promise<FtlBench> {
  const bench = await FtlBench.make();
  await bench.open({ buffer: bench.memory() });
  await bench.write(0, 40, 0x11);
  await bench.close();
  return bench;
}

test('a base without a superblock holds no device', async (t) => {
  const bench = await stopped();
  bench.disk.bytes.fill(0);
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_NOT_FOUND');
  t.is(error.message, 'cannot open a log-structured device on ram: it has no superblock of one');
});

for (const copy of [0, 1] as const) {
  test(`a start does with one superblock when copy ${copy} is damaged or gone`, async (t) => {
    for (const spoil of ['damaged', 'gone']) {
      const bench = await stopped();
      const at = copy * superblockCopyBytes(bench.geometry);
      if (spoil === 'damaged') bench.disk.bytes[at + 40]! ^= 1;
      else bench.disk.bytes.fill(0, at, at + BLOCK);
      const ftl = await bench.open({ buffer: bench.memory() });
      t.false(ftl.restoreReport!.clean, 'a clean mark in the other one is not believed');
      t.is(await bench.read(39), 0x11);
      await bench.close();
      const again = await bench.open({ buffer: bench.memory() });
      t.true(again.restoreReport!.clean);
      await bench.close();
    }
  });
}

test('two damaged superblocks are refused, and the field is named', async (t) => {
  const bench = await stopped();
  for (const copy of [0, 1]) {
    bench.disk.bytes[copy * superblockCopyBytes(bench.geometry) + 40]! ^= 1;
  }
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_SUPERBLOCK');
  t.is(error.details['field'], 'crc');
});

test('superblocks of two devices are refused', async (t) => {
  const bench = await stopped();
  const other = await FtlBench.make({ shape: { uuid: '0f71f71f-0000-4000-8000-0000000000ff' } });
  const bytes = superblockCopyBytes(bench.geometry);
  bench.disk.bytes.set(other.disk.bytes.subarray(bytes, 2 * bytes), bytes);
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_INCONSISTENT');
  t.regex(error.message, /its superblocks are of two devices/);
});

test('a base that has shrunk, or takes other writes, is refused', async (t) => {
  const bench = await stopped();
  const { geometry } = bench.disk;
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ blockCount: 500 }, /it needs \d+ bytes, 2048000 are there$/],
    [{ writeUnitBlocks: 3 }, /its units of 16384 bytes are not multiples of what can be written$/],
    [{ requestBlocksMax: 2 }, /its units of 16384 bytes are more than can be written at once$/],
  ];
  for (const [change, why] of cases) {
    bench.disk.geometry = { ...geometry, ...change };
    const error = await bench.refusal();
    t.is(error.code, 'BANDSTAND_FTL_INCONSISTENT');
    t.regex(error.message, why);
  }
});

test('a damaged page of the map is refused with its number', async (t) => {
  const bench = await stopped();
  const { firstPageUnit, firstBandUnit, unitBlocks } = bench.geometry;
  for (let unit = firstPageUnit; unit < firstBandUnit; unit += 1) {
    bench.disk.bytes[unit * unitBlocks * BLOCK + 100]! ^= 1;
  }
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_MAP');
  t.is(
    error.message,
    'cannot open the log-structured device on ram: page 0 of its map is not usable: its checksum is wrong',
  );
});

test('what cannot be read keeps a device from starting, for this time', async (t) => {
  const bench = await stopped();
  await bench.open({ buffer: bench.memory() });
  await bench.write(0, 3, 0x22);
  await bench.flush();
  await bench.kill();
  const parts: readonly (readonly [code: string, from: number, end: number, what: RegExp])[] = [
    ['BANDSTAND_FTL_MAP', bench.geometry.firstPageUnit * 4, bench.unitBlock(0, 0), /page 0 of its/],
    ['BANDSTAND_FTL_UNREADABLE', bench.unitBlock(3, 0), bench.unitBlock(3, 1), /head of band 3 /],
    [
      'BANDSTAND_FTL_UNREADABLE',
      bench.unitBlock(1, 1),
      bench.unitBlock(2, 0),
      /unit \d of band 1 /,
    ],
  ];
  for (const [code, from, end, what] of parts) {
    bench.disk.fault = (io) => {
      const hit = io.op === OP_READ && io.block >= from && io.block < end;
      return hit ? EIO : OK;
    };
    const error = await bench.refusal();
    t.is(error.code, code as typeof error.code);
    t.regex(error.message, what);
    t.regex(error.message, /input\/output error$/);
  }
  bench.disk.fault = () => OK;
  await bench.open({ buffer: bench.memory() });
  t.is(await bench.read(2), 0x22);
  await bench.close();
});

test('two bands that begin with the same unit are refused', async (t) => {
  const bench = await stopped();
  const from = bench.unitBlock(0, 0) * BLOCK;
  const to = bench.unitBlock(7, 0) * BLOCK;
  const head = bench.disk.bytes.slice(from, from + BLOCK);
  // The copy says that it is where it lies.
  const view = new DataView(head.buffer);
  view.setUint32(32, 7, true);
  const summed = new Uint8Array([...head.subarray(0, 60), ...head.subarray(64)]);
  view.setUint32(60, crc32c(summed), true);
  bench.disk.bytes.set(head, to);
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_FTL_INCONSISTENT');
  t.regex(error.message, /bands \d+ and \d+ begin with one unit \d+$/);
});

test('a unit that was torn counts as far as it is intact', async (t) => {
  const bench = await stopped();
  await bench.open({ buffer: bench.memory() });
  await bench.write(0, 3, 0x22);
  await bench.flush();
  const { bytes } = bench.disk;
  const at = [...Array(bytes.length / BLOCK).keys()].findLast((block) => {
    return block >= bench.unitBlock(0, 0) && bytes[block * BLOCK + 7] === 0x22;
  })!;
  await bench.kill();
  bytes[at * BLOCK + 700] = 0;
  const ftl = await bench.open({ buffer: bench.memory() });
  t.is(ftl.restoreReport!.tornBlocks, 1);
  t.deepEqual([await bench.read(0), await bench.read(1), await bench.read(2)], [0x22, 0x22, 0x11]);
  await bench.close();
});
