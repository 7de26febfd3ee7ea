/** Which devices a stack finds: given, remembered, moved, unlabelled, degraded; and who reads. */

import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, openSync, renameSync, writeSync } from 'node:fs';
import test from 'ava';
import { PROGRAM } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';

interface Entry {
  readonly uuid: string;
}

async function memberUuids(world: StackWorld, disk: string): Promise<string[]> {
  const { stdout } = await world.ok('examine', '--json', disk);
  const { members } = JSON.parse(stdout).data.devices[0].superblock.array;
  return members.map((member: Entry) => member.uuid);
}

/** As SPDK leaves its members: a superblock and no label. */
function removeLabels(disk: string): void {
  const fd = openSync(disk, 'r+');
  for (const at of [65536, 98304]) writeSync(fd, Buffer.alloc(4096), 0, 4096, at);
  closeSync(fd);
}

test.serial('members without labels are named by the user once, then remembered', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, DISK_BYTES);
  await world.ok('create', 'spdk', '--raid', 'raid0', ...disks);
  const uuids = await memberUuids(world, disks[0]!);
  const content = noise(2 ** 20, 4);
  await world.export('spdk');
  await world.write('spdk', content);
  await world.ok('stop', 'spdk');
  for (const disk of disks) removeLabels(disk);
  const [a, b] = disks as [string, string];
  const other = ['--state-dir', world.path('other')];
  const unnamed = await world.spawn('export', 'spdk', '--read-only', '--device', a, '--device', b);
  t.is(unnamed.status, 1);
  t.regex(unnamed.stderr, /^bandstand: cannot assemble spdk: which member .* is cannot be told/);
  t.regex(unnamed.stderr, new RegExp(`${uuids[0]}, ${uuids[1]}`));
  // In the wrong order on purpose: the UUIDs decide.
  const named = ['--device', `${b}=${uuids[1]}`, '--device', `${a}=${uuids[0]}`];
  await world.export('spdk', '--read-only', ...named);
  t.true((await world.read('spdk', content.length)).equals(content));
  await world.ok('stop', 'spdk');
  await world.export('spdk');
  t.true((await world.read('spdk', content.length)).equals(content), 'now they have labels');
  await world.ok('stop', 'spdk');
  t.is((await world.spawn('status', 'nothing', ...other)).status, 2, 'an option twice is refused');
});

test.serial('a degraded mirror is asked for, recorded, and then starts by itself', async (t) => {
  const world = new StackWorld(t);
  const [a, b] = world.files(2, DISK_BYTES) as [string, string];
  await world.ok('create', 'tank', '--raid', 'raid1', a, b);
  renameSync(a, `${a}.away`);
  const refused = await world.spawn('export', 'tank', '--via', 'nbd');
  t.is(refused.status, 1);
  t.is(refused.stdout, '');
  t.regex(refused.stderr, /^bandstand: cannot assemble tank: 1 of 2 members is missing: slot 0 /);
  t.regex(
    refused.stderr,
    /\n {2}give the missing devices, or add --degraded to start without them\n$/,
  );
  await world.export('tank', '--degraded');
  const content = noise(65536, 6);
  await world.write('tank', content);
  const status = await world.spawn('status', 'tank', '--exit-code', '--json');
  t.is(status.status, 3);
  const { data } = JSON.parse(status.stdout);
  t.is(data.health, 'degraded');
  t.is(data.array.members[0].health, 'missing');
  t.is(data.array.members[0].device, null);
  t.is(data.array.members[1].health, 'ok');
  await world.ok('stop', 'tank');
  renameSync(`${a}.away`, a);
  await world.export('tank');
  t.true(
    (await world.read('tank', content.length)).equals(content),
    'the stale member is not read',
  );
  await world.ok('stop', 'tank');
});

test.serial('members of another array are refused', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(4, DISK_BYTES);
  await world.ok('create', 'one', '--raid', 'raid1', disks[0]!, disks[1]!);
  await world.ok('create', 'two', '--raid', 'raid1', disks[2]!, disks[3]!);
  const mixed = ['--device', disks[0]!, '--device', disks[3]!];
  const outcome = await world.spawn('export', 'one', '--via', 'nbd', ...mixed);
  t.is(outcome.status, 1);
  t.regex(outcome.stderr, /^bandstand: cannot assemble one: 1 of 2 members is missing/);
  const twice = ['--device', disks[0]!, '--device', disks[0]!];
  const same = await world.spawn('export', 'one', '--via', 'nbd', ...twice);
  t.regex(same.stderr, /^bandstand: cannot assemble one: .* are the same device\n/);
});

requires('root')('status, list and examine of readable files need no privileges', async (t) => {
  const world = new StackWorld(t);
  chmodSync(world.folder, 0o755);
  const disks = world.files(2, DISK_BYTES);
  for (const disk of disks) chmodSync(disk, 0o644);
  await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
  await world.export('tank');
  const directories = ['--run-dir', world.path('run'), '--state-dir', world.path('state')];
  const asNobody = (...words: string[]) =>
    spawnSync(process.execPath, [PROGRAM, ...words, ...directories], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });
  const status = asNobody('status', 'tank', '--json');
  t.is(status.status, 0, status.stderr);
  t.is(JSON.parse(status.stdout).data.health, 'healthy');
  t.regex(asNobody('list').stdout, /^tank +healthy/m);
  const stop = asNobody('stop', 'tank');
  t.is(stop.status, 1);
  t.regex(
    stop.stderr,
    /^bandstand: cannot reach the server of tank at .*: permission denied\n {2}run it with sudo\n$/,
  );
  await world.ok('stop', 'tank');
  t.is(JSON.parse(asNobody('status', 'tank', '--json').stdout).data.health, 'stopped');
  const examined = asNobody('examine', disks[0]!);
  t.is(examined.status, 0, examined.stderr);
  t.regex(examined.stdout, /: member of tank /);
});
