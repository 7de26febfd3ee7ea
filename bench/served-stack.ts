/**
 * A stack `tank` that the real program serves over NBD, with everything of it in one folder.
 */

import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const TICKS_PER_SECOND = 100;
const PROGRAM = path.join(import.meta.dirname, '..', 'bin', 'bandstand.js');

const run = promisify(execFile);

export interface LogLine {
  readonly time: string;
  readonly msg: string;
  readonly step?: string;
  readonly units_played?: number;
  readonly bytes_read?: number;
}

export class ServedStack {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Runs a command; gives what it prints. */
  async bandstand(...words: readonly string[]): Promise<string> {
    const common = ['--run-dir', this.#path('run'), '--state-dir', this.#path('state')];
    const { stdout } = await run(process.execPath, [PROGRAM, ...words, ...common], {
      timeout: 60_000,
      maxBuffer: 2 ** 26,
    });
    return stdout.trim();
  }

  #path(...names: readonly string[]): string {
    return path.join(this.folder, ...names);
  }

  /** Its status document. */
  async status() {
    return JSON.parse(await this.bandstand('status', 'tank', '--json')).data;
  }

  async pid(): Promise<number> {
    return (await this.status()).server.pid;
  }

  /** Seconds that `export` takes: until clients can connect. */
  async start(): Promise<number> {
    const begin = performance.now();
    await this.bandstand('export', 'tank', '--via', 'nbd');
    return (performance.now() - begin) / 1000;
  }

  /** Random writes of 4 KiB for so long, or until the server is gone. */
  load(seconds: number): Promise<void> {
    const uri = `nbd+unix:///?socket=${this.#path('run', 'tank.nbd')}`;
    const fio = spawn('fio', [
      '--name=x',
      '--ioengine=nbd',
      `--uri=${uri}`,
      '--rw=randwrite',
      '--bs=4k',
      '--iodepth=64',
      '--norandommap',
      `--runtime=${seconds}`,
      '--time_based',
    ]);
    return new Promise((resolve, reject) => {
      fio.on('close', () => resolve());
      fio.on('error', reject);
    });
  }

  /** What the server's log says about its newest start. */
  newestStart(): readonly LogLine[] {
    const lines = readFileSync(this.#path('run', 'tank.log'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LogLine);
    return lines.slice(lines.findLastIndex(({ step }) => step === 'Find the members'));
  }
}

/** The step that took longest, and its seconds. */
export function slowestStep(lines: readonly LogLine[]): string {
  const steps = lines.filter(({ step }) => step !== undefined && step !== 'Start the FTL');
  let [slowest, most] = ['', 0];
  for (const [index, { step, time }] of steps.slice(1).entries()) {
    const seconds = (Date.parse(time) - Date.parse(steps[index]!.time)) / 1000;
    if (seconds > most) [slowest, most] = [step!, seconds];
  }
  return `${slowest} ${most.toFixed(2)} s`;
}

/** Processor time that a process has taken so far, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
