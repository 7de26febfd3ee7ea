import { readFileSync } from 'node:fs';
import test from 'ava';
import { onDiskFormat } from '../../src/raid/on-disk-format.ts';

test('docs/on-disk-format.md is what the tables say', (t) => {
  const file = new URL('../../docs/on-disk-format.md', import.meta.url);
  t.is(
    readFileSync(file, 'utf8'),
    onDiskFormat(),
    'run: node --import=tsx scripts/on-disk-format.js',
  );
});
