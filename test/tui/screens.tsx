/**
 * Screens, exactly: what a person sees at each size, in each set of glyphs.
 *
 * The expected ones are text files in test/_fixtures/screens; `BANDSTAND_SCREENS=write npx ava
 * test/tui/screens.tsx` writes them anew, for whoever then looks at the difference.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { render } from 'ink';
import { FrameWriter } from '../../src/tui/frame-writer.ts';
import { GLYPHS, type GlyphSet } from '../../src/tui/glyphs.ts';
import type { MonitorState } from '../../src/tui/monitor-state.ts';
import { Screen } from '../../src/tui/screen.tsx';
import { COLOURED } from '../../src/tui/theme.ts';
import { statusOf } from '../_helpers/fake-stack.ts';
import {
  keys,
  LOOK_MS,
  rebuildStatus,
  recoveryStatus,
  stateOf,
} from '../_helpers/monitor-states.ts';
import { PaperTerminal } from '../_helpers/paper-terminal.ts';
import { ROOT } from '../_helpers/repository.ts';

function drawn(state: MonitorState, set: GlyphSet): string {
  const terminal = new PaperTerminal(state.columns, state.rows);
  const writer = new FrameWriter(terminal.write, () => state);
  const ink = render(<Screen state={state} glyphs={GLYPHS[set]} looks={COLOURED} />, {
    stdout: writer as unknown as NodeJS.WriteStream,
    debug: true,
    patchConsole: false,
  });
  ink.unmount();
  return `${terminal.lines.join('\n')}\n`;
}

const GONE = {
  ...statusOf('tank', {
    health: 'stopped',
    server: null,
    reason: 'its server ended without a clean stop',
    action: 'export it again, or clean up after it: bandstand stop tank',
    io: null,
  }),
};

const SCREENS: Readonly<Record<string, readonly [MonitorState, GlyphSet]>> = {
  'rebuild-200x50': [stateOf({ columns: 200, rows: 50 }), 'unicode'],
  'rebuild-100x30': [stateOf({ columns: 100, rows: 30 }), 'unicode'],
  'rebuild-100x30-ascii': [stateOf({ columns: 100, rows: 30 }), 'ascii'],
  'rebuild-100x30-braille': [stateOf({ columns: 100, rows: 30 }), 'braille'],
  'rebuild-80x24': [stateOf({ columns: 80, rows: 24 }), 'unicode'],
  'rebuild-60x16': [stateOf({ columns: 60, rows: 16 }), 'unicode'],
  'rebuild-45x12': [stateOf({ columns: 45, rows: 12 }), 'unicode'],
  'rebuild-30x6': [stateOf({ columns: 30, rows: 6 }), 'unicode'],
  'scan-100x30': [stateOf({ status: recoveryStatus('scan') }), 'unicode'],
  'scan-60x16': [stateOf({ status: recoveryStatus('scan'), columns: 60, rows: 16 }), 'unicode'],
  'drain-100x30': [stateOf({ status: recoveryStatus('drain') }), 'unicode'],
  'drain-80x24': [stateOf({ status: recoveryStatus('drain'), columns: 80, rows: 24 }), 'ascii'],
  'looking-80x24': [stateOf({ status: null, columns: 80, rows: 24 }), 'unicode'],
  'gone-80x24': [
    stateOf({
      columns: 80,
      rows: 24,
      status: statusOf('tank'),
      after: [
        { kind: 'look', generation: 0, atMs: LOOK_MS + 2000, status: GONE, events: [], missed: 0 },
      ],
    }),
    'unicode',
  ],
  'silent-80x24': [
    stateOf({
      columns: 80,
      rows: 24,
      status: statusOf('tank'),
      after: [{ kind: 'silence', generation: 0, atMs: LOOK_MS + 7000, why: 'it did not answer' }],
    }),
    'unicode',
  ],
  'help-80x24': [stateOf({ columns: 80, rows: 24, after: keys('?') }), 'unicode'],
  'member-80x24': [stateOf({ columns: 80, rows: 24, after: keys('down', 'enter') }), 'unicode'],
  'event-80x24': [
    stateOf({ columns: 80, rows: 24, after: keys('shift-tab', 'up', 'up', 'enter') }),
    'unicode',
  ],
  'filter-80x24': [
    stateOf({ columns: 80, rows: 24, after: keys('/', 'n', 'v', 'm', 'e', '5', 'enter', 'e') }),
    'unicode',
  ],
  'frozen-100x30': [
    stateOf({ after: keys('f'), names: ['tank', 'vault'], status: rebuildStatus() }),
    'unicode',
  ],
};

for (const [name, [state, set]] of Object.entries(SCREENS)) {
  test(`the screen ${name} is as it was drawn`, (t) => {
    const file = path.join(ROOT, `test/_fixtures/screens/${name}.txt`);
    const text = drawn(state, set);
    if (process.env['BANDSTAND_SCREENS'] === 'write') writeFileSync(file, text);
    t.is(text, readFileSync(file, 'utf8'));
    if (set === 'ascii') t.regex(text, /^[\n\x20-\x7e]*$/);
  });
}
