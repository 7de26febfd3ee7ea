/**
 * `npm run test:mutants [-- [--histories] [TEXT]]`: are known defects found, and as it is said?
 *
 * Each mutant of test/_sim (or those whose name contains TEXT) is put into a copy of the
 * sources in a temporary folder. What is said to find it there has to: the random history with the
 * listed seed, or, when changes have made that one pass, any of the first BANDSTAND_SIM_SEEDS
 * (default 10 000; prints the seed that is to be listed then); the sweeps of a scenario; or a file
 * of unit tests. A mutant that is not found so is a failure.
 *
 * --histories looks for the first seed that shows it, whatever is said. BANDSTAND_SIM_SECONDS:
 * default 300, for one search at most.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { CACHE_MUTANTS } from '../test/_sim/cache-mutant.ts';
import { FTL_MUTANTS } from '../test/_sim/ftl-mutant.ts';
import { MUTANTS } from '../test/_sim/mutant.ts';

const { values, positionals } = parseArgs({
  options: { histories: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const clone = path.join(import.meta.dirname, '..');
const copied = [
  'src',
  'test/_sim',
  'test/_helpers',
  'test/raid',
  'test/ftl',
  'test/nv-cache',
  'test/sim',
  'scripts',
  'ava.config.js',
  'package.json',
  'tsconfig.json',
];
const seeds = process.env.BANDSTAND_SIM_SEEDS ?? '10000';
const seconds = process.env.BANDSTAND_SIM_SECONDS ?? '300';
const places = '32';

/** What finds the mutant in the copy in `folder`, or null. */
function hunt(mutant, folder) {
  const file = path.join(folder, mutant.file);
  const text = readFileSync(path.join(clone, mutant.file), 'utf8');
  if (text.split(mutant.find).length !== 2) {
    throw new Error(`the text to change does not occur exactly once in ${mutant.file}`);
  }
  writeFileSync(
    file,
    text.replace(mutant.find, () => mutant.replace),
  );
  try {
    const subject = subjectOf(mutant.file);
    if (values.histories) return searchHistories(folder, subject);
    return searchAsSaid(mutant.found, folder, subject);
  } finally {
    writeFileSync(file, text);
  }
}

function subjectOf(file) {
  if (file.startsWith('src/nv-cache/') || file.startsWith('src/stack/')) return 'cache';
  return file.startsWith('src/ftl/') ? 'ftl' : 'managed';
}

function searchAsSaid(found, folder, subject) {
  if (found.by === 'units') return runUnits(folder, found.test);
  if (found.by === 'sweeps') {
    return simulate(folder, subject, ['--scenario', found.scenario, '--places', places]);
  }
  const listed = simulate(folder, subject, ['--seed', String(found.seed), '--seeds', '1']);
  if (listed !== null) return listed;
  const other = searchHistories(folder, subject);
  return other === null ? null : `not with seed ${found.seed}, as listed, but with this: ${other}`;
}

function searchHistories(folder, subject) {
  return simulate(folder, subject, ['--seeds', seeds]);
}

function run(folder, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  return { passed: status === 0, stdout, stderr };
}

function simulate(folder, subject, options) {
  const limits = ['--subject', subject, '--seconds', seconds, '--first-failure'];
  const args = ['--import=tsx', 'scripts/sim.js', ...limits, ...options];
  const { passed, stdout, stderr } = run(folder, args);
  if (passed) return null;
  const lines = stdout.split('\n');
  const found = lines.flatMap((line, at) => {
    if (!line.startsWith('✘')) return [];
    const seed = Number(/^✘ seed (\d+)$/.exec(line)?.[1] ?? 0);
    return [{ seed, what: `${line.slice(2)}: ${lines[at + 1].trim()}` }];
  });
  if (found.length === 0) throw new Error(`the simulator broke:\n${stdout}\n${stderr}`);
  // Batches of seeds are begun in order and ended: the lowest that failed is the first.
  return found.reduce((first, one) => (one.seed < first.seed ? one : first)).what;
}

function runUnits(folder, file) {
  const ava = path.join(clone, 'node_modules/ava/entrypoints/cli.mjs');
  const { passed, stdout, stderr } = run(folder, [ava, '--tap', file]);
  if (passed) return null;
  const failed = stdout.split('\n').filter((line) => line.startsWith('not ok'));
  if (failed.length === 0) throw new Error(`the tests broke:\n${stdout}\n${stderr}`);
  return `${file}: ${failed.length} failed, first ${failed[0].replace(/^not ok \d+ - /, '')}`;
}

const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-mutants-'));
let found = 0;
let survived = 0;
try {
  for (const name of copied) {
    cpSync(path.join(clone, name), path.join(folder, name), { recursive: true });
  }
  for (const name of ['node_modules', 'native']) {
    symlinkSync(path.join(clone, name), path.join(folder, name));
  }
  for (const mutant of [...MUTANTS, ...FTL_MUTANTS, ...CACHE_MUTANTS].filter(({ name }) =>
    name.includes(positionals[0] ?? ''),
  )) {
    const began = Date.now();
    const how = hunt(mutant, folder);
    const took = ((Date.now() - began) / 1000).toFixed(0);
    if (how === null) survived += 1;
    else found += 1;
    console.log(`${how === null ? '✘ survived' : '✔ found'} after ${took} s: ${mutant.name}`);
    if (how !== null) console.log(`    ${how}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${found} passed, ${survived} failed, 0 skipped`);
process.exitCode = survived === 0 ? 0 : 1;
