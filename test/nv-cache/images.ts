import test from 'ava';
import { type ImageRecord, NvBench } from '../_helpers/nv-bench.ts';

/**
 * Records of one block, one behind the other, each with its phase; `laps` are the phases in the
 * order of time. All write the same three blocks, so that it shows which copy counts.
 */
function patternOf(phases: readonly number[], laps: readonly number[]): ImageRecord[] {
  return phases.map((phase, slot) => {
    const lap = laps.indexOf(phase);
    return {
      address: 2 + 2 * slot,
      sequence: 1000 * (lap + 1) + slot,
      phase,
      // What was here in the lap before, and everything before it, is not needed any more.
      tail: lap === 0 ? 0 : 1000 * lap + slot + 1,
      data: [[slot % 3, 16 * phase + slot]],
    };
  });
}

/** The byte of each of the three blocks. */
function newestOf(records: readonly ImageRecord[]): number[] {
  const tail = Math.max(...records.map((record) => record.tail ?? 0));
  const counting = records.filter(({ sequence }) => sequence >= tail);
  return [0, 1, 2].map((block) => {
    const copies = counting.filter(({ data }) => data![0]![0] === block);
    copies.sort((a, b) => b.sequence - a.sequence);
    return copies.length === 0 ? 0 : copies[0]!.data![0]![1];
  });
}

interface Pattern {
  readonly phases: readonly number[];
  readonly laps: readonly number[];
  readonly counting: number;
  /** Records, lowest and highest address of phases 1 to 3. */
  readonly found: readonly (readonly [number, number | null, number | null])[];
}

const PATTERNS: readonly Pattern[] = [
  {
    phases: [1, 1, 1, 1, 1],
    laps: [1],
    counting: 5,
    found: [
      [5, 2, 11],
      [0, null, null],
      [0, null, null],
    ],
  },
  {
    phases: [1, 1, 3, 3],
    laps: [3, 1],
    counting: 4,
    found: [
      [2, 2, 5],
      [0, null, null],
      [2, 6, 9],
    ],
  },
  {
    phases: [1, 1, 3, 1, 3, 3],
    laps: [3, 1],
    counting: 5,
    found: [
      [3, 2, 9],
      [0, null, null],
      [3, 6, 13],
    ],
  },
  {
    phases: [2, 1, 2, 1, 1, 1, 3, 1, 3],
    laps: [3, 1, 2],
    counting: 6,
    found: [
      [5, 4, 17],
      [2, 2, 7],
      [2, 14, 19],
    ],
  },
];

for (const { phases, laps, counting, found } of PATTERNS) {
  test(`the newest copy counts where phases are [${phases}]`, async (t) => {
    const bench = await NvBench.make();
    const records = patternOf(phases, laps);
    const phase = laps.at(-1)!;
    bench.putHeader({ phase, tailPhase: laps[0]! });
    for (const record of records) bench.putRecord(record);
    const cache = await bench.open();
    const report = cache.restoreReport!.found!;
    t.is(report.counting, counting);
    t.is(report.old, records.length - counting);
    t.deepEqual(
      report.phases.slice(1).map((each) => [each.records, each.lowestAddress, each.highestAddress]),
      found as never,
    );
    const newest = newestOf(records);
    t.deepEqual(await bench.readAll([0, 1, 2]), newest);
    // It goes on behind the newest record, and what it writes then wins.
    t.is(await bench.write(1, 1, 0xee), 0);
    t.is(await bench.flush(), 0);
    bench.kill();
    await bench.open();
    t.deepEqual(await bench.readAll([0, 1, 2]), [newest[0], 0xee, newest[2]]);
    t.true(await bench.reactor.drive(bench.cache.drainAll()));
    t.deepEqual(
      [0, 1, 2].map((block) => bench.backing.byteOf(block)),
      [newest[0], 0xee, newest[2]],
    );
    await bench.close();
  });
}

test('an interrupted scrub is done again, and nothing that was there counts', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader({ phase: 0 });
  bench.putRecord({ address: 300, sequence: 5, phase: 1, data: [[0, 1]] });
  const cache = await bench.open();
  t.is(cache.restoreReport!.scrubbedBlocks, 600);
  t.is(cache.restoreReport!.scannedBlocks, 0);
  t.is(bench.status.phase, 1);
  t.true(bench.disk.bytes.subarray(2 * 4096).every((byte) => byte === 0));
  t.is(await bench.read(0), 0);
  await bench.close();
  await bench.open();
  t.is(bench.status.cached_blocks, 0);
  await bench.close();
});

const REST: ImageRecord = { address: 10, sequence: 20, phase: 1, data: [[7, 0x77]] };

const STRANGE: readonly [what: string, record: ImageRecord, damage?: (b: Uint8Array) => void][] = [
  ['of another content', { ...REST, sequence: 21, uuid: '0ca40ca4-0000-4000-8000-00000000dead' }],
  ['that says it lies elsewhere', { ...REST, sequence: 21, claims: 14 }],
  ['below the tail', { ...REST, sequence: 3 }],
  [
    'with a torn data block',
    { ...REST, sequence: 21, data: [[7, 0x78]] },
    (bytes) => bytes.fill(0, 41 * 4096, 41 * 4096 + 512),
  ],
  [
    'with a torn description',
    { ...REST, sequence: 21, data: [[7, 0x78]] },
    (bytes) => bytes.fill(0, 40 * 4096 + 512, 40 * 4096 + 1024),
  ],
];

for (const [what, record, damage] of STRANGE) {
  test(`a record ${what} does not count`, async (t) => {
    const bench = await NvBench.make();
    bench.putHeader({ tailSequence: 10, tailAddress: 10 });
    bench.putRecord(REST);
    // Entries and trims are few at the start of the description: make it longer to be torn.
    const trims = Array.from({ length: 20 }, () => [900, 1] as const);
    bench.putRecord({ ...record, address: 40, trims, claims: record.claims ?? 40 });
    damage?.(bench.disk.bytes);
    if (what === 'with a torn description') bench.disk.bytes[40 * 4096 + 2100]! ^= 1;
    await bench.open();
    t.is(await bench.read(7), 0x77);
    t.is(bench.status.start.found!.counting, 1);
    t.is(bench.status.lost_blocks, 0);
    await bench.close();
  });
}

test('blocks and trims beyond the end of the device are left out', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader();
  bench.putRecord({
    address: 10,
    sequence: 20,
    phase: 1,
    data: [
      [5, 0x55],
      [1024, 0x66],
    ],
    trims: [
      [1023, 50],
      [2000, 1],
    ],
  });
  await bench.open();
  const { found } = bench.status.start;
  t.is(found!.beyond, 2);
  t.is(found!.trims, 1);
  t.is(await bench.read(5), 0x55);
  t.is(bench.status.cached_blocks, 1);
  await bench.close();
});

test('records that were overwritten in part give way to the newer ones in them', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader({ tailSequence: 1000, tailAddress: 2, tailPhase: 2, phase: 2 });
  // An old record of 10 blocks, and a newer one in the middle of it.
  const data = Array.from({ length: 10 }, (_, index) => [index, 0x11] as const);
  bench.putRecord({ address: 20, sequence: 500, phase: 1, data });
  bench.putRecord({ address: 23, sequence: 1000, phase: 2, data: [[4, 0x22]] });
  await bench.open();
  t.deepEqual(await bench.readAll([3, 4, 5]), [0, 0x22, 0]);
  t.is(bench.status.start.found!.torn, 1);
  await bench.close();
});

test('within a record trims come before data, and later entries before earlier ones', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader();
  bench.putRecord({ address: 2, sequence: 1, phase: 1, data: [[9, 1]] });
  bench.putRecord({
    address: 4,
    sequence: 2,
    phase: 1,
    data: [
      [8, 2],
      [8, 3],
    ],
    trims: [[8, 2]],
  });
  bench.content.durable.set(9, new Uint8Array(4096).fill(0x99));
  await bench.open();
  t.deepEqual(await bench.readAll([8, 9]), [3, 0]);
  t.is(bench.backing.byteOf(9), 0, 'the device behind was told of the trim');
  await bench.close();
});

test('two records with one sequence are refused', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader();
  bench.putRecord({ address: 2, sequence: 1, phase: 1, data: [[9, 1]] });
  bench.putRecord({ address: 4, sequence: 1, phase: 1, data: [[9, 2]] });
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_CACHE_INCONSISTENT');
  t.regex(error.message, /two records have number 1/);
});

test('records that lie among each other in more than a lap are refused', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader();
  bench.putRecord({ address: 10, sequence: 1, phase: 1, data: [[9, 1]] });
  bench.putRecord({ address: 4, sequence: 2, phase: 2, data: [[9, 2]] });
  bench.putRecord({ address: 14, sequence: 3, phase: 2, data: [[9, 3]] });
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_CACHE_INCONSISTENT');
  t.regex(error.message, /block 14 lies among others/);
});

test('no old record comes back after a cache was created over another one', async (t) => {
  const bench = await NvBench.make({ cache: { geometry: { features: 0 } } });
  await bench.open();
  await bench.write(3, 2, 0x33);
  await bench.close();
  // Power is lost after the headers were wiped and written, before the ring was scrubbed.
  bench.putHeader({ uuid: '0ca40ca4-0000-4000-8000-000000000002' });
  await bench.open();
  t.is(await bench.read(3), 0);
  t.is(bench.status.cached_blocks, 0);
  await bench.close();
});

test('a life that has numbered into the next epoch, and emptied the ring, takes nothing from the next', async (t) => {
  const bench = await NvBench.make();
  const next = 2 ** 32 + 5;
  bench.putHeader({ headSequence: next - 1, tailSequence: next, currentAddress: 2 });
  await bench.open();
  t.is(await bench.write(1, 1, 0x11), 0);
  t.is(await bench.flush(), 0);
  bench.kill();
  await bench.open();
  t.is(await bench.read(1), 0x11);
  await bench.close();
});
