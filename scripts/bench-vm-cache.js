/**
 * `npm run bench:vm:cache`: what an NV cache and an FTL make of slow disks, against mdadm.
 *
 * Four disks that do 150 I/Os and 200 MB in a second, as hard disks do when they have to move their
 * heads, carry mdadm's raid5 and then raid5f with an FTL and an NV cache on a disk without limits.
 * QEMU holds the disks to their limits, in real time. The guest's CPUs are emulated, and ten times
 * slower than real ones or worse; so that not they are measured, the disks are slower by a factor,
 * too (BANDSTAND_VM_SLOWDOWN, 15 unless it says otherwise). Both sides are limited by the disks
 * then, and what is compared are ratios, which the factor leaves as they are.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { runInGuest } from './vm/guest.js';
import { cacheDirectory, fetchPackage } from './vm/package.js';
import { missingForGuest } from './vm/qemu.js';

const MIB = 2 ** 20;
const slowdown = Number(process.env.BANDSTAND_VM_SLOWDOWN ?? 15);
const iops = Math.round(150 / slowdown);
const bytesPerSecond = Math.round(200e6 / slowdown);
const memberMib = 1024;
/** The array is larger than three times the cache, which is what is measured. */
const cacheMib = 64;
/** What the FTL offers, and as much of mdadm's array. */
const rangeMib = 2400;
const mdadmSeconds = 60;
const bandstandSecondsMax = 240;

const targets = { ratio: 30, fewerIos: 40 };

const missing = missingForGuest();
if (missing.length > 0) {
  console.error(`cannot run the benchmark: ${missing.join('; ')}`);
  process.exit(1);
}
const mdadm = path.join(cacheDirectory('tools'), 'mdadm/sbin/mdadm');
if (!existsSync(mdadm)) await fetchPackage('tools', 'mdadm');

const member = { size: memberMib * MIB, throttle: { iops, bytesPerSecond } };
const measured = {};
const began = Date.now();
const sizes = [rangeMib, cacheMib, mdadmSeconds, bandstandSecondsMax];
const result = await runInGuest({
  script: `bash scripts/vm/bench-cache.sh ${[`'${mdadm}'`, ...sizes].join(' ')}`,
  disks: { a: member, b: member, c: member, d: member, g: { size: cacheMib * MIB } },
  environment: { NO_COLOR: '1' },
  timeout: 1500,
  onLine: (_stream, line) => {
    const found = /^RESULT (\S+) (\d+) ([\d.]+) (\d+) (\d+) (\d+) (\d+) (\d+)$/.exec(line);
    if (!found) {
      console.error(line);
      return;
    }
    const [written, seconds, settled, ios, bytes, busy, slow] = found.slice(2).map(Number);
    // What the ring only holds more of than before was not done.
    const writes = Math.min(written, settled);
    measured[found[1]] = { writes, rate: writes / seconds, ios, bytes, busy, slow };
  },
});

if (result.status !== 0 || result.complaints.length > 0) {
  console.error(result.failure ?? `the guest's script ended with status ${result.status}`);
  console.error(result.console.split('\n').slice(-40).join('\n'));
  process.exit(1);
}

const { mdadm: other, bandstand: ours } = measured;
const rows = [
  [
    '4 KiB random writes, QD 32',
    'writes/s',
    'I/Os per write',
    'I/O size, KiB',
    'p99.9, ms',
    'CPUs busy',
  ],
  ...Object.entries(measured).map(([name, { writes, rate, ios, bytes, busy, slow }]) => [
    name,
    rate.toFixed(1),
    (ios / writes).toFixed(3),
    (bytes / ios / 1024).toFixed(1),
    `${slow}`,
    `${busy} %`,
  ]),
];
console.log(
  `raid5 of 4 disks of ${iops} I/Os and ${(bytesPerSecond / 1e6).toFixed(1)} MB in a second ` +
    `(150 and 200, slower by ${slowdown}); cache of ${cacheMib} MiB; Linux ${result.release}`,
);
for (const row of rows) {
  console.log(row.map((cell, index) => (index ? cell.padStart(15) : cell.padEnd(27))).join(' '));
}
const ratio = ours.rate / other.rate;
const fewerIos = other.ios / other.writes / (ours.ios / ours.writes);
const verdicts = [
  ['times the writes per second of mdadm', ratio, targets.ratio],
  ['times fewer member I/Os per write', fewerIos, targets.fewerIos],
];
for (const [what, figure, target] of verdicts) {
  const word = figure >= target ? 'reached' : 'MISSED';
  console.log(`${figure.toFixed(1)} ${what} (target ${target}: ${word})`);
}
console.log(`took ${Math.round((Date.now() - began) / 1000)} s`);
if (!(ratio >= targets.ratio && fewerIos >= targets.fewerIos)) process.exitCode = 1;
