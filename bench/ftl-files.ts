/**
 * The part `files` of bench:ftl: members are files in the folder that is given.
 *
 * A write of 4 KiB costs the members 4096 × WAF × 4/3 bytes, where WAF counts all blocks that the
 * FTL writes (data, copies, summaries, padding, map). So the bound is
 *
 *     IOPS = bandwidth of the members / (4096 × WAF × 4/3)
 *
 * with the bandwidth that four files like the members take together, in whole strips, through the
 * same reactor, in windows between those of the FTL. Relocation also reads: a second bound counts
 * the time that takes at the bandwidth with which the files are read. It is shown, not judged.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { FileDevice } from '../src/device/file-device.ts';
import { BLOCK_BYTES, FtlStack, MEMBER_COUNT, STRIP_BYTES } from './ftl-stack.ts';
import { atLeast, median, tell, thousands } from './outcome.ts';
import { fill, OP_READ, OP_WRITE, RandomLoad, random } from './random-load.ts';

const MEMBER_BYTES = 384 * 2 ** 20;
const PEER_BYTES = 128 * 2 ** 20;
const OVERWRITES = 2;
const ROUNDS = 7;
const WRITES = 60_000;
const READS = 100_000;
const STRIPS = 6000;
const FILL_BLOCKS = 16;

const folder = process.argv[2]!;

function makeFile(name: string, bytes: number): void {
  const fd = openSync(path.join(folder, name), 'w');
  const chunk = Buffer.alloc(2 ** 22, 1);
  for (let at = 0; at < bytes; at += chunk.length) writeSync(fd, chunk);
  closeSync(fd);
}

for (let slot = 0; slot < MEMBER_COUNT; slot += 1) {
  makeFile(`member${slot}`, MEMBER_BYTES);
  makeFile(`peer${slot}`, PEER_BYTES);
}
const stack = new FtlStack({ members: 'files', memberBytes: MEMBER_BYTES, folder });
await stack.open();
const { array, ftl, meter, reactor } = stack;
const peers: FileDevice[] = [];
for (let slot = 0; slot < MEMBER_COUNT; slot += 1) {
  const peer = new FileDevice(path.join(folder, `peer${slot}`), { blockBytes: BLOCK_BYTES });
  await reactor.drive(peer.open(reactor));
  peers.push(peer);
}

/** Bytes per second of all peers together, one after the other: one thread serves them all. */
async function bandwidth(op: typeof OP_READ | typeof OP_WRITE): Promise<number> {
  let seconds = 0;
  for (const peer of peers) {
    const blockCount = STRIP_BYTES / BLOCK_BYTES;
    const options = { op, isRandom: false, depth: 16, blockCount, ios: STRIPS / MEMBER_COUNT };
    seconds += (await new RandomLoad(reactor, peer, options).run()).seconds;
  }
  return (STRIPS * STRIP_BYTES) / seconds;
}

await fill(reactor, ftl, FILL_BLOCKS);
await random(reactor, ftl, OP_WRITE, OVERWRITES * ftl.geometry.blockCount);
await bandwidth(OP_WRITE);
await random(reactor, ftl, OP_READ, READS);
await random(reactor, array, OP_READ, READS);

const ratios: number[] = [];
const readingRatios: number[] = [];
const readRatios: number[] = [];
let [iops, writeRate, waf] = [0, 0, 0];
let reads = [0, 0];
for (let round = 0; round < ROUNDS; round += 1) {
  writeRate = await bandwidth(OP_WRITE);
  const readRate = await bandwidth(OP_READ);
  const before = ftl.status()!;
  const readBefore = meter.meter(OP_READ).bytes;
  iops = (await random(reactor, ftl, OP_WRITE, WRITES)).iops;
  const after = ftl.status()!;
  const units = after.unit_blocks - before.unit_blocks;
  waf = (units + after.metadata_blocks - before.metadata_blocks) / WRITES;
  const readPerWrite = (meter.meter(OP_READ).bytes - readBefore) / WRITES;
  const seconds = (BLOCK_BYTES * waf * MEMBER_COUNT) / (MEMBER_COUNT - 1) / writeRate;
  ratios.push(iops * seconds);
  readingRatios.push(iops * (seconds + readPerWrite / readRate));
  const through = (await random(reactor, ftl, OP_READ, READS)).iops;
  const direct = (await random(reactor, array, OP_READ, READS)).iops;
  reads = [through, direct];
  readRatios.push(through / direct);
}
const gibibytes = (writeRate / 2 ** 30).toFixed(1);
tell(
  'files: random writes / sequential bound',
  median(ratios).toFixed(2),
  atLeast(median(ratios), 0.8),
  `last: ${thousands(iops)}, WAF ${waf.toFixed(2)}, members ${gibibytes} GiB/s; bound: bandwidth / (4096 × WAF × 4/3)`,
);
tell(
  'files: the same, bound with relocation reads',
  median(readingRatios).toFixed(2),
  null,
  'relocation also reads what it moves, and units hold what is not valid any more',
);
tell(
  'files: random reads / those of the array',
  median(readRatios).toFixed(2),
  atLeast(median(readRatios), 0.9),
  `last: ${thousands(reads[0]!)}, without FTL ${thousands(reads[1]!)}`,
);
for (const peer of peers) await reactor.drive(peer.close());
await stack.close();
