/**
 * Starts of an FTL that are not as usual: stripes so large that its memory has to follow them, a
 * stack that nothing is remembered of, and a stop that comes too early.
 */

import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { bufferFile } from '../../src/stack/buffer-file.ts';
import { eventually, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;

test.serial('a stack that is not known here is exported, however large its stripes', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 128 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '1M', ...disks);
  rmSync(world.path('state'), { recursive: true });
  const devices = disks.flatMap((disk) => ['--device', disk]);
  await world.export('tank', ...devices);
  const content = Buffer.alloc(3 * MIB, 0x5a);
  await world.write('tank', content, 4096);
  sameBytes(t, await world.read('tank', content.length, 4096), content);
  await world.ok('stop', 'tank');
});

test.serial('a start that fails leaves no write buffer behind', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 64 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  for (const disk of disks.slice(1)) rmSync(disk);
  const { status } = await world.spawn('export', 'tank', '--via', 'nbd');
  t.not(status, 0);
  const { path } = bufferFile({ name: 'tank', remembered: null }, world.path('run')) ?? {
    path: world.path('none'),
  };
  t.false(existsSync(path), path);
});

test.serial('a stop in the middle of a start waits for it', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 64 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  const devices = disks.flatMap((disk) => ['--device', `delay(${disk},min=20ms)`]);
  const starting = world.spawn('export', 'tank', '--via', 'nbd', ...devices);
  const log = (): string => {
    const path = world.path('run/tank.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  await eventually('the FTL starts', () => log().includes('Load the map'), 60);
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGTERM');
  await starting;
  await eventually('the server has ended', () => !processAlive(pid), 60);
  t.false(log().includes('invariant broken'), log());
  t.true(log().includes('stopped cleanly'), log());
  await world.export('tank', ...disks.flatMap((disk) => ['--device', disk]));
  await world.ok('stop', 'tank');
});

test.serial(
  'a stack whose rebuild begins before its FTL is there starts as any other',
  async (t) => {
    const world = new StackWorld(t);
    const disks = world.files(2, 64 * MIB);
    const away = world.path('away.img');
    await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', ...disks);
    await world.export('tank');
    await world.ok('stop', 'tank');
    renameSync(disks[1]!, away);
    await world.export('tank', '--degraded');
    const content = Buffer.alloc(MIB, 0xa5);
    await world.write('tank', content);
    const { size_bytes: size } = await world.status('tank');
    await world.ok('stop', 'tank');
    renameSync(away, disks[1]!);
    await world.export('tank');
    sameBytes(t, await world.read('tank', content.length), content);
    await world.ok('wait', 'tank', '--for', 'rebuild');
    t.is((await world.status('tank'))['size_bytes'], size);
    await world.ok('stop', 'tank');
  },
);
