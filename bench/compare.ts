/**
 * Runs the cases in alternating rounds and prints medians and ratios.
 */

import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Case, FILE_BYTES, makeCases } from './cases.ts';
import { hasFio, runFio } from './fio.ts';
import { kernelRates } from './kernels.ts';
import type { LoadSpec } from './load.ts';
import { LoopDevice } from './loop-device.ts';

interface Outcome {
  readonly name: string;
  readonly unit: string;
  readonly bandstand: number;
  readonly fio: number | null;
  /** bandstand / (fio × share), median of the rounds. */
  readonly ratio: number | null;
  /** CPU time of the reactor's thread per operation, microseconds. */
  readonly cpu_us_per_io: number;
  readonly target: number | null;
}

interface LoadReport {
  readonly iops: number;
  readonly bytes_per_second: number;
  readonly cpu_seconds: number;
  readonly ios: number;
  readonly errors: number;
}

export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      only: { type: 'string', default: '' },
      dir: { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() },
      json: { type: 'string' },
    },
  });
  let loop: LoopDevice | null = null;
  const folder = mkdtempSync(path.join(values.dir, 'bandstand-bench-'));
  try {
    const files = [0, 1, 2].map((index) => makeFile(path.join(folder, `disk${index}`)));
    const machine = describeMachine(values.dir);
    process.stdout.write(`${machine}\n\n`);
    const attached = LoopDevice.attach(makeFile(path.join(folder, 'loop')));
    if (attached instanceof LoopDevice) loop = attached;
    else process.stdout.write(`no cases with a loop device: ${attached}\n\n`);
    const outcomes = makeCases(files, loop?.path ?? null)
      .filter(({ name }) => name.includes(values.only))
      .map((entry) => measure(entry, Number(values.rounds), Number(values.seconds)));
    const kernels = 'kernels'.includes(values.only) ? kernelRates() : {};
    for (const [name, rate] of Object.entries(kernels)) {
      process.stdout.write(`${name.padEnd(44)} ${(rate / 1e9).toFixed(1).padStart(8)} GB/s\n`);
    }
    if (values.json !== undefined) {
      const document = { machine, outcomes, kernels };
      writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`);
    }
    return 0;
  } finally {
    loop?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function describeMachine(folder: string): string {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${cpu?.model.trim()}, ${memory} GiB, Linux ${release()}, Node ${process.version}, files in ${folder}`;
}

/** A file full of random bytes: one without blocks would be read for free. */
function makeFile(file: string): string {
  const fd = openSync(file, 'w');
  const chunk = Buffer.alloc(8 * 2 ** 20);
  for (let at = 0; at < FILE_BYTES; at += chunk.length) writeSync(fd, randomFillSync(chunk));
  closeSync(fd);
  return file;
}

function measure(entry: Case, rounds: number, seconds: number): Outcome {
  const ours: number[] = [];
  const theirs: number[] = [];
  const ratios: number[] = [];
  const costs: number[] = [];
  const compare = entry.peer !== null && hasFio();
  for (let round = 0; round < rounds; round += 1) {
    const load = runLoad(entry, seconds);
    ours.push(load[entry.unit]);
    costs.push((load.cpu_seconds * 1e6) / load.ios);
    if (!compare) continue;
    const peer = entry.peer!;
    const fio = runFio({ ...peer, seconds, regionBytes: FILE_BYTES })[entry.unit] * peer.share;
    theirs.push(fio);
    ratios.push(load[entry.unit] / fio);
  }
  const outcome: Outcome = {
    name: entry.name,
    unit: entry.unit,
    bandstand: median(ours),
    fio: compare ? median(theirs) : null,
    ratio: compare ? median(ratios) : null,
    cpu_us_per_io: median(costs),
    target: entry.target,
  };
  process.stdout.write(`${format(outcome)}\n`);
  return outcome;
}

function runLoad(entry: Case, seconds: number): LoadReport {
  const spec: LoadSpec = {
    device: entry.device,
    fill: entry.fill ?? false,
    workload: {
      rw: entry.rw,
      requestBytes: entry.requestBytes,
      depth: entry.depth,
      timeUs: seconds * 1e6,
    },
  };
  const script = path.join(import.meta.dirname, 'load.ts');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import=tsx', script, JSON.stringify(spec)],
    { timeout: seconds * 1000 + 30_000 },
  );
  if (status !== 0) throw new Error(`${entry.name}: ${stderr}`);
  const report = JSON.parse(stdout.toString()) as LoadReport;
  if (report.errors > 0) throw new Error(`${entry.name}: ${report.errors} operations failed`);
  return report;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function format(outcome: Outcome): string {
  const rate = (value: number): string =>
    outcome.unit === 'iops'
      ? `${(value / 1000).toFixed(0).padStart(7)} k/s `
      : `${(value / 2 ** 20).toFixed(0).padStart(7)} MiB/s`;
  const parts = [outcome.name.padEnd(40), rate(outcome.bandstand)];
  if (outcome.fio !== null && outcome.ratio !== null) {
    parts.push(`fio ${rate(outcome.fio)}`, `ratio ${outcome.ratio.toFixed(2)}`);
    if (outcome.target !== null) parts.push(`(target ${outcome.target})`);
  } else if (outcome.target !== null) {
    parts.push(`(target ${(outcome.target / 1000).toFixed(0)} k/s)`);
  }
  parts.push(`${outcome.cpu_us_per_io.toFixed(2)} µs CPU/op`);
  return parts.join('  ');
}
