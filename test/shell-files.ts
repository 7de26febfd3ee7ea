/**
 * Every shell file passes shellcheck: the guest tests, the guest's init, the CI script.
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { ROOT } from './_helpers/repository.ts';
import { requires } from './_helpers/requires.ts';
import { listFiles } from './_helpers/source-text.ts';

const FILES = listFiles(['scripts', 'test', 'contrib', '.ci'], ['.sh', '/run']);

test('there are shell files to check', (t) => {
  t.true(FILES.includes('.ci/run'));
  t.true(FILES.includes('test/vm/_lib.sh'));
});

requires('shellcheck')('shellcheck finds nothing in any shell file', async (t) => {
  await t.notThrowsAsync(
    promisify(execFile)('shellcheck', ['--external-sources', ...FILES], { cwd: ROOT }),
  );
});
