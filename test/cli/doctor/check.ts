/** Checks as text, as records, and as an exit status. */

import test from 'ava';
import {
  checkJson,
  checkRecord,
  checksText,
  exitStatusOf,
  notApplicable,
  ok,
  problem,
  type Question,
  warning,
} from '../../../src/cli/doctor/check.ts';

const KERNEL: Question = {
  area: 'machine',
  stack: null,
  name: 'kernel',
  lookedAt: 'uname -r',
  why: 'it serves',
};
const HEALTH: Question = { ...KERNEL, area: 'server', stack: 'tank', name: 'health' };
const ALL = [
  ok(KERNEL, 'Linux 6.12'),
  notApplicable({ ...KERNEL, name: 'ublk' }, 'only root'),
  warning(HEALTH, 'degraded', null),
  problem({ ...KERNEL, area: 'stack', stack: 'pond', name: 'start' }, 'a\u001b[31mb', 'run it'),
];

test('text has a heading for each subject, and why and what to do where it is needed', (t) => {
  t.is(
    checksText(ALL),
    [
      'machine',
      '  ok       kernel  Linux 6.12',
      '  -        ublk    only root',
      '',
      'server of tank',
      '  warning  health  degraded',
      '                   why: it serves',
      '',
      'stack pond',
      '  PROBLEM  start   a?[31mb',
      '                   why: it serves',
      '                   do: run it',
      '',
      '1 problem, 1 warning, 1 check in order',
    ].join('\n'),
  );
  t.regex(
    checksText([ok(KERNEL, 'x'), ok(KERNEL, 'y')]),
    /\n\nno problems, no warnings, 2 checks in order$/,
  );
});

test('only a problem changes the exit status', (t) => {
  t.is(exitStatusOf(ALL), 1);
  t.is(exitStatusOf(ALL.slice(0, 3)), 0);
  t.is(exitStatusOf([]), 0);
});

test('records and JSON have every field', (t) => {
  t.deepEqual(checkRecord(ALL[3]!), [
    'stack',
    'pond',
    'start',
    'problem',
    'a\u001b[31mb',
    'run it',
  ]);
  t.deepEqual(checkJson(ALL[2]!), {
    area: 'server',
    stack: 'tank',
    name: 'health',
    state: 'warning',
    looked_at: 'uname -r',
    found: 'degraded',
    why: 'it serves',
    action: null,
  });
});
