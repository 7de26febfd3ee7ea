import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { onDiskFormat } from '../../src/raid/on-disk-format.ts';
import { ROOT } from '../_helpers/repository.ts';

test('docs/on-disk-format.md is what the tables say', (t) => {
  t.is(
    readFileSync(path.join(ROOT, 'docs/on-disk-format.md'), 'utf8'),
    onDiskFormat(),
    'run: node --import=tsx scripts/on-disk-format.js',
  );
});
