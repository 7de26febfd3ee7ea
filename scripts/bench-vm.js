/**
 * `npm run bench:vm`: what one request over ublk costs, counted in instructions.
 *
 * The guest has one CPU whose every instruction takes exactly one nanosecond (QEMU -icount
 * shift=0), so IOPS = 10⁹ / instructions per request of fio, kernel and server together. The
 * figures repeat to within half a per cent whatever else the host does; they are ratios of CPU
 * cost, not speeds. The CPU model lacks the fast string moves, which QEMU would count as one
 * instruction however long they are: copies weigh more here than on real hardware. null_blk, which
 * has no server at all, runs first: when its row differs from the reference, so does the set-up.
 */
import { runInGuest } from './vm/guest.js';
import { missingForGuest } from './vm/qemu.js';

const jobs = [
  'randread-4k-qd1',
  'randread-4k-qd32',
  'randwrite-4k-qd32',
  'read-128k-qd8',
  'write-128k-qd8',
];

/** IOPS that the project wants, in the order of the jobs. */
const targets = {
  'bandstand-null': [43_000, 64_000, 50_000],
  'bandstand-mem': [33_000, 55_000, 45_000],
  'bandstand-raid0': [undefined, 50_000, 45_000],
  'bandstand-raid5f-ftl-cache': [undefined, undefined, 35_000],
};

/** Those of other servers, and of the kernel's own drivers, in the same guest (docs/benchmarks). */
const others = {
  'null_blk, reference': [117_776, 117_698, 113_601, 18_270, 18_178],
  'ublksrv null (C++)': [43_360, 64_312, 47_196, 13_005, 16_542],
  'RAM disk in C': [46_150, 49_529, 60_575, 15_186, 13_847],
  'kernel loop': [undefined, 52_000, 51_000],
  'md raid0': [undefined, 85_000, 74_000],
  'md raid5': [undefined, undefined, 23_000],
};

const script = `
set -euo pipefail
bash scripts/vm/bench.sh null_blk /dev/nullb0 1
for device in null mem; do
  timeout 1500 node --import=tsx bench/ublk.ts --device $device -- \\
    bash -c 'bash scripts/vm/bench.sh bandstand-$0 "$UBLK_DEVICE"' $device
done
bash scripts/vm/bench-stacks.sh`;

const missing = missingForGuest();
if (missing.length > 0) {
  console.error(`cannot run the benchmark: ${missing.join('; ')}`);
  process.exit(1);
}

const measured = {};
const began = Date.now();
const result = await runInGuest({
  script,
  icount: 0,
  cpus: 1,
  cpuModel: 'max,-erms,-fsrm',
  modules: ['configfs', 'null_blk nr_devices=1 gb=1', 'ublk_drv'],
  timeout: 3000,
  onLine: (_stream, line) => {
    const found = /^RESULT (\S+) (\S+) ([\d.]+)$/.exec(line);
    if (!found) {
      console.error(line);
      return;
    }
    const [, target, job, iops] = found;
    measured[target] ??= [];
    measured[target][jobs.indexOf(job)] = Number(iops);
    console.error(`${target} ${job}: ${Math.round(iops)} IOPS`);
  },
});

const row = (name, figures) =>
  [name.padEnd(27), ...jobs.map((_, index) => cell(figures[index]).padStart(17))].join(' ');
const cell = (figure) => (figure === undefined ? '-' : Math.round(figure).toLocaleString('en'));

console.log(
  `IOPS at 1 ns per instruction, 1 CPU, Linux ${result.release}, Node ${process.version}`,
);
console.log(['', ...jobs].map((name, i) => (i ? name.padStart(17) : name.padEnd(27))).join(' '));
for (const [name, figures] of Object.entries({ ...measured, ...others })) {
  console.log(row(name, figures));
}
for (const [name, wanted] of Object.entries(targets)) {
  for (const [index, target] of wanted.entries()) {
    const iops = measured[name]?.[index];
    if (target === undefined || iops >= target) continue;
    console.log(`below the target: ${name} ${jobs[index]} ${cell(iops)} < ${cell(target)}`);
  }
}
console.log(`took ${Math.round((Date.now() - began) / 1000)} s`);
if (result.status !== 0 || result.complaints.length > 0) {
  console.error(result.failure ?? `the guest's script ended with status ${result.status}`);
  console.error(result.console.split('\n').slice(-40).join('\n'));
  process.exitCode = 1;
}
