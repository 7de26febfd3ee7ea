import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ROOT } from '../_helpers/repository.ts';
import { FTL_MUTANTS } from '../_sim/ftl-mutant.ts';
import { MUTANTS } from '../_sim/mutant.ts';

test('every mutant still fits the source that it changes, exactly once', (t) => {
  const mutants = [...MUTANTS, ...FTL_MUTANTS];
  for (const { name, file, find, replace } of mutants) {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    t.is(text.split(find).length - 1, 1, `${name}: ${file}`);
    t.not(find, replace);
  }
  t.is(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});
