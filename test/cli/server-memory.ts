import test from 'ava';
import { arenaBytesFor, type MemoryNeeds } from '../../src/cli/server-memory.ts';
import type { RememberedStack } from '../../src/stack/state-store.ts';

const MIB = 2 ** 20;
const NBD = { via: 'nbd', nbd: null, queues: null, depth: null } as const;
const UBLK = { ...NBD, via: 'ublk' } as const;

/** raid5f of so many members, with strips of 1 MiB. */
function raid5f(members: number, ftl: boolean): RememberedStack {
  return {
    name: 'tank',
    uuid: '0f71f71f-0000-4000-8000-00000000be9c',
    level: 'raid5f',
    stripBytes: MIB,
    blockBytes: 4096,
    sizeBytes: 0,
    superblock: true,
    ftl,
    members: Array.from({ length: members }, (_, slot) => ({
      slot,
      uuid: null,
      path: '/dev/none',
      health: 'ok' as const,
    })),
    spares: [],
    cache: null,
  };
}

function bytes(remembered: RememberedStack | null, change: Partial<MemoryNeeds> = {}): number {
  return arenaBytesFor({ remembered, requests: [NBD], bufferSurvives: true, ...change });
}

test('six units of an FTL fit besides the clients and the array, however large they are', (t) => {
  t.true(bytes(raid5f(16, true)) >= 6 * 15 * MIB + 56 * MIB);
  t.true(bytes(null) >= 6 * 16 * MIB + 56 * MIB, 'of a stack that is not known, too');
  t.is(bytes(raid5f(3, true)), (56 + 8 * 2 + 2 + 20) * MIB, 'and a cache may come');
});

test('a write buffer that dies with the server is in the arena', (t) => {
  const more = bytes(raid5f(16, true), { bufferSurvives: false }) - bytes(raid5f(16, true));
  t.is(more, 32 * 15 * MIB);
});

test('a request on an FTL needs no stripe of memory; on an array of stripes it does', (t) => {
  const requests = [UBLK];
  t.true(bytes(raid5f(16, true), { requests }) < 256 * MIB);
  t.is(bytes(raid5f(16, false), { requests }), 1024 * MIB, 'as much as an arena can have');
  t.is(bytes(raid5f(3, false), { requests }), (128 * 2 + 24) * MIB);
});
