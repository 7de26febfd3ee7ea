/** Health, reason, action and activity of a managed array: exact words, from plain data. */

import test from 'ava';
import { IDLE } from '../../src/control/schema.ts';
import { mirrorWords, stackWords } from '../../src/stack/array-words.ts';
import type { ManagedStatus } from '../../src/stack/managed-array.ts';
import {
  managedAction,
  managedActivity,
  managedHealth,
  managedReason,
  managedSpares,
} from '../../src/stack/managed-status.ts';
import { type PresentMembers, rememberMembers } from '../../src/stack/remember-members.ts';
import type { RememberedStack } from '../../src/stack/state-store.ts';
import { FakeManager, memberOf, NEW_UUID, processOf } from '../_helpers/fake-manager.ts';

function wordsOf(status: ManagedStatus, level: 'raid1' | 'raid5f' = 'raid1', readOnly = false) {
  const words = stackWords('tank');
  const stack = { words, level, readOnly, hasFtl: false, status, why: () => null };
  return [managedHealth(status), managedReason(stack), managedAction(stack)];
}

test('a healthy array has nothing to say', (t) => {
  const manager = new FakeManager();
  t.deepEqual(wordsOf(manager.status()), ['healthy', null, null]);
  t.deepEqual(managedActivity(null), IDLE);
});

test('a lost member asks for a device, and warns when nothing more may fail', (t) => {
  const manager = new FakeManager();
  manager.lose('missing', 2);
  t.deepEqual(wordsOf(manager.status()), [
    'degraded',
    'the member in slot 2 is missing',
    'put a device in its place: bandstand member add tank DEVICE',
  ]);
  t.deepEqual(
    wordsOf(manager.status(), 'raid5f')[2],
    [
      'put a device in its place: bandstand member add tank DEVICE',
      'a further failure before that loses data',
    ].join('; '),
  );
  manager.lose('failed', 1);
  t.deepEqual(wordsOf(manager.status()), [
    'degraded',
    '/dev/none1 (slot 1) is failed; the member in slot 2 is missing',
    'put a device in its place: bandstand member add tank DEVICE; a further failure before that loses data',
  ]);
});

test('a spare that is not taken by itself is taken by asking for it', (t) => {
  const manager = new FakeManager();
  manager.lose('missing', 2);
  manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
  t.is(
    wordsOf(manager.status())[2],
    'begin the rebuild onto its spare: bandstand member remove tank /dev/none9, then bandstand member add tank /dev/none9',
  );
});

test('a read-only stack is not asked for what cannot be done with it', (t) => {
  const manager = new FakeManager();
  manager.lose('missing', 2);
  t.is(
    wordsOf(manager.status(), 'raid1', true)[2],
    'start it for writing, and add a device: bandstand stop tank, bandstand export tank',
  );
  t.is(
    wordsOf(manager.status(), 'raid5f', true)[2],
    'copy its data to another stack: raid5f without an FTL cannot be rebuilt; a further failure loses data',
  );
});

test('a rebuild asks for patience, a paused one to be resumed', (t) => {
  const manager = new FakeManager();
  manager.members = [memberOf(0), memberOf(1), memberOf(2, { health: 'rebuilding' })];
  manager.process = processOf();
  t.deepEqual(wordsOf(manager.status(), 'raid5f'), [
    'degraded',
    'slot 2 is being rebuilt onto /dev/none2',
    'let the rebuild finish; a further failure before that loses data',
  ]);
  const words = stackWords('tank');
  const stack = { words, level: 'raid1' as const, readOnly: false, hasFtl: false };
  t.is(
    managedReason({ ...stack, status: manager.status(), why: () => 'a write failed (EIO)' }),
    'slot 2 is being rebuilt onto /dev/none2',
    'not the reason of the device that was lost',
  );
  t.is(wordsOf(manager.status())[2], 'let the rebuild finish');
  manager.process = processOf({ paused: true });
  t.is(wordsOf(manager.status())[2], 'resume the rebuild: bandstand rebuild tank --resume');
});

test('a resync has a reason although the array is healthy', (t) => {
  const manager = new FakeManager();
  manager.process = processOf({ kind: 'resync', slot: null, target: null });
  t.deepEqual(wordsOf(manager.status()), [
    'healthy',
    'members may differ where a crash, a failed write or their creation left them so, and are made equal there',
    null,
  ]);
});

test('what is lost is said, and a failed array is stopped', (t) => {
  const manager = new FakeManager();
  manager.failed = true;
  manager.lost = '8 blocks at block 4096 cannot be read from any member';
  t.deepEqual(wordsOf(manager.status()), [
    'failed',
    '8 blocks at block 4096 cannot be read from any member',
    'stop it, and look at its members and the kernel log (dmesg)',
  ]);
});

test('the pace of an activity is told apart', (t) => {
  const paceOf = (change: Parameters<typeof processOf>[0]) =>
    managedActivity(processOf(change)).pace;
  t.is(paceOf({}), 'running');
  t.is(paceOf({ etaSeconds: null }), 'estimating');
  t.is(paceOf({ rateBytesPerSecond: null, etaSeconds: null }), 'estimating');
  t.is(paceOf({ rateBytesPerSecond: 0, etaSeconds: null }), 'stalled');
  t.is(paceOf({ paused: true, rateBytesPerSecond: 0 }), 'paused');
});

test('an activity never shows more than all, and no estimate while paused', (t) => {
  const over = managedActivity(processOf({ doneBytes: 1200, etaSeconds: -3 }));
  t.is(over.done_bytes, 1000);
  t.is(over.eta_seconds, 0);
  t.like(managedActivity(processOf({ paused: true })), {
    eta_seconds: null,
    rate_bytes_per_second: null,
  });
  t.is(managedActivity(processOf({ replace: true })).step, 'copy');
  t.is(managedActivity(processOf({ kind: 'check', repair: true })).step, 'repair');
});

test('a device that replaces a member in use stands before the spares, once', (t) => {
  const manager = new FakeManager();
  const target = { uuid: NEW_UUID, device: '/dev/none9' };
  const other = { uuid: 'dddddddd-0000-4000-8000-000000000000', device: '/dev/none8' };
  manager.spares = [other, target];
  manager.process = processOf({ replace: true, slot: 1, target });
  t.deepEqual(
    managedSpares(manager.status(), []).map(({ slot, device, health }) => [slot, device, health]),
    [
      [1, '/dev/none9', 'rebuilding'],
      [null, '/dev/none8', 'spare'],
    ],
  );
});

const OLD: RememberedStack = {
  name: 'tank',
  uuid: '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44',
  level: 'raid1',
  stripBytes: 0,
  blockBytes: 4096,
  sizeBytes: 2 ** 30,
  superblock: true,
  ftl: false,
  members: [0, 1, 2].map((slot) => ({
    slot,
    uuid: memberOf(slot).uuid,
    path: `/dev/disk/by-id/old${slot}`,
    health: 'ok' as const,
  })),
  spares: [],
  cache: null,
};
const present = (manager: FakeManager): PresentMembers => ({
  ...manager.status(),
  absent: [],
  sizeBytes: OLD.sizeBytes,
});
const byId = (device: string): string => device.replace('/dev/', '/dev/disk/by-id/');

test('a missing member keeps its path until another one has its slot', (t) => {
  const manager = new FakeManager();
  manager.lose('missing', 2);
  t.deepEqual(rememberMembers(OLD, present(manager), byId).members, [
    { slot: 0, uuid: memberOf(0).uuid, path: '/dev/disk/by-id/none0', health: 'ok' },
    { slot: 1, uuid: memberOf(1).uuid, path: '/dev/disk/by-id/none1', health: 'ok' },
    { slot: 2, uuid: memberOf(2).uuid, path: '/dev/disk/by-id/old2', health: 'missing' },
  ]);
  manager.members[2] = memberOf(2, { uuid: NEW_UUID, device: null, health: 'missing' });
  t.is(rememberMembers(OLD, present(manager), byId).members.length, 2);
});

test('the path of a target is not remembered as that of the member it replaces', (t) => {
  const manager = new FakeManager();
  const target = { uuid: NEW_UUID, device: '/dev/none9' };
  manager.process = processOf({ slot: 2, target });
  // As the array shows it: the device is the target's, the UUID that of the member that was lost.
  manager.members[2] = memberOf(2, { device: target.device, health: 'rebuilding' });
  const during = rememberMembers(OLD, present(manager), byId);
  t.like(during.members[2], { uuid: memberOf(2).uuid, path: '/dev/disk/by-id/old2' });
  t.deepEqual(during.spares, [{ uuid: NEW_UUID, path: '/dev/disk/by-id/none9' }]);
  // Started again without it: the superblock names it in the slot by now.
  manager.process = null;
  manager.members[2] = memberOf(2, { uuid: NEW_UUID, device: null, health: 'missing' });
  const later = rememberMembers(during, present(manager), byId);
  t.like(later.members[2], { uuid: NEW_UUID, path: '/dev/disk/by-id/none9' });
  t.deepEqual(later.spares, []);
});

test('a spare that is not here stays remembered', (t) => {
  const manager = new FakeManager();
  const absent = [{ uuid: NEW_UUID, path: '/srv/away.img' }];
  t.deepEqual(rememberMembers(OLD, { ...present(manager), absent }, byId).spares, absent);
});

test('spares and a copy in progress are remembered, no device twice', (t) => {
  const manager = new FakeManager();
  const target = { uuid: NEW_UUID, device: '/dev/none9' };
  const other = { uuid: 'dddddddd-0000-4000-8000-000000000000', device: '/dev/none8' };
  manager.spares = [other];
  manager.process = processOf({ replace: true, target });
  t.deepEqual(rememberMembers(OLD, present(manager), byId).spares, [
    { uuid: other.uuid, path: '/dev/disk/by-id/none8' },
    { uuid: NEW_UUID, path: '/dev/disk/by-id/none9' },
  ]);
  // A rebuild has its target in the slot already.
  manager.members[2] = memberOf(2, { ...target, health: 'rebuilding' });
  manager.process = processOf({ target });
  const remembered = rememberMembers(OLD, present(manager), byId);
  t.deepEqual(remembered.spares, [{ uuid: other.uuid, path: '/dev/disk/by-id/none8' }]);
  t.is(remembered.members[2]!.path, '/dev/disk/by-id/none9');
});

test('commands about the mirror under an NV cache say that it is meant', (t) => {
  const manager = new FakeManager();
  manager.lose('missing', 1);
  const words = mirrorWords('tank');
  const stack = { words, level: 'raid1' as const, readOnly: false, hasFtl: false };
  const action = () => managedAction({ ...stack, status: manager.status(), why: () => null });
  t.is(action(), 'put a device in its place: bandstand member add tank DEVICE --cache');
  manager.process = processOf({ paused: true });
  t.is(action(), 'resume the rebuild: bandstand rebuild tank --resume --cache');
});
