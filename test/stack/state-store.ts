import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type RememberedStack, StateStore } from '../../src/stack/state-store.ts';
import { ROOT } from '../_helpers/repository.ts';

const STACK: RememberedStack = {
  name: 'tank',
  uuid: '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44',
  level: 'raid1',
  stripBytes: 0,
  blockBytes: 4096,
  sizeBytes: 2 ** 30,
  superblock: true,
  ftl: false,
  members: [
    {
      slot: 0,
      uuid: '00000000-0000-4000-8000-000000000001',
      path: '/dev/disk/by-id/a',
      health: 'failed',
    },
    { slot: 1, uuid: null, path: '/dev/disk/by-id/b', health: 'ok' },
  ],
  spares: [{ uuid: '00000000-0000-4000-8000-000000000009', path: '/dev/disk/by-id/s' }],
  cache: null,
};

function store(t: ExecutionContext): StateStore {
  const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return new StateStore(path.join(folder, 'deep', 'state'));
}

test('what was saved is loaded, and nothing else lies about', (t) => {
  const states = store(t);
  t.deepEqual(states.names(), []);
  t.is(states.load('tank'), null);
  states.save(STACK);
  t.deepEqual(states.load('tank'), STACK);
  t.deepEqual(states.names(), ['tank']);
  t.deepEqual(readdirSync(states.directory), ['tank.json']);
  states.forget('tank');
  t.is(states.load('tank'), null);
});

test('bandstand-files(5) has every field of a file', (t) => {
  const states = store(t);
  states.save(STACK);
  const saved = JSON.parse(readFileSync(states.path('tank'), 'utf8'));
  const page = readFileSync(path.join(ROOT, 'man/bandstand-files.5'), 'utf8');
  const words = new Set(page.split(/\s+/));
  const parts = [saved, ...saved.members, ...saved.spares];
  const missing = parts.flatMap((part) => Object.keys(part)).filter((key) => !words.has(key));
  t.deepEqual(missing, []);
  t.true(words.has(saved.schema));
});

test('members in a file of a version that did not know their health count as ok', (t) => {
  const states = store(t);
  states.save(STACK);
  const file = states.path('tank');
  const old = JSON.parse(readFileSync(file, 'utf8'));
  for (const member of old.members) delete member.health;
  writeFileSync(file, JSON.stringify(old));
  t.deepEqual(
    states.load('tank')!.members.map(({ health }) => health),
    ['ok', 'ok'],
  );
});

test('a file of a version without spares has none', (t) => {
  const states = store(t);
  states.save(STACK);
  const file = states.path('tank');
  const { spares: _, ...old } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify(old));
  t.deepEqual(states.load('tank'), { ...STACK, spares: [], cache: null });
});

test('files that are no names are not listed', (t) => {
  const states = store(t);
  states.save(STACK);
  for (const name of ['.hidden.json', '-x.json', 'a b.json', 'notes.txt']) {
    writeFileSync(path.join(states.directory, name), '{}');
  }
  t.deepEqual(states.names(), ['tank']);
});

const DAMAGE: readonly (readonly [
  why: string,
  change: (value: Record<string, unknown>) => unknown,
])[] = [
  ['it is not an object', () => []],
  ['its schema is not bandstand.stack/1', (value) => ({ ...value, schema: 'bandstand.stack/2' })],
  ['its name is no name', (value) => ({ ...value, name: '../tank' })],
  ["it is about 'other'", (value) => ({ ...value, name: 'other' })],
  ['its uuid is no UUID', (value) => ({ ...value, uuid: 'x' })],
  ['its level is missing', (value) => ({ ...value, level: 1 })],
  ['its flags are missing', (value) => ({ ...value, superblock: 'yes' })],
  ['its size_bytes is no size', (value) => ({ ...value, size_bytes: -1 })],
  ['its block_size is no size', (value) => ({ ...value, block_size: 1.5 })],
  ['its members are missing', (value) => ({ ...value, members: [] })],
  ['a member is not an object', (value) => ({ ...value, members: ['/dev/sda'] })],
  [
    'the slot of a member is no slot',
    (value) => ({ ...value, members: [{ slot: 256, path: '/a' }] }),
  ],
  [
    'the path of a member is missing',
    (value) => ({ ...value, members: [{ slot: 0, uuid: null }] }),
  ],
  [
    'the uuid of a member is no UUID',
    (value) => ({ ...value, members: [{ slot: 0, path: '/a', uuid: 'x' }] }),
  ],
  [
    'the health of a member is unknown',
    (value) => ({ ...value, members: [{ slot: 0, uuid: null, path: '/a', health: 'fine' }] }),
  ],
  ['its spares are no list of spares', (value) => ({ ...value, spares: {} })],
  ['a spare is not an object', (value) => ({ ...value, spares: ['/dev/sda'] })],
  [
    'the uuid of a spare is no UUID',
    (value) => ({ ...value, spares: [{ path: '/a', uuid: 'x' }] }),
  ],
  [
    'the path of a spare is missing',
    (value) => ({ ...value, spares: [{ uuid: '00000000-0000-4000-8000-000000000009' }] }),
  ],
];

for (const [why, change] of DAMAGE) {
  test(`a damaged file is refused: ${why}`, (t) => {
    const states = store(t);
    states.save(STACK);
    const file = states.path('tank');
    writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')))));
    t.throws(() => states.load('tank'), {
      code: 'BANDSTAND_STATE_INVALID',
      message: `cannot read what is remembered of tank in ${file}: ${why}`,
    });
  });
}

test('what is not JSON is refused', (t) => {
  const states = store(t);
  states.save(STACK);
  writeFileSync(states.path('tank'), '{"schema":');
  t.throws(() => states.load('tank'), { message: /: it is not JSON$/ });
});

const MEMBER = {
  slot: 1,
  uuid: '00000009-0000-4000-8000-000000000009',
  path: '/dev/disk/by-id/nvme-1',
  health: 'missing',
} as const;
const CACHE = { uuid: '0ca40ca4-0000-4000-8000-000000000001', path: '/dev/nvme0n1' };

test('a cache is remembered, on one device and on a mirror', (t) => {
  const states = store(t);
  const spare = { uuid: MEMBER.uuid, path: '/dev/nvme2n1' };
  for (const cache of [
    { ...CACHE, members: [], spares: [] },
    { ...CACHE, path: null, members: [MEMBER], spares: [spare] },
  ]) {
    states.save({ ...STACK, cache });
    t.deepEqual(states.load('tank'), { ...STACK, cache });
  }
  const file = states.path('tank');
  const load = (cache: unknown) => {
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), cache }));
    return states.load('tank')!.cache;
  };
  t.deepEqual(load(CACHE), { ...CACHE, members: [], spares: [] }, 'of a version without mirrors');
  const bad: readonly (readonly [cache: unknown, why: RegExp])[] = [
    [{ ...CACHE, path: '' }, /the path of its cache is missing$/],
    [{ uuid: CACHE.uuid }, /the path of its cache is missing$/],
    [{ ...CACHE, uuid: 'x' }, /the uuid of its cache is no UUID$/],
    [{ ...CACHE, members: {} }, /the members of its cache are no list of members$/],
    [{ ...CACHE, members: [{ ...MEMBER, slot: -1 }] }, /of its cache, the slot of a member is/],
    [{ ...CACHE, spares: ['/dev/a'] }, /of its cache, a spare is not an object$/],
  ];
  for (const [cache, message] of bad) t.throws(() => load(cache), { message });
});
