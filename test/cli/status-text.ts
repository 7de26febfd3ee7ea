/** Text of status and list: exact, from documents. */

import test from 'ava';
import { formatLatency } from '../../src/block/quantities.ts';
import { healthExitStatus, listText, statusText } from '../../src/cli/status-text.ts';
import { IDLE, type StatusDocument } from '../../src/control/schema.ts';
import { cacheOf, recoveryOf } from '../_helpers/cache-status.ts';
import { cacheMemberOf, mirrorDocument } from '../_helpers/fake-cache.ts';
import { REBUILD } from '../_helpers/fake-stack.ts';

const STARTED = '2026-11-20T09:14:02.000Z';
const NOW = Date.parse(STARTED) + 273_600_000;
const QUIET = { ios: 0, bytes: 0, p50_us: null, p99_us: null, p999_us: null, latency_buckets: [] };

const TANK: StatusDocument = {
  name: 'tank',
  uuid: '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44',
  server: { pid: 7, version: '0.1.0', started_at: STARTED },
  health: 'degraded',
  reason: 'the member in slot 1 is missing',
  action: 'bring the member back; a further failure may lose data',
  size_bytes: 3_840_755_982_336,
  block_size: 4096,
  activity: IDLE,
  exports: [
    { kind: 'ublk', address: '/dev/ublkb0', read_only: true, size_bytes: 3_840_755_982_336 },
  ],
  array: {
    level: 'raid5f',
    strip_size_bytes: 131_072,
    superblock_seq: 2,
    members: [
      {
        slot: 0,
        device: '/dev/nvme0n1',
        uuid: null,
        health: 'ok',
        read_errors: 1234,
        write_errors: 0,
        repaired_blocks: null,
      },
      {
        slot: 1,
        device: null,
        uuid: null,
        health: 'missing',
        read_errors: 0,
        write_errors: 0,
        repaired_blocks: null,
      },
    ],
    spares: [],
  },
  ftl: null,
  cache: null,
  io: {
    read: {
      ios: 1_234_567,
      bytes: 5_056_786_432,
      p50_us: 9.5,
      p99_us: 812,
      p999_us: 22_000,
      latency_buckets: [],
    },
    write: QUIET,
    flush: QUIET,
    trim: QUIET,
  },
};

test('an export that is smaller than the stack is shown with its own size', (t) => {
  const reason = 'the array has 2 GiB since it has grown, its export still 1 GiB';
  const [one] = TANK.exports;
  const exports = [{ ...one!, size_bytes: 2 ** 30 }];
  const lines = statusText({ ...TANK, size_bytes: 2 ** 31, exports, reason }, NOW).split('\n');
  t.true(lines.includes('  export: /dev/ublkb0, 1 GiB, read-only'), lines.join('\n'));
  t.true(lines.includes('    size: 2 GiB'), lines.join('\n'));
});

test('status shows health, reason and action first, then members and I/O', (t) => {
  t.is(
    statusText(TANK, NOW),
    [
      '   stack: tank (5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44), running 3 d 4 h',
      '  health: degraded',
      'activity: idle',
      '  reason: the member in slot 1 is missing',
      '  action: bring the member back; a further failure may lose data',
      '  export: /dev/ublkb0, 3.49 TiB, read-only',
      '',
      '          DEVICE                 ROLE    HEALTH     READ  WRITE',
      '   array  raid5f, strip 128 KiB          degraded',
      '       0  /dev/nvme0n1           member  ok        1 234      0',
      '       1  -                      member  missing       0      0',
      '',
      '          OPERATIONS      DATA     P50     P99    P99.9',
      '    read   1 234 567  4.71 GiB  9.5 us  812 us  22.0 ms',
      '   write           0       0 B       -       -        -',
      '   flush           0                 -       -        -',
      '    trim           0       0 B       -       -        -',
    ].join('\n'),
  );
});

test('list shows one line each', (t) => {
  const stopped: StatusDocument = {
    ...TANK,
    name: 'vault',
    server: null,
    health: 'stopped',
    exports: [],
    size_bytes: null,
    array: null,
  };
  t.is(
    listText([TANK, stopped]),
    [
      'NAME   HEALTH    ACTIVITY  SIZE      LEVEL   EXPORTS',
      'tank   degraded  idle      3.49 TiB  raid5f  /dev/ublkb0',
      'vault  stopped   -         -         -       -',
    ].join('\n'),
  );
  t.is(listText([]), 'no stacks are known; make one with bandstand create');
});

test('control characters from outside do not reach the terminal', (t) => {
  const nasty = { ...TANK, reason: 'a\u001b[2Jb\nc\u202ed' };
  t.true(statusText(nasty, NOW).includes('  reason: a?[2Jb?c?d\n'));
});

test('the exit code is that of the worst stack', (t) => {
  const health = (...values: StatusDocument['health'][]): number =>
    healthExitStatus(values.map((value) => ({ ...TANK, health: value })));
  t.is(health(), 0);
  t.is(health('healthy'), 0);
  t.is(health('healthy', 'stopped'), 5);
  t.is(health('stopped', 'degraded'), 3);
  t.is(health('degraded', 'failed', 'stopped'), 4);
});

test('latencies have three digits at most', (t) => {
  const cases: Record<number, string> = {
    0: '0.0 us',
    9.46: '9.5 us',
    812.4: '812 us',
    1500: '1.50 ms',
    22000: '22.0 ms',
    1500000: '1.5 s',
  };
  for (const [us, text] of Object.entries(cases)) t.is(formatLatency(Number(us)), text);
});

test('an FTL tells what it uses, and what has rotted', (t) => {
  const ftl = {
    op_percent: 20,
    bands: {
      total: 506,
      free: 31,
      open: 2,
      closed: 473,
      size_bytes: 2 ** 20,
      map: { bands_per_cell: 1, cells: '' },
    },
    valid_blocks: 25_600,
    user_blocks_written: 100,
    relocated_blocks_written: 0,
    metadata_blocks_written: 43,
    write_amplification: 1.43,
    wrong_checksums: 0,
    repaired_checksums: 0,
    unreadable_blocks: 0,
  };
  const line = (change: Partial<typeof ftl>): string =>
    statusText({ ...TANK, ftl: { ...ftl, ...change } }, NOW)
      .split('\n')
      .find((one) => one.includes('bands free'))!
      .replace(/^ *ftl: */, '');
  const used = '100 MiB used, 31 of 506 bands free, write amplification 1.43';
  t.is(line({}), used);
  t.is(
    line({ wrong_checksums: 3, repaired_checksums: 2, unreadable_blocks: 1 }),
    `${used}, 3 wrong checksums, 2 mended, 1 block right nowhere`,
  );
});

function cacheLines(cache: StatusDocument['cache']): string[] {
  const lines = statusText({ ...TANK, cache }, NOW).split('\n');
  return lines.filter((line) => /^ *(cache|found): /.test(line)).map((line) => line.trim());
}

test('a cache tells what is in it, and what is not drained', (t) => {
  t.deepEqual(cacheLines(cacheOf({ drained_blocks: 1, dropped_blocks: 3 })), [
    'cache: 32 MiB of 64 MiB in use, phase 2, 32 MiB not drained, 75 % of what left it was overwritten there',
  ]);
  t.deepEqual(cacheLines(cacheOf({ undrained_bytes: 0 })), [
    'cache: 32 MiB of 64 MiB in use, phase 2',
  ]);
});

test('a cache that is being scanned tells how far that is', (t) => {
  const recovery = recoveryOf({ step: 'Scan the NV cache', blocks_done: 256, blocks_total: 512 });
  const unknown = { size_bytes: null, used_bytes: null, undrained_bytes: null, phase: null };
  t.deepEqual(cacheLines(cacheOf({ ...unknown, uuid: null, state: 'scan', recovery })), [
    'cache: scan',
    'found: Scan the NV cache: 1 MiB of 2 MiB',
  ]);
});

test('what a start has found is shown by phase until it is drained, and afterwards', (t) => {
  const range = { first: 2, last: 900, blocks: 10, recovered: 4 };
  const ranges = [
    { ...range, phase: 1, records_valid: 2013, records_old: 3, records_torn: 0 },
    { ...range, phase: 2, records_valid: 40, records_old: 0, records_torn: 1 },
  ];
  const found = 'phase 1: 2 013 records, 3 old; phase 2: 40 records, 1 torn';
  const lines = (change: Parameters<typeof recoveryOf>[0]): string =>
    cacheLines(cacheOf({ recovery: recoveryOf({ ranges, ...change }) }))[1]!;
  t.is(lines({}), `found: Drain what the NV cache had: 8 MiB of 32 MiB; ${found}`);
  t.is(lines({ over: true }), `found: 32 MiB drained; ${found}`);
  t.is(
    lines({ over: true, blocks_total: 0, ranges: [], unreadable_blocks: 2 }),
    'found: nothing was to be drained; 2 blocks cannot be read',
  );
});

test('a mirrored cache shows its members below those of the stack, and its rebuild', (t) => {
  const cache = mirrorDocument({
    health: 'degraded',
    activity: { ...REBUILD, done_bytes: 410, total_bytes: 1000, member_slot: 1 },
    array: {
      ...mirrorDocument().array!,
      members: [cacheMemberOf(0), cacheMemberOf(1, { health: 'rebuilding', write_errors: 3 })],
      spares: [cacheMemberOf(0, { slot: null, device: '/dev/nvme2n1', health: 'spare' })],
    },
  });
  const stack = { ...TANK, cache };
  const lines = statusText(stack, NOW).split('\n');
  t.true(lines.some((line) => /^cache rebuild: 41\.0 % of 1000 B/.test(line)));
  const at = lines.findIndex((line) => /^ +cache +raid1 +degraded$/.test(line));
  t.deepEqual(
    lines.slice(at, at + 4).map((line) => line.trim().replaceAll(/ +/g, ' ')),
    [
      'cache raid1 degraded',
      'cache:0 /dev/nvme0n1 member ok 0 0',
      'cache:1 /dev/nvme1n1 member rebuilding 0 3',
      '- /dev/nvme2n1 spare ok',
    ],
  );
  t.regex(listText([stack]), /cache rebuild 41 %/);
  const busy = { ...stack, activity: { ...REBUILD, kind: 'resync' as const } };
  t.regex(listText([busy]), /^tank +degraded +resync 40 %/m);
});
