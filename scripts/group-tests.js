/**
 * Puts compiled test files together, so that `npm test` runs many of them in one process.
 *
 * A process for each file costs half a second of processor time, more than most files need for
 * their tests. Of a folder named here dist/test/FOLDER/group.js imports the files, which are called
 * NAME.part.js then; in place of AVA's `test` each gets one that puts its name before its titles.
 * Within a group one test runs after the other. A file with hooks, that changes its process, or
 * that awaits something before it has tests keeps one of its own, and so does one that takes long.
 */

import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { FIRST, LONG } from '../ava.compiled.config.js';

const ROOT = 'dist/test';
const FOLDERS = [
  'block',
  'cli/doctor',
  'control',
  'exporter/nbd',
  'exporter/ublk',
  'ftl',
  'nv-cache',
  'raid',
  'stack',
  'tui',
];
const OWN_PROCESS =
  /\btest\.(serial|before|after)|\bprocess\.(chdir|env|umask|on)\b|^(const .*= \(?)?await\b/m;
const IMPORT = /^import test from 'ava';$/m;

const GROUPED = `import ava from 'ava';

/** AVA's test, for the file of this name. */
export function testOf(file) {
  const test = (title, what, ...given) => {
    const { exec, title: titleOf } = typeof what === 'function' ? { exec: what } : what;
    ava.serial(file + ' › ' + (titleOf?.(title, ...given) ?? title), exec, ...given);
  };
  return Object.assign(test, { macro: ava.macro });
}
`;

function group(folder) {
  const imports = [];
  for (const file of readdirSync(`${ROOT}/${folder}`).sort()) {
    const path = `${ROOT}/${folder}/${file}`;
    if (!file.endsWith('.js') || LONG.includes(path) || FIRST.includes(path)) continue;
    const text = readFileSync(path, 'utf8');
    if (OWN_PROCESS.test(text) || !IMPORT.test(text)) continue;
    const name = file.slice(0, -'.js'.length);
    // In one line, as before: source maps count lines.
    const up = '../'.repeat(folder.split('/').length);
    const named = `import { testOf } from '${up}_grouped.js'; const test = testOf('${name}');`;
    writeFileSync(path, text.replace(IMPORT, named));
    renameSync(path, `${ROOT}/${folder}/${name}.part.js`);
    imports.push(`import './${name}.part.js';\n`);
  }
  writeFileSync(`${ROOT}/${folder}/group.js`, imports.join(''));
}

writeFileSync(`${ROOT}/_grouped.js`, GROUPED);
for (const folder of FOLDERS) group(folder);
