/**
 * A check of a stack with an FTL, with real servers over files: what has rotted on one member is
 * found by its checksum, mended from redundancy if asked, and counted.
 */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
const BLOCK = 4096;
const CONTENT = noise(4 * MIB, 77);
/** The block of the content that rots. */
const ROTTEN = 300;

/** Flips a bit of the block on the first disk that has it, from slot `from` on; gives the slot. */
function rot(disks: readonly string[], from: number): number {
  const wanted = CONTENT.subarray(ROTTEN * BLOCK, (ROTTEN + 1) * BLOCK);
  for (let slot = from; slot < disks.length; slot += 1) {
    const at = readFileSync(disks[slot]!).indexOf(wanted);
    if (at === -1) continue;
    const fd = openSync(disks[slot]!, 'r+');
    writeSync(fd, Buffer.of(wanted[99]! ^ 0x10), 0, 1, at + 99);
    closeSync(fd);
    return slot;
  }
  throw new Error('the block is on no disk');
}

for (const [level, count, from, options] of [
  ['raid1', 2, 0, ['--ftl']],
  ['raid1', 2, 1, ['--ftl']],
  ['raid5f', 3, 0, ['--strip-size', '32K']],
] as const) {
  const which = level === 'raid1' ? `raid1, on mirror ${from}` : level;
  test.serial(`what has rotted is found, mended and counted: ${which}`, async (t) => {
    const world = new StackWorld(t);
    const disks = world.files(count, 64 * MIB);
    await world.ok('create', 'tank', '--raid', level, ...options, ...disks);
    await world.export('tank');
    await world.write('tank', CONTENT);
    // A resync that goes on later would take what has rotted for right.
    await world.ok('wait', 'tank', '--for', 'idle', '--timeout', '60s');
    await world.ok('stop', 'tank');
    const slot = rot(disks, from);
    await world.export('tank');
    const started = await world.ok('check', 'tank');
    t.is(started.stdout, 'tank: check started\n  wait for it: bandstand wait tank --for check\n');
    const found = await world.spawn('wait', 'tank', '--for', 'check', '--exit-code');
    t.is(found.status, 4, 'it was found and left so');
    t.regex(found.stdout, /check is complete: 1 block had a wrong checksum, .*nothing was changed/);
    t.regex(found.stdout, /bandstand check tank --repair/);
    await world.ok('check', 'tank', '--repair');
    const mended = await world.spawn('wait', 'tank', '--for', 'check', '--exit-code', '--json');
    t.is(mended.status, 3, 'it was found and repaired');
    t.like(JSON.parse(mended.stdout).data, {
      mismatched_blocks: 1,
      repaired_blocks: 1,
      lost_blocks: 0,
      findings_left: false,
    });
    const { array, ftl } = (await world.status('tank')) as unknown as {
      array: { members: { repaired_blocks: number }[] };
      ftl: object;
    };
    t.like(ftl, { wrong_checksums: 2, repaired_checksums: 1, unreadable_blocks: 0 });
    t.deepEqual(
      array.members.map(({ repaired_blocks }) => repaired_blocks > 0),
      disks.map((_, one) => one === slot),
    );
    const { stdout } = await world.ok('events', 'tank', '--json');
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).data);
    const repaired = events.find(({ kind }) => kind === 'checksum-repaired');
    t.like(repaired, {
      slot,
      severity: 'warning',
      details: { block: ROTTEN, outcome: 'repaired' },
    });
    await world.ok('check', 'tank');
    const last = await world.spawn('wait', 'tank', '--for', 'check', '--exit-code');
    t.is(last.status, 0, last.stdout);
    sameBytes(t, await world.read('tank', CONTENT.length), CONTENT);
    await world.ok('stop', 'tank');
  });
}

test.serial('a stopped stack is checked without changing anything', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 64 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'idle', '--timeout', '60s');
  await world.write('tank', CONTENT);
  const busy = await world.spawn('check', ...disks.flatMap((disk) => ['--device', disk]));
  t.is(busy.status, 1);
  t.regex(busy.stderr, /cannot check tank offline: .*device or resource busy/);
  // The server is killed: what it had in its map is nowhere but in the units.
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
  const sound = await world.spawn('check', 'tank');
  t.is(sound.status, 0, sound.stdout + sound.stderr);
  t.regex(sound.stdout, /^tank: [\d ]+ blocks verified; the members agree\n$/);
  t.regex(sound.stderr, /a killed server has left its write buffer, which was not looked at/);
  const slot = rot(disks, 0);
  const before = disks.map((disk) => readFileSync(disk));
  for (const words of [['tank'], disks.flatMap((disk) => ['--device', disk])]) {
    const found = await world.spawn('check', ...words);
    t.is(found.status, 4, found.stderr);
    t.regex(
      found.stdout,
      /^tank: [\d ]+ blocks verified, 1 with a wrong checksum; 1 block of the /,
    );
    t.true(found.stdout.includes(`  block ${ROTTEN} (unit `), found.stdout);
    t.true(found.stdout.includes(`is wrong on the member in slot ${slot}\n`), found.stdout);
    t.true(found.stdout.endsWith('then bandstand check tank --repair\n'), found.stdout);
  }
  for (const [one, bytes] of before.entries()) t.true(bytes.equals(readFileSync(disks[one]!)));
  const repair = await world.spawn('check', 'tank', '--repair');
  t.regex(repair.stderr, /cannot check tank: it is not running/);
  const nobody = await world.spawn('check');
  t.is(nobody.status, 2);
});

test.serial('a stopped mirror without an FTL is compared', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 16 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'idle', '--timeout', '60s');
  await world.write('tank', CONTENT);
  await world.ok('stop', 'tank');
  t.is((await world.ok('check', 'tank')).stdout, 'tank: the members agree\n');
  rot(disks, 1);
  const found = await world.spawn('check', 'tank', '--json');
  t.is(found.status, 4);
  t.like(JSON.parse(found.stdout).data, {
    action: 'offline',
    checked_blocks: null,
    compared: true,
    mismatched_blocks: 1,
  });
});
