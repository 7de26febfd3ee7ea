import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import type { AssembledSlot } from '../../src/raid/assemble.ts';
import type { Superblock } from '../../src/raid/superblock.ts';
import { startFailure } from '../../src/stack/start-failure.ts';

const ERROR = new BandstandError('BANDSTAND_DEVICE_IO', {
  message: 'cannot access /dev/c: write failed',
  hint: 'look at the kernel log for this device (dmesg)',
  details: { device: '/dev/c', status: 5 },
});

function assembly(level: Superblock['level'], devices: readonly (string | null)[]) {
  const slots = devices.map((device) => ({ device }) as AssembledSlot);
  return { superblock: { level } as Superblock, slots };
}

test('a start that fails on a member says how to do without it', (t) => {
  const error = startFailure(ERROR, 'tank', assembly('raid1', ['/dev/a', '/dev/b', '/dev/c']));
  t.true(error instanceof BandstandError);
  const { code, message, hint, details } = error as BandstandError;
  t.is(code, 'BANDSTAND_DEVICE_IO');
  t.is(message, ERROR.message);
  t.is(hint, 'start without it: bandstand export tank --degraded --device /dev/a --device /dev/b');
  t.deepEqual(details, ERROR.details);
});

test('where the level needs the member, the error stays as it is', (t) => {
  t.is(startFailure(ERROR, 'tank', assembly('raid0', ['/dev/a', '/dev/c'])), ERROR);
  t.is(startFailure(ERROR, 'tank', assembly('raid5f', ['/dev/a', null, '/dev/c'])), ERROR);
  t.is(startFailure(ERROR, 'tank', assembly('raid1', [null, '/dev/c'])), ERROR);
});

test('an error that is about no member in service stays as it is', (t) => {
  t.is(startFailure(ERROR, 'tank', assembly('raid1', ['/dev/a', '/dev/b'])), ERROR);
  const other = new Error('something else');
  t.is(startFailure(other, 'tank', assembly('raid1', ['/dev/a', '/dev/c'])), other);
});
