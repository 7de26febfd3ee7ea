import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ftlOnDiskFormat } from '../../src/ftl/ftl-on-disk-format.ts';
import { ROOT } from '../_helpers/repository.ts';

test('docs/on-disk-format-ftl.md is what the tables say', (t) => {
  const file = path.join(ROOT, 'docs/on-disk-format-ftl.md');
  t.is(
    readFileSync(file, 'utf8'),
    ftlOnDiskFormat(),
    'run: node --import=tsx scripts/on-disk-format.js',
  );
});
