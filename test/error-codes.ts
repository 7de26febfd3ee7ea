/**
 * Every error code is expected by a test that has the program raise it.
 *
 * What tests expect is read from their text. Where a test makes an error itself, to see what
 * becomes of it, it proves nothing about who else raises it: such a file does not count for that
 * code. Nor do the parts of tests (`_helpers`, `_sim`), which let errors pass as often as they
 * expect them.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ERROR_CODES } from '../src/block/errors.ts';
import { ROOT } from './_helpers/repository.ts';
import { listFiles } from './_helpers/source-text.ts';

/** Also as a template over the last word, `BANDSTAND_SUPERBLOCK_${kind}` with 'CHECKSUM'. */
function expects(text: string, code: string): boolean {
  if (new RegExp(`new BandstandError\\(\\s*'${code}'`).test(text)) return false;
  if (new RegExp(`\\b${code}\\b`).test(text)) return true;
  const [, stem, word] = /^(\w+_)([A-Z]+)$/.exec(code)!;
  return text.includes(`\`${stem}\${`) && text.includes(`'${word}'`);
}

test('a code counts where it is expected, and not where the test makes the error', (t) => {
  const text = `
    t.is(error.code, 'BANDSTAND_USAGE');
    t.is(error.code, \`BANDSTAND_LABEL_\${kind}\`); refuses('INVALID');
    fails(new BandstandError('BANDSTAND_DEVICE_IO', { message }), 'BANDSTAND_DEVICE_IO');`;
  const codes = ['USAGE', 'USAGE_MORE', 'LABEL_INVALID', 'LABEL_LENGTH', 'DEVICE_IO'];
  const expected = codes.filter((code) => expects(text, `BANDSTAND_${code}`));
  t.deepEqual(expected, ['USAGE', 'LABEL_INVALID']);
});

test('every error code is expected by a test', (t) => {
  const files = listFiles(['test'], ['.ts', '.tsx', '.sh']).filter(
    (file) => !file.includes('/_') && file !== 'test/error-codes.ts',
  );
  const texts = files.map((file) => readFileSync(path.join(ROOT, file), 'utf8'));
  const unexpected = Object.keys(ERROR_CODES).filter(
    (code) => !texts.some((text) => expects(text, code)),
  );
  t.deepEqual(unexpected, []);
});
