/** The plan of the mirror under an NV cache. */

import test from 'ava';
import { mirrorName, planMirror } from '../../src/stack/make-mirror.ts';
import { nameDefect } from '../../src/stack/stack-name.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const UUID = '0ca40ca4-0000-4000-8000-000000000001';

test('its name is that of the stack, as far as there is room for it', (t) => {
  t.is(mirrorName('tank'), 'tank-cache');
  const long = mirrorName('x'.repeat(63));
  t.is(long.length, 63);
  t.true(long.endsWith('-cache'));
  t.is(nameDefect(long), null);
});

test('its UUID is that of the cache, and the smaller device counts', (t) => {
  const devices = [4096, 3000].map(
    (blockCount, slot) => new RamDevice(`nvme${slot}`, { blockBytes: 4096, blockCount }),
  );
  const plan = planMirror('tank', UUID, devices);
  t.like(plan, { name: 'tank-cache', uuid: UUID, level: 'raid1', blockCount: 3000 - 256 });
  const small = new RamDevice('small', { blockBytes: 4096, blockCount: 512 });
  t.throws(() => planMirror('tank', UUID, [devices[0]!, small]), {
    code: 'BANDSTAND_DEVICE_TOO_SMALL',
    message: /the smaller of its devices has 1 MiB beside the metadata, an NV cache needs/,
  });
});
