/**
 * The part `files` of bench:ftl: members are files in the folder that is given, or loop devices
 * over them which the kernel holds to a rate (cgroup v1, blkio).
 *
 * On a memory file system the processor is the disk: there all rates are per second of processor
 * time of the whole process, and what the FTL computes counts like slow disks. Loop devices with a
 * limit are as real disks are, and rates are those of the clock.
 *
 * A write of 4 KiB costs the members 4096 × WAF × 4/3 bytes, where WAF counts all blocks that the
 * FTL writes (data, copies, summaries, padding, map). So the bound is
 *
 *     IOPS = bandwidth of the members / (4096 × WAF × 4/3)
 *
 * with the bandwidth that four files like the members take together, in whole strips at depth 16,
 * through the same reactor, in windows between those of the FTL. Relocation also reads: a second
 * bound counts the time that takes at the bandwidth with which the files are read. It is shown,
 * not judged.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileDevice } from '../src/device/file-device.ts';
import { BLOCK_BYTES, FtlStack, MEMBER_COUNT, STRIP_BYTES } from './ftl-stack.ts';
import { LoopDevice } from './loop-device.ts';
import { atLeast, median, tell, thousands } from './outcome.ts';
import { fill, type LoadResult, OP_READ, OP_WRITE, RandomLoad, random } from './random-load.ts';
import { joinThrottled, throttle } from './throttle.ts';

const MEMBER_BYTES = 640 * 2 ** 20;
const PEER_BYTES = 128 * 2 ** 20;
const OVERWRITES = 2;
const ROUNDS = 7;
const WRITES = 60_000;
const READS = 100_000;
const STRIPS = 6000;
const FILL_BLOCKS = 16;
const REST_MS = 300;
const SLOTS = Array.from({ length: MEMBER_COUNT }, (_, slot) => slot);

const [folder, limit] = process.argv.slice(2) as [string, string?];
const isLimited = limit !== undefined;
const loops: LoopDevice[] = [];

/** A loop device that takes and gives so many bytes per second. */
function limited(file: string): string {
  const loop = LoopDevice.attach(file);
  if (!(loop instanceof LoopDevice)) throw new Error(`no loop device: ${loop}`);
  loops.push(loop);
  throttle(loop.path, Number(limit) * 2 ** 20);
  return loop.path;
}

if (isLimited) joinThrottled();

/** A file full of bytes, or the device over it. */
function makeDisk(name: string, bytes: number): string {
  const file = path.join(folder, name);
  const fd = openSync(file, 'w');
  const chunk = Buffer.alloc(2 ** 22, 1);
  for (let at = 0; at < bytes; at += chunk.length) writeSync(fd, chunk);
  closeSync(fd);
  return isLimited ? limited(file) : file;
}

const paths = SLOTS.map((slot) => makeDisk(`member${slot}`, MEMBER_BYTES));
const stack = new FtlStack({ members: 'files', memberBytes: MEMBER_BYTES, paths });
await stack.open();
const { array, ftl, reactor } = stack;
const peers: FileDevice[] = [];
for (const slot of SLOTS) {
  const file = makeDisk(`peer${slot}`, PEER_BYTES);
  const peer = new FileDevice(file, { blockBytes: BLOCK_BYTES });
  await reactor.drive(peer.open(reactor));
  peers.push(peer);
}

const rateOf = (result: LoadResult): number => (isLimited ? result.iops : result.iopsPerCpu);

/** Bytes per second of all peers together. */
async function bandwidth(op: typeof OP_READ | typeof OP_WRITE): Promise<number> {
  const blockCount = STRIP_BYTES / BLOCK_BYTES;
  const options = { op, isRandom: false, depth: 16 * MEMBER_COUNT, blockCount, ios: STRIPS };
  return rateOf(await new RandomLoad(reactor, peers, options).run()) * STRIP_BYTES;
}

const bandBytes = Number(ftl.describe().details['band_bytes']);
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
  iops = rateOf(await random(reactor, ftl, OP_WRITE, WRITES));
  const after = ftl.status()!;
  const units = after.unit_blocks - before.unit_blocks;
  waf = (units + after.metadata_blocks - before.metadata_blocks) / WRITES;
  const relocated = (after.bands_relocated - before.bands_relocated) * bandBytes;
  const seconds = (BLOCK_BYTES * waf * MEMBER_COUNT) / (MEMBER_COUNT - 1) / writeRate;
  ratios.push(iops * seconds);
  readingRatios.push(iops * (seconds + relocated / WRITES / readRate));
  // Relocation that the writes have begun comes to its end first.
  await reactor.drive(sleep(REST_MS));
  const through = rateOf(await random(reactor, ftl, OP_READ, READS));
  const direct = rateOf(await random(reactor, array, OP_READ, READS));
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
for (const loop of loops) loop.close();
