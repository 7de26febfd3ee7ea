/** What an offline check prints, from what it has found. */

import test from 'ava';
import { EILSEQ } from '../../src/block/status.ts';
import { reportText } from '../../src/cli/offline-check.ts';
import type { FtlCheckReport } from '../../src/ftl/check.ts';
import type { OfflineReport } from '../../src/stack/offline-check.ts';

const CHECKSUMS: FtlCheckReport = {
  checkedBlocks: 1051,
  wrong: [],
  wrongCount: 0,
  repairedCount: 0,
  lostCount: 0,
  stopped: false,
};

const REPORT: OfflineReport = {
  name: 'tank',
  level: 'raid5f',
  warnings: [],
  bufferLost: false,
  clean: true,
  checksums: CHECKSUMS,
  atStart: [],
  comparison: { mismatches: 0, lostBlocks: 0, complete: true },
};

const BLOCK = {
  part: 'block',
  block: 300,
  band: 0,
  number: 4,
  status: EILSEQ,
  slots: [1],
  outcome: 'repairable',
} as const;

test('a stack that is as it should be is one line', (t) => {
  t.is(reportText(REPORT), 'tank: 1 051 blocks verified; the members agree');
  t.is(reportText({ ...REPORT, checksums: null }), 'tank: the members agree');
  t.is(
    reportText({ ...REPORT, comparison: null }),
    'tank: 1 051 blocks verified; members were not compared',
  );
});

test('what is wrong is named, and what repairs it', (t) => {
  const wrong = [BLOCK, { ...BLOCK, block: 7, slots: [], outcome: 'lost' as const }];
  const report: OfflineReport = {
    ...REPORT,
    checksums: { ...CHECKSUMS, wrong, wrongCount: 2, lostCount: 1 },
    comparison: { mismatches: 8, lostBlocks: 1, complete: true },
  };
  t.is(
    reportText(report),
    [
      'tank: 1 051 blocks verified, 2 with a wrong checksum, 1 of them nowhere right; 8 blocks of the members disagree; 1 block cannot be read from any',
      '  block 300 (unit 4 of band 0) is wrong on the member in slot 1',
      '  block 7 (unit 4 of band 0) is wrong: nothing says what is right',
      '  repair it: bandstand export tank, then bandstand check tank --repair',
    ].join('\n'),
  );
});

test('of many findings the first ones are named', (t) => {
  const wrong = Array.from({ length: 30 }, (_, block) => ({ ...BLOCK, block }));
  const lines = reportText({
    ...REPORT,
    checksums: { ...CHECKSUMS, wrong, wrongCount: 30 },
  }).split('\n');
  t.is(lines.length, 23);
  t.is(lines[21], '  and 10 more');
});
