import test from 'ava';
import { bytesFor } from '../../src/stack/buffer-file.ts';
import type { RememberedStack } from '../../src/stack/state-store.ts';

const MIB = 2 ** 20;
const MEMBER = { uuid: null, path: '/dev/none', health: 'ok' } as const;

function known(members: number, stripBytes: number): RememberedStack {
  return {
    name: 'tank',
    uuid: '0f71f71f-0000-4000-8000-00000000be9c',
    level: 'raid5f',
    stripBytes,
    blockBytes: 4096,
    sizeBytes: 0,
    superblock: true,
    ftl: true,
    members: Array.from({ length: members }, (_, slot) => ({ ...MEMBER, slot })),
    spares: [],
    cache: null,
  };
}

test('a write buffer has room for forty units of the stack that is remembered', (t) => {
  t.is(bytesFor({ remembered: known(3, 32 * 1024) }, 0), 10 * MIB);
  t.is(bytesFor({ remembered: known(3, MIB) }, 0), 120 * MIB);
  t.is(bytesFor({ remembered: known(16, MIB) }, 0), 256 * MIB);
});

test('of a stack that is not known it has room for large units, if there is any', (t) => {
  t.is(bytesFor({ remembered: null }, 4096 * MIB), 256 * MIB);
  t.is(bytesFor({ remembered: null }, 400 * MIB), 100 * MIB);
  t.is(bytesFor({ remembered: null }, 8 * MIB), 10 * MIB);
});
