import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { deriveGeometry } from '../../src/ftl/geometry.ts';
import { L2p, UNMAPPED } from '../../src/ftl/l2p.ts';
import { decodePage, encodePage } from '../../src/ftl/map-page.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';

const AT = 4096;
const UNIT_BYTES = 4 * 4096;
const NAME = { device: [0x33221100, 0x77665544], page: 1, checkpoint: 42 } as const;

/** Made by a program of its own from the description of the format. */
const GOLDEN = {
  4:
    '42534d50010000000011223344556677010000002a00000004000000' +
    '0000000000000000000000000000000000000000000000000000000000000000' +
    '3b85432e05000000ffffffff1100000004030201',
  5:
    '42534d50010000000011223344556677010000002a00000004000000' +
    '0000000000000000000000000000000000000000000000000000000000000000' +
    '55307bee05000000ffffffff030000000403020100ff010a',
} as const;
const PLACES = { 4: [5, UNMAPPED, 17, 0x01020304], 5: [5, UNMAPPED, 2 ** 32 + 3, 0x0a01020304] };

function make(placeBytes: 4 | 5) {
  const geometry = deriveGeometry({
    unitBlocks: 4,
    bandUnits: 8,
    bandCount: 32,
    overProvisioning: 25,
    blockCount: 14,
    pageEntries: 10,
    placeBytes,
    superblockUnits: 1,
    frontPages: 2,
    mapBands: [],
  });
  const reactor = new SimulatedReactor({ arena: new Arena(new ArrayBuffer(65536), 0) });
  const l2p = new L2p(geometry);
  PLACES[placeBytes].forEach((place, index) => {
    if (place !== UNMAPPED) l2p.set(10 + index, place);
  });
  encodePage(reactor, geometry, AT, NAME, l2p);
  return { geometry, reactor };
}

for (const placeBytes of [4, 5] as const) {
  test(`a page of places of ${placeBytes} bytes is the golden image, and is read back`, (t) => {
    const { geometry, reactor } = make(placeBytes);
    const bytes = Buffer.from(reactor.arena.u8.slice(AT, AT + UNIT_BYTES));
    const golden = GOLDEN[placeBytes];
    t.is(bytes.subarray(0, golden.length / 2).toString('hex'), golden);
    t.true(bytes.subarray(golden.length / 2).every((byte) => byte === 0));
    const l2p = new L2p(geometry);
    t.is(decodePage(reactor, geometry, AT, NAME, l2p), null);
    t.deepEqual(
      PLACES[placeBytes].map((_, index) => l2p.get(10 + index)),
      PLACES[placeBytes],
    );
    t.is(l2p.get(9), UNMAPPED, 'other pages are left alone');
  });
}

test('a page must be exactly the one that is asked for', (t) => {
  const { geometry, reactor } = make(4);
  const l2p = new L2p(geometry);
  const wrong = (name: Partial<typeof NAME> & object): string | null =>
    decodePage(reactor, geometry, AT, { ...NAME, ...name }, l2p);
  t.is(wrong({ page: 0 as 1 }), 'it is page 1');
  t.is(wrong({ checkpoint: 43 as 42 }), 'it is of checkpoint 42');
  t.is(wrong({ device: [1, 2] as never }), 'it is of another device');
  t.is(wrong({}), null);
});

test('any byte of a page that changes is noticed', (t) => {
  const { geometry, reactor } = make(5);
  const l2p = new L2p(geometry);
  for (let at = AT; at < AT + UNIT_BYTES; at += 7) {
    reactor.arena.u8[at]! ^= 2;
    t.not(decodePage(reactor, geometry, AT, NAME, l2p), null);
    reactor.arena.u8[at]! ^= 2;
  }
});
