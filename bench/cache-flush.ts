/**
 * The part `flush` of bench:cache: writes of 4 KiB that are each followed by a flush.
 *
 * Through the cache, an FTL and raid5f(4) over files, at random addresses, once the ring is so full
 * that it is drained all the time; against fio on a device like the cache device, which writes in
 * sequence. With one writer fio is one thread with --fsync=1; sixteen writers are sixteen such
 * threads of fio, and sixteen operations of one thread here. Windows of both alternate, because
 * others may use the machine, and the median of their ratios counts.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { BenchDisk } from './bench-disk.ts';
import { CacheStack } from './cache-stack.ts';
import { runFio } from './fio.ts';
import { BLOCK_BYTES, MEMBER_COUNT } from './ftl-stack.ts';
import { atLeast, atMost, median, tell, thousands } from './outcome.ts';
import { makeLoad } from './waf-load.ts';
import { WriteLoad } from './write-load.ts';

const CACHE_BYTES = 256 * 2 ** 20;
const MEMBER_BYTES = 640 * 2 ** 20;
const ROUNDS = 15;
const WINDOW_MS = 400;
const WRITERS = [1, 16];
/** Blocks that are written before anything is counted: then the ring is drained. */
const WARM_UP_WRITES = CACHE_BYTES / BLOCK_BYTES;

const folder = process.argv[2]!;

function makeMember(slot: number): string {
  const file = path.join(folder, `member${slot}`);
  const fd = openSync(file, 'w');
  const chunk = Buffer.alloc(2 ** 22, 1);
  for (let at = 0; at < MEMBER_BYTES; at += chunk.length) writeSync(fd, chunk);
  closeSync(fd);
  return file;
}

const disk = BenchDisk.make(path.join(folder, 'cache'), CACHE_BYTES);
const peer = BenchDisk.make(path.join(folder, 'peer'), CACHE_BYTES);
const paths = Array.from({ length: MEMBER_COUNT }, (_, slot) => makeMember(slot));
const stack = new CacheStack(disk.path, { members: 'files', memberBytes: MEMBER_BYTES, paths });
await stack.open();
const { below, cache, reactor } = stack;
const load = makeLoad({ kind: 'uniform' }, cache.geometry.blockCount, 1);

function run(writers: number, ms: number): Promise<number> {
  return new WriteLoad(reactor, cache, { load, writers, flushes: true, ms }).run();
}

function runPeer(threads: number): number {
  const job = {
    rw: 'write',
    requestBytes: BLOCK_BYTES,
    depth: 1,
    seconds: WINDOW_MS / 1000,
    paths: [peer.path],
    regionBytes: CACHE_BYTES,
    flushes: true,
    threads,
  };
  return runFio(job).iops;
}

const writes = WARM_UP_WRITES;
await new WriteLoad(reactor, cache, { load, writers: 64, flushes: false, writes }).run();
for (const writers of WRITERS) await run(writers, WINDOW_MS);
const before = { cache: cache.status()!, ftl: below.ftl.status()! };
for (const writers of WRITERS) {
  const ratios: number[] = [];
  let [ours, theirs] = [0, 0];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours = await run(writers, WINDOW_MS);
    theirs = runPeer(writers);
    ratios.push(ours / theirs);
  }
  tell(
    `flush: write + flush, ${writers === 1 ? '1 writer' : `${writers} writers`} / fio`,
    median(ratios).toFixed(2),
    atLeast(median(ratios), 0.8),
    `last: ${thousands(ours)}, fio ${thousands(theirs)} on its own ${peer.kind}`,
  );
}
const after = { cache: cache.status()!, ftl: below.ftl.status()! };
const padded = after.ftl.units_padded - before.ftl.units_padded;
const units = after.ftl.units_written - before.ftl.units_written;
const flushes = after.cache.cache_flushes - before.cache.cache_flushes;
const drained = after.cache.drained_blocks - before.cache.drained_blocks;
const forced = after.cache.forced_flushes - before.cache.forced_flushes;
const checkpoints = after.ftl.checkpoints - before.ftl.checkpoints;
tell(
  'flush: flushes that reached the FTL, and pad',
  String(forced),
  atMost(forced, 0, '0'),
  `of ${flushes} flushes of the cache device; ${drained} blocks were drained meanwhile`,
);
tell(
  'flush: share of units that were padded',
  (padded / units).toFixed(4),
  atMost(padded / units, 0.01),
  `${padded} of ${units}, by ${checkpoints} checkpoints of the FTL`,
);
await stack.close();
for (const one of [disk, peer]) one.close();
