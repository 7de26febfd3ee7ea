/**
 * Every shell file passes shellcheck: the guest tests, the guest's init, the CI script, and the
 * examples, which are short besides.
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { ROOT } from './_helpers/repository.ts';
import { requires } from './_helpers/requires.ts';
import { listFiles, readSource } from './_helpers/source-text.ts';

const FILES = listFiles(['scripts', 'test', 'contrib', 'docs', '.ci'], ['.sh', '/run']);

test('there are shell files to check', (t) => {
  t.true(FILES.includes('.ci/run'));
  t.true(FILES.includes('test/vm/_lib.sh'));
});

test('an example has at most 20 lines of shell, which a reader can paste', (t) => {
  const examples = FILES.filter((file) => file.startsWith('docs/examples/'));
  t.true(examples.length > 0);
  for (const file of examples) {
    const lines = readSource(file).lines.filter((line) => !/^(#|$)/.test(line));
    t.true(lines.length > 10 && lines.length <= 20, `${file} has ${lines.length}`);
  }
});

requires('shellcheck')('shellcheck finds nothing in any shell file', async (t) => {
  await t.notThrowsAsync(
    promisify(execFile)('shellcheck', ['--external-sources', ...FILES], { cwd: ROOT }),
  );
});
