/**
 * The part `absorb` of bench:cache: how much of a load with favourites the ring takes for itself.
 *
 * Blocks are chosen by Zipf's law with exponent 1 among so many as fill three quarters of the
 * cache, and written at depth 64. What is in the ring when counting begins is drained within what
 * is counted, and what is there at the end is not: once the ring is full, that is as much.
 */

import path from 'node:path';
import { OP_WRITE } from '../src/block/block-io.ts';
import { BenchDisk } from './bench-disk.ts';
import { CacheStack } from './cache-stack.ts';
import { BLOCK_BYTES } from './ftl-stack.ts';
import { atMost, mebibytes, tell } from './outcome.ts';
import { makeLoad } from './waf-load.ts';
import { WriteLoad } from './write-load.ts';

const CACHE_BYTES = 128 * 2 ** 20;
const MEMBER_BYTES = 256 * 2 ** 20;
const FOOTPRINT = 0.75;
const WRITERS = 64;
/** Writes, in blocks of the cache: until the ring is full and its content is as it will stay. */
const WARM_UP = 3;
const MEASURED = 6;

const disk = BenchDisk.make(path.join(process.argv[2]!, 'cache'), CACHE_BYTES);
const spec = { members: 'memory', memberBytes: MEMBER_BYTES, isMetered: true } as const;
const stack = new CacheStack(disk.path, spec);
await stack.open();
const { below, cache, reactor } = stack;
const blocks = CACHE_BYTES / BLOCK_BYTES;
const load = makeLoad({ kind: 'zipf', exponent: 1 }, FOOTPRINT * blocks, 1);
const write = (writes: number) =>
  new WriteLoad(reactor, cache, { load, writers: WRITERS, flushes: false, writes }).run();

await write(WARM_UP * blocks);
const before = cache.status()!;
const bytesBefore = below.meter!.meter(OP_WRITE).bytes;
await write(MEASURED * blocks);
const after = cache.status()!;
const user = after.user_blocks - before.user_blocks;
const drained = after.drained_blocks - before.drained_blocks;
const toArray = below.meter!.meter(OP_WRITE).bytes - bytesBefore;
const share = drained / user;
tell(
  'absorb: drained / written by users, Zipf 1.0',
  share.toFixed(2),
  atMost(share, 0.5),
  `${mebibytes(user * BLOCK_BYTES)} written; ${mebibytes(toArray)} came to the array`,
);
await stack.close();
disk.close();
