import test from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import { assembleArray, otherDevices } from '../../src/raid/assemble.ts';
import type { Examination } from '../../src/raid/examine.ts';
import { type Label, NO_PROCESS } from '../../src/raid/label.ts';
import type { Superblock } from '../../src/raid/superblock.ts';
import {
  device,
  label,
  mirror,
  PAPER_ARRAY,
  rebuild,
  spare,
  target,
  uuidOf,
} from '../_helpers/paper-devices.ts';

const NOW = mirror(5, 'A+ B-');
const THEN = mirror(4, 'A+ B+');

/** A went on without B at sequence 5; what is missed is known since 4. */
function pair(
  b: Partial<Label> | null = {},
  onB: Superblock = THEN,
  a: Partial<Label> = {},
  onA: Superblock = NOW,
): [Examination, Examination] {
  return [
    device('/dev/a', onA, label('A', onA.seq, { missedSince: 4, ...a })),
    device('/dev/b', onB, b === null ? null : label('B', onB.seq, { slot: 1, ...b })),
  ];
}

test('a member that was merely away can return by delta', (t) => {
  const assembly = assembleArray(pair());
  t.deepEqual(assembly.returning, [
    {
      slot: 1,
      uuid: uuidOf('B'),
      device: '/dev/b',
      delta: true,
      failed: false,
      labelSequence: 4,
      why: '/dev/b lacks what was written since superblock sequence 4',
    },
  ]);
  t.deepEqual(assembly.unused, [
    { device: '/dev/b', reason: 'slot 1: recorded as missing; /dev/b has to be added again' },
  ]);
  t.deepEqual(otherDevices(assembly), ['/dev/b']);
  t.deepEqual(assembly.warnings, []);
});

test('a member that was ejected for its errors waits until it is told to come back', (t) => {
  const assembly = assembleArray(pair({}, THEN, {}, mirror(5, 'A+ B!')));
  t.like(assembly.returning[0], { delta: true, failed: true });
});

const FULL: readonly [string, Examination[], RegExp][] = [
  ['the bitmap says nothing', pair({}, THEN, { missedSince: 0 }), /is not known$/],
  ['there is no bitmap', pair({}, THEN, { bitmap: null }), /is not known$/],
  [
    'the labels are behind the superblock',
    pair({}, THEN, { superblockSeq: 4, missedSince: 3 }),
    /is not known$/,
  ],
  [
    'it left before the bitmap was complete',
    pair({}, mirror(3, 'A+ B+')),
    /left at superblock sequence 3; what was written without it is known from 4 on$/,
  ],
  ['it was not complete when it left', pair({}, mirror(4, 'A+ B-')), /was not complete/],
  ['it was a target', [pair()[0], unfinished()], /its rebuild was left at superblock sequence 4/],
  ['its label has seen more starts', pair({ eventCount: 8 }), /has seen 8 starts, .* service 7$/],
  [
    'its array had another shape',
    pair({}, { ...THEN, members: mirror(4, 'A+ B+ C+').members }),
    /another shape/,
  ],
];

function unfinished(): Examination {
  return device('/dev/b', mirror(4, 'A+ B-'), target('B', 4, rebuild('B', 1, 7)));
}

for (const [what, devices, why] of FULL) {
  test(`a returning member is rebuilt in full when ${what}`, (t) => {
    const [returning] = assembleArray(devices).returning;
    t.like(returning, { slot: 1, device: '/dev/b', delta: false, failed: false });
    t.regex(returning!.why, why);
  });
}

test('a member without a label that its user names is rebuilt in full', (t) => {
  const identities = new Map([['/dev/b', uuidOf('B')]]);
  const [returning] = assembleArray(pair(null), { identities }).returning;
  t.like(returning, { delta: false, why: '/dev/b has no label of the array' });
});

test('a newcomer in service that it does not know means a full rebuild', (t) => {
  const now = mirror(6, 'A+ B- N+');
  const [returning] = assembleArray([
    device('/dev/a', now, label('A', 6, { missedSince: 4 })),
    device('/dev/b', mirror(4, 'A+ B+ C+'), label('B', 4, { slot: 1 })),
    device('/dev/n', now, label('N', 6, { slot: 2, missedSince: 4 })),
  ]).returning;
  t.like(returning, {
    delta: false,
    failed: false,
    why: '/dev/b does not know the member in slot 2, which came after it had left',
  });
});

test('a stale member returns, although nobody recorded its loss', (t) => {
  const assembly = assembleArray(pair({}, THEN, {}, mirror(5, 'A+ B+')), { degraded: true });
  t.is(assembly.slots[1]?.reason, '/dev/b is stale: superblock sequence 4, the array is at 5');
  t.like(assembly.returning[0], { slot: 1, delta: true, failed: false });
  t.like(
    t.throws<BandstandError>(() => assembleArray(pair({}, THEN, {}, mirror(5, 'A+ B+')))),
    { code: 'BANDSTAND_ARRAY_DEGRADED' },
  );
});

// --- used apart ---------------------------------------------------------------------------------

test('a member that went on without those in service is reported and stays out', (t) => {
  const apart =
    '/dev/b was used apart from the others since sequence 5: its own writes would be lost';
  const own = mirror(5, 'A- B+');
  const now = mirror(7, 'A+ B-');
  const recorded = assembleArray(pair({}, own, {}, now));
  t.like(recorded.returning[0], { delta: false, failed: true, why: apart });
  t.is(recorded.slots[1]?.reason, `recorded as missing; ${apart}`);
  t.deepEqual(recorded.warnings, [`slot 1: ${apart}`]);
  const unrecorded = pair({}, own, {}, mirror(7, 'A+ B+'));
  t.regex(t.throws(() => assembleArray(unrecorded)).message, new RegExp(`slot 1 .*: ${apart}`));
  const forced = assembleArray(unrecorded, { degraded: true });
  t.is(forced.slots[1]?.reason, apart);
  t.like(forced.returning[0], { delta: false, failed: true });
});

test('two halves with one sequence are refused', (t) => {
  t.like(
    t.throws<BandstandError>(() => assembleArray(pair({}, mirror(5, 'A- B+')))),
    {
      code: 'BANDSTAND_ARRAY_CONFLICT',
    },
  );
});

// --- stale members with convincing labels -------------------------------------------------------

test('a label that is newer than its superblock makes no member current', (t) => {
  const whole = mirror(5, 'A+ B+');
  const old = device('/dev/b', THEN, label('B', 5, { slot: 1, eventCount: 9, sequence: 90 }));
  const assembly = assembleArray([device('/dev/a', whole, label('A', 5)), old], {
    degraded: true,
  });
  t.is(assembly.slots[1]?.device, null);
  t.like(assembly.returning[0], { delta: false });
});

test('a device of a former life of the array, with the same UUID, is no member', (t) => {
  const former = device('/dev/x', mirror(3, 'X+ Y+'), label('X', 3));
  const devices = [...pair(), former];
  t.like(
    t.throws<BandstandError>(() => assembleArray(devices)),
    {
      code: 'BANDSTAND_MEMBER_REPLACED',
    },
  );
  const assembly = assembleArray(devices, { scan: true });
  t.is(assembly.slots[0]?.device, '/dev/a');
  t.deepEqual(
    assembly.returning.map(({ device: name }) => name),
    ['/dev/b'],
  );
});

test('two devices that claim one slot are told apart by the superblock', (t) => {
  const claims = device('/dev/x', NOW, label('X', 5, { slot: 0 }));
  const assembly = assembleArray([claims, ...pair()], { scan: true });
  t.is(assembly.slots[0]?.device, '/dev/a');
  t.is(assembly.unused[0]?.device, '/dev/x');
});

// --- what current labels say together -----------------------------------------------------------

const HEALTHY = mirror(5, 'A+ B+');

function healthy(a: Partial<Label>, b: Partial<Label>) {
  return assembleArray([
    device('/dev/a', HEALTHY, label('A', 5, a)),
    device('/dev/b', HEALTHY, label('B', 5, { slot: 1, ...b })),
  ]);
}

test('labels that disagree about what was missed count for the worse', (t) => {
  t.is(healthy({ missedSince: 3 }, { missedSince: 4 }).missedSince, 4);
  t.is(healthy({ missedSince: 3 }, { missedSince: 0 }).missedSince, 0);
  t.is(healthy({ missedSince: 3 }, { missedSince: 3, bitmap: null }).missedSince, 0);
  t.is(healthy({ missedSince: 3 }, { missedSince: 4, superblockSeq: 4 }).missedSince, 3);
  t.is(healthy({ superblockSeq: 4 }, { superblockSeq: 4 }).missedSince, 0);
});

test('an interrupted resync or check goes on at the least checkpoint of a current label', (t) => {
  const resync = (block: number) =>
    ({ ...NO_PROCESS, kind: 'resync', block, repair: true }) as const;
  const check = { ...NO_PROCESS, kind: 'check', block: 9, paused: true } as const;
  t.deepEqual(healthy({ process: resync(70) }, { process: resync(50) }).process, resync(50));
  t.deepEqual(healthy({ process: check }, { process: resync(50) }).process, resync(50));
  t.deepEqual(healthy({ process: NO_PROCESS }, { process: resync(50) }).process, resync(50));
  t.deepEqual(healthy({ process: check }, { process: check }).process, check);
  t.false(healthy({ process: check }, { process: { ...check, paused: false } }).process.paused);
  t.deepEqual(healthy({ process: check, superblockSeq: 4 }, {}).process, NO_PROCESS);
  t.deepEqual(healthy({ process: rebuild('T', 1, 4) }, {}).process, NO_PROCESS);
});

// --- spares -------------------------------------------------------------------------------------

test('a spare is found without a superblock, and needs no place in the array', (t) => {
  const assembly = assembleArray([device('/dev/s', null, spare('S')), ...pair()]);
  t.deepEqual(assembly.spares, [{ uuid: uuidOf('S'), device: '/dev/s', labelSequence: 4 }]);
  t.deepEqual(
    assembly.unused.map(({ device: name }) => name),
    ['/dev/b'],
  );
  t.deepEqual(otherDevices(assembly), ['/dev/b', '/dev/s']);
});

test('a spare that cannot serve is left aside with the reason', (t) => {
  const other = '99999999-0000-4000-8000-000000000000';
  const devices = [
    device('/dev/s', null, spare('S')),
    device('/dev/copy', null, spare('S')),
    device('/dev/small', null, spare('C'), { blockCount: 1255 }),
    device('/dev/fine', null, spare('F'), { blockBytes: 512, blockCount: 99999 }),
    device('/dev/other', null, spare('O', { arrayUuid: other })),
    device('/dev/b', null, label('B', 4, { slot: 1 })),
  ];
  const assembly = assembleArray([pair()[0], ...devices]);
  t.is(assembly.spares.length, 1);
  t.deepEqual(assembly.unused, [
    { device: '/dev/other', reason: `it is a spare of the array ${other}` },
    {
      device: '/dev/b',
      reason: `it has a label of the array ${PAPER_ARRAY}, slot 1, but no superblock`,
    },
    {
      device: '/dev/copy',
      reason: `it and /dev/s are the same spare ${uuidOf('S')}: one is a copy`,
    },
    { device: '/dev/small', reason: 'it is a spare with 1255 blocks, a member needs 1256' },
    {
      device: '/dev/fine',
      reason: 'it is a spare with 512-byte blocks, the array has 4096-byte blocks',
    },
  ]);
});

test('a level without redundancy has no use for a spare', (t) => {
  const flat: Superblock = { ...mirror(1, 'A+'), level: 'concat', stripBlocks: 8 };
  const assembly = assembleArray([
    device('/dev/a', flat, label('A', 1, { bitmap: null })),
    device('/dev/s', null, spare('S')),
  ]);
  t.deepEqual(assembly.spares, []);
  t.regex(assembly.unused[0]!.reason, /concat has no redundancy and no use for a spare/);
});

test('spares alone are no array', (t) => {
  t.regex(
    t.throws(() => assembleArray([device('/dev/s', null, spare('S'))])).message,
    /no superblock of it was found: \/dev\/s: it is a spare of the array 0011/,
  );
});

test('a spare that became a member without us has to be identified by its user', (t) => {
  const taken = mirror(6, 'A+ S+');
  const devices = [
    device('/dev/a', taken, label('A', 5)),
    device('/dev/s', taken, spare('Q', { sequence: 9 })),
  ];
  t.like(
    t.throws<BandstandError>(() => assembleArray(devices)),
    {
      code: 'BANDSTAND_MEMBER_UNIDENTIFIED',
    },
  );
  const identities = new Map([['/dev/s', uuidOf('S')]]);
  const assembly = assembleArray(devices, { identities });
  t.like(assembly.slots[1], { device: '/dev/s', label: null, labelSequence: 9 });
  t.deepEqual(assembly.spares, []);
});
