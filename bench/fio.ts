/**
 * Runs fio as the peer: io_uring, O_DIRECT, registered buffers and files, one thread.
 */

import { spawnSync } from 'node:child_process';

export interface FioJob {
  readonly rw: string;
  readonly requestBytes: number;
  readonly depth: number;
  readonly seconds: number;
  readonly paths: readonly string[];
  readonly regionBytes: number;
  /** Each write is followed by a flush, which is waited for. */
  readonly flushes?: boolean;
  /** Threads that do the same, each in a part of the device of its own. Default 1. */
  readonly threads?: number;
}

export interface FioResult {
  readonly iops: number;
  readonly bytes_per_second: number;
}

export function hasFio(): boolean {
  return spawnSync('fio', ['--version']).status === 0;
}

export function fioArguments(job: FioJob): string[] {
  const { flushes = false, threads = 1 } = job;
  const size = job.regionBytes * job.paths.length;
  const many = [
    `--numjobs=${threads}`,
    '--group_reporting',
    `--size=${Math.floor(size / threads)}`,
    `--offset_increment=${Math.floor(size / threads)}`,
  ];
  return [
    '--name=peer',
    `--filename=${job.paths.join(':')}`,
    `--rw=${job.rw}`,
    `--bs=${job.requestBytes}`,
    `--iodepth=${job.depth}`,
    '--ioengine=io_uring',
    '--direct=1',
    '--fixedbufs=1',
    '--registerfiles=1',
    '--norandommap',
    '--thread',
    ...(flushes ? ['--fsync=1'] : []),
    ...(threads > 1 ? many : [`--size=${size}`]),
    `--runtime=${Math.round(job.seconds * 1000)}ms`,
    '--time_based',
    '--output-format=json',
  ];
}

export function runFio(job: FioJob): FioResult {
  const timeout = job.seconds * 1000 + 30_000;
  const { status, stdout, stderr } = spawnSync('fio', fioArguments(job), { timeout });
  if (status !== 0) throw new Error(`fio failed: ${stderr}`);
  const text = stdout.toString();
  const report = JSON.parse(text.slice(text.indexOf('{'))) as {
    jobs: { read: { iops: number; bw_bytes: number }; write: { iops: number; bw_bytes: number } }[];
  };
  const { read, write } = report.jobs[0]!;
  return {
    iops: Math.round(read.iops + write.iops),
    bytes_per_second: read.bw_bytes + write.bw_bytes,
  };
}
