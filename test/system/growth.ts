/** Members that grow while a stack runs: the array follows them, its export at the next export. */

import { truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
/** The server looks at the sizes of its members every ten seconds. */
const LOOKS = 100;
const LOOK_MS = 300;

interface Sizes {
  readonly size_bytes: number;
  readonly reason: string | null;
  readonly action: string | null;
  readonly exports: readonly { readonly size_bytes: number }[];
}

test.serial('status tells the size of the array and that of its export apart', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, DISK_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
  await world.export('tank');
  const content = noise(MIB, 21);
  await world.write('tank', content);
  const sizes = async (): Promise<Sizes> => (await world.status('tank')) as unknown as Sizes;
  const before = await sizes();
  t.is(before.size_bytes, 15 * MIB);
  t.is(before.exports[0]!.size_bytes, 15 * MIB);
  for (const disk of disks) truncateSync(disk, 2 * DISK_BYTES);
  let grown = await sizes();
  for (let look = 0; look < LOOKS && grown.size_bytes === before.size_bytes; look += 1) {
    await sleep(LOOK_MS);
    grown = await sizes();
  }
  t.is(grown.size_bytes, 31 * MIB);
  t.is(grown.exports[0]!.size_bytes, 15 * MIB, 'clients are not told');
  await world.ok('wait', 'tank');
  const idle = await sizes();
  t.is(idle.reason, 'the array has 31 MiB since it has grown, its export still 15 MiB');
  t.is(
    idle.action,
    'unexport it and export it again: bandstand unexport tank, then bandstand export tank',
  );
  const { stdout } = await world.ok('status', 'tank');
  t.regex(stdout, /^ {2}export: nbd.*, 15 MiB$/m);
  t.regex(stdout, /^ {4}size: 31 MiB$/m);
  await world.ok('unexport', 'tank');
  await world.export('tank');
  t.like(await sizes(), { size_bytes: 31 * MIB, reason: null, action: null });
  const client = await world.connect('tank');
  t.is(client.sizeBytes, 31 * MIB);
  await client.disconnect();
  t.true((await world.read('tank', content.length)).equals(content));
  await world.ok('stop', 'tank');
  t.is((await sizes()).size_bytes, 31 * MIB, 'it is remembered');
});

test.serial('members that grew while the stack was stopped do not grow the array', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, DISK_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
  for (const disk of disks) truncateSync(disk, 2 * DISK_BYTES);
  await world.export('tank');
  t.is(((await world.status('tank')) as unknown as Sizes).size_bytes, 15 * MIB);
  await world.ok('stop', 'tank');
});
