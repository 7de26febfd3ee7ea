/** Real block devices (loop): what is in use is refused, arrays run, moved members are found. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { requires } from '../_helpers/requires.ts';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';

const withLoops = requires('root', 'loop devices', 'losetup', 'mkfs.ext4', 'mount');

function attach(t: ExecutionContext, file: string): string {
  const device = execFileSync('losetup', ['-f', '--show', '--direct-io=on', file], {
    encoding: 'utf8',
  }).trim();
  t.teardown(() => detach(device));
  return device;
}

function detach(device: string): void {
  try {
    execFileSync('losetup', ['-d', device], { stdio: 'ignore' });
  } catch {
    // The test has detached it.
  }
}

withLoops('a mounted device, its file and what it holds are refused', async (t) => {
  const world = new StackWorld(t);
  const [a, b] = world.files(2, DISK_BYTES) as [string, string];
  const loop = attach(t, a);
  const other = attach(t, b);
  execFileSync('mkfs.ext4', ['-q', '-L', 'backup', loop]);
  const mountPoint = world.path('mnt');
  mkdirSync(mountPoint);
  execFileSync('mount', [loop, mountPoint]);
  t.teardown(() => execFileSync('umount', ['-q', mountPoint]));
  const mounted = await world.spawn('create', 'tank', '--raid', 'raid1', loop, other);
  t.is(mounted.status, 1);
  t.is(
    mounted.stderr,
    `bandstand: cannot create tank: ${loop} is in use: it is mounted at ${mountPoint}\n` +
      '  unmount it, or pass a different device\n',
  );
  const file = await world.spawn('create', 'tank', '--raid', 'raid1', a, other);
  t.is(file.status, 1);
  t.true(
    file.stderr.startsWith(
      `bandstand: cannot create tank: ${a} is in use: it is the backing file of ${loop.slice(5)}\n`,
    ),
    file.stderr,
  );
  const wiped = await world.spawn('wipe', '--yes', loop);
  t.is(wiped.status, 1);
  t.true(
    wiped.stderr.startsWith(`bandstand: cannot wipe ${loop}: it is mounted at ${mountPoint}\n`),
  );
  const benched = await world.spawn('bench', loop, '--rw', 'write', '--erase', loop);
  t.is(benched.status, 1);
  t.regex(benched.stderr, /^bandstand: cannot write to .*: it is mounted at /);
  const examined = JSON.parse((await world.ok('examine', '--json', loop)).stdout);
  t.is(examined.data.devices[0].usage, `mounted at ${mountPoint}`);
  t.like(examined.data.devices[0].foreign[0], { kind: 'ext4', label: 'backup' });
});

withLoops('an array over loop devices keeps its data when they change their names', async (t) => {
  const world = new StackWorld(t);
  const files = world.files(2, DISK_BYTES);
  const [a, b] = files as [string, string];
  const loops = [attach(t, a), attach(t, b)];
  await world.ok('create', 'tank', '--raid', 'raid0', ...loops);
  const content = noise(2 ** 21, 8);
  await world.export('tank');
  const busy = await world.spawn('create', 'other', '--raid', 'raid0', loops[0]!);
  t.is(busy.status, 1);
  t.regex(
    busy.stderr,
    /^bandstand: cannot create other: .* is in use: it is opened exclusively by /,
  );
  await world.write('tank', content);
  await world.ok('stop', 'tank');
  for (const loop of loops) detach(loop);
  // Something else takes the names that are remembered, and the members get new ones.
  const fillers = [world.file('x.img', DISK_BYTES), world.file('y.img', DISK_BYTES)];
  for (const filler of fillers) attach(t, filler);
  const moved = [attach(t, b), attach(t, a)];
  await world.export('tank');
  t.true((await world.read('tank', content.length)).equals(content));
  const { data } = JSON.parse((await world.ok('status', 'tank', '--json')).stdout);
  t.deepEqual(
    data.array.members.map((member: { device: string }) => member.device),
    [moved[1], moved[0]],
  );
  await world.ok('stop', 'tank');
});
