/**
 * `npm run test:mutants [-- [--histories] [TEXT]]`: does the simulator find known defects?
 *
 * Each mutant of test/_sim (or those whose name contains TEXT) is put into a copy of the
 * sources in a temporary folder, where random histories run until one fails, and if none does, the
 * scenarios, unless --histories leaves them out. Prints what found it, with the first seed that
 * does, and after how long; a mutant that survives is a failure.
 *
 * BANDSTAND_SIM_SEEDS: random histories for each, default 10 000. BANDSTAND_SIM_SECONDS: default
 * 300, for the random histories and for the scenarios each.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { FTL_MUTANTS } from '../test/_sim/ftl-mutant.ts';
import { MUTANTS } from '../test/_sim/mutant.ts';

const { values, positionals } = parseArgs({
  options: { histories: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const clone = path.join(import.meta.dirname, '..');
const copied = ['src', 'test/_sim', 'test/_helpers', 'scripts', 'package.json', 'tsconfig.json'];
const seeds = process.env.BANDSTAND_SIM_SEEDS ?? '10000';
const seconds = process.env.BANDSTAND_SIM_SECONDS ?? '300';

/** Runs the simulator over the mutated copy: what it found, or null. */
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
    const script = mutant.file.startsWith('src/ftl/') ? 'scripts/sim-ftl.js' : 'scripts/sim.js';
    const history = simulate(folder, script, ['--seeds', seeds]);
    if (history !== null || values.histories) return history;
    return simulate(folder, script, ['--scenario', '', '--places', '32']);
  } finally {
    writeFileSync(file, text);
  }
}

function simulate(folder, script, options) {
  const args = ['--import=tsx', script, '--seconds', seconds, '--first-failure', ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  if (status === 0) return null;
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

const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-mutants-'));
let found = 0;
let survived = 0;
try {
  for (const name of copied) {
    cpSync(path.join(clone, name), path.join(folder, name), { recursive: true });
  }
  symlinkSync(path.join(clone, 'node_modules'), path.join(folder, 'node_modules'));
  for (const mutant of [...MUTANTS, ...FTL_MUTANTS].filter(({ name }) =>
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
