/** What doctor says of the run and state directories. */

import test from 'ava';
import { directoryChecks } from '../../../src/cli/doctor/directory-checks.ts';
import { directoryAt } from '../../_helpers/doctor-facts.ts';

const check = (change: Parameters<typeof directoryAt>[1], what: 'run' | 'state' = 'run') =>
  directoryChecks([directoryAt(what, change)])[0]!;

test('directories that are there are in order, and the first stack makes others', (t) => {
  t.like(check({}), { name: 'run-directory', state: 'ok', found: '/srv/run, mode 0755' });
  t.like(check({ kind: null }, 'state'), {
    name: 'state-directory',
    state: 'not-applicable',
    found: '/srv/state is not there; the first stack makes it',
  });
});

test('what is no directory is a problem', (t) => {
  t.like(check({ kind: 'file' }, 'state'), {
    state: 'problem',
    action: 'choose another with --state-dir',
  });
});

test('a directory that others can write is a problem, unless they cannot take things away', (t) => {
  t.like(check({ mode: 0o777 }), {
    state: 'problem',
    found: '/srv/run has mode 0777: others can change what is in it',
    action: 'chmod go-w /srv/run',
  });
  t.is(check({ mode: 0o1777 }).state, 'ok');
});

test('a directory of somebody else is a warning, one that cannot be written a problem', (t) => {
  t.like(check({ uid: 1000 }), { state: 'warning', found: '/srv/run belongs to user 1000' });
  t.is(check({ uid: 1000, ownUid: 1000 }).state, 'ok');
  t.like(check({ isWritable: false, ownUid: 1000 }), {
    state: 'problem',
    action: 'run it with sudo, or choose another with --run-dir',
  });
  const others = { isWritable: false, ownUid: 1000, isForeign: true };
  t.is(check(others).state, 'ok', 'where root has its stacks, others only look');
});

test('a directory on the export of a stack is a problem, one on an NBD device a warning', (t) => {
  const onExport = { stack: 'tank', address: '/dev/ublkb0', isCertain: true };
  t.like(check({ onExport }), {
    state: 'problem',
    found: '/srv/run is on /dev/ublkb0, which the stack tank exports',
    action: 'move it: bandstand stop tank, and export again with another --run-dir',
  });
  const nbd = { stack: 'tank', address: '/dev/nbd0', isCertain: false };
  t.like(check({ onExport: nbd }), {
    state: 'warning',
    found: '/srv/run is on the NBD device /dev/nbd0: perhaps that of a stack here',
  });
});
