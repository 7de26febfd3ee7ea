import test from 'ava';
import {
  formatCount,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
} from '../../src/block/quantities.ts';

test('sizes are powers of 1024, bare numbers are bytes', (t) => {
  const cases: Record<string, number> = {
    '0': 0,
    '512': 512,
    '512B': 512,
    '4K': 4096,
    '4k': 4096,
    '4KiB': 4096,
    '1.5M': 1_572_864,
    '.5G': 2 ** 29,
    '1T': 2 ** 40,
    '8P': 2 ** 53 - 0,
  };
  for (const [text, bytes] of Object.entries(cases)) {
    t.is(parseSize(text), bytes > Number.MAX_SAFE_INTEGER ? null : bytes, text);
  }
});

test('sizes with two meanings, or none, are refused', (t) => {
  for (const text of [
    '',
    '4KB',
    '4kb',
    '512b',
    'K',
    '-1',
    '1e3',
    '0x10',
    ' 4K',
    '4 K',
    '0.3',
    '1Y',
  ]) {
    t.is(parseSize(text), null, text);
  }
});

test('sizes print with three digits, exactly where they are whole', (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [131_072, '128 KiB'],
    [1_572_864, '1.5 MiB'],
    [2 ** 40 - 1, '1 TiB'],
    [3_840_755_982_336, '3.49 TiB'],
    [399_999_999_999, '373 GiB'],
    [66_060_288, '63 MiB'],
  ];
  for (const [bytes, text] of cases) t.is(formatSize(bytes), text);
});

test('what formatSize prints can be parsed again, for whole values', (t) => {
  for (const bytes of [1, 512, 4096, 2 ** 20, 3 * 2 ** 30, 7 * 2 ** 40]) {
    t.is(parseSize(formatSize(bytes).replace(' ', '')), bytes);
  }
});

test('durations have a unit or are seconds', (t) => {
  t.is(parseDuration('90'), 90_000);
  t.is(parseDuration('500ms'), 500);
  t.is(parseDuration('1.5s'), 1500);
  t.is(parseDuration('10m'), 600_000);
  t.is(parseDuration('2h'), 7_200_000);
  t.is(parseDuration('1d'), 86_400_000);
  for (const text of ['', '-1s', '5 m', '1w', 'm']) t.is(parseDuration(text), null, text);
});

test('durations print their two largest units', (t) => {
  t.is(formatDuration(800), '0.8 s');
  t.is(formatDuration(2000), '2 s');
  t.is(formatDuration(59_000), '59 s');
  t.is(formatDuration(200_000), '3 min 20 s');
  t.is(formatDuration(10_260_000), '2 h 51 min');
  t.is(formatDuration(273_600_000), '3 d 4 h');
});

test('counts are grouped by three', (t) => {
  t.is(formatCount(0), '0');
  t.is(formatCount(999), '999');
  t.is(formatCount(9973), '9 973');
  t.is(formatCount(1_234_567), '1 234 567');
});
