/**
 * Runs the parts of a benchmark, each in a process of its own and with a folder of its own, and
 * shows their outcomes: what one part teaches V8 about shapes does not help or harm the next.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const TIMEOUT_MS = 300_000;

/**
 * `parts`: name → script beside this one, which gets the folder and `words` as its arguments and
 * prints an outcome per line (outcome.ts). Gives the exit status: 1 when a target was missed.
 */
export function runParts(parts, { dir, json, name: benchmark, only, words = [] }) {
  const outcomes = [];
  for (const [name, script] of Object.entries(parts)) {
    if (!name.includes(only)) continue;
    const folder = mkdtempSync(path.join(dir, `bandstand-bench-${benchmark}-`));
    try {
      for (const outcome of runPart(name, script, [folder, ...words])) {
        outcomes.push({ part: name, ...outcome });
        show(outcome);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  if (json !== undefined) writeFileSync(json, JSON.stringify(outcomes, null, 2));
  return outcomes.some(({ pass }) => pass === false) ? 1 : 0;
}

function runPart(name, script, args) {
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--expose-gc', '--import=tsx', path.join(import.meta.dirname, script), ...args],
    { timeout: TIMEOUT_MS, stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 },
  );
  if (status !== 0) throw new Error(`the part ${name} has ended with status ${status}`);
  return stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function show({ name, value, target, pass, note }) {
  const verdict = { true: 'pass', false: 'FAIL', null: '' }[String(pass)];
  const cells = [name.padEnd(46), value.padStart(12), (target ?? '').padEnd(14), verdict.padEnd(4)];
  console.log(`${cells.join('  ')}  ${note ?? ''}`.trimEnd());
}
