import test from 'ava';
import { BandstandError, ERROR_CODES } from '../../src/block/errors.ts';
import { EIO, ENODEV, statusName, statusText } from '../../src/block/status.ts';

test('only usage errors end with status 2', (t) => {
  const usage = new BandstandError('BANDSTAND_USAGE', { message: 'unknown verb exprot' });
  const io = new BandstandError('BANDSTAND_DEVICE_IO', { message: 'cannot read /dev/sda' });
  t.is(usage.exitStatus, 2);
  t.is(io.exitStatus, 1);
  t.is(io.hint, null);
});

test('codes share one prefix and say what they mean', (t) => {
  for (const [code, meaning] of Object.entries(ERROR_CODES)) {
    t.regex(code, /^BANDSTAND_[A-Z0-9_]+$/);
    t.true(meaning.length > 10, code);
  }
});

test('statuses have names and words, also those without a table entry', (t) => {
  t.is(statusName(EIO), 'EIO');
  t.is(statusName(-ENODEV), 'ENODEV');
  t.is(statusName(133), 'E133');
  t.is(statusText(EIO), 'input/output error');
});
