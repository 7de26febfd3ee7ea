/** Texts about members, rebuild, check and activities: exact, from replies and documents. */

import test from 'ava';
import { checkText } from '../../src/cli/commands/check.ts';
import { rebuildText } from '../../src/cli/commands/rebuild.ts';
import { memberLines } from '../../src/cli/member-text.ts';
import { activityLine, activityText, statusText } from '../../src/cli/status-text.ts';
import { IDLE } from '../../src/control/schema.ts';
import type { ActivityReply, MemberReply } from '../../src/control/schema-members.ts';
import { ACTIVITY, MEMBER, REBUILD, statusOf } from '../_helpers/fake-stack.ts';

const MIB = 2 ** 20;

test('what became of a member is one line, then advice', (t) => {
  const wait = '  wait for it: bandstand wait tank --for rebuild';
  const cases: readonly (readonly [change: Partial<MemberReply>, lines: string[]])[] = [
    [{}, ['added /dev/sdd: rebuild of slot 2 started, of everything', wait]],
    [{ mode: 'used' }, ['added /dev/sdd: rebuild of slot 2 started, of all that is used', wait]],
    [{ mode: 'delta' }, ['added /dev/sdd: rebuild of slot 2 started, of what it missed', wait]],
    [{ dry_run: true }, ['would add /dev/sdd and rebuild slot 2 onto it; nothing was changed']],
    [
      { role: 'spare', slot: null, mode: null, rebuild_device: null, rebuild_slot: null },
      ['added /dev/sdd as a spare'],
    ],
    [
      { role: 'spare', slot: null, mode: null, rebuild_device: '/dev/sde' },
      [
        'added /dev/sdd as a spare',
        '  slot 2 is being rebuilt onto /dev/sde: bandstand wait tank --for rebuild',
      ],
    ],
    [
      { role: 'spare', slot: null, mode: null, rebuild_device: null, waits_for: 'resync' },
      [
        'added /dev/sdd as a spare',
        '  it takes a lost slot after the resync: bandstand wait tank --for resync',
      ],
    ],
    [
      { role: 'spare', slot: null, mode: null, dry_run: true },
      ['would add /dev/sdd as a spare; nothing was changed'],
    ],
    [
      { action: 'fail', role: null, was: 'ok', rebuild_device: null },
      [
        'failed /dev/sdd (slot 2); tank is degraded',
        '  put a device in its place: bandstand member add tank DEVICE',
      ],
    ],
    [
      { action: 'fail', role: null, was: 'ok', rebuild_device: '/dev/sde' },
      ['failed /dev/sdd (slot 2); tank is degraded: rebuild onto /dev/sde started', wait],
    ],
    [
      { action: 'fail', was: 'failed', changed: false },
      ['/dev/sdd (slot 2) of tank is failed already'],
    ],
    [
      { action: 'fail', was: 'ok', dry_run: true },
      ['would fail /dev/sdd (slot 2); nothing was changed'],
    ],
    [{ action: 'remove', was: 'failed' }, ['removed /dev/sdd (slot 2) from tank']],
    [{ action: 'remove', was: 'spare', slot: null }, ['removed /dev/sdd from tank']],
    [
      { action: 'remove', was: 'missing', slot: null },
      ['forgot the spare /dev/sdd of tank, which is not here'],
    ],
    [
      { action: 'remove', was: 'missing', device: null, changed: false },
      ['slot 2 of tank has no device that could be removed'],
    ],
    [
      { action: 'replace', was: 'ok', replaces: '/dev/sdb' },
      [
        'replacing /dev/sdb (slot 2) with /dev/sdd; /dev/sdb stays in use until the copy is complete',
        wait,
      ],
    ],
    [
      { action: 'replace', was: 'missing', replaces: null },
      ['replacing slot 2 with /dev/sdd: rebuild of slot 2 started, of everything', wait],
    ],
    [
      { action: 'replace', was: 'failed', replaces: '/dev/sdb', dry_run: true, mode: null },
      [
        'would replace /dev/sdb (slot 2) with /dev/sdd and rebuild slot 2 onto it; nothing was changed',
      ],
    ],
  ];
  for (const [change, lines] of cases) {
    t.deepEqual(memberLines('tank', { ...MEMBER, ...change }), lines);
  }
});

test('what became of a rebuild is one line', (t) => {
  const rebuild = (change: Partial<ActivityReply>): string =>
    rebuildText('tank', { ...ACTIVITY, activity: REBUILD, ...change });
  t.is(rebuild({ activity: IDLE }), 'tank: no rebuild is running');
  t.is(rebuild({}), 'tank: rebuild of slot 2, 40.9 % of 3.49 TiB at 612 MiB/s, about 59 min left');
  t.is(rebuild({ action: 'pause', changed: true }), 'tank: rebuild of slot 2 paused, at 40.9 %');
  t.is(rebuild({ action: 'pause' }), 'tank: rebuild of slot 2 is paused already, at 40.9 %');
  t.is(rebuild({ action: 'resume', changed: true }), 'tank: rebuild of slot 2 goes on, at 40.9 %');
  t.is(rebuild({ action: 'resume' }), 'tank: rebuild of slot 2 was not paused, at 40.9 %');
  t.is(
    rebuild({ action: 'cancel', changed: true }),
    'tank: rebuild of slot 2 cancelled, at 40.9 %\n  begin one again: bandstand member add tank DEVICE',
  );
  const limited = { ...REBUILD, limit_bytes_per_second: 200 * MIB };
  t.is(
    rebuild({ action: 'rate', changed: true, activity: limited }),
    'tank: rebuild limited to 200 MiB/s (was automatic)',
  );
  t.is(
    rebuild({ action: 'rate', activity: limited, limit_before: 200 * MIB }),
    'tank: rebuild limited to 200 MiB/s already',
  );
  t.is(
    rebuild({ action: 'rate', changed: true, limit_before: 200 * MIB }),
    'tank: rebuild has an automatic rate (was 200 MiB/s)',
  );
});

test('what became of a check is one line', (t) => {
  const check = (change: Partial<ActivityReply>, repair = false): string => {
    const request = { action: 'start' as const, repair, dry_run: change.dry_run ?? false };
    const activity = { ...REBUILD, kind: 'check' as const, member_slot: null };
    return checkText('tank', request, { ...ACTIVITY, action: 'start', activity, ...change });
  };
  t.is(
    check({ changed: true }),
    'tank: check started\n  wait for it: bandstand wait tank --for check',
  );
  t.is(
    check({ changed: true }, true),
    'tank: check with repair started\n  wait for it: bandstand wait tank --for check',
  );
  t.is(check({}), 'tank: a check is running already, at 40.9 %');
  t.is(
    check({ changed: true, dry_run: true }, true),
    'would check tank with repair; nothing was changed',
  );
  t.is(check({ action: 'pause', changed: true }), 'tank: check paused, at 40.9 %');
  t.is(check({ action: 'resume' }), 'tank: check was not paused, at 40.9 %');
  t.is(check({ action: 'stop', changed: true }), 'tank: check stopped, at 40.9 %');
});

test('an activity is short in a column and full in a line of its own', (t) => {
  t.is(activityText(IDLE), 'idle');
  t.is(activityText(REBUILD), 'rebuild 40 %, ~59 min');
  t.is(activityText({ ...REBUILD, step: 'copy' }), 'rebuild 40 %, ~59 min, copy');
  for (const pace of ['paused', 'stalled', 'estimating'] as const) {
    const activity = { ...REBUILD, pace, eta_seconds: null };
    t.is(activityText(activity), `rebuild 40 %, ${pace}`);
    t.is(activityLine(activity), `40.9 % of 3.49 TiB, ${pace}`);
  }
  const found = { ...REBUILD, mismatched_blocks: 1, repaired_blocks: 1, lost_blocks: 2048 };
  t.is(
    activityLine({ ...found, limit_bytes_per_second: 200 * MIB }),
    '40.9 % of 3.49 TiB at 612 MiB/s, about 59 min left, limited to 200 MiB/s, 1 block disagreed, 1 block repaired, 2 048 blocks lost',
  );
  const almost = { ...REBUILD, done_bytes: REBUILD.total_bytes! - 1 };
  t.regex(activityLine(almost), /^99\.9 % /, 'never 100 before the end');
});

test('status shows the rebuild, repaired blocks, spares and what is being filled', (t) => {
  const { array } = statusOf('tank');
  const [a, b] = array!.members;
  const spare = { ...a!, slot: null, device: '/dev/sde', health: 'spare' as const };
  const target = { ...a!, slot: 1, device: '/dev/sdd', health: 'rebuilding' as const };
  const status = statusOf('tank', {
    activity: { ...REBUILD, member_slot: 1, step: 'copy' },
    array: {
      ...array!,
      members: [a!, { ...b!, repaired_blocks: 2 }],
      spares: [target, spare],
    },
    io: null,
  });
  t.is(
    statusText(status, Date.parse('2026-11-20T09:15:02.000Z')),
    [
      '   stack: tank (5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44), running 1 min',
      '  health: healthy',
      'activity: rebuild of slot 1, copy',
      '  export: none',
      '    size: 1 GiB',
      ' rebuild: 40.9 % of 3.49 TiB at 612 MiB/s, about 59 min left',
      '',
      '          DEVICE    ROLE    HEALTH      READ  WRITE',
      '   array  raid1             healthy',
      '       0  /dev/sdb  member  ok             0      0',
      '       1  /dev/sdc  member  ok             0      0  2 repaired',
      '       1  /dev/sdd  target  rebuilding',
      '       -  /dev/sde  spare   ok',
    ].join('\n'),
  );
});
