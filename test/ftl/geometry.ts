import test from 'ava';
import type { Geometry } from '../../src/block/block-device.ts';
import { BandstandError } from '../../src/block/errors.ts';
import {
  deriveGeometry,
  FTL_BLOCK_BYTES,
  type FtlShapeOptions,
  planShape,
  TRIM_RECORD_BYTES,
  UNIT_ENTRY_BYTES,
  UNIT_HEADER_BYTES,
} from '../../src/ftl/geometry.ts';

const GIB = 2 ** 30;

function base(bytes: number, unitBytes: number, blockBytes = 512): Geometry {
  return {
    blockBytes,
    blockCount: Math.floor(bytes / blockBytes),
    writeUnitBlocks: unitBytes / blockBytes,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: Math.max(unitBytes, 2 ** 20) / blockBytes,
    physicalBlockBytes: blockBytes,
    rotational: false,
    volatileCache: true,
    features: 0,
    trimGranularityBlocks: 1,
  };
}

const BASES: readonly (readonly [name: string, geometry: Geometry, options?: FtlShapeOptions])[] = [
  ['a disk of 64 GiB', base(64 * GIB, 512)],
  ['a disk of 8 TiB', base(8192 * GIB, 4096, 4096)],
  ['a disk of 100 TiB', base(102_400 * GIB, 4096, 4096)],
  ['raid5f with stripes of 192 KiB', base(96 * GIB, 192 * 1024)],
  ['raid5f with stripes of 7 MiB', base(500 * GIB, 7 * 2 ** 20)],
  ['raid5f with stripes of 1 KiB', base(4 * GIB, 1024)],
  ['a disk of 300 MiB', base(0.3 * GIB, 512)],
  ['little over-provisioning', base(64 * GIB, 512), { overProvisioning: 1 }],
];

for (const [name, geometry, options] of BASES) {
  test(`${name} is divided as the rules say`, (t) => {
    const shape = deriveGeometry(planShape('base', geometry, options));
    const unitBytes = shape.unitBlocks * FTL_BLOCK_BYTES;
    t.is(unitBytes % (geometry.writeUnitBlocks * geometry.blockBytes), 0, 'whole stripes');
    t.true(unitBytes <= geometry.requestBlocksMax * geometry.blockBytes, 'one write');
    t.true(shape.units * unitBytes <= geometry.blockCount * geometry.blockBytes, 'it fits');
    t.true(shape.bandUnits * unitBytes <= GIB, 'bands of 1 GiB at most');
    t.true(shape.bandCount >= 64, 'enough bands');
    const entries = shape.dataBlocks * UNIT_ENTRY_BYTES + shape.trimsMax * TRIM_RECORD_BYTES;
    t.true(UNIT_HEADER_BYTES + entries <= shape.summaryBlocks * FTL_BLOCK_BYTES);
    t.true(shape.trimsMax >= 16);
    const physical = shape.bandCount * shape.bandUnits * shape.dataBlocks;
    t.true(shape.blockCount * (1 + shape.overProvisioning / 100) <= physical);
    const spare =
      shape.bandCount - Math.ceil(shape.blockCount / (shape.bandUnits * shape.dataBlocks));
    t.true(spare >= shape.classCount + 3, 'open bands and relocation have their own');
    t.true(shape.pageCount * shape.pageEntries >= shape.blockCount);
    const places = shape.bandCount * shape.bandBlocks;
    t.is(shape.placeBytes, places < 2 ** 32 - shape.bandBlocks ? 4 : 5);
  });
}

test('metadata takes less than one per cent, and units are as large as they should be', (t) => {
  const shape = deriveGeometry(planShape('base', base(64 * GIB, 512)));
  t.is(shape.unitBlocks * FTL_BLOCK_BYTES, 256 * 1024);
  t.true(shape.firstBandUnit / shape.units < 0.01);
  t.true(shape.bandCount >= 900 && shape.bandCount <= 1100);
  const striped = deriveGeometry(planShape('base', base(96 * GIB, 192 * 1024)));
  t.is(striped.unitBlocks * FTL_BLOCK_BYTES, 192 * 1024, 'a large stripe is a unit');
});

test('a base without room for the least number of bands is refused', (t) => {
  const error = t.throws(() => planShape('/dev/sda', base(6 * 2 ** 20, 512)), {
    name: 'BandstandError',
  });
  t.is(
    error?.message,
    'cannot make a log-structured device on /dev/sda: it has 6 MiB, and 16 bands of 1 MiB need 16 MiB and some for metadata',
  );
});

test('stripes that are more than a unit may be are refused with their size', (t) => {
  const large = base(1024 * GIB, 32 * 2 ** 20, 4096);
  const error = t.throws(() => planShape('tank', large), { instanceOf: BandstandError })!;
  t.is(error.code, 'BANDSTAND_STRIP_INVALID');
  t.is(
    error.message,
    'cannot make a log-structured device on tank: it takes stripes of 32 MiB at once, and 16 MiB are the most that are written at once',
  );
});
