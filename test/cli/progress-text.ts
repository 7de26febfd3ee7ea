/** The line about a long work: what it says, and what it leaves out where there is no room. */

import test from 'ava';
import { activityWork } from '../../src/cli/activity-work.ts';
import { bar, progressText, unmeasured, type Work } from '../../src/cli/progress-text.ts';
import { IDLE } from '../../src/control/schema.ts';

const TIB = 2 ** 40;
const MIB = 2 ** 20;

const CHECK: Work = {
  name: 'tank',
  what: 'check',
  doneBytes: 0.41 * 3.5 * TIB,
  totalBytes: 3.5 * TIB,
  rateBytesPerSecond: 612 * MIB,
  etaSeconds: 3528,
  pace: 'running',
  remarks: ['limited to 700 MiB/s'],
};

function text(work: Work, columns: number, isUnicode = true, elapsedMs = 12_345): string {
  return progressText(work, { columns, isUnicode, elapsedMs });
}

test('a bar is as long as it should be, in eighths', (t) => {
  t.is(bar(0, 4, true), '····');
  t.is(bar(0.5, 4, true), '██··');
  t.is(bar(0.53125, 4, true), '██▏·');
  t.is(bar(1, 4, true), '████');
  t.is(bar(7, 4, true), '████');
  t.is(bar(-1, 4, true), '····');
  t.is(bar(0.5, 8, false), '[###...]');
  t.is(bar(1, 8, false), '[######]');
  for (let share = 0; share <= 1; share += 0.001) {
    t.is(bar(share, 10, true).length, 10);
    t.is(bar(share, 10, false).length, 10);
  }
});

test('what matters least goes first', (t) => {
  const tail = '41.0 % of 3.5 TiB at 612 MiB/s, about 59 min left';
  t.is(
    text(CHECK, 120),
    `tank: check ${bar(0.41, 24, true)} ${tail}, limited to 700 MiB/s`,
    'all of it',
  );
  t.is(text(CHECK, 79), `tank: check ${bar(0.41, 16, true)} ${tail}`);
  t.is(
    text(CHECK, 65),
    `tank: check ${bar(0.41, 8, true)} 41.0 % of 3.5 TiB at 612 MiB/s, ~59 min`,
  );
  t.is(text(CHECK, 50), `tank: check ${bar(0.41, 8, true)} 41.0 % of 3.5 TiB, ~59 min`);
  t.is(text(CHECK, 40), `tank: check ${bar(0.41, 8, true)} 41.0 %, ~59 min`);
  t.is(text(CHECK, 29), 'tank: check 41.0 %, ~59 min');
  t.is(
    text({ ...CHECK, pace: 'estimating', etaSeconds: null }, 29),
    `tank: check ${bar(0.41, 8, true)} 41.0 %`,
  );
  t.is(text(CHECK, 20), 'tank: check 41.0 %');
  t.is(text(CHECK, 13), 'tank:… 41.0 %');
  t.is(text(CHECK, 13, false), 'tank:~ 41.0 %');
  t.is(text(CHECK, 6), '41.0 %');
});

test('in no width is it longer than the line, and the share is there', (t) => {
  const long = { ...CHECK, name: 'a'.repeat(31), what: 'Compare the NV cache with the FTL' };
  for (const work of [CHECK, long, { ...CHECK, doneBytes: CHECK.totalBytes }]) {
    const share = work.doneBytes === work.totalBytes ? '100.0 %' : '41.0 %';
    for (let columns = 1; columns <= 140; columns += 1) {
      const line = text(work, columns);
      t.true(line.length <= columns, `${columns}: ${line}`);
      if (columns >= share.length) t.true(line.includes(share), `${columns}: ${line}`);
      t.true(text(unmeasured(work.name, work.what), columns).length <= columns);
    }
  }
});

test('a pace that is no speed is a word, and 100 is for all of it', (t) => {
  const at = (change: Partial<Work>): string => text({ ...CHECK, remarks: [], ...change }, 100);
  const none = { etaSeconds: null };
  t.regex(at({ ...none, pace: 'estimating' }), / 41\.0 % of 3\.5 TiB at 612 MiB\/s, estimating$/);
  t.regex(at({ ...none, pace: 'paused' }), / 41\.0 % of 3\.5 TiB, paused$/);
  t.regex(at({ ...none, pace: 'stalled', rateBytesPerSecond: 0 }), / of 3\.5 TiB, stalled$/);
  t.regex(at({ doneBytes: 3.5 * TIB - 1 }), / 99\.9 % /);
  t.regex(at({ doneBytes: 4 * TIB }), / 100\.0 % /);
  t.regex(at({ doneBytes: 0, totalBytes: 0 }), / 0\.0 % of 0 B/);
});

test('of what is not counted it says how long it has taken', (t) => {
  const start = unmeasured('tank', 'Load the map');
  t.is(text(start, 79), 'tank: Load the map, 12 s');
  t.is(text(start, 79, true, 200_999), 'tank: Load the map, 3 min 20 s');
  t.is(text(start, 15), 'tank: Lo…, 12 s');
  t.is(text(unmeasured('tank', 'drain', ['2 GiB left']), 79), 'tank: drain, 2 GiB left, 12 s');
  t.is(text(unmeasured('wipe', '/dev/\u001bx'), 79), 'wipe: /dev/?x, 12 s');
});

test('an activity of the status is shown with its step where that is a recovery', (t) => {
  const scan = {
    ...IDLE,
    kind: 'recovery' as const,
    step: 'Scan the NV cache',
    pace: 'estimating' as const,
    done_bytes: 512 * MIB,
    total_bytes: 1024 * MIB,
  };
  t.is(
    text(activityWork('tank', scan), 79),
    `tank: Scan the NV cache ${bar(0.5, 24, true)} 50.0 % of 1 GiB, estimating`,
  );
  const starting = { ...scan, done_bytes: null, total_bytes: null };
  t.is(text(activityWork('tank', starting), 79), 'tank: Scan the NV cache, 12 s');
  const repair = { ...scan, kind: 'check' as const, step: 'repair', repaired_blocks: 2 };
  t.regex(text(activityWork('tank', repair), 79), /^tank: check .* 50\.0 % .*, 2 blocks repaired$/);
});
