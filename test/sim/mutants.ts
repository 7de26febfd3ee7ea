import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ROOT } from '../_helpers/repository.ts';
import { CACHE_MUTANTS } from '../_sim/cache-mutant.ts';
import { FTL_MUTANTS } from '../_sim/ftl-mutant.ts';
import { type Finder, MUTANTS, type Mutant } from '../_sim/mutant.ts';
import { ALL_SCENARIOS } from '../_sim/subjects.ts';

const ALL: readonly Mutant[] = [...MUTANTS, ...FTL_MUTANTS, ...CACHE_MUTANTS];

const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

/** As docs/testing.md has it. */
function finderText(found: Finder): string {
  if (found.by === 'histories') return `seed ${found.seed}`;
  if (found.by === 'sweeps') return `scenarios ${found.scenario}: ${found.why}`;
  return `\`${found.test}\`: ${found.why}`;
}

test('every mutant still fits the source that it changes, exactly once', (t) => {
  for (const { name, file, find, replace } of ALL) {
    t.is(read(file).split(find).length - 1, 1, `${name}: ${file}`);
    t.not(find, replace);
  }
  t.is(new Set(ALL.map(({ name }) => name)).size, ALL.length);
});

test('what is said to find a mutant exists', (t) => {
  for (const { name, found } of ALL) {
    if (found.by === 'histories') t.true(found.seed >= 1 && found.seed <= 10_000, name);
    else if (found.by === 'units') t.true(existsSync(path.join(ROOT, found.test)), name);
    else
      t.true(
        ALL_SCENARIOS.some((scenario) => scenario.name.includes(found.scenario)),
        name,
      );
  }
});

test('docs/testing.md lists the mutants and what finds them', (t) => {
  const rows = read('docs/testing.md').split('\n');
  const start = rows.indexOf('| mutant | found by |');
  const end = rows.indexOf('', start);
  const expected = ALL.map(({ name, found }) => `| ${name} | ${finderText(found)} |`);
  t.deepEqual(rows.slice(start + 2, end).toSorted(), expected.toSorted());
});
