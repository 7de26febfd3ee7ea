import test from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import { assembleArray } from '../../src/raid/assemble.ts';
import type { Examination } from '../../src/raid/examine.ts';
import { type Label, NO_PROCESS } from '../../src/raid/label.ts';
import type { Superblock } from '../../src/raid/superblock.ts';
import {
  DATA_SIZE,
  device,
  label,
  mirror,
  rebuild,
  target,
  uuidOf,
} from '../_helpers/paper-devices.ts';

const DEGRADED = mirror(5, 'A+ T-');
const AT_400 = rebuild('T', 1, 400);

/** A in service and T being filled; both can be bent. */
function pair(
  a: Partial<Label> = {},
  t: Partial<Label> = {},
  superblocks: { a?: Superblock; t?: Superblock | null } = {},
): [Examination, Examination] {
  const { a: onA = DEGRADED, t: onT = DEGRADED } = superblocks;
  return [
    device('/dev/a', onA, label('A', 5, { process: AT_400, missedSince: 2, ...a })),
    device('/dev/t', onT, target('T', 5, AT_400, t)),
  ];
}

test('a target is no member, and its rebuild goes on where it was', (t) => {
  const assembly = assembleArray(pair());
  t.deepEqual(
    assembly.slots.map(({ device: name, reason }) => [name, reason]),
    [
      ['/dev/a', null],
      [null, 'recorded as missing; /dev/t is being rebuilt'],
    ],
  );
  t.deepEqual(assembly.target, {
    slot: 1,
    uuid: uuidOf('T'),
    device: '/dev/t',
    dataOffset: 256,
    block: 400,
    replace: false,
    paused: false,
    delta: false,
    labelSequence: 4,
  });
  t.deepEqual(assembly.returning, []);
  t.deepEqual(assembly.unused, []);
  t.true(assembly.degraded);
  t.is(assembly.missedSince, 2);
});

test('of checkpoints that differ the least counts, whoever has it', (t) => {
  t.is(assembleArray(pair({ process: rebuild('T', 1, 300) })).target?.block, 300);
  t.is(assembleArray(pair({ process: rebuild('T', 1, 500) })).target?.block, 400);
  const [a] = pair({ process: rebuild('T', 1, 5000) });
  const beyond = device('/dev/t', DEGRADED, target('T', 5, rebuild('T', 1, 5000)));
  t.is(assembleArray([a, beyond]).target?.block, DATA_SIZE);
});

const OUT_OF_STEP: readonly [string, Partial<Label>, Partial<Label>][] = [
  ['a member that knows of no rebuild', { process: NO_PROCESS }, {}],
  ['a member that knows of another target', { process: rebuild('U', 1, 400) }, {}],
  ['a member that knows of another kind', { process: { ...AT_400, delta: true } }, {}],
  ['a member whose label is behind the superblock', { superblockSeq: 4 }, {}],
  ['a target whose label is behind the superblock', {}, { superblockSeq: 4 }],
  ['a start without the target', { eventCount: 8 }, {}],
];

for (const [what, a, onTarget] of OUT_OF_STEP) {
  test(`after ${what} the rebuild begins anew`, (t) => {
    t.like(assembleArray(pair(a, onTarget)).target, { device: '/dev/t', block: 0, delta: false });
  });
}

test('a rebuild by delta stays one while nothing happened without the target', (t) => {
  const process = { ...AT_400, delta: true };
  t.like(assembleArray(pair({ process }, { process })).target, { block: 400, delta: true });
  const lagging = assembleArray(pair({ process, eventCount: 9 }, { process }));
  t.like(lagging.target, { block: 0, delta: false });
});

test('a pause is remembered', (t) => {
  const process = { ...AT_400, paused: true };
  t.true(assembleArray(pair({ process }, { process })).target?.paused);
});

test('a target that missed a superblock has to be filled from the beginning', (t) => {
  const assembly = assembleArray(pair({ superblockSeq: 5 }, {}, { t: mirror(3, 'A+ T-') }));
  t.is(assembly.target, null);
  t.deepEqual(assembly.returning, [
    {
      slot: 1,
      uuid: uuidOf('T'),
      device: '/dev/t',
      delta: false,
      failed: false,
      labelSequence: 4,
      why: '/dev/t: its rebuild was left at superblock sequence 3, the array is at 5',
    },
  ]);
  t.is(assembly.unused[0]?.device, '/dev/t');
});

test('a target without a superblock had not begun, and its slot is free for it', (t) => {
  const [a] = pair({ process: NO_PROCESS });
  const bare = device('/dev/t', null, target('T', 4, rebuild('T', 1, 0)));
  const assembly = assembleArray([bare, a]);
  t.is(assembly.target, null);
  t.like(assembly.returning[0], { slot: 1, device: '/dev/t', delta: false, failed: false });
  t.deepEqual(assembly.unused, [
    { device: '/dev/t', reason: 'it was to be rebuilt into slot 1: its rebuild had not begun' },
  ]);
  // Before the superblock that names it, it belongs to no slot yet.
  const earlier = [device('/dev/a', mirror(4, 'A+ O-'), label('A', 4)), bare];
  const before = assembleArray(earlier);
  t.deepEqual(before.returning, []);
  t.regex(before.unused[0]!.reason, /has another member in slot 1/);
  const twin = device('/dev/u', null, target('T', 4, rebuild('T', 1, 0)));
  t.is(assembleArray([bare, twin, a]).returning.length, 1);
});

test('a target that does not fit is not written to', (t) => {
  const [a] = pair();
  for (const geometry of [{ blockCount: 1255 }, { blockBytes: 512, blockCount: 99999 }]) {
    const small = device('/dev/t', DEGRADED, target('T', 5, AT_400), geometry);
    const assembly = assembleArray([a, small]);
    t.is(assembly.target, null);
    t.regex(assembly.returning[0]!.why, /slot 1 needs 1256 of 4096$/);
  }
});

test('the member whose slot the target fills is refused by name, and left aside in a scan', (t) => {
  const old = device('/dev/o', mirror(3, 'A+ O+'), label('O', 3, { slot: 1 }));
  const error = t.throws<BandstandError>(() => assembleArray([...pair(), old]));
  t.is(error?.code, 'BANDSTAND_MEMBER_REPLACED');
  const assembly = assembleArray([old, ...pair()], { scan: true });
  t.like(assembly.target, { device: '/dev/t', block: 400 });
  t.deepEqual(
    assembly.unused.map(({ device: name }) => name),
    ['/dev/o'],
  );
});

test('two devices that say they are the same target are refused', (t) => {
  const twin = device('/dev/u', DEGRADED, target('T', 5, AT_400));
  t.like(
    t.throws<BandstandError>(() => assembleArray([...pair(), twin])),
    {
      code: 'BANDSTAND_MEMBER_DUPLICATE',
    },
  );
});

test('one rebuild goes on at a time: the one that the members know', (t) => {
  const both = mirror(5, 'A+ S- T-');
  const onS = rebuild('S', 1, 0);
  const onT = rebuild('T', 2, 400);
  const assembly = assembleArray([
    device('/dev/s', both, target('S', 5, onS)),
    device('/dev/a', both, label('A', 5, { process: onT })),
    device('/dev/t', both, target('T', 5, onT)),
  ]);
  t.like(assembly.target, { device: '/dev/t', slot: 2, block: 400 });
  t.like(assembly.returning[0], { slot: 1, device: '/dev/s', delta: false });
});

// --- replacement --------------------------------------------------------------------------------

const WHOLE = mirror(5, 'A+ O+');
const REPLACES = rebuild('T', 1, 400, { replace: true });

function trio(process = REPLACES, onTarget: Partial<Label> = {}): Examination[] {
  return [
    device('/dev/a', WHOLE, label('A', 5, { process })),
    device('/dev/o', WHOLE, label('O', 5, { slot: 1, process })),
    device('/dev/t', WHOLE, target('T', 5, REPLACES, onTarget)),
  ];
}

test('a replacement goes on beside the member that it replaces', (t) => {
  const assembly = assembleArray(trio());
  t.deepEqual(
    assembly.slots.map(({ device: name }) => name),
    ['/dev/a', '/dev/o'],
  );
  t.like(assembly.target, { slot: 1, device: '/dev/t', block: 400, replace: true });
  t.false(assembly.degraded);
  t.like(assembleArray(trio(REPLACES, { eventCount: 6 })).target, { block: 0, replace: true });
});

test('a replacement that no member knows is left aside, also when it is given by name', (t) => {
  const assembly = assembleArray(trio(NO_PROCESS));
  t.is(assembly.target, null);
  t.deepEqual(assembly.returning, []);
  t.deepEqual(assembly.unused, [
    {
      device: '/dev/t',
      reason:
        'it was to be rebuilt into slot 1: no member in service knows of the replacement it was meant for',
    },
  ]);
});

test('a replacement ends when the member that it replaces is lost', (t) => {
  const [a, , tee] = trio() as [Examination, Examination, Examination];
  const assembly = assembleArray([a, tee], { degraded: true });
  t.is(assembly.target, null);
  t.regex(assembly.unused[0]!.reason, /the member that it was to replace is not in service/);
});

// --- the end of a rebuild, with a crash at every point -------------------------------------------

/** All ways in which the writes of a group, done at once, can have reached the disk. */
function* reached(groups: readonly (readonly string[])[]): Generator<ReadonlySet<string>> {
  const done = new Set<string>();
  yield new Set(done);
  for (const group of groups) {
    for (let some = 1; some < 2 ** group.length; some += 1) {
      yield new Set([...done, ...group.filter((_, index) => (some & (1 << index)) !== 0)]);
    }
    for (const write of group) done.add(write);
  }
}

test('at every crash point of the end of a rebuild the target is a target or the member', (t) => {
  const before = mirror(5, 'A+ B+ T-');
  const after = mirror(6, 'A+ B+ T+');
  const process = rebuild('T', 2, DATA_SIZE);
  const outcomes = new Map<string, number>();
  for (const done of reached([['a', 'b'], ['t'], ['la', 'lb', 'lt']])) {
    const labels = {
      a: done.has('la') ? label('A', 6) : label('A', 5, { process }),
      b: done.has('lb') ? label('B', 6, { slot: 1 }) : label('B', 5, { slot: 1, process }),
      t: done.has('lt') ? label('T', 6, { slot: 2 }) : target('T', 5, process),
    };
    const devices = (['a', 'b', 't'] as const).map((name) =>
      device(`/dev/${name}`, done.has(name) ? after : before, labels[name]),
    );
    for (const order of [devices, [...devices].reverse()]) {
      const assembly = assembleArray(order);
      t.is(assembly.slots[0]?.device, '/dev/a');
      t.is(assembly.slots[1]?.device, '/dev/b');
      const outcome = assembly.slots[2]?.device === null ? 'target' : 'member';
      t.is(assembly.target?.device, outcome === 'target' ? '/dev/t' : undefined);
      t.deepEqual([assembly.unused, assembly.returning], [[], []]);
      t.is(outcome === 'target', !done.has('a') && !done.has('b'));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  t.deepEqual([...outcomes.keys()].sort(), ['member', 'target']);
});

test('at every crash point of the end of a replacement nothing but one of the two counts', (t) => {
  const before = mirror(5, 'A+ O+');
  const after = mirror(6, 'A+ T+');
  for (const done of reached([['a', 'o'], ['t'], ['la', 'lt']])) {
    const labels = {
      a: done.has('la') ? label('A', 6) : label('A', 5, { process: REPLACES }),
      o: label('O', 5, { slot: 1, process: REPLACES }),
      t: done.has('lt') ? label('T', 6, { slot: 1 }) : target('T', 5, REPLACES),
    };
    const devices = (['a', 'o', 't'] as const).map((name) =>
      device(`/dev/${name}`, done.has(name) ? after : before, labels[name]),
    );
    const assembly = assembleArray(devices, { scan: true });
    const over = done.has('a') || done.has('o');
    t.is(assembly.slots[0]?.device, '/dev/a');
    t.is(assembly.slots[1]?.device, over ? '/dev/t' : '/dev/o');
    t.is(assembly.target?.device, over ? undefined : '/dev/t');
    t.false(assembly.degraded);
  }
});

test('at every crash point of an ejection during a rebuild the rest goes on', (t) => {
  const before = mirror(5, 'A+ B+ C+ T-');
  const after = mirror(6, 'A+ B+ C! T-');
  const process = rebuild('T', 3, 400);
  const orders = [['a', 'b'], ['t'], ['la', 'lb', 'lt']];
  for (const done of reached(orders)) {
    const seq = (write: string): number => (done.has(write) ? 6 : 5);
    const on = (name: string): Superblock => (done.has(name) ? after : before);
    const devices = [
      device('/dev/c', before, label('C', 5, { slot: 2, process })),
      device('/dev/a', on('a'), label('A', seq('la'), { process })),
      device('/dev/b', on('b'), label('B', seq('lb'), { slot: 1, process })),
      device('/dev/t', on('t'), target('T', seq('lt'), process)),
    ];
    const assembly = assembleArray(devices);
    const recorded = done.has('a') || done.has('b');
    t.deepEqual(
      assembly.slots.map(({ device: name }) => name),
      ['/dev/a', '/dev/b', recorded ? null : '/dev/c', null],
    );
    t.is(assembly.target?.device, '/dev/t');
    const marked = ['la', 'lb', 'lt'].every((write) => done.has(write));
    t.is(assembly.target?.block, marked || !recorded ? 400 : 0);
    t.is(assembly.returning.length, recorded ? 1 : 0);
    if (recorded) t.like(assembly.returning[0], { slot: 2, device: '/dev/c', failed: true });
  }
});

test('a finished target is a member, however far the labels of a start have come', (t) => {
  const done = mirror(6, 'A+ T+');
  const tee = device('/dev/t', done, target('T', 5, AT_400));
  for (const eventCount of [7, 8, 9]) {
    const a = device('/dev/a', done, label('A', 6, { eventCount }));
    t.is(assembleArray([a, tee]).slots[1]?.device, '/dev/t');
  }
});

test('a finished target is stale when the array was started without it', (t) => {
  const done = mirror(6, 'A+ T+');
  const without = mirror(7, 'A+ T!');
  const tee = device('/dev/t', done, target('T', 5, AT_400));
  const a = device('/dev/a', without, label('A', 7, { eventCount: 8 }));
  const stale = assembleArray([a, tee]);
  t.is(stale.slots[1]?.device, null);
  t.is(stale.target, null);
  t.like(stale.returning[0], { slot: 1, device: '/dev/t' });
});

test('of two superblocks of one sequence the one that was in use decides', (t) => {
  // C was lost, and power failed when only A had that; then the array was started with B alone.
  const interrupted = mirror(6, 'A+ B+ C!');
  const used = mirror(6, 'A! B+ C!');
  const a = (seq: number) => device('/dev/a', interrupted, label('A', seq));
  const b = (seq: number) => device('/dev/b', used, label('B', seq, { slot: 1, missedSince: 5 }));
  for (const devices of [
    [a(5), b(6)],
    [b(6), a(5)],
  ]) {
    const assembly = assembleArray(devices);
    t.deepEqual(assembly.superblock, used);
    t.deepEqual(
      assembly.slots.map(({ device: name }) => name),
      [null, '/dev/b', null],
    );
    t.like(assembly.returning[0], { slot: 0, device: '/dev/a', delta: false });
    t.regex(assembly.returning[0]!.why, /sequence 6, was never in use$/);
  }
  // Both were used, or nobody knows.
  for (const seqs of [
    [6, 6],
    [5, 5],
  ] as const) {
    t.like(
      t.throws<BandstandError>(() => assembleArray([a(seqs[0]), b(seqs[1])])),
      { code: 'BANDSTAND_ARRAY_CONFLICT' },
    );
  }
});

test('one that was never in use fills no slot, whatever the other says of it', (t) => {
  const a = device('/dev/a', mirror(6, 'A+ B+ C!'), label('A', 5));
  const b = device('/dev/b', mirror(6, 'A+ B+ C+'), label('B', 6, { slot: 1 }));
  const assembly = assembleArray([a, b], { degraded: true });
  t.is(assembly.slots[0]?.device, null);
  t.regex(assembly.slots[0]!.reason!, /^\/dev\/a is stale: its superblock, sequence 6, was never/);
});

test('the newest superblock decides although only the target has it', (t) => {
  const newest = mirror(6, 'A+ B+ C! T-');
  const before = mirror(5, 'A+ B+ C+ T-');
  const process = rebuild('T', 3, 400);
  const tee = device('/dev/t', newest, target('T', 5, process));
  const a = device('/dev/a', before, label('A', 5, { process }));
  const b = device('/dev/b', before, label('B', 5, { slot: 1, process }));
  const assembly = assembleArray([a, b, tee]);
  t.is(assembly.superblock.seq, 6);
  t.deepEqual(
    assembly.slots.map(({ device: name }) => name),
    ['/dev/a', '/dev/b', null, null],
  );
  t.like(assembly.target, { device: '/dev/t', block: 0 });
  // Once a label goes with it, the array was used under it, without those that it did not reach.
  const marked = device('/dev/t', newest, target('T', 6, process));
  t.like(
    t.throws<BandstandError>(() => assembleArray([a, b, marked], { degraded: true })),
    {
      code: 'BANDSTAND_ARRAY_FAILED',
    },
  );
});
