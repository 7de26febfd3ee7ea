/**
 * A stack whose map is damaged: a start mends it from the other mirror, or refuses; then the map is
 * made anew by `check --rebuild-map`, if somebody has said so.
 */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import test from 'ava';
import { noise, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
const CONTENT = noise(4 * MIB, 31);

/** Bends a byte in every page of the map that is on the disk. */
function bendMap(disk: string): number {
  const bytes = readFileSync(disk);
  const fd = openSync(disk, 'r+');
  let count = 0;
  for (let at = bytes.indexOf('BSMP'); at !== -1; at = bytes.indexOf('BSMP', at + 4)) {
    if (at % 4096 !== 0) continue;
    writeSync(fd, Buffer.of(bytes[at + 200]! ^ 0x20), 0, 1, at + 200);
    count += 1;
  }
  closeSync(fd);
  return count;
}

test.serial('a damaged map is mended, refused, and made anew when it is asked for', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 64 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', ...disks);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'idle', '--timeout', '60s');
  await world.write('tank', CONTENT);
  const running = await world.spawn('check', 'tank', '--rebuild-map', '--yes');
  t.regex(running.stderr, /cannot rebuild the map of tank: it is running/);
  await world.ok('stop', 'tank');
  t.true(bendMap(disks[0]!) > 0);
  await world.export('tank');
  const { stdout } = await world.ok('events', 'tank', '--plain');
  t.regex(stdout, /page 0 of the map is wrong on the member in slot 0: it was written again/);
  sameBytes(t, await world.read('tank', CONTENT.length), CONTENT);
  await world.ok('stop', 'tank');
  for (const disk of disks) bendMap(disk);
  const refused = await world.spawn('export', 'tank', '--via', 'nbd');
  t.is(refused.status, 1);
  t.regex(refused.stderr, /page 0 of its map is not usable: its checksum is wrong/);
  t.regex(refused.stderr, /bandstand check tank --rebuild-map/);
  t.is((await world.spawn('check', 'tank')).status, 1, 'an offline check cannot either');
  const unasked = await world.spawn('check', 'tank', '--rebuild-map');
  t.is(unasked.status, 1);
  t.regex(unasked.stderr, /blocks that were trimmed may show again .*nobody can be asked/);
  const rebuilt = await world.ok('check', 'tank', '--rebuild-map', '--yes');
  t.regex(rebuilt.stdout, /^tank: the map is made anew; 1 024 blocks are in use\n/);
  t.regex(rebuilt.stdout, /blocks that were trimmed may show again/);
  t.is((await world.spawn('check', 'tank')).status, 0);
  await world.export('tank');
  sameBytes(t, await world.read('tank', CONTENT.length), CONTENT);
  await world.ok('stop', 'tank');
});

test.serial('a stack without an FTL has no map', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 16 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid1', ...disks);
  const { status, stderr } = await world.spawn('check', 'tank', '--rebuild-map', '--yes');
  t.is(status, 1);
  t.regex(stderr, /cannot rebuild the map of tank: it has no FTL/);
  const both = await world.spawn('check', 'tank', '--rebuild-map', '--repair');
  t.is(both.status, 2);
});
