import test from 'ava';
import { OP_READ } from '../../src/block/block-io.ts';
import { EILSEQ, EIO, OK } from '../../src/block/status.ts';
import { BLOCK, FtlBench } from '../_helpers/ftl-bench.ts';

/** A device with 40 blocks, each filled with its number and one, all on the base. */
async function filled(): Promise<FtlBench> {
  const bench = await FtlBench.make({ delayUsMax: 20 });
  await bench.open({ buffer: bench.memory() });
  for (let block = 0; block < 40; block += 1) await bench.write(block, 1, block + 1);
  await bench.flush();
  return bench;
}

/** The block of the disk that holds this content. */
function diskBlock({ disk }: FtlBench, byte: number): number {
  for (let at = disk.bytes.length / BLOCK - 1; at >= 0; at -= 1) {
    const bytes = disk.bytes.subarray(at * BLOCK, (at + 1) * BLOCK);
    if (bytes.every((value) => value === byte)) return at;
  }
  throw new Error('the content is nowhere');
}

test('a check of a sound device looks at everything and finds nothing', async (t) => {
  const bench = await filled();
  const report = await bench.reactor.drive(bench.ftl.check());
  t.like(report, { checkedBlocks: 40, wrongCount: 0, wrong: [] });
  await bench.close();
});

test('a block that has rotted is found, and no other', async (t) => {
  const bench = await filled();
  bench.disk.bytes[diskBlock(bench, 8) * BLOCK + 77]! ^= 1;
  const { wrong } = await bench.reactor.drive(bench.ftl.check());
  t.deepEqual(
    wrong.map(({ block, status }) => [block, status]),
    [[7, EILSEQ]],
  );
  await bench.close();
});

test('a block that lies where another one should is found', async (t) => {
  const bench = await filled();
  const [from, to] = [diskBlock(bench, 3), diskBlock(bench, 30)];
  bench.disk.bytes.copyWithin(to * BLOCK, from * BLOCK, (from + 1) * BLOCK);
  const { wrong } = await bench.reactor.drive(bench.ftl.check());
  t.deepEqual(
    wrong.map(({ block, status }) => [block, status]),
    [[29, EILSEQ]],
  );
  await bench.close();
});

test('a block that cannot be read is found, and its neighbours are checked', async (t) => {
  const bench = await filled();
  const bad = diskBlock(bench, 8);
  bench.disk.fault = (io) => {
    const hit = io.op === OP_READ && io.block <= bad && bad < io.block + io.blockCount;
    return hit ? EIO : OK;
  };
  const report = await bench.reactor.drive(bench.ftl.check());
  t.is(report.checkedBlocks, 40);
  t.deepEqual(
    report.wrong.map(({ block, status }) => [block, status]),
    [[7, EIO]],
  );
  bench.disk.fault = () => OK;
  await bench.close();
});

test('blocks whose unit is lost are looked for in the map', async (t) => {
  const bench = await filled();
  const { unitBlocks } = bench.geometry;
  const unit = Math.floor(diskBlock(bench, 8) / unitBlocks);
  bench.disk.bytes.fill(0, unit * unitBlocks * BLOCK, (unit * unitBlocks + 1) * BLOCK);
  const { wrong } = await bench.reactor.drive(bench.ftl.check());
  t.deepEqual(
    wrong.map(({ block, status }) => [block, status]),
    [6, 7, 8].map((block) => [block, EIO]),
  );
  await bench.close();
});

test('a check goes on beside writes, and ends when the device is closed', async (t) => {
  const bench = await filled();
  const check = bench.ftl.check();
  for (let round = 0; round < 300; round += 1) {
    t.is(await bench.write((round * 7) % 40, 1, (round % 250) + 1), OK);
  }
  await bench.close();
  t.deepEqual((await check).wrong, []);
});
