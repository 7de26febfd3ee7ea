/**
 * The part `speed` of bench:ftl: random writes over members that cost nothing per byte.
 *
 * Bytes to the members are held against WAF × 4/3 of what was written: WAF counts blocks of data,
 * the user's and relocated ones, so that summaries, padding and the map are what may be added.
 */

import type { ForgetfulDevice } from './forgetful-device.ts';
import { FtlStack } from './ftl-stack.ts';
import { atLeast, atMost, median, tell, thousands } from './outcome.ts';
import { fill, OP_READ, OP_WRITE, random } from './random-load.ts';

const MEMBER_BYTES = 2 ** 30;
const OVERWRITES = 3;
const WINDOWS = 12;
const WINDOW_IOS = 150_000;
const FILL_BLOCKS = 16;
const REST_TURNS = 100_000;
const DATA_SHARE = 4 / 3;
const HEAP_GROWTH_MAX = 2 ** 20;

const stack = new FtlStack({ members: 'forgetful', memberBytes: MEMBER_BYTES, isMetered: true });
await stack.open();
const { ftl, reactor } = stack;
const meter = stack.meter!;
const members = stack.members as readonly ForgetfulDevice[];
const sum = (column: 'blocksRead' | 'blocksWritten'): number =>
  members.reduce((total, member) => total + member[column], 0);
await fill(reactor, ftl, FILL_BLOCKS);
await random(reactor, ftl, OP_WRITE, OVERWRITES * ftl.geometry.blockCount);

/** Until relocation has nothing to do, so that no read is in flight when reads are counted. */
function rest(): void {
  for (let turn = 0; turn < REST_TURNS; turn += 1) reactor.turn();
}

rest();
globalThis.gc?.();
const heapBefore = process.memoryUsage().heapUsed;
const before = ftl.status()!;
const [readBefore, writtenBefore] = [sum('blocksRead'), sum('blocksWritten')];
const askedBefore = meter.meter(OP_READ).bytes;
const windows = [];
for (let window = 0; window < WINDOWS; window += 1) {
  windows.push(await random(reactor, ftl, OP_WRITE, WINDOW_IOS));
}
rest();
const after = ftl.status()!;
globalThis.gc?.();
const heapGrowth = process.memoryUsage().heapUsed - heapBefore;

const userBlocks = after.user_blocks - before.user_blocks;
const moved = after.relocated_blocks - before.relocated_blocks;
const waf = (userBlocks + moved) / userBlocks;
const perCore = median(windows.map(({ iopsPerCore }) => iopsPerCore));
const wall = median(windows.map(({ iops }) => iops));
const best = Math.max(...windows.map(({ iopsPerCore }) => iopsPerCore));
tell(
  'random writes of 4 KiB, QD 64, one core',
  thousands(perCore),
  atLeast(perCore, 300_000, '≥ 300 k/s'),
  `best window ${thousands(best)}, by the clock ${thousands(wall)}, WAF ${waf.toFixed(2)}`,
);
const written = sum('blocksWritten') - writtenBefore;
const overhead = written / (userBlocks * waf * DATA_SHARE);
const padded = after.units_padded - before.units_padded;
const units = after.units_written - before.units_written;
const pages = after.metadata_blocks - before.metadata_blocks;
tell(
  'bytes to members / (WAF × 4/3 × user bytes)',
  overhead.toFixed(3),
  atMost(overhead, 1.05),
  `${padded} of ${units} units padded, map and superblocks ${((100 * pages) / written).toFixed(1)} %`,
);
const read = sum('blocksRead') - readBefore;
const asked = (meter.meter(OP_READ).bytes - askedBefore) / 4096;
tell(
  'blocks read beyond what relocation reads',
  String(read - asked),
  atMost(read - asked, 0, '0'),
  `relocation has read ${(asked / moved).toFixed(2)} blocks for each that it moved`,
);
tell(
  `heap growth over ${(userBlocks / 1e6).toFixed(1)} M writes`,
  `${(heapGrowth / 1024).toFixed(0)} KiB`,
  atMost(heapGrowth, HEAP_GROWTH_MAX, '≤ 1024 KiB'),
);
await stack.close();
