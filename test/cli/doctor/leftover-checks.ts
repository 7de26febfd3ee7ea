/** What doctor says of what killed servers have left. */

import test from 'ava';
import {
  type LeftoverFacts,
  leftoverChecks,
  type StackLeftovers,
} from '../../../src/cli/doctor/leftover-checks.ts';
import { LEFT, named } from '../../_helpers/doctor-facts.ts';

const NOTHING: LeftoverFacts = { stacks: [], strayDevices: [], strayBuffers: [] };

const left = (change: Partial<StackLeftovers>) =>
  leftoverChecks({ ...NOTHING, stacks: [{ ...LEFT, ...change }] });

test('nothing is in order, and says where only root sees more', (t) => {
  const [check, ...more] = leftoverChecks(NOTHING);
  t.like(check, { state: 'ok', found: 'no killed server has left anything', stack: null });
  t.deepEqual(more, []);
  t.is(
    leftoverChecks({ ...NOTHING, strayDevices: null })[0]!.found,
    'no killed server has left anything (devices without a note: only root sees them)',
  );
});

test('a device without a server is a problem, with the two ways out of it', (t) => {
  const checks = left({
    device: '/dev/ublkb3',
    deviceState: 'quiesced',
    staleNote: '/run/tank.ublk',
  });
  t.is(checks.length, 1);
  t.like(named(checks, 'orphan'), {
    state: 'problem',
    found: '/dev/ublkb3 of tank has no server, quiesced',
    action: 'take it over: bandstand export tank; or give it up: bandstand stop tank',
  });
  t.is(
    named(left({ device: '/dev/ublkb3', isKnown: false }), 'orphan').action,
    'take it over: bandstand export tank --device PATH… --run-dir /run/bandstand; or give it up: bandstand stop tank',
  );
});

test('a write buffer is a problem until it is written', (t) => {
  t.like(named(left({ buffer: '/run/bandstand/tank.buffer' }), 'write-buffer'), {
    state: 'problem',
    found: 'a killed server of tank has left /run/bandstand/tank.buffer',
    action: 'have it written to the members: bandstand export tank; do not remove it',
  });
});

test('sockets and notes are litter', (t) => {
  const checks = left({ sockets: ['/run/tank.nbd'], staleNote: '/run/tank.ublk' });
  t.like(named(checks, 'files'), {
    state: 'warning',
    found: 'a killed server of tank has left /run/tank.nbd, /run/tank.ublk',
    action: 'go on: bandstand export tank; or clean up: bandstand stop tank',
  });
});

test('a lock whose process does not answer is a problem', (t) => {
  t.like(named(left({ holder: 4711 }), 'lock'), {
    state: 'problem',
    action: 'look at /run/bandstand/tank.log; to give up on it: kill -9 4711',
  });
});

test('devices and buffers that no stack here is about are told', (t) => {
  const strayDevices = [{ device: '/dev/ublkb7', state: 'quiesced', serverPid: 12 }];
  const strayBuffers = ['/dev/shm/bandstand-0123456789abcdef-pond.buffer'];
  const checks = leftoverChecks({ ...NOTHING, strayDevices, strayBuffers });
  t.like(named(checks, 'orphan'), { state: 'problem', stack: null });
  t.like(named(checks, 'write-buffer'), {
    state: 'warning',
    action: 'export the stack with the --run-dir that its server had; do not remove it before',
  });
});
