import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { deriveGeometry } from '../../src/ftl/geometry.ts';
import { L2p, UNMAPPED } from '../../src/ftl/l2p.ts';

function make(placeBytes: number): L2p {
  return new L2p(
    deriveGeometry({
      unitBlocks: 4,
      bandUnits: 8,
      bandCount: 32,
      overProvisioning: 25,
      blockCount: 50,
      pageEntries: 16,
      placeBytes,
      superblockUnits: 1,
      frontPages: 4,
      mapBands: [],
    }),
  );
}

test('runs of blocks that are alike end where the map changes', (t) => {
  const l2p = make(4);
  for (const block of [3, 4, 5, 9]) l2p.set(block, block);
  t.deepEqual(
    [0, 2, 3, 5, 6, 9, 10].map((block) => l2p.alike(block, 50 - block)),
    [-3, -1, 3, 1, -3, 1, -40],
  );
  t.is(l2p.alike(3, 2), 2);
  t.is(l2p.alike(0, 1), -1);
});

for (const placeBytes of [4, 5]) {
  test(`places of ${placeBytes} bytes are kept, and nothing is mapped at first`, (t) => {
    const l2p = make(placeBytes);
    t.is(l2p.get(49), UNMAPPED);
    const largest = placeBytes === 4 ? 2 ** 32 - 2 : 2 ** 40 - 2;
    for (const place of [0, 1, 0xfffffffe, largest]) {
      l2p.set(7, place);
      t.is(l2p.get(7), place);
    }
    t.is(l2p.get(8), UNMAPPED);
    t.is(l2p.mapped, 1);
    t.deepEqual([l2p.nextMapped(0, 50), l2p.nextMapped(7, 50), l2p.nextMapped(8, 50)], [7, 7, 50]);
    t.is(l2p.nextMapped(0, 7), 7, 'none before the end');
    l2p.unmap(7);
    l2p.unmap(7);
    t.is(l2p.get(7), UNMAPPED);
    t.is(l2p.mapped, 0);
  });
}

test('a place whose lower half is all ones is a place where places are wide', (t) => {
  const l2p = make(5);
  l2p.set(3, 2 ** 33 - 1);
  t.is(l2p.get(3), 2 ** 33 - 1);
});

test('a change marks its page, and no other', (t) => {
  const l2p = make(4);
  l2p.set(15, 1);
  l2p.unmap(32);
  t.deepEqual([...l2p.dirty], [1, 0, 1, 0]);
});

test('pages in use are those of the checkpoint and the changed ones', (t) => {
  const l2p = make(4);
  l2p.set(49, 1);
  l2p.unmap(16);
  t.deepEqual(l2p.pagesInUse([0, 0, 7, 0]), [1, 2, 3]);
  t.deepEqual(l2p.pagesInUse([3]), [0, 1, 3], 'a device that has grown since');
  t.deepEqual([l2p.pageEnd(0), l2p.pageEnd(3)], [16, 50]);
});

test('a map for which there is no memory is refused with its size', (t) => {
  const shape = deriveGeometry({
    unitBlocks: 4096,
    bandUnits: 2 ** 20,
    bandCount: 2 ** 18,
    overProvisioning: 25,
    blockCount: 2 ** 49,
    pageEntries: 2 ** 20,
    placeBytes: 5,
    superblockUnits: 129,
    frontPages: 536870912,
    mapBands: [],
  });
  const error = t.throws(() => new L2p(shape), { instanceOf: BandstandError })!;
  t.is(error.code, 'BANDSTAND_FTL_MEMORY');
  t.is(
    error.message,
    'cannot hold the map of a log-structured device of 562949953421312 blocks: it takes 2.5 PiB of memory',
  );
});
