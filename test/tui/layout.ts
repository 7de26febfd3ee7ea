import test from 'ava';
import fc from 'fast-check';
import { GLYPH_SETS, GLYPHS } from '../../src/tui/glyphs.ts';
import { layoutOf, type PaneWish } from '../../src/tui/layout.ts';
import { screenParts } from '../../src/tui/screen-lines.ts';
import { lineText, lineWidth } from '../../src/tui/spans.ts';
import { statusOf } from '../_helpers/fake-stack.ts';
import { keys, rebuildStatus, recoveryStatus, stateOf } from '../_helpers/monitor-states.ts';

const WISHES: readonly PaneWish[] = [
  { name: 'stack', least: 4, most: 9, rank: 0 },
  { name: 'activity', least: 2, most: 2, rank: 1 },
  { name: 'space', least: 1, most: 4, rank: 4 },
  { name: 'io', least: 2, most: 3, rank: 3 },
  { name: 'log', least: 2, most: 3, rank: 2 },
];

const rowsOf = (rows: number): Record<string, number> | string => {
  const layout = layoutOf(80, rows, { wishes: WISHES, alone: null });
  if (layout.kind !== 'panes') return layout.kind;
  return Object.fromEntries(layout.panes.map((pane) => [pane.name, pane.rows]));
};

test('panes get what they need, then what they can use; the last one has the rest', (t) => {
  t.deepEqual(rowsOf(40), { stack: 9, activity: 2, space: 4, io: 3, log: 14 });
  t.deepEqual(rowsOf(24), { stack: 9, activity: 2, space: 1, io: 2, log: 2 });
});

test('where there is little room, the least important panes are left out', (t) => {
  t.deepEqual(rowsOf(18), { stack: 5, activity: 2, io: 2, log: 2 });
  t.deepEqual(rowsOf(14), { stack: 4, activity: 2, log: 2 });
  t.is(rowsOf(13), 'summary');
  t.is(rowsOf(7), 'lines');
});

test('a pane that is alone has all the room', (t) => {
  const layout = layoutOf(80, 24, { wishes: WISHES, alone: 'log' });
  t.deepEqual(layout, { kind: 'panes', panes: [{ name: 'log', rows: 20 }] });
});

const STATES = {
  rebuild: rebuildStatus(),
  scan: recoveryStatus('scan'),
  drain: recoveryStatus('drain'),
  quiet: statusOf('tank'),
  nothing: null,
};

test('at every size every screen is exactly as large as the terminal', (t) => {
  const typed = fc.array(
    fc.constantFrom(
      'tab',
      'e',
      'enter',
      'down',
      'up',
      '?',
      'escape',
      'f',
      '/',
      'x',
      'G',
      'g',
      'n',
      'N',
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(STATES)),
      fc.integer({ min: 1, max: 210 }),
      fc.integer({ min: 1, max: 60 }),
      fc.constantFrom(...GLYPH_SETS),
      typed,
      (status, columns, rows, set, names) => {
        const state = stateOf({ status, columns, rows, after: keys(...names) });
        const lines = screenParts(state, GLYPHS[set]).flatMap((part) => part.lines);
        t.is(lines.length, rows, `${columns}x${rows} ${names.join(' ')}`);
        for (const line of lines) t.is(lineWidth(line), columns, lineText(line));
      },
    ),
    { numRuns: 300 },
  );
});

test('a stack with many members keeps the chosen one in sight', (t) => {
  const status = statusOf('tank');
  const [member] = status.array!.members;
  const members = Array.from({ length: 40 }, (_, slot) => ({
    ...member!,
    slot,
    device: `/dev/disk-${slot}-`,
  }));
  const many = { ...status, array: { ...status.array!, members } };
  for (const steps of [0, 1, 7, 20, 39, 50]) {
    const after = keys(...Array.from({ length: steps }, () => 'down'));
    const state = stateOf({ status: many, rows: 24, columns: 80, after });
    const text = screenParts(state, GLYPHS.ascii)
      .flatMap((part) => part.lines.map(lineText))
      .find((line) => line.startsWith('| >') && line.includes('disk'));
    t.true(text?.includes(`/dev/disk-${Math.min(39, steps)}-`), `${steps} steps: ${text}`);
  }
});
