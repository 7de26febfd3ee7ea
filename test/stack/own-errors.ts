/** What is no BandstandError becomes one. */

import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { errorJson, errorText } from '../../src/cli/report-error.ts';
import { loadAddonFrom } from '../../src/native/load.ts';
import { asBandstandError } from '../../src/stack/own-errors.ts';

const ADDON = '/nonexistent/bandstand.node';

test('an addon that cannot be loaded is an error of its own, which says how to build it', (t) => {
  const error = asBandstandError(t.throws(() => loadAddonFrom(ADDON)));
  t.is(error.code, 'BANDSTAND_ADDON_MISSING');
  t.is(error.message, `cannot load the native addon ${ADDON}: no such file`);
  t.is(error.hint, 'build it for this Node and machine: npm run build:native');
  t.deepEqual(error.details, { path: ADDON });
});

test('anything else is a defect, and its stack is shown', (t) => {
  const cause = new TypeError('x is undefined');
  const error = asBandstandError(cause);
  t.is(error.code, 'BANDSTAND_DEFECT');
  t.is(error.cause, cause);
  t.true(errorText(cause).includes('own-errors'), 'where it was thrown');
  t.like(JSON.parse(errorJson(cause)).error, { code: error.code, details: { stack: cause.stack } });
  // Nothing keeps code from throwing what is no Error.
  t.deepEqual(asBandstandError('late').details, { stack: null });
  t.is(errorText('late').split('\n').length, 3);
});

test('an error of the table stays as it is', (t) => {
  const error = new BandstandError('BANDSTAND_USAGE', { message: 'no verb' });
  t.is(asBandstandError(error), error);
});
