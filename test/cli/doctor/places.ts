/** What is at a path, and which directories are looked at. */

import { chmodSync, mkdirSync } from 'node:fs';
import test from 'ava';
import { Places } from '../../../src/cli/doctor/places.ts';
import { CliWorld } from '../../_helpers/run-cli.ts';

const NOWHERE = new Places([]);

test('a file, a directory and nothing are told apart', (t) => {
  const world = new CliWorld(t);
  const file = world.file('a.log', 0);
  chmodSync(file, 0o640);
  t.deepEqual(NOWHERE.read(file), {
    path: file,
    kind: 'file',
    mode: 0o640,
    uid: process.geteuid!(),
    isWritable: true,
    onExport: null,
  });
  mkdirSync(world.path('run'), { mode: 0o750 });
  t.like(NOWHERE.read(world.path('run')), { kind: 'directory', mode: 0o750 });
  t.like(NOWHERE.read(world.path('missing')), { kind: null, onExport: null });
});

test('an export that has just gone, and one over NBD, change nothing for a file on a disk', (t) => {
  const world = new CliWorld(t);
  const places = new Places([
    { stack: 'tank', exports: [{ kind: 'ublk', address: '/dev/no-such-ublkb0' }] },
    { stack: 'pond', exports: [{ kind: 'nbd', address: 'nbd+unix:///pond' }] },
  ]);
  t.is(places.read(world.file('a.log', 0)).onExport, null);
});

test('the chosen directories are told, there or not', (t) => {
  const world = new CliWorld(t);
  const [runDir, stateDir] = [world.path('run'), world.path('state')];
  mkdirSync(runDir);
  const told = NOWHERE.directories({ runDir, stateDir, automatic: false });
  t.deepEqual(
    told.map(({ isForeign, kind, path, what }) => ({ isForeign, kind, path, what })),
    [
      { what: 'run', path: runDir, kind: 'directory', isForeign: false },
      { what: 'state', path: stateDir, kind: null, isForeign: false },
    ],
  );
});
