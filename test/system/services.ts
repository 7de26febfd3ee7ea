/**
 * Stacks as services: the unit, with a service manager of this test's own and with systemd; the
 * rule that names block devices.
 */

import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { call } from '../../src/control/client.ts';
import { PROGRAM, ROOT } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';
import { noise, StackWorld } from '../_helpers/running-stack.ts';
import { ServiceManager } from '../_helpers/service-manager.ts';

const UNIT = path.join(ROOT, 'packaging/systemd/bandstand@.service');
const RULES = path.join(ROOT, 'packaging/udev/65-bandstand.rules');
const DISK_BYTES = 16 * 2 ** 20;
const CONTENT = noise(65536, 32);
const WATCHDOG_MS = 400;

/** Values of a key of the unit, in order. */
function unitValues(key: string): string[] {
  const lines = readFileSync(UNIT, 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}

/** The words of ExecStart= as systemd would make them, with the program of this clone. */
function execStart(name: string, options: readonly string[]): string[] {
  const [line] = unitValues('ExecStart');
  const [program, ...words] = line!.split(' ');
  if (program !== 'bandstand') throw new Error(`ExecStart= runs ${program}`);
  const filled = words.flatMap((word) =>
    word === '$OPTIONS' ? options : [word.replace('%i', name)],
  );
  return [process.execPath, PROGRAM, ...filled];
}

function manage(t: ExecutionContext, world: StackWorld): ServiceManager {
  const options = ['--via', 'nbd', ...world.directories];
  const command = execStart('tank', options);
  return new ServiceManager(t, { socket: world.path('notify'), watchdogMs: WATCHDOG_MS, command });
}

requires('python3')(
  'the service tells each step, is ready, alive, and ends with SIGTERM',
  async (t) => {
    const world = new StackWorld(t);
    const disks = world.files(2, DISK_BYTES);
    await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
    const manager = manage(t, world);
    const uri = `nbd+unix:///tank?socket=${world.path('run/tank.nbd')}`;
    await manager.heard('READY=1');
    const [ready] = manager.states.filter((state) => state.startsWith('READY=1'));
    t.is(ready, `READY=1\nSTATUS=exported as ${uri}`);
    const before = manager.states.slice(0, manager.states.indexOf(ready!));
    t.true(before.length > 2, 'steps are told before');
    for (const state of before) t.regex(state, /^STATUS=\S/);
    t.true(manager.output.split('\n').includes(uri));
    await world.write('tank', CONTENT);
    await manager.heard('WATCHDOG=1', 3);
    process.kill(await manager.pid(), 'SIGTERM');
    t.is(await manager.ended(), 0);
    t.is(manager.states.filter((state) => state === 'STOPPING=1').length, 1);
    const { stdout } = await world.ok('examine', ...disks, '--json');
    const { devices } = JSON.parse(stdout).data;
    t.deepEqual(
      devices.map(({ member }: { member: { state: string } }) => member.state),
      ['clean', 'clean'],
    );
  },
);

requires('python3')('a data path that stands still does not feed the watchdog', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const manager = manage(t, world);
  await manager.heard('WATCHDOG=1', 2);
  await manager.hold();
  const fed = (): number => manager.states.filter((state) => state === 'WATCHDOG=1').length;
  // What was answered before may still be under way.
  await sleep(WATCHDOG_MS);
  const held = fed();
  for (let look = 0; look < 5; look += 1) {
    await sleep(WATCHDOG_MS);
    const answer = await call(world.path('run/tank.control.sock'), 'ping', {}, { name: 'tank' });
    t.truthy(answer, 'the process itself is alive');
  }
  t.is(fed(), held);
  await manager.release();
  await manager.heard('WATCHDOG=1', held + 1);
  process.kill(await manager.pid(), 'SIGTERM');
  t.is(await manager.ended(), 0);
});

requires('python3')('`bandstand stop` tells the service manager before it stops', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const manager = manage(t, world);
  await manager.heard('READY=1');
  t.is((await world.ok('stop', 'tank')).stdout, 'stopped tank\n');
  t.is(await manager.ended(), 0);
  const told = manager.states.filter((state) => state !== 'WATCHDOG=1');
  const stopping = told.indexOf('STOPPING=1');
  t.true(stopping > 0);
  t.true(told.indexOf('STATUS=closing the members') > stopping);
});

requires('systemd-analyze')('systemd finds nothing wrong with the unit', async (t) => {
  const world = new StackWorld(t);
  const text = readFileSync(UNIT, 'utf8');
  // It looks for the program, which is not installed.
  const unit = world.path('bandstand@.service');
  writeFileSync(unit, text.replace('ExecStart=bandstand ', `ExecStart=${process.execPath} `));
  const { stdout, stderr } = await promisify(execFile)(
    'systemd-analyze',
    ['verify', '--man=no', '--recursive-errors=no', world.path('bandstand@tank.service')],
    { env: { ...process.env, SYSTEMD_UNIT_PATH: `${world.folder}:` } },
  ).catch((error: { stdout: string; stderr: string }) => error);
  const own = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('bandstand'));
  t.deepEqual(own, []);
});

test('each line of the tmpfiles names a folder that the program has by itself', (t) => {
  const text = readFileSync(path.join(ROOT, 'packaging/tmpfiles.d/bandstand.conf'), 'utf8');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  t.deepEqual(lines, [
    'd /run/bandstand 0755 root root -',
    'd /var/lib/bandstand 0755 root root -',
  ]);
});

/** What the rule's PROGRAM prints for /dev/ublkbN, with records of this world in place of /run. */
function nameOf(world: StackWorld, number: number): string | null {
  const rule = readFileSync(RULES, 'utf8');
  const [, program] = /PROGRAM=="\/bin\/sh -c '(.*?)'"/.exec(rule)!;
  const script = program!
    .replaceAll('$$', '$')
    .replaceAll('%n', String(number))
    .replaceAll('%%', '%')
    .replaceAll('/run/bandstand', world.path('run'));
  try {
    return execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return null;
  }
}

test('the udev rule finds the stack of a block device in the records of the servers', async (t) => {
  const { writeUblkRecord } = await import('../../src/cli/ublk-record.ts');
  const world = new StackWorld(t);
  mkdirSync(world.path('run'));
  t.is(nameOf(world, 0), null, 'there are no records');
  writeUblkRecord(world.path('run'), 'tank', { id: 7, serverPids: [17] });
  writeUblkRecord(world.path('run'), 'a.b-c:d', { id: 17, serverPids: [7, 8] });
  t.is(nameOf(world, 7), 'tank');
  t.is(nameOf(world, 17), 'a.b-c:d');
  for (const number of [0, 1, 8, 77]) t.is(nameOf(world, number), null);
});

requires('systemd in namespaces', 'nbdcopy')(
  'systemd starts a stack, starts it anew when it dies or is stuck, and stops it',
  async (t) => {
    t.timeout(300_000);
    const world = new StackWorld(t);
    const boot = path.join(ROOT, 'test/_fixtures/systemd/boot.sh');
    const namespaces = ['-pfmCiu', '--kill-child', '--propagation', 'private'];
    const node = realpathSync(process.execPath);
    const words = [...namespaces, 'bash', boot, world.folder, ROOT, node, 'nbd'];
    const { stderr } = await promisify(execFile)('unshare', words, { timeout: 280_000 }).catch(
      (error: { stderr: string }) => error,
    );
    const read = (name: string): string => readFileSync(world.path(`results/${name}`), 'utf8');
    const facts = read('facts').trim().split('\n');
    t.log(stderr);
    t.deepEqual(facts, [
      'started: active',
      'status: exported as nbd+unix:///tank?socket=/run/bandstand/tank.nbd',
      'privileges: 1',
      'filter: 2',
      'metrics: active',
      'metrics by root: no',
      'metrics of tank: bandstand_stack_up{stack="tank"} 1',
      'metrics stopped: success',
      'after a kill: active',
      'another process: yes',
      'same data: yes',
      'stopped: inactive success',
      'clean: 2',
      'stopped by the command: inactive success',
      'a member is missing: exit-code',
      'stuck, and started anew: active 1',
      'end: reached',
    ]);
  },
);
