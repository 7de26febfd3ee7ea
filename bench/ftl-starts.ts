/**
 * The part `starts` of bench:ftl: the real program, an FTL of 64 GiB over four sparse files.
 *
 * "Usable" is the time from the start of the command `export` until it has ended, when clients can
 * connect: two starts of Node included. The engine's part is what the server's log says, from the
 * first step to the last.
 */

import { execFile, spawn } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { atMost, mebibytes, tell } from './outcome.ts';

const MEMBER_BYTES = 26 * 2 ** 30;
const LOAD_SECONDS = 8;
const KILLED_AFTER_MS = 6000;
const BLOCK_BYTES = 4096;
const TICKS_PER_SECOND = 100;

const run = promisify(execFile);
const folder = process.argv[2]!;
const PROGRAM = path.join(import.meta.dirname, '..', 'bin', 'bandstand.js');

async function bandstand(...words: readonly string[]): Promise<string> {
  const common = ['--run-dir', path.join(folder, 'run'), '--state-dir', path.join(folder, 'state')];
  const { stdout } = await run(process.execPath, [PROGRAM, ...words, ...common], {
    timeout: 60_000,
    maxBuffer: 2 ** 26,
  });
  return stdout.trim();
}

interface LogLine {
  readonly time: string;
  readonly msg: string;
  readonly step?: string;
  readonly units_played?: number;
  readonly bytes_read?: number;
}

/** What the server's log says about its newest start. */
function newestStart(): readonly LogLine[] {
  const lines = readFileSync(path.join(folder, 'run', 'tank.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine);
  return lines.slice(lines.findLastIndex(({ step }) => step === 'Find the members'));
}

/** The step that took longest, and its seconds. */
function slowestStep(lines: readonly LogLine[]): string {
  const steps = lines.filter(({ step }) => step !== undefined && step !== 'Start the FTL');
  let [slowest, most] = ['', 0];
  for (const [index, { step, time }] of steps.slice(1).entries()) {
    const seconds = (Date.parse(time) - Date.parse(steps[index]!.time)) / 1000;
    if (seconds > most) [slowest, most] = [step!, seconds];
  }
  return `${slowest} ${most.toFixed(2)} s`;
}

async function measureStart(name: string, secondsMax: number): Promise<void> {
  const begin = performance.now();
  await bandstand('export', 'tank', '--via', 'nbd');
  const seconds = (performance.now() - begin) / 1000;
  const cpu = cpuSeconds(await serverPid());
  const lines = newestStart();
  const at = (step: string): number => Date.parse(lines.find((line) => line.step === step)!.time);
  const steps = (at('Start the FTL') - at('Find the members')) / 1000;
  const engine = (at('Start the FTL') - at('Start the array')) / 1000;
  const restored = lines.find(({ msg }) => msg === 'ftl-restored')!;
  const read = `${restored.units_played} units played, ${mebibytes(restored.bytes_read!)} of units read`;
  tell(
    name,
    `${seconds.toFixed(2)} s`,
    atMost(seconds, secondsMax, `≤ ${secondsMax} s`),
    `all steps ${steps.toFixed(2)} s, FTL ${engine.toFixed(2)} s (${slowestStep(lines)}); ${cpu.toFixed(2)} s of processor time; ${read}`,
  );
}

async function serverPid(): Promise<number> {
  const { data } = JSON.parse(await bandstand('status', 'tank', '--json'));
  return data.server.pid;
}

/** Random writes until the server is gone. */
function load(): Promise<void> {
  const uri = `nbd+unix:///?socket=${path.join(folder, 'run', 'tank.nbd')}`;
  const fio = spawn('fio', [
    '--name=x',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=randwrite',
    '--bs=4k',
    '--iodepth=64',
    '--norandommap',
    `--runtime=${LOAD_SECONDS}`,
    '--time_based',
  ]);
  return new Promise((resolve) => {
    fio.on('close', () => resolve());
    fio.on('error', (error) => {
      throw error;
    });
  });
}

/** One of the sizes in the status of a process. */
function processBytes(pid: number, field: 'VmRSS' | 'RssShmem' | 'RssFile'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)![1]) * 1024;
}

/** Processor time that a process has taken so far, in seconds. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

const members = ['a', 'b', 'c', 'd'].map((name) => path.join(folder, name));
for (const member of members) {
  const fd = openSync(member, 'w');
  ftruncateSync(fd, MEMBER_BYTES);
  closeSync(fd);
}
let pid = 0;
try {
  await bandstand('create', 'tank', '--raid', 'raid5f', '--yes', ...members);
  await bandstand('export', 'tank', '--via', 'nbd');
  await bandstand('wait', 'tank', '--for', 'resync');
  pid = await serverPid();
  const loaded = load();
  await sleep(KILLED_AFTER_MS);
  const { data } = JSON.parse(await bandstand('status', 'tank', '--json'));
  const resident = processBytes(pid, 'VmRSS');
  const parts = [processBytes(pid, 'RssShmem'), processBytes(pid, 'RssFile')].map(mebibytes);
  process.kill(pid, 'SIGKILL');
  await loaded;
  const logical = data.exports[0].size_bytes;
  const bound = (5 * logical) / BLOCK_BYTES + 200e6;
  const size = `${(logical / 2 ** 30).toFixed(1)} GiB`;
  tell(
    `resident memory of a server of ${size}`,
    mebibytes(resident),
    atMost(resident, bound, `≤ ${mebibytes(bound)}`),
    `write buffer ${parts[0]}, program ${parts[1]}; ${data.ftl.user_blocks_written} blocks written`,
  );
  await measureStart('start after SIGKILL under load', 2);
  await bandstand('wait', 'tank', '--for', 'resync');
  await bandstand('stop', 'tank');
  await measureStart('start after a clean stop', 0.5);
} finally {
  await bandstand('stop', 'tank').catch(() => {});
}
