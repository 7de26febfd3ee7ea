/** One server takes over from another, over NBD. With I/O running: test/vm/upgrade.sh. */

import { spawn } from 'node:child_process';
import { readFileSync, renameSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { PROGRAM } from '../_helpers/repository.ts';
import { printedError } from '../_helpers/run-cli.ts';
import { DISK_BYTES, eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

const BYTES = 256 * 1024;

test('another server serves the same, and has been started cleanly', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(4, 2 * DISK_BYTES);
  const [cache, ...members] = disks as [string, ...string[]];
  await world.ok('create', 'tank', '--raid', 'raid5f', '--cache', cache, '--yes', ...members);
  const uri = await world.export('tank');
  const content = noise(BYTES, 7);
  await world.write('tank', content);
  await world.ok('wait', 'tank', '--for', 'idle');
  const before = await world.serverPid('tank');

  const dry = await world.ok('upgrade', 'tank', '--dry-run');
  t.regex(dry.stdout, /^tank is served by version \S+ \(pid \d+\), and would be by \S+\n$/);
  t.is(await world.serverPid('tank'), before);

  const { data } = JSON.parse((await world.ok('upgrade', 'tank', '--json')).stdout);
  const after = await world.serverPid('tank');
  t.not(after, before);
  t.false(processAlive(before));
  t.like(data, { name: 'tank', kind: 'nbd', address: uri, old_pid: before, closed_cleanly: true });
  t.true(data.pause_ms > 0);
  t.deepEqual(await world.read('tank', BYTES), content);
  const events = (await world.ok('events', 'tank', '--plain')).stdout;
  t.false(events.includes('crash'), events);
  await world.ok('stop', 'tank');
  const log = readFileSync(world.path('run/tank.log'), 'utf8');
  t.regex(log, /"kind":"handed-over"/);
  const second = log.slice(log.indexOf('handed-over'));
  t.true(second.includes('"clean":true') && !second.includes('"clean":false'), second);
});

test('what an export was asked for is asked of the next server, too', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const socket = world.path('elsewhere.sock');
  const uri = await world.export('tank', '--nbd', `unix:${socket}`, '--read-only');
  const { stdout } = await world.ok('upgrade', 'tank');
  t.true(stdout.includes(` at ${uri}\n`), stdout);
  const [exported] = (await world.status('tank'))['exports'] as { read_only: boolean }[];
  t.like(exported, { address: uri, read_only: true });
  const refused = await world.spawn('unexport', 'tank');
  t.is(refused.status, 0, refused.stderr);
  await world.ok('stop', 'tank');
});

test('a server that another one could not follow is not replaced', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(4, 2 * DISK_BYTES);
  const [cache, ...members] = disks as [string, string, ...string[]];
  await world.ok('create', 'tank', '--raid', 'raid5f', '--cache', cache, '--yes', ...members);
  await world.export('tank');
  const content = noise(BYTES, 8);
  await world.write('tank', content);
  const pid = await world.serverPid('tank');
  for (const [gone, why] of [
    [members[0], /one would not start: cannot assemble tank: 1 of 3 members is missing: slot 0/],
    [cache, /one would not start: cannot start tank: its NV cache .* does not exist/],
  ] as const) {
    renameSync(gone, `${gone}.away`);
    const { status, stderr } = await world.spawn('upgrade', 'tank');
    t.is(status, 1);
    t.regex(stderr, why);
    t.regex(stderr, /\n {2}nothing has changed, and the old one goes on; mend that first, or take/);
    t.is(await world.serverPid('tank'), pid);
    t.deepEqual(await world.read('tank', BYTES), content);
    renameSync(`${gone}.away`, gone);
  }
  await world.ok('upgrade', 'tank');
  t.not(await world.serverPid('tank'), pid);
  t.deepEqual(await world.read('tank', BYTES), content);
  await world.ok('stop', 'tank');
});

test('a server that cannot be replaced goes on', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const stopped = await world.spawn('upgrade', 'tank');
  t.is(stopped.status, 1);
  t.regex(stopped.stderr, /^bandstand: cannot upgrade tank: it is not running\n {2}start it first/);
  t.regex((await world.spawn('upgrade', 'pond')).stderr, /pond/);

  await world.export('tank');
  const pid = await world.serverPid('tank');
  await world.ok('unexport', 'tank');
  const idle = await world.spawn('upgrade', 'tank');
  t.is(idle.status, 1);
  t.is(
    idle.stderr,
    'bandstand: cannot replace the server of tank: it is not exported\n' +
      '  end it and start another: bandstand stop tank, then bandstand export tank\n',
  );
  const json = await world.spawn('upgrade', 'tank', '--json');
  t.is(printedError(json).code, 'BANDSTAND_HAND_OVER_REFUSED');
  t.is(await world.serverPid('tank'), pid);
  await world.ok('export', 'tank', '--via', 'nbd');
  await world.ok('stop', 'tank');

  const words = ['export', 'tank', '--via', 'nbd', '--foreground', ...world.directories];
  const child = spawn(process.execPath, [PROGRAM, ...words], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += String(chunk);
  });
  await eventually('the server is ready', () => printed.endsWith('\n'), 30);
  const own = await world.spawn('upgrade', 'tank');
  t.is(own.status, 1);
  t.regex(own.stderr, /its server belongs to the program that has started it/);
  t.is((await world.read('tank', 4096)).length, 4096);
  child.kill('SIGTERM');
  await eventually('the server has ended', () => child.exitCode !== null, 30);
  t.is(child.exitCode, 0);
});
