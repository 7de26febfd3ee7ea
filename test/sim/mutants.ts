import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ROOT } from '../_helpers/repository.ts';
import { MUTANTS } from '../_sim/mutant.ts';

test('every mutant still fits the source that it changes, exactly once', (t) => {
  for (const { name, file, find, replace } of MUTANTS) {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    t.is(text.split(find).length - 1, 1, `${name}: ${file}`);
    t.not(find, replace);
  }
  t.is(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
});
