/** What doctor says of a stack that does not run. */

import test from 'ava';
import {
  type AssemblyFacts,
  assemblyChecks,
  type ErrorFacts,
} from '../../../src/cli/doctor/assembly-checks.ts';
import { ASSEMBLED, inState, memberAt, named } from '../../_helpers/doctor-facts.ts';

const [first, second] = ASSEMBLED.slots!;
const ABSENT = { state: 'absent', where: null, error: null } as const;
const UNKNOWN = { state: 'unknown', where: null, error: null } as const;

function look(change: Partial<AssemblyFacts>) {
  return assemblyChecks({ ...ASSEMBLED, ...change });
}

const errorOf = (message: string, hint: string | null, device: string | null): ErrorFacts => ({
  message,
  hint,
  device,
});

/** Slot 0 has nobody. */
const without = (change: Partial<NonNullable<typeof first>>) => [
  { ...first!, device: null, reason: 'no device holds it', ...change },
  second!,
];

test('a stack that would start is in order', (t) => {
  const checks = look({});
  t.deepEqual(
    inState(checks, 'ok'),
    checks.map(({ name }) => name),
  );
  t.is(named(checks, 'start').found, 'it would start');
  t.is(
    named(look({ clean: false }), 'start').found,
    'it would start, after a recovery: its last stop was not clean',
  );
  t.is(named(look({ clean: null }), 'start').found, 'it would start');
});

test('a refusal is told in the words of assembly, with its hint', (t) => {
  const error = errorOf('cannot assemble tank: 1 of 2', 'add --degraded', null);
  const checks = look({ error, startsDegraded: true, slots: without({}) });
  t.like(named(checks, 'start'), {
    state: 'problem',
    found: 'cannot assemble tank: 1 of 2',
    action: 'add --degraded',
  });
  const other = look({ error: { ...error, hint: 'look' }, startsDegraded: true });
  t.is(
    named(other, 'start').action,
    'look; or start without what is missing: bandstand export tank --degraded',
  );
});

test('a member that is gone says what is at its place, and what to do', (t) => {
  const error = errorOf('cannot assemble tank', 'add --degraded', null);
  const gone = memberAt(0, {
    content: null,
    error: errorOf('cannot use /dev/sdb: there is no such device', 'look with lsblk', null),
  });
  const facts = { error, slots: without({}), devices: [gone, memberAt(1)] };
  const end = 'bandstand export tank --degraded, then bandstand member add tank DEVICE';
  t.like(named(look({ ...facts, startsDegraded: true }), 'member-0'), {
    state: 'problem',
    found: 'no device holds it; cannot use /dev/sdb: there is no such device',
    action: `look with lsblk; if it is gone for good: ${end}`,
  });
  t.is(named(look(facts), 'member-0').action, 'look with lsblk; the stack cannot start without it');
  t.is(named(look(facts), 'member-1').state, 'ok');
});

test('another disk at the place of a member is named', (t) => {
  const devices = [memberAt(0, { content: 'an ext4 file system' }), memberAt(1)];
  const error = errorOf('cannot assemble tank', null, null);
  const check = named(
    look({ error, startsDegraded: true, slots: without({}), devices }),
    'member-0',
  );
  t.is(check.found, 'no device holds it; /dev/sdb is there: an ext4 file system');
  t.regex(check.action!, /^look for the device that holds it: bandstand examine DEVICE; if /);
});

test('a member of the wrong size is explained, and how to start without it', (t) => {
  const error = errorOf('/dev/sdb (slot 0) has 10 blocks', null, '/dev/sdb');
  const checks = look({ error, startsWith: ['/dev/sdc'], slots: without({}) });
  const start = 'bandstand export tank --degraded --device /dev/sdc';
  t.is(
    named(checks, 'start').action,
    `look at it: bandstand examine /dev/sdb; or start without it: ${start}`,
  );
  t.like(named(checks, 'member-0'), {
    found: 'no device holds it; /dev/sdb (slot 0) has 10 blocks',
    action: `look at it: bandstand examine /dev/sdb; to go on without it: ${start}, then bandstand member add tank DEVICE`,
  });
  const undecided = look({ error, slots: null });
  t.like(named(undecided, 'member-0'), { state: 'problem', found: error.message });
  t.like(named(undecided, 'member-1'), { state: 'ok' });
});

test('a damaged superblock is told with its field, once', (t) => {
  const message = 'cannot use the superblock: crc: the checksum is wrong';
  const damage = [{ part: 'superblock', message, field: 'crc' }];
  const devices = [memberAt(0, { damage }), memberAt(1)];
  const checks = look({ slots: without({}), devices });
  t.is(named(checks, 'member-0').found, `no device holds it; ${message}`);
  t.false(checks.some(({ name }) => name === 'metadata'));
  const torn = named(look({ devices }), 'metadata');
  t.like(torn, { state: 'warning', found: `/dev/sdb, superblock, field crc: ${message}` });
  t.like(named(look({ slots: null, devices }), 'member-0'), { state: 'problem', found: message });
});

test('one damaged copy of a label is a warning', (t) => {
  const damage = [{ part: 'label copy 1', message: 'crc: wrong', field: null }];
  t.like(named(look({ devices: [memberAt(0, { damage }), memberAt(1)] }), 'metadata'), {
    state: 'warning',
    lookedAt: 'the label copy 1 of /dev/sdb',
    found: '/dev/sdb, label copy 1: crc: wrong',
  });
});

test('a loss on record is a problem, unless the start makes it good', (t) => {
  const lost = without({ recorded: true, reason: 'recorded as failed' });
  const checks = look({ slots: lost });
  const action = 'bandstand export tank, then bandstand member add tank DEVICE';
  t.like(named(checks, 'start'), {
    state: 'problem',
    found: 'it would start without 1 of 2 members',
    action,
  });
  t.like(named(checks, 'member-0'), { state: 'problem', action });
  const filled = look({ slots: without({ recorded: true, filledBy: 'the spare /dev/sdd' }) });
  t.is(named(filled, 'start').state, 'warning');
  t.like(named(filled, 'member-0'), { state: 'warning', action: null });
  t.regex(named(filled, 'member-0').found, /the spare \/dev\/sdd is put there by the start$/);
});

test('a member that has moved is in order, and says so', (t) => {
  const slots = [{ ...first!, device: '/dev/sdx' }, second!];
  t.like(named(look({ slots }), 'member-0'), {
    state: 'ok',
    found: '/dev/sdx; it was at /dev/sdb',
  });
});

test('spares that are missing or not used are warnings', (t) => {
  const spare = memberAt(2, { role: 'spare', slot: null });
  const devices = [...ASSEMBLED.devices, spare];
  t.is(named(look({ devices }), 'spare').state, 'ok');
  const unused = [{ device: '/dev/sdd', reason: 'it is too small' }];
  t.like(named(look({ devices, unused }), 'spare'), {
    state: 'warning',
    found: '/dev/sdd is not used: it is too small',
  });
  const gone = { ...spare, content: null, error: errorOf('it is gone', 'lsblk', null) };
  t.like(named(look({ devices: [gone] }), 'spare'), { state: 'warning', found: 'it is gone' });
});

test('a member that somebody else uses is a problem; notes of assembly are warnings', (t) => {
  const devices = [memberAt(0, { usage: 'mounted at /srv' }), memberAt(1)];
  t.like(named(look({ devices }), 'usage'), {
    state: 'problem',
    found: '/dev/sdb is in use: mounted at /srv',
  });
  t.like(named(look({ warnings: ['an older superblock'] }), 'note'), {
    state: 'warning',
    found: 'an older superblock',
  });
});

test('an FTL, a write buffer or an NV cache that is wrong keeps the stack from starting', (t) => {
  const error = errorOf('its superblock is damaged', 'bandstand check', null);
  const wrong = { state: 'wrong', where: null, error } as const;
  for (const [name, change] of [
    ['ftl', { ftl: wrong }],
    ['nv-cache', { cache: wrong }],
    ['write-buffer', { buffer: { path: '/run/tank.buffer', isThere: false } }],
  ] as const) {
    const checks = look(change);
    const check = named(checks, name);
    t.is(check.state, 'problem', name);
    t.like(named(checks, 'start'), {
      state: 'problem',
      found: `its members are there, and it would not start: see ${name}`,
      action: check.action,
    });
  }
});

test('layers that are absent, or cannot be seen, are not applicable', (t) => {
  const none = look({ ftl: ABSENT, cache: ABSENT, buffer: null });
  t.deepEqual(inState(none, 'not-applicable'), ['ftl', 'write-buffer', 'nv-cache']);
  t.is(named(none, 'nv-cache').found, 'the stack has none');
  const unseen = look({ ftl: UNKNOWN, cache: UNKNOWN, buffer: null });
  t.deepEqual(inState(unseen, 'not-applicable'), ['ftl', 'write-buffer', 'nv-cache']);
  t.is(named(unseen, 'ftl').found, 'not before the array can be assembled');
  t.like(named(look({ buffer: null }), 'write-buffer'), {
    state: 'ok',
    found: 'nothing of the stack is in one',
  });
});
