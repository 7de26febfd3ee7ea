/**
 * What makes a checkpoint count, in the order of its writes.
 */

import test from 'ava';
import { OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { superblockCopyBytes } from '../../src/ftl/ftl-superblock.ts';
import { BLOCK, FtlBench } from '../_helpers/ftl-bench.ts';

test('a checkpoint in which a unit fails and moves does not count', async (t) => {
  const bench = await FtlBench.make({ delayUsMax: 500 });
  const ftl = await bench.open({ buffer: bench.memory(), checkpointUnits: 3 });
  const pages = (2 * superblockCopyBytes(bench.geometry)) / BLOCK;
  t.is(bench.geometry.pageCount, 1, 'one page and the superblock are a checkpoint');
  let events = '';
  let failures = 0;
  bench.disk.fault = (io) => {
    if (io.op !== OP_WRITE) return OK;
    if (!bench.isBandIo(io)) {
      events += io.block < pages ? 'S' : 'P';
      return OK;
    }
    // Of two checkpoints a unit fails between the page and the superblock.
    if (!events.endsWith('P') || failures === 2) return OK;
    failures += 1;
    events += 'F';
    return EIO;
  };
  const { blockCount } = ftl.geometry;
  for (let write = 0; write < 120; write += 1) {
    t.is(await bench.write((write * 7) % blockCount, 1, write), OK);
  }
  t.is(await bench.flush(), OK);
  t.is(ftl.status()!.read_only_reason, null);
  await bench.close();
  t.notRegex(events, /FS/, 'what it had written was given up');
  t.is(failures, 2);
  t.regex(events, /PS/, 'there were other checkpoints');
});
