import { readFileSync } from 'node:fs';
import test from 'ava';
import { ftlOnDiskFormat } from '../../src/ftl/ftl-on-disk-format.ts';

test('docs/on-disk-format-ftl.md is what the tables say', (t) => {
  const file = new URL('../../docs/on-disk-format-ftl.md', import.meta.url);
  t.is(
    readFileSync(file, 'utf8'),
    ftlOnDiskFormat(),
    'run: node --import=tsx scripts/on-disk-format.js',
  );
});
