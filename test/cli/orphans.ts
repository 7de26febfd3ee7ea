/** Devices that wait for a server, as their stacks and `list` show them. */

import { mkdirSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { isServer, orphanLines, orphanOf } from '../../src/cli/orphans.ts';
import { writeUblkRecord } from '../../src/cli/ublk-record.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const GONE = 2 ** 22 + 1;

function worldWithNote(world: CliWorld, serverPids: readonly number[]): string {
  mkdirSync(world.path('run'));
  mkdirSync(world.path('ublk'));
  writeUblkRecord(world.path('run'), 'tank', { id: 3, serverPids });
  return world.path('ublk');
}

test('a device whose server is gone is an orphan, with the two ways out of it', (t) => {
  const world = new CliWorld(t);
  const devices = worldWithNote(world, [GONE]);
  t.is(orphanOf(world.path('run'), 'tank', devices), null, 'the kernel has no such device');
  writeFileSync(world.path('ublk/ublkc3'), '');
  const orphan = orphanOf(world.path('run'), 'tank', devices);
  t.deepEqual(orphan, {
    stack: 'tank',
    id: 3,
    device: '/dev/ublkb3',
    takeOver: 'bandstand export tank',
    remove: 'bandstand stop tank',
  });
  t.is(orphanOf(world.path('run'), 'pond', devices), null, 'no note');
  t.deepEqual(orphanLines([orphan!]), [
    'tank: /dev/ublkb3 waits for a server, and so does its I/O',
    '  take it over: bandstand export tank; or give it up: bandstand stop tank',
  ]);
});

test('a pid that another program has got since is no server', (t) => {
  const world = new CliWorld(t);
  const devices = worldWithNote(world, [process.pid]);
  writeFileSync(world.path('ublk/ublkc3'), '');
  t.false(isServer(process.pid));
  t.false(isServer(GONE));
  t.not(orphanOf(world.path('run'), 'tank', devices), null);
});

test('a note about a device that is gone is no stack, but litter', async (t) => {
  const world = new CliWorld(t);
  worldWithNote(world, [GONE]);
  const { status, stdout } = await world.run('list', '--json');
  t.is(status, 0);
  t.deepEqual(JSON.parse(stdout).data, { stacks: [], orphans: [] });
  const doctor = await world.run('doctor', 'tank', '--plain');
  t.regex(doctor.stdout, /^leftovers\ttank\tfiles\twarning\t.*tank\.ublk\t/m);
});
