/**
 * A stack with an FTL that is exported read-only: nothing on its members changes, and writes that a
 * killed server had answered are not hidden.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
const CONTENT = noise(3 * MIB, 5);

function digests(disks: readonly string[]): string[] {
  return disks.map((disk) => createHash('sha256').update(readFileSync(disk)).digest('hex'));
}

test.serial('a read-only export of an FTL changes nothing on its members', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 64 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  await world.export('tank');
  await world.write('tank', CONTENT);
  await world.ok('stop', 'tank');
  const before = digests(disks);
  await world.export('tank', '--read-only');
  sameBytes(t, await world.read('tank', CONTENT.length), CONTENT);
  t.is((await world.status('tank'))['health'] as string, 'healthy');
  const client = await world.connect('tank');
  await t.throwsAsync(client.write(0, CONTENT.subarray(0, 4096)));
  await client.disconnect();
  const repair = await world.spawn('check', 'tank', '--repair');
  t.regex(repair.stderr, /cannot check and repair tank: tank was started with --read-only/);
  await world.ok('check', 'tank');
  const found = await world.ok('wait', 'tank', '--for', 'check', '--exit-code');
  t.regex(found.stdout, /check is complete: 0 blocks had a wrong checksum/);
  await world.ok('stop', 'tank');
  t.deepEqual(digests(disks), before);
});

test.serial('a killed server leaves what a read-only one does not hide', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 64 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', ...disks);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'idle', '--timeout', '60s');
  const client = await world.connect('tank');
  await client.write(0, CONTENT.subarray(0, 4096));
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
  const refused = await world.spawn('export', 'tank', '--via', 'nbd', '--read-only');
  t.not(refused.status, 0);
  t.regex(refused.stderr, /cannot read tank as it is: 1 units? of writes/);
  await world.export('tank');
  sameBytes(t, await world.read('tank', 4096), CONTENT.subarray(0, 4096));
  await world.ok('stop', 'tank');
  await world.export('tank', '--read-only');
  sameBytes(t, await world.read('tank', 4096), CONTENT.subarray(0, 4096));
  await world.ok('stop', 'tank');
});
