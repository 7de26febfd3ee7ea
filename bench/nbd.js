/**
 * NBD: bandstand against qemu-nbd and nbdkit, the same file, the same client, the same run.
 *
 *   npm run build && node bench/nbd.js [--rounds N] [--seconds S] [--json]
 *
 * The file lies in /dev/shm, so that the servers and not a disk are measured; the client is fio's
 * nbd engine (libnbd) over a Unix socket, one connection. Each server runs alone, only while it is
 * measured. Rounds alternate between the servers, because the machine is not the same from minute
 * to minute; the medians and their ratios are what counts. The second table is the processor time
 * that a server takes for one operation, all its threads together: it hardly depends on what else
 * the machine does. Each server is warmed up with a mix of all kinds of requests first, which is
 * thrown away: JavaScript is compiled while it runs. What makes these numbers lie: a busy machine,
 * a single core, and QD 1, which measures how long a core takes to wake.
 */

import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);

const FILE = '/dev/shm/bandstand-bench-nbd.img';
const FILE_MIB = 512;
const WARM_UP_SECONDS = 2;
const SOCKET = '/tmp/bandstand-bench-nbd.sock';
const SERVER = path.join(import.meta.dirname, 'nbd-server.js');

const WORKLOADS = [
  { name: '4 KiB random read, QD 16', rw: 'randread', bs: '4k', depth: 16 },
  { name: '4 KiB random read, QD 64', rw: 'randread', bs: '4k', depth: 64 },
  { name: '4 KiB random write, QD 16', rw: 'randwrite', bs: '4k', depth: 16 },
  { name: '4 KiB random write, QD 64', rw: 'randwrite', bs: '4k', depth: 64 },
  { name: '128 KiB sequential read, QD 16', rw: 'read', bs: '128k', depth: 16 },
  { name: '128 KiB sequential write, QD 16', rw: 'write', bs: '128k', depth: 16 },
].filter((workload) => options.only === undefined || workload.name.includes(options.only));

const qemu = (cache, aio) => [
  'qemu-nbd',
  ['-f', 'raw', '-t', '-e', '4', '-k', SOCKET, `--cache=${cache}`, `--aio=${aio}`, FILE],
];

const SERVERS = [
  { name: 'bandstand', command: [process.execPath, [SERVER, FILE, SOCKET, '50']] },
  { name: 'qemu-nbd none/io_uring', command: qemu('none', 'io_uring') },
  { name: 'qemu-nbd writeback/threads', command: qemu('writeback', 'threads') },
  { name: 'nbdkit file', command: ['nbdkit', ['-f', '-U', SOCKET, 'file', `file=${FILE}`]] },
];

/** Starts a server, runs `body`, ends the server. */
async function withServer(server, body) {
  rmSync(SOCKET, { force: true });
  const [program, args] = server.command;
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    for (let wait = 0; wait < 100 && !existsSync(SOCKET); wait += 1) await sleep(50);
    await sleep(200);
    return await body(child.pid);
  } finally {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 2000);
    await ended;
    clearTimeout(timer);
    rmSync(SOCKET, { force: true });
  }
}

/** Processor time of a process so far, in microseconds (in steps of 10 ms). */
function processorUs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Runs the client for a while; `load`: its options that say what to do. */
async function runClient(load, forSeconds) {
  const { stdout } = await promisify(execFile)(
    'fio',
    [
      '--name=nbd',
      '--ioengine=nbd',
      `--uri=nbd+unix:///?socket=${SOCKET}`,
      ...load,
      `--size=${FILE_MIB}m`,
      '--time_based',
      `--runtime=${forSeconds}`,
      '--output-format=json',
    ],
    { timeout: (forSeconds + 20) * 1000, maxBuffer: 2 ** 24 },
  );
  const job = JSON.parse(stdout.slice(stdout.indexOf('{'))).jobs[0];
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  return job;
}

async function warmUp() {
  await runClient(['--rw=randrw', '--bssplit=4k/50:128k/50', '--iodepth=16'], WARM_UP_SECONDS);
}

/** One measurement: operations per second, and server processor time per operation. */
async function measure({ rw, bs, depth }, pid) {
  const beforeUs = processorUs(pid);
  const job = await runClient([`--rw=${rw}`, `--bs=${bs}`, `--iodepth=${depth}`], seconds);
  const operations = job.read.total_ios + job.write.total_ios;
  return {
    iops: job.read.iops + job.write.iops,
    us: (processorUs(pid) - beforeUs) / operations,
  };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const chunk = Buffer.alloc(FILE_MIB * 2 ** 20, 0x5a);
writeFileSync(FILE, chunk);
const results = new Map(SERVERS.map((server) => [server.name, WORKLOADS.map(() => [])]));
try {
  for (let round = 0; round < rounds; round += 1) {
    for (const server of SERVERS) {
      await withServer(server, async (pid) => {
        await warmUp();
        for (const [index, workload] of WORKLOADS.entries()) {
          results.get(server.name)[index].push(await measure(workload, pid));
        }
      });
    }
  }
} finally {
  rmSync(FILE, { force: true });
}

/** Medians per workload and server; `betterIsMore`: how the ratio is to be read. */
function tableOf(field, digits, betterIsMore) {
  return WORKLOADS.map((workload, index) => {
    const medians = SERVERS.map((server) =>
      median(results.get(server.name)[index].map((sample) => sample[field])),
    );
    const others = medians.slice(1);
    const best = betterIsMore ? Math.max(...others) : Math.min(...others);
    return {
      workload: workload.name,
      ...Object.fromEntries(
        SERVERS.map((server, at) => [server.name, Number(medians[at].toFixed(digits))]),
      ),
      'ratio to the best other': Number((medians[0] / best).toFixed(2)),
    };
  });
}

const operationsPerSecond = tableOf('iops', 0, true);
const processorUsPerOperation = tableOf('us', 2, false);
if (options.json) {
  console.log(
    JSON.stringify({
      rounds,
      seconds,
      operations_per_second: operationsPerSecond,
      processor_us_per_operation: processorUsPerOperation,
    }),
  );
} else {
  console.log('operations per second');
  console.table(operationsPerSecond);
  console.log('processor time of the server per operation, microseconds');
  console.table(processorUsPerOperation);
}
