/** What people write for the devices of an NV cache. */

import test from 'ava';
import { cacheDevices } from '../../src/cli/cache-devices.ts';

test('one device, two with a comma, or two arguments', (t) => {
  t.deepEqual(cacheDevices(null), []);
  t.deepEqual(cacheDevices([]), []);
  t.deepEqual(cacheDevices('/dev/a'), ['/dev/a']);
  t.deepEqual(cacheDevices('/dev/a,/dev/b'), ['/dev/a', '/dev/b']);
  t.deepEqual(cacheDevices(['/dev/a', '/dev/b']), ['/dev/a', '/dev/b']);
});

test('a comma inside a device specification is part of it', (t) => {
  const slow = 'delay(error(/dev/a,op=read,every=3),min=1ms)';
  t.deepEqual(cacheDevices(`${slow},/dev/b`), [slow, '/dev/b']);
});

test('what is no device, and more than two of them, are refused', (t) => {
  for (const words of ['/dev/a,', ',/dev/a', '/dev/a,,/dev/b']) {
    t.throws(() => cacheDevices(words), {
      code: 'BANDSTAND_USAGE',
      message: `cannot use '${words}' as an NV cache: a device is missing beside a comma`,
    });
  }
  for (const words of ['a,b,c', ['a', 'b', 'c'], ['a,b', 'c']]) {
    t.throws(() => cacheDevices(words), { message: /: 3 devices are given$/ });
  }
});
