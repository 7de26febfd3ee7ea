/**
 * The part `starts` of bench:ftl: the real program, an FTL of 64 GiB over four sparse files.
 *
 * A dirty start is the time of the whole command `export`, until it has ended and clients can
 * connect. A clean one is so short that two starts of Node would be most of it: its time is that of
 * the stack, by the server's log, from the first step until it is exported; the command's is told.
 */

import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { atMost, mebibytes, tell } from './outcome.ts';
import { cpuSeconds, ServedStack, slowestStep } from './served-stack.ts';

const MEMBER_BYTES = 26 * 2 ** 30;
const LOAD_SECONDS = 8;
const KILLED_AFTER_MS = 6000;
const BLOCK_BYTES = 4096;

const folder = process.argv[2]!;
const stack = new ServedStack(folder);

async function measureStart(
  name: string,
  { of, secondsMax }: { of: 'command' | 'stack'; secondsMax: number },
): Promise<void> {
  const command = await stack.start();
  const cpu = cpuSeconds(await stack.pid());
  const lines = stack.newestStart();
  const at = (step: string): number => Date.parse(lines.find((line) => line.step === step)!.time);
  const exported = Date.parse(lines.find(({ msg }) => msg.startsWith('exported as'))!.time);
  const whole = (exported - at('Find the members')) / 1000;
  const seconds = of === 'command' ? command : whole;
  const engine = (at('Start the FTL') - at('Start the array')) / 1000;
  const restored = lines.find(({ msg }) => msg === 'ftl-restored')!;
  const read = `${restored.units_played} units played, ${mebibytes(restored.bytes_read!)} of units read`;
  tell(
    name,
    `${seconds.toFixed(2)} s`,
    atMost(seconds, secondsMax, `≤ ${secondsMax} s`),
    `command ${command.toFixed(2)} s, stack ${whole.toFixed(2)} s, FTL ${engine.toFixed(2)} s (${slowestStep(lines)}); ${cpu.toFixed(2)} s of processor time; ${read}`,
  );
}

/** One of the sizes in the status of a process. */
function processBytes(pid: number, field: 'VmRSS' | 'RssShmem' | 'RssFile'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)![1]) * 1024;
}

const members = ['a', 'b', 'c', 'd'].map((name) => path.join(folder, name));
for (const member of members) {
  const fd = openSync(member, 'w');
  ftruncateSync(fd, MEMBER_BYTES);
  closeSync(fd);
}
let pid = 0;
try {
  await stack.bandstand('create', 'tank', '--raid', 'raid5f', '--yes', ...members);
  await stack.bandstand('export', 'tank', '--via', 'nbd');
  await stack.bandstand('wait', 'tank', '--for', 'resync');
  pid = await stack.pid();
  const loaded = stack.load(LOAD_SECONDS);
  await sleep(KILLED_AFTER_MS);
  const data = await stack.status();
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
  await measureStart('start after SIGKILL under load', { of: 'command', secondsMax: 2 });
  await stack.bandstand('wait', 'tank', '--for', 'resync');
  await stack.bandstand('stop', 'tank');
  await measureStart('start after a clean stop', { of: 'stack', secondsMax: 0.5 });
} finally {
  await stack.bandstand('stop', 'tank').catch(() => {});
}
