/** What only a cache may have: its newest copies, in order, and what was trimmed and lost. */

import test from 'ava';
import { NvBench } from '../_helpers/nv-bench.ts';

test('the newest copies are listed in order, also where the ring wraps', async (t) => {
  const bench = await NvBench.make({ backing: { unitBlocks: 8 } });
  await bench.open();
  // Round the ring more than once: what has left it is not in it.
  for (let index = 0; index < 500; index += 1) await bench.write((index * 7) % 50, 1, index % 250);
  await bench.write(900, 3, 1);
  await bench.trim(901, 1);
  const { blocks, lost, trims } = bench.cache.content();
  t.is(blocks.length, bench.status.cached_blocks);
  t.deepEqual(
    [...blocks],
    [...new Set(blocks)].sort((a, b) => a - b),
  );
  t.true(blocks.includes(900) && !blocks.includes(901) && blocks.includes(902));
  t.deepEqual([lost, trims], [[], []]);
  bench.kill();
  const cache = await bench.open({ readOnly: true });
  t.true(cache.content().trims.some(({ block, blockCount }) => block === 901 && blockCount === 1));
  t.false(cache.content().blocks.includes(901));
  await bench.close();
});

test('blocks that have rotted in the ring are listed as lost', async (t) => {
  const bench = await NvBench.make();
  await bench.open();
  await bench.write(1, 3, 0x11);
  await bench.close();
  bench.disk.bytes[4 * 4096 + 9]! ^= 1;
  const cache = await bench.open({ readOnly: true });
  const { blocks, lost } = cache.content();
  t.deepEqual([...blocks], [1, 3]);
  t.deepEqual(lost, [{ block: 2, blockCount: 1 }]);
  await bench.close();
});
