/**
 * What makes units durable though no user has asked for it.
 */

import test from 'ava';
import { OP_FLUSH } from '../../src/block/block-io.ts';
import { OK } from '../../src/block/status.ts';
import { FtlBench } from '../_helpers/ftl-bench.ts';

const WRITES = 60;

/** Writes without a flush, then dies; gives the flushes meanwhile and what the start played. */
async function loseAfterWrites(flushUnits: number, volatileCache = true) {
  const bench = await FtlBench.make({ volatileCache });
  const options = { buffer: bench.memory(), checkpointUnits: 1000, flushUnits };
  const ftl = await bench.open(options);
  let flushes = 0;
  bench.disk.fault = (io) => {
    if (io.op === OP_FLUSH) flushes += 1;
    return OK;
  };
  for (let write = 0; write < WRITES; write += 1) {
    if ((await bench.write(write, 1, write + 1)) !== OK) throw new Error('a write has failed');
  }
  const { units_padded: padded, units_written: units } = ftl.status()!;
  bench.disk.fault = () => OK;
  await bench.kill();
  const { blocksRead, unitsPlayed } = (await bench.open()).restoreReport!;
  return { blocksRead, flushes, padded, units, unitsPlayed };
}

test('after enough units the base is flushed, and a start reads the last ones only', async (t) => {
  const often = await loseAfterWrites(4);
  const never = await loseAfterWrites(1000);
  t.is(never.flushes, 0);
  // The last one may not have come to pass.
  const expected = Math.floor(often.units / 4);
  t.true([expected - 1, expected].includes(often.flushes), `${often.flushes} flushes`);
  t.is(often.units, never.units, 'a flush for its own sake seals nothing');
  t.is(often.padded, 0);
  t.is(often.unitsPlayed, never.unitsPlayed, 'summaries count all the same');
  t.true(never.blocksRead - often.blocksRead > 3 * (often.units - 8), 'three blocks for each unit');
});

test('a base without a cache is not flushed', async (t) => {
  t.is((await loseAfterWrites(4, false)).flushes, 0);
});
