import test from 'ava';
import { InvariantError } from '../../src/block/assert.ts';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { REACH_BLOCKS } from '../../src/nv-cache/ring-holes.ts';
import { NV_OWNER, NV_UUID, NvBench } from '../_helpers/nv-bench.ts';

const OTHER = '0f71f71f-0000-4000-8000-0000000000ff';

test('a device without a header holds no cache', async (t) => {
  const bench = await NvBench.make();
  bench.disk.bytes.fill(0, 0, 8192);
  t.is((await bench.refusal()).code, 'BANDSTAND_CACHE_NOT_FOUND');
  t.false(bench.disk.isOpen);
});

test('with one damaged header the other one counts, but not its clean mark', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 1, 0x11);
  await bench.close();
  bench.disk.bytes[100]! ^= 1;
  await bench.open();
  t.like(bench.status.start, { clean: false, headerCopiesDamaged: 1, scannedBlocks: 600 });
  t.is(await bench.read(1), 0x11);
  await bench.close();
  bench.disk.bytes[100]! ^= 1;
  bench.disk.bytes[4096 + 100]! ^= 1;
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_CACHE_HEADER');
  t.regex(error.message, /at block 0 of nvme/);
});

test('a header that cannot be read is a refusal, though the other one is whole', async (t) => {
  const bench = await NvBench.make();
  bench.disk.fault = (io) => (io.block === 1 ? 5 : 0);
  const error = await bench.refusal();
  t.is(error.code, 'BANDSTAND_CACHE_UNREADABLE');
  t.regex(error.message, /at block 1 of nvme/);
});

test('headers of two caches are a contradiction', async (t) => {
  const bench = await NvBench.make();
  const old = bench.disk.bytes.slice(0, 4096);
  bench.putHeader({ uuid: OTHER });
  bench.disk.bytes.set(old, 0);
  t.is((await bench.refusal()).code, 'BANDSTAND_CACHE_INCONSISTENT');
});

test('the cache of another device, another one of this device, and an old copy', async (t) => {
  const bench = await NvBench.make();
  const owner = await bench.refusal({ owner: OTHER });
  t.is(owner.code, 'BANDSTAND_CACHE_OWNER');
  t.true(owner.message.includes(NV_OWNER) && owner.message.includes(OTHER));
  const content = await bench.refusal({ uuid: OTHER });
  t.is(content.code, 'BANDSTAND_CACHE_OWNER');
  t.true(content.message.includes(NV_UUID));
  const epochs: number[] = [];
  const epochBegins = async (epoch: number): Promise<void> => void epochs.push(epoch);
  const copy = bench.disk.bytes.slice();
  await bench.open({ uuid: NV_UUID, epochBegins });
  await bench.close();
  t.deepEqual(epochs, [1]);
  bench.disk.bytes.set(copy);
  const stale = await bench.refusal({ uuid: NV_UUID, epoch: 1 });
  t.is(stale.code, 'BANDSTAND_CACHE_STALE');
  t.regex(stale.message, /this is start 0 of it, and start 1 was in use last/);
});

test('a device that has shrunk, an unknown version, too many starts', async (t) => {
  const bench = await NvBench.make();
  bench.putHeader({ sizeBlocks: 603 });
  const shrunk = await bench.refusal();
  t.is(shrunk.code, 'BANDSTAND_CACHE_SHRUNK');
  t.regex(shrunk.message, /has 603 blocks, the device has 602/);
  bench.putHeader({ epoch: 2 ** 21 - 2 });
  const worn = await bench.refusal();
  t.is(worn.code, 'BANDSTAND_CACHE_READ_ONLY');
  t.regex(worn.message, /start 2097151, and its format counts to 2097150/);
  bench.putHeader();
  bench.disk.bytes[4] = 2;
  t.is((await bench.refusal()).code, 'BANDSTAND_CACHE_VERSION');
});

test('a device that is no place for a cache, and one that is nothing to be cached', async (t) => {
  const small = await t.throwsAsync(NvBench.make({ cache: { blockCount: 500 } }));
  t.like(small, { code: 'BANDSTAND_CACHE_UNSUITABLE' });
  const striped = { cache: { geometry: { writeUnitBlocks: 4 }, blockCount: 604 } };
  t.like(await t.throwsAsync(NvBench.make(striped)), { code: 'BANDSTAND_CACHE_UNSUITABLE' });
  const short = { cache: { geometry: { requestBlocksMax: 8 } } };
  t.like(await t.throwsAsync(NvBench.make(short)), { code: 'BANDSTAND_CACHE_UNSUITABLE' });
  const bench = await NvBench.make({ backing: { features: 0 } });
  t.is((await bench.refusal()).code, 'BANDSTAND_CACHE_UNSUITABLE');
});

/** Reads of this ring block fail. */
function spoil({ disk }: NvBench, bad: number | null): void {
  const isHit = (block: number, count: number) =>
    bad !== null && block <= bad && block + count > bad;
  disk.fault = ({ block, blockCount, op }) =>
    op === OP_READ && isHit(block, blockCount) ? EIO : OK;
}

/** Records at 2, 4 and 6, of blocks 1, 2 and 3; killed, or stopped cleanly. */
async function threeRecords(end: 'kill' | 'stop', blockCount = 602): Promise<NvBench> {
  const bench = await NvBench.make({ cache: { blockCount } });
  await bench.open();
  for (const block of [1, 2, 3]) await bench.write(block, 1, block);
  await bench.flush();
  if (end === 'kill') bench.kill();
  else await bench.close();
  return bench;
}

const NEWER = /records that are newer than all others may be there/;
const NEEDED = /a record is needed that was not found, and may be there/;
const BETWEEN = /nothing says what was there/;
const HOLES: readonly (readonly [end: 'kill' | 'stop', bad: number, why: RegExp])[] = [
  ['kill', 2, NEEDED],
  ['kill', 4, BETWEEN],
  // Nothing else tells the newest record from the end of the ring.
  ['kill', 6, NEWER],
  ['kill', 8, NEWER],
  ['stop', 2, NEEDED],
  ['stop', 4, BETWEEN],
  ['stop', 6, BETWEEN],
];

for (const [end, bad, why] of HOLES) {
  test(`after a ${end} a start is refused whose ring block ${bad} cannot be read`, async (t) => {
    const bench = await threeRecords(end);
    const before = bench.disk.bytes.slice();
    spoil(bench, bad);
    const error = await bench.refusal();
    t.is(error.code, 'BANDSTAND_CACHE_UNREADABLE');
    t.true(error.message.includes(`block ${bad} of it cannot be read`));
    t.regex(error.message, why);
    t.is((await bench.refusal({ readOnly: true })).code, 'BANDSTAND_CACHE_UNREADABLE');
    // Nothing is written over what may be there.
    t.is(Buffer.compare(bench.disk.bytes, before), 0);
    // It can be read again.
    spoil(bench, null);
    await bench.open();
    t.deepEqual(await bench.readAll([1, 2, 3]), [1, 2, 3]);
    await bench.close();
  });
}

test('a copy without what could not be read is started with what it has', async (t) => {
  const bench = await threeRecords('kill');
  bench.disk.bytes.fill(0, 6 * 4096, 7 * 4096);
  await bench.open();
  t.deepEqual(await bench.readAll([1, 2, 3]), [1, 2, 0]);
  await bench.close();
});

test('data that cannot be read is lost, and no reason to refuse a start', async (t) => {
  const bench = await threeRecords('kill');
  spoil(bench, 7);
  await bench.open();
  t.deepEqual(await bench.readAll([1, 2, 3]), [1, 2, -EIO]);
  t.is(bench.status.start.unreadableBlocks, 1);
  await bench.close();
});

test('where no record can be what cannot be read is counted, and not missed', async (t) => {
  for (const [end, bad] of [
    ['stop', 8],
    ['kill', 8 + REACH_BLOCKS],
    // A record that is not needed any more.
    ['kill', 2],
  ] as const) {
    const bench = await threeRecords(end, 3000);
    if (bad === 2) {
      bench.putHeader({ sizeBlocks: 3000, tailSequence: 2 ** 32 + 2, tailAddress: 4, epoch: 1 });
    }
    spoil(bench, bad);
    await bench.open();
    t.is(bench.status.start.unreadableBlocks, end === 'stop' ? 0 : 1);
    t.deepEqual(await bench.readAll([1, 2, 3]), bad === 2 ? [0, 2, 3] : [1, 2, 3]);
    spoil(bench, null);
    await bench.close();
  }
});

test('read-only nothing is written, and reads see the ring and its trims', async (t) => {
  const bench = await NvBench.make();
  bench.content.durable.set(9, new Uint8Array(4096).fill(0x99));
  await bench.open();
  await bench.write(1, 1, 0x11);
  await bench.trim(9, 1);
  bench.kill();
  const before = bench.disk.bytes.slice();
  await bench.open({ readOnly: true });
  t.deepEqual(await bench.readAll([1, 9, 2]), [0x11, 0, 0]);
  t.is(await bench.flush(), 0);
  await t.throwsAsync(bench.submit(OP_WRITE, 1, 1), { instanceOf: InvariantError });
  t.is(bench.backing.writes, 0);
  await bench.close();
  t.true(bench.disk.bytes.every((byte, at) => byte === before[at]));
  t.is(bench.content.durable.get(9)![0], 0x99);
});
