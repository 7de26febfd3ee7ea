/** Each level through real processes: create, export, write, read, stop, export, compare. */

import { closeSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import test from 'ava';
import { referenceImages } from '../_helpers/raid-reference.ts';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';

const BLOCK = 4096;
const DATA_OFFSET = 2 ** 20;
const STRIP = 64 * 1024;
const DATA_BLOCKS = (DISK_BYTES - DATA_OFFSET) / BLOCK;

for (const level of ['raid0', 'raid1', 'concat'] as const) {
  test.serial(
    `${level} keeps what is written through the export, where SPDK would put it`,
    async (t) => {
      const world = new StackWorld(t);
      const disks = world.files(3, DISK_BYTES);
      const strip = level === 'raid1' ? [] : ['--strip-size', '64K'];
      await world.ok('create', 's', '--raid', level, ...strip, ...disks);
      const uri = await world.export('s');
      t.is(uri, `nbd+unix:///s?socket=${world.path('run/s.nbd')}`);
      const size = DATA_BLOCKS * BLOCK * (level === 'raid1' ? 1 : 3);
      const content = noise(size, 7);
      await world.write('s', content);
      t.true((await world.read('s', size)).equals(content));
      t.is((await world.ok('stop', 's')).stdout, 'stopped s\n');
      await world.export('s');
      t.true((await world.read('s', size)).equals(content), 'after a stop and an export');
      await world.ok('stop', 's');
      const layout = { level, strip: STRIP / BLOCK, sizes: disks.map(() => DATA_BLOCKS) };
      const images = referenceImages(layout, BLOCK, content);
      for (const [slot, disk] of disks.entries()) {
        t.true(readFileSync(disk).subarray(DATA_OFFSET).equals(images[slot]!), `member ${slot}`);
      }
    },
  );
}

test.serial('raid5f is read as it was laid out, also without any one member', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(4, DISK_BYTES);
  await world.ok('create', 'p', '--raid', 'raid5f', '--no-ftl', '--strip-size', '64K', ...disks);
  const content = noise(DATA_BLOCKS * BLOCK * 3, 11);
  const layout = {
    level: 'raid5f' as const,
    strip: STRIP / BLOCK,
    sizes: disks.map(() => DATA_BLOCKS),
  };
  const images = referenceImages(layout, BLOCK, content);
  for (const [slot, disk] of disks.entries()) {
    const fd = openSync(disk, 'r+');
    writeSync(fd, images[slot]!, 0, images[slot]!.length, DATA_OFFSET);
    closeSync(fd);
  }
  const refused = await world.spawn('export', 'p', '--via', 'nbd');
  t.is(refused.status, 1);
  t.is(
    refused.stderr,
    'bandstand: cannot export p for writing: raid5f takes full stripes only, which an FTL makes, and it was created without one\n' +
      '  add --read-only: bandstand export p --read-only\n',
  );
  await world.export('p', '--read-only');
  t.true((await world.read('p', content.length)).equals(content));
  const client = await world.connect('p');
  await t.throwsAsync(client.write(0, Buffer.alloc(BLOCK)));
  await client.disconnect();
  await world.ok('stop', 'p');
  // One whose strips are data in the first stripe, and the one that holds its parity.
  for (const disk of [disks[1]!, disks[3]!]) {
    renameSync(disk, `${disk}.away`);
    const without = await world.spawn('export', 'p', '--read-only', '--via', 'nbd');
    t.is(without.status, 1);
    t.regex(without.stderr, /^bandstand: cannot assemble p: 1 of 4 members is missing: slot \d/);
    await world.export('p', '--read-only', '--degraded');
    const status = await world.spawn('status', 'p', '--exit-code', '--json');
    t.is(status.status, 3);
    t.is(JSON.parse(status.stdout).data.health, 'degraded');
    t.true((await world.read('p', content.length)).equals(content), `without ${disk}`);
    await world.ok('stop', 'p');
    renameSync(`${disk}.away`, disk);
  }
});

test.serial('an array without superblock is exported from what is remembered', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, DISK_BYTES);
  await world.ok(
    'create',
    'b',
    '--raid',
    'raid0',
    '--strip-size',
    '64K',
    '--no-superblock',
    ...disks,
  );
  const content = noise(2 * DISK_BYTES, 3);
  await world.export('b');
  await world.write('b', content);
  await world.ok('stop', 'b');
  const layout = {
    level: 'raid0' as const,
    strip: STRIP / BLOCK,
    sizes: disks.map(() => DISK_BYTES / BLOCK),
  };
  const images = referenceImages(layout, BLOCK, content);
  for (const [slot, disk] of disks.entries()) t.true(readFileSync(disk).equals(images[slot]!));
});

test.serial('a read-only parity array refuses changes with a reason that is true', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, DISK_BYTES);
  await world.ok('create', 'p', '--raid', 'raid5f', '--no-ftl', ...disks);
  await world.export('p', '--read-only');
  const added = world.file('new.img', DISK_BYTES);
  for (const words of [
    ['check', 'p'],
    ['check', 'p', '--repair', '--dry-run'],
    ['member', 'fail', 'p', '1'],
    ['member', 'add', 'p', added],
  ]) {
    const { status, stderr } = await world.spawn(...words);
    t.is(status, 1);
    t.regex(
      stderr,
      /: p is raid5f without an FTL, which is exported read-only\n {2}copy the data to /,
    );
  }
  t.is((await world.status('p'))['health'], 'healthy' as never, 'its server is well');
  await world.ok('stop', 'p');
});
