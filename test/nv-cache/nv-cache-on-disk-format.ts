import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { nvCacheOnDiskFormat } from '../../src/nv-cache/nv-cache-on-disk-format.ts';
import { ROOT } from '../_helpers/repository.ts';

test('docs/on-disk-format-nv-cache.md is what the tables say', (t) => {
  const file = path.join(ROOT, 'docs/on-disk-format-nv-cache.md');
  t.is(
    readFileSync(file, 'utf8'),
    nvCacheOnDiskFormat(),
    'run: node --import=tsx scripts/on-disk-format.js',
  );
});
