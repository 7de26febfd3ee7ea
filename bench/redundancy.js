#!/usr/bin/env node
/**
 * What redundancy costs and how fast it comes back: a mirror served over NBD by the real program.
 *
 *     npm run build && node bench/redundancy.js [--dir DIR] [--size-mib N] [--rounds N]
 *         [--seconds S] [--only PART] [--throttle MIB_PER_SECOND] [--json FILE]
 *
 *   rebuilds    a full rebuild, against min(read of the source, write of the target) that two fio
 *               get from such disks at the same time; and the return of a member that missed writes
 *               in 1 % of the regions, against the full rebuild
 *   bitmap      4 KiB random writes with a write-intent bitmap, against an array without superblock
 *   foreground  p99 of random reads and writes during a rebuild, against that of the idle array
 *
 * With --throttle the members are loop devices that the kernel holds to that rate each, reads and
 * writes apart (cgroup v1, blkio): then the disks are the limit, as real ones are, and not the
 * processor or a disk that they share. It needs root.
 *
 * Rounds alternate between the two sides, and medians of the rounds' ratios count. Times of
 * rebuilds are those of the server's own events. Random writes are spread over the whole array:
 * the worst case for a bitmap.
 */

import { execFile } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { register } from 'tsx/esm/api';

register();
const { LoopDevice } = await import('./loop-device.ts');

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string', default: os.tmpdir() },
    'size-mib': { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    throttle: { type: 'string' },
    json: { type: 'string' },
  },
});
const MIB = 2 ** 20;
const sizeBytes = Number(options['size-mib']) * MIB;
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const PROGRAM = path.join(import.meta.dirname, '..', 'bin', 'bandstand.js');
const folder = mkdtempSync(path.join(options.dir, 'bandstand-bench-'));
const run = promisify(execFile);

async function bandstand(...words) {
  const common = ['--run-dir', path.join(folder, 'run'), '--state-dir', path.join(folder, 'state')];
  const { stdout } = await run(process.execPath, [PROGRAM, ...words, ...common], {
    timeout: 900_000,
    maxBuffer: 2 ** 26,
  });
  return stdout.trim();
}

const file = (name) => path.join(folder, name);

const CGROUP = '/sys/fs/cgroup/blkio/bandstand-bench';
const loops = new Map();

/**
 * A disk that has never been a member, full of bytes: blocks that were never written would be read
 * for free.
 */
function disk(name) {
  const fd = openSync(file(name), constants.O_RDWR | constants.O_CREAT);
  const chunk = Buffer.alloc(8 * MIB, name.charCodeAt(0));
  for (let at = 0; at < sizeBytes; at += chunk.length) writeSync(fd, chunk, 0, chunk.length, at);
  closeSync(fd);
  if (options.throttle === undefined) return file(name);
  if (!loops.has(name)) loops.set(name, throttled(file(name)));
  return loops.get(name).path;
}

function throttled(backing) {
  const loop = LoopDevice.attach(backing);
  if (!(loop instanceof LoopDevice)) throw new Error(`no loop device: ${loop}`);
  const number = readFileSync(`/sys/block/${path.basename(loop.path)}/dev`, 'utf8').trim();
  const limit = `${number} ${Number(options.throttle) * MIB}`;
  for (const op of ['read', 'write']) {
    writeFileSync(`${CGROUP}/blkio.throttle.${op}_bps_device`, limit);
  }
  return loop;
}

async function fio(...words) {
  const { stdout } = await run(
    'fio',
    ['--name=x', '--output-format=json', '--randrepeat=1', ...words],
    { timeout: 600_000, maxBuffer: 2 ** 26 },
  );
  const [job] = JSON.parse(stdout.slice(stdout.indexOf('{'))).jobs;
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  return job;
}

/** Bytes per second of one file, sequentially, as a rebuild uses it. */
async function sequential(rw, device) {
  const job = await fio(
    `--filename=${device}`,
    `--rw=${rw}`,
    '--bs=1M',
    '--iodepth=8',
    '--ioengine=io_uring',
    '--direct=1',
    '--fixedbufs=1',
    '--registerfiles=1',
    `--size=${sizeBytes}`,
  );
  return job[rw].bw_bytes;
}

/** A load on the export of `name`. */
const load = (name, ...words) =>
  fio(
    '--ioengine=nbd',
    `--uri=nbd+unix:///?socket=${file(`run/${name}.nbd`)}`,
    '--bs=4k',
    `--runtime=${seconds}`,
    '--time_based',
    ...words,
  );

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Milliseconds between the newest begin and end of a rebuild. */
function rebuildMs(name) {
  const events = readFileSync(file(`run/${name}.log`), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"kind":"rebuild-'))
    .map((line) => JSON.parse(line));
  const time = (kind) => Date.parse(events.findLast((event) => event.kind === kind).time);
  return time('rebuild-finished') - time('rebuild-started');
}

async function rebuilt(device) {
  await bandstand('member', 'add', 'tank', device);
  await bandstand('wait', 'tank', '--for', 'rebuild');
  return rebuildMs('tank');
}

async function leave() {
  await bandstand('member', 'fail', 'tank', '1');
  await bandstand('member', 'remove', 'tank', '1');
}

async function exported(...members) {
  await bandstand('create', 'tank', '--raid', 'raid1', '--yes', ...members);
  await bandstand('export', 'tank', '--via', 'nbd');
  await bandstand('wait', 'tank', '--for', 'resync');
}

const results = [];
function tell(name, ratios, target, text) {
  const ratio = median(ratios);
  results.push({ name, ratio, ratios, target });
  console.log(`${name.padEnd(34)} ${ratio.toFixed(3)}  (target ${target})  ${text}`);
}
const rate = (bytes) => `${(bytes / MIB).toFixed(0)} MiB/s`;

/** Full and partial rebuilds of a mirror of two. */
async function rebuilds() {
  const [a, b] = [disk('a'), disk('b')];
  await exported(a, b);
  const c = disk('c');
  const speeds = [];
  const shares = [];
  let [fastest, bound] = [0, 0];
  for (let round = 0; round < rounds; round += 1) {
    await leave();
    // Another device now: everything has to be copied.
    disk('b');
    const fullMs = await rebuilt(b);
    const speed = sizeBytes / (fullMs / 1000);
    const both = [sequential('read', a), sequential('write', c)];
    const limit = Math.min(...(await Promise.all(both)));
    speeds.push(speed / limit);
    [fastest, bound] = [Math.max(fastest, speed), limit];
    // Regions that were written less than five seconds ago may differ, and would be copied, too.
    await sleep(8000);
    await leave();
    await change(a, round);
    shares.push((await rebuilt(b)) / fullMs);
  }
  tell('rebuild / min(read, write)', speeds, '≥ 0.9', `${rate(fastest)}, fio ${rate(bound)}`);
  tell('delta of 1 % / full rebuild', shares, '≤ 0.05', '');
  await bandstand('stop', 'tank');
}

/** One write of 4 KiB into every hundredth region. */
async function change(member, round) {
  const { data } = JSON.parse(await bandstand('examine', member, '--json'));
  const [device] = data.devices;
  const region = device.member.bitmap.region_blocks * device.block_size;
  const uri = `nbd+unix:///?socket=${file('run/tank.nbd')}`;
  await fio(
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--rw=write:${100 * region - 4096}`,
    '--bs=4k',
    `--offset=${round * region}`,
    `--io_size=${Math.max(1, Math.floor(sizeBytes / region / 100)) * 4096}`,
    `--size=${sizeBytes - 64 * MIB}`,
  );
}

/** Random writes, with and without the bitmap. */
async function bitmap() {
  const members = ['a', 'b', 'c', 'd'].map(disk);
  await exported(...members.slice(0, 2));
  await bandstand(
    'create',
    'bare',
    '--raid',
    'raid1',
    '--no-superblock',
    '--yes',
    ...members.slice(2),
  );
  await bandstand('export', 'bare', '--via', 'nbd');
  for (const depth of [1, 16]) {
    const ratios = [];
    const iops = { tank: [], bare: [] };
    for (let round = 0; round < rounds; round += 1) {
      for (const name of ['tank', 'bare']) {
        const job = await load(
          name,
          '--rw=randwrite',
          `--iodepth=${depth}`,
          `--size=${sizeBytes - 64 * MIB}`,
        );
        iops[name].push(job.write.iops);
      }
      ratios.push(iops.tank.at(-1) / iops.bare.at(-1));
    }
    const k = (name) => `${(median(iops[name]) / 1000).toFixed(1)} k/s`;
    tell(
      `bitmap, random writes, QD ${depth}`,
      ratios,
      '≥ 0.95',
      `${k('tank')}, without ${k('bare')}`,
    );
  }
  await bandstand('stop', 'tank');
  await bandstand('stop', 'bare');
}

/** Latency of a foreground load while a rebuild runs. */
async function foreground() {
  const [a, b] = [disk('a'), disk('b')];
  await exported(a, b);
  const words = ['--rw=randrw', '--rwmixread=70', '--iodepth=4', `--size=${sizeBytes - 64 * MIB}`];
  const p99 = (job) =>
    Math.max(...['read', 'write'].map((op) => job[op].clat_ns.percentile['99.000000']));
  const ratios = [];
  let shown = '';
  for (let round = 0; round < rounds; round += 1) {
    await load('tank', ...words);
    const idle = p99(await load('tank', ...words));
    await leave();
    disk('b');
    const during = load('tank', ...words);
    await bandstand('member', 'add', 'tank', b);
    const busy = p99(await during);
    const { data } = JSON.parse(await bandstand('status', 'tank', '--json'));
    await bandstand('wait', 'tank', '--for', 'rebuild');
    ratios.push(busy / idle);
    shown = `${(busy / 1000).toFixed(0)} µs, idle ${(idle / 1000).toFixed(0)} µs; afterwards: ${data.activity.kind}`;
  }
  tell('foreground p99 during a rebuild', ratios, '≤ 2', shown);
  await bandstand('stop', 'tank');
}

try {
  const parts = { rebuilds, bitmap, foreground };
  if (options.throttle !== undefined) {
    mkdirSync(CGROUP, { recursive: true });
    writeFileSync(`${CGROUP}/cgroup.procs`, String(process.pid));
  }
  for (const [name, part] of Object.entries(parts)) {
    if (!name.includes(options.only)) continue;
    await part();
    for (const stack of ['state', 'run']) rmSync(file(stack), { recursive: true, force: true });
  }
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(results, null, 2));
} finally {
  for (const name of ['tank', 'bare']) await bandstand('stop', name).catch(() => {});
  for (const loop of loops.values()) loop.close();
  rmSync(folder, { recursive: true, force: true });
}
