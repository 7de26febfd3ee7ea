/** The life of servers: exports, signals, sudden death, leftovers, memory and processor time. */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { IDLE } from '../../src/control/schema.ts';
import { PROGRAM } from '../_helpers/repository.ts';
import { DISK_BYTES, eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

async function mirror(world: StackWorld): Promise<string[]> {
  const disks = world.files(2, DISK_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
  return disks;
}

test.serial('exporting an exported stack prints the same address and starts nothing', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  const uri = await world.export('tank');
  const pid = await world.serverPid('tank');
  const again = await world.ok('export', 'tank');
  t.is(again.stdout, `${uri}\n`);
  t.is(await world.serverPid('tank'), pid);
  t.is((await world.ok('export', 'tank', '--via', 'nbd')).stdout, `${uri}\n`);
  await world.ok('stop', 'tank');
});

test.serial('status, list and the sockets say what is running, and who may ask', async (t) => {
  const world = new StackWorld(t);
  const disks = await mirror(world);
  const uri = await world.export('tank');
  await world.write('tank', noise(65536, 1));
  // A new array makes its members equal first.
  await world.ok('wait', 'tank', '--for', 'idle');
  const status = JSON.parse((await world.ok('status', 'tank', '--json')).stdout);
  t.is(status.schema, 'bandstand.status/1');
  const { data } = status;
  t.is(data.health, 'healthy');
  t.is(data.reason, null);
  t.is(data.server.pid, await world.serverPid('tank'));
  const { size_bytes } = data;
  t.deepEqual(data.exports, [{ kind: 'nbd', address: uri, read_only: false, size_bytes }]);
  t.deepEqual(data.activity, IDLE);
  t.is(data.array.level, 'raid1');
  t.is(data.array.superblock_seq, 1);
  t.deepEqual(
    data.array.members.map((member: Record<string, unknown>) => [
      member['device'],
      member['health'],
    ]),
    disks.map((disk) => [disk, 'ok']),
  );
  t.is(data.io.write.ios, 1);
  t.is(data.io.write.bytes, 65536);
  t.true(data.io.write.p99_us > 0);
  t.is(data.ftl, null);
  t.is(data.cache, null);
  const list = JSON.parse((await world.ok('list', '--json')).stdout);
  t.is(list.data.stacks[0].exports[0].address, uri);
  t.regex((await world.ok('list')).stdout, /^tank +healthy +idle +15 MiB +raid1 +nbd\+unix/m);
  t.regex((await world.ok('list', '--plain')).stdout, /^tank\thealthy\tidle\t15728640\traid1\tnbd/);
  const mode = (name: string): number => statSync(world.path(`run/${name}`)).mode & 0o777;
  t.is(mode('tank.control.sock'), 0o600);
  t.is(mode('tank.status.sock'), 0o666);
  t.is(mode('tank.nbd'), 0o600);
  await world.ok('stop', 'tank');
  t.deepEqual(readdirSync(world.path('run')).sort(), ['tank.lock', 'tank.log']);
});

test.serial('unexport keeps the server, and the stack can be exported again', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  const uri = await world.export('tank');
  const pid = await world.serverPid('tank');
  t.is((await world.ok('unexport', 'tank')).stdout, `removed ${uri} of tank\n`);
  t.false(existsSync(world.path('run/tank.nbd')));
  t.is((await world.ok('unexport', 'tank')).stdout, 'tank is not exported\n');
  await world.export('tank');
  t.is(await world.serverPid('tank'), pid);
  await world.ok('stop', 'tank');
});

test.serial(
  'a killed server loses nothing that was flushed, and export starts another',
  async (t) => {
    const world = new StackWorld(t);
    await mirror(world);
    const uri = await world.export('tank');
    const content = noise(2 ** 20, 5);
    await world.write('tank', content);
    const pid = await world.serverPid('tank');
    process.kill(pid, 'SIGKILL');
    await eventually('the server is gone', () => !processAlive(pid));
    const stopped = await world.status('tank');
    t.like(stopped, {
      health: 'stopped',
      server: null,
      reason: 'its server ended without a clean stop',
    });
    t.is(await world.export('tank'), uri);
    t.not(await world.serverPid('tank'), pid);
    t.true((await world.read('tank', content.length)).equals(content));
    await world.ok('stop', 'tank');
  },
);

test.serial('stop cleans up after a killed server, and stopping again says so', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  await world.export('tank');
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
  const first = await world.ok('stop', 'tank');
  t.regex(first.stdout, /^cleaned up after the crashed server of tank: /);
  t.deepEqual(readdirSync(world.path('run')).sort(), ['tank.lock', 'tank.log']);
  t.is((await world.ok('stop', 'tank')).stdout, 'tank was stopped already\n');
});

test.serial(
  '--foreground serves until SIGTERM, then flushes, marks clean and ends with 0',
  async (t) => {
    const world = new StackWorld(t);
    const disks = await mirror(world);
    const child = spawn(
      process.execPath,
      [
        PROGRAM,
        'export',
        'tank',
        '--foreground',
        '--via',
        'nbd',
        '--run-dir',
        world.path('run'),
        '--state-dir',
        world.path('state'),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    t.teardown(() => child.kill('SIGKILL'));
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => (stdout += text));
    child.stderr.on('data', (text) => (stderr += text));
    await eventually('the address is printed', () => stdout.includes('\n'));
    t.is(stdout, `nbd+unix:///tank?socket=${world.path('run/tank.nbd')}\n`);
    t.is(await world.serverPid('tank'), child.pid!);
    await world.write('tank', noise(65536, 9));
    child.kill('SIGUSR1');
    await eventually('SIGUSR1 logs the status', () => stderr.includes('"msg":"status"'));
    child.kill('SIGHUP');
    await sleep(50);
    t.is(child.exitCode, null, 'neither signal ends it');
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    t.is(await ended, 0);
    t.true(stderr.includes('stopped cleanly'));
    const examined = JSON.parse((await world.ok('examine', '--json', ...disks)).stdout);
    for (const device of examined.data.devices) t.is(device.member.state, 'clean');
  },
);

test.serial(
  'a foreground server outlives its reader, and a second signal ends it at once',
  async (t) => {
    const world = new StackWorld(t);
    await mirror(world);
    const child = spawn(
      process.execPath,
      [PROGRAM, 'export', 'tank', '--foreground', '--via', 'nbd', ...world.directories],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    t.teardown(() => child.kill('SIGKILL'));
    child.stdout.destroy();
    child.stderr.resume();
    await eventually('the server listens', () => existsSync(world.path('run/tank.nbd')));
    await world.ok('status', 'tank');
    t.is(child.exitCode, null, 'it did not mind');
    const ended = new Promise((resolve) =>
      child.once('exit', (code, signal) => resolve(signal ?? code)),
    );
    child.kill('SIGSTOP');
    child.kill('SIGTERM');
    child.kill('SIGINT');
    child.kill('SIGCONT');
    // Both were pending; the kernel decides which comes first.
    t.regex(String(await ended), /^SIG(TERM|INT)$/);
    await world.ok('stop', 'tank');
  },
);

test.serial('exports at the same moment share one server', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  const outcomes = await Promise.all(
    [1, 2, 3].map(() => world.spawn('export', 'tank', '--via', 'nbd')),
  );
  for (const { status, stderr, stdout } of outcomes) {
    t.is(status, 0, stderr);
    t.is(stdout, `nbd+unix:///tank?socket=${world.path('run/tank.nbd')}\n`);
  }
  const log = readFileSync(world.path('run/tank.log'), 'utf8');
  t.is(log.match(/"kind":"exported"/g)?.length, 1);
  await world.ok('stop', 'tank');
});

test.serial('a member of a running stack is refused by wipe and create', async (t) => {
  const world = new StackWorld(t);
  const disks = await mirror(world);
  await world.export('tank');
  const wiped = await world.spawn('wipe', '--yes', disks[0]!);
  t.is(wiped.status, 1);
  t.regex(
    wiped.stderr,
    /^bandstand: cannot wipe .*: it is opened exclusively by another program\n/,
  );
  const made = await world.spawn('create', 'other', '--raid', 'raid1', ...disks);
  t.is(made.status, 1);
  t.regex(made.stderr, /^bandstand: cannot create other: .* is in use: /);
  await world.ok('stop', 'tank');
});

/** utime + stime of every thread of the process, in ticks. */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

test.serial(
  'an idle server uses no processor time, and a 1 GiB export less than 150 MB',
  async (t) => {
    const world = new StackWorld(t);
    const disks = world.files(2, 2 ** 29);
    await world.ok('create', 'big', '--raid', 'raid0', ...disks);
    await world.export('big');
    await world.write('big', noise(8 * 2 ** 20, 2));
    const pid = await world.serverPid('big');
    await sleep(1000);
    const before = ticks(pid);
    await sleep(1000);
    const used = ticks(pid) - before;
    t.true(used <= 2, `${used} ticks in a second`);
    const resident = Number(
      /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
    );
    t.true(resident * 1024 < 150e6, `${resident} KiB`);
    t.log(`${used} ticks, ${resident} KiB resident`);
    await world.ok('stop', 'big');
  },
);

test.serial('--exit-with-parent ends the server with its parent', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  const script = `
    const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ${JSON.stringify([PROGRAM, 'export', 'tank', '--via', 'nbd', '--foreground', '--exit-with-parent', '--run-dir', world.path('run'), '--state-dir', world.path('state')])}, { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.once('data', () => process.kill(process.pid, 'SIGKILL'));
  `;
  const parent = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  await new Promise((resolve) => parent.once('exit', resolve));
  const pid = await world.serverPid('tank');
  await eventually('the server is gone', () => !processAlive(pid));
  t.false(existsSync(world.path('run/tank.nbd')), 'it stopped cleanly');
});
