/** A running stack that is exported in several ways at once, over NBD. With ublk: test/vm. */

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { NbdClient } from '../_helpers/nbd-client.ts';
import { printedError } from '../_helpers/run-cli.ts';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';

const BYTES = 128 * 1024;

/** Exported at its default socket, for writing. */
async function exported(t: ExecutionContext): Promise<{ world: StackWorld; uri: string }> {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  return { world, uri: await world.export('tank') };
}

async function exports(world: StackWorld): Promise<readonly { readonly address: string }[]> {
  return (await world.status('tank'))['exports'];
}

test('what is written through one export is read through another', async (t) => {
  const { world, uri } = await exported(t);
  const path = world.path('second.sock');
  const pid = await world.serverPid('tank');
  const second = await world.export('tank', '--nbd', `unix:${path}`, '--read-only');
  t.not(second, uri);
  t.is(await world.export('tank', '--nbd', `unix:${path}`, '--read-only'), second);
  t.is(await world.serverPid('tank'), pid);
  t.like(await exports(world), [
    { kind: 'nbd', address: uri, read_only: false, size_bytes: DISK_BYTES - 2 ** 20 },
    { kind: 'nbd', address: second, read_only: true, size_bytes: DISK_BYTES - 2 ** 20 },
  ]);

  const content = noise(BYTES, 3);
  await world.write('tank', content);
  const reader = await NbdClient.connectUnix(path, { exportName: 'tank' });
  t.true((await reader.read(0, BYTES)).equals(content));
  await t.throwsAsync(reader.write(0, content));
  t.true((await world.read('tank', BYTES)).equals(content));
  await reader.disconnect();
  await world.ok('stop', 'tank');
  t.false(existsSync(path));
  t.false(existsSync(world.path('run/tank.nbd')));
});

test('one of several is removed, and the clients of the others notice nothing', async (t) => {
  const { world, uri } = await exported(t);
  const path = world.path('second.sock');
  const second = await world.export('tank', '--nbd', `unix:${path}`);
  const client = await NbdClient.connectUnix(path, { exportName: 'tank' });
  const content = noise(BYTES, 4);
  await client.write(0, content);

  t.is((await world.ok('unexport', 'tank', uri)).stdout, `removed ${uri} of tank\n`);
  t.false(existsSync(world.path('run/tank.nbd')));
  t.true((await client.read(0, BYTES)).equals(content));
  t.like(await exports(world), { length: 1, 0: { address: second } });
  const again = await world.ok('unexport', 'tank', uri, '--json');
  t.deepEqual(JSON.parse(again.stdout).data, { name: 'tank', removed: false, addresses: [] });
  t.is((await world.ok('unexport', 'tank', uri)).stdout, `tank is not exported as ${uri}\n`);

  t.is(await world.export('tank', '--nbd', `unix:${world.path('run/tank.nbd')}`), uri);
  t.true((await world.read('tank', BYTES)).equals(content));
  await client.disconnect();
  const all = await world.ok('unexport', 'tank');
  t.deepEqual(
    all.stdout.trim().split('\n').sort(),
    [`removed ${uri} of tank`, `removed ${second} of tank`].sort(),
  );
  await world.ok('stop', 'tank');
});

test('an export is never changed under its clients; one that fails leaves the rest', async (t) => {
  const { world, uri } = await exported(t);
  const refused = await world.spawn('export', 'tank', '--via', 'nbd', '--read-only');
  t.is(refused.status, 1);
  t.is(
    refused.stderr,
    `bandstand: cannot export tank in another way: it is exported as ${uri}, for reading and writing\n` +
      `  remove that export first: bandstand unexport tank ${uri}\n`,
  );
  const json = await world.spawn('export', 'tank', '--via', 'nbd', '--read-only', '--json');
  t.is(printedError(json).code, 'BANDSTAND_STACK_RUNNING');
  const socket = `unix:${world.path('no/such/folder.sock')}`;
  const failed = await world.spawn('export', 'tank', '--nbd', socket);
  t.is(failed.status, 1, failed.stdout);
  t.like(await exports(world), { length: 1, 0: { address: uri } });
  t.is((await world.read('tank', 4096)).length, 4096);
  await world.ok('stop', 'tank');
});

test('another server has all exports of the one before, or says which it lacks', async (t) => {
  const { world, uri } = await exported(t);
  const [path, lost] = [world.path('second.sock'), world.path('lost')];
  const second = await world.export('tank', '--nbd', `unix:${path}`, '--read-only');
  mkdirSync(lost);
  await world.export('tank', '--nbd', `unix:${lost}/third.sock`);
  const content = noise(BYTES, 5);
  await world.write('tank', content);
  rmSync(lost, { recursive: true });
  const { stderr } = await world.ok('upgrade', 'tank');
  t.regex(stderr, /^tank: an export that it had is missing: cannot .*third\.sock/m);
  t.like(await exports(world), [
    { address: uri, read_only: false },
    { address: second, read_only: true },
  ]);
  const reader = await NbdClient.connectUnix(path, { exportName: 'tank' });
  t.true((await reader.read(0, BYTES)).equals(content));
  await reader.disconnect();
  await world.ok('stop', 'tank');
});
