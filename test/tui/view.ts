import test from 'ava';
import { IDLE, type StatusDocument } from '../../src/control/schema.ts';
import { GLYPHS } from '../../src/tui/glyphs.ts';
import { lastWords } from '../../src/tui/head-line.ts';
import { screenParts } from '../../src/tui/screen-lines.ts';
import { lineText } from '../../src/tui/spans.ts';
import { activityView, commandsIn, percentText, stackView } from '../../src/tui/view.ts';
import { mirrorDocument } from '../_helpers/fake-cache.ts';
import { REBUILD, statusOf } from '../_helpers/fake-stack.ts';
import { rebuildStatus, stateOf } from '../_helpers/monitor-states.ts';

test('a healthy mirror is a tree of its members, and says so', (t) => {
  const view = stackView(statusOf('tank'));
  t.like(view, { health: 'healthy', healthTone: 'good', slots: 'UU', exports: [], size: '1 GiB' });
  t.deepEqual(view.activities, []);
  t.deepEqual(
    view.rows.map(({ depth, device, health, isLast, label }) => [
      depth,
      isLast,
      label,
      device,
      health,
    ]),
    [
      [0, true, 'raid1', null, null],
      [1, false, '0', '/dev/sdb', 'ok'],
      [1, true, '1', '/dev/sdc', 'ok'],
    ],
  );
});

test('FTL, cache and array lie below each other; errors and targets stand out', (t) => {
  const view = stackView(rebuildStatus());
  t.is(view.slots, 'UUrU');
  t.deepEqual(
    view.rows.map(({ label, tone }) => `${label} ${tone}`),
    [
      'ftl plain',
      'nv cache good',
      'raid5f plain',
      '0 good',
      '1 warn',
      '2 busy',
      '3 good',
      'spare plain',
    ],
  );
  t.deepEqual(view.rows[4]!.notes, ['1 read error', '2 blocks repaired']);
  t.is(new Set(view.rows.map(({ key }) => key).filter((key) => key !== null)).size, 5);
});

test('the members of a mirrored cache have rows of their own, and its rebuild shows', (t) => {
  const cache = mirrorDocument({ activity: { ...REBUILD, member_slot: 1 }, health: 'degraded' });
  const view = stackView(statusOf('tank', { cache }));
  const [part, first, second] = view.rows;
  t.like(part!, { label: 'nv cache, raid1', health: 'degraded', tone: 'warn', device: null });
  t.like(first!, { key: 'cache member 0', ofCache: true, depth: 1 });
  t.like(second!, { key: 'cache member 1', isLast: true });
  t.is(view.activities[0]!.title, 'cache rebuild of slot cache:1');
});

test('the device that replaces a member in use is a row, and tells whose place it takes', (t) => {
  const status = statusOf('tank');
  const [member] = status.array!.members;
  const target = { ...member!, device: '/dev/sdd', uuid: 'd', health: 'rebuilding' as const };
  const array = { ...status.array!, spares: [target] };
  const row = stackView({ ...status, array }).rows.at(-1)!;
  t.like(row, { label: 'target', device: '/dev/sdd', health: 'rebuilding', tone: 'busy' });
  t.deepEqual(row.notes, ['replaces slot 0']);
});

test('how far an activity is never exceeds what there is to do', (t) => {
  const view = (change: Partial<typeof REBUILD>) => activityView({ ...REBUILD, ...change }, '');
  t.is(percentText(view({}).share!), '40.9 %');
  t.is(view({}).eta, '~59 min');
  t.is(percentText(view({ done_bytes: 9e12 }).share!), '100.0 %');
  t.is(percentText(view({ done_bytes: 3_837_302_454_271 }).share!), '99.9 %');
  t.is(view({ done_bytes: 0, total_bytes: 0 }).share, 1);
  t.is(view({ total_bytes: null }).share, null);
  t.like(view({ pace: 'paused', rate_bytes_per_second: null }), { eta: 'paused', rate: null });
  t.true(view({ pace: 'stalled' }).isWaiting);
  t.is(view({ pace: 'estimating', eta_seconds: null }).eta, 'estimating');
  t.is(view({ limit_bytes_per_second: 2 ** 20 }).limit, '1 MiB/s');
  t.deepEqual(view({ lost_blocks: 1, mismatched_blocks: 2000 }).findings, [
    '2 000 blocks disagreed',
    '1 block lost',
  ]);
});

test('the last words tell how it is, and that it keeps running', (t) => {
  const words = (options: Parameters<typeof stateOf>[0]): string => {
    const state = stateOf(options);
    return lastWords(state, state.look === null ? null : stackView(state.look.status));
  };
  t.is(words({}), 'tank is degraded, rebuild 40.9 % ~59 min, and keeps running');
  t.is(words({ status: null }), 'tank was not seen');
  const stopped = { ...statusOf('tank', { health: 'stopped' }), server: null };
  t.is(words({ status: stopped }), 'tank is stopped');
  const silence = { kind: 'silence', generation: 0, atMs: 0, why: 'no' } as const;
  t.is(words({ after: [silence] }), 'tank was degraded before it did not answer any more');
});

test('commands are found in advice, as they are typed', (t) => {
  const cases: Record<string, string[]> = {
    'let the rebuild finish; a further failure before that loses data': [],
    'put a device in its place: bandstand member add tank DEVICE; a further failure loses data': [
      'bandstand member add tank DEVICE',
    ],
    'begin it: bandstand member remove tank /dev/sdd, then bandstand member add tank /dev/sdd': [
      'bandstand member remove tank /dev/sdd',
      'bandstand member add tank /dev/sdd',
    ],
    'export it: bandstand export tank': ['bandstand export tank'],
  };
  for (const [action, commands] of Object.entries(cases)) t.deepEqual(commandsIn(action), commands);
  t.deepEqual(commandsIn(null), []);
});

test('control characters from outside do not reach the terminal', (t) => {
  const [member] = statusOf('tank').array!.members;
  const bad = 'a\u001b[2Jb\nc\u009b';
  const members = [{ ...member!, device: bad }];
  const status: StatusDocument = statusOf(bad, {
    reason: bad,
    action: bad,
    array: { ...statusOf('tank').array!, members },
    activity: { ...IDLE, kind: 'recovery', step: bad },
  });
  const lines = screenParts(stateOf({ status }), GLYPHS.ascii).flatMap((part) => part.lines);
  const text = lines.map(lineText).join('');
  t.regex(text, /^[\x20-\x7e]*$/);
  t.true(text.includes('a?[2Jb?c?'));
});
