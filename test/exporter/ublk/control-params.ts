import test from 'ava';
import {
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../../src/block/block-device.ts';
import { BandstandError } from '../../../src/block/errors.ts';
import { bufferBytesFor, ublkParamsFor } from '../../../src/exporter/ublk/control-params.ts';

const KIB = 1024;
const ALL = FEATURE_TRIM | FEATURE_WRITE_ZEROES | FEATURE_FUA;

function geometry(changes: Partial<Geometry> = {}): Geometry {
  return {
    blockBytes: 4096,
    blockCount: 262144,
    writeUnitBlocks: 1,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: 256,
    physicalBlockBytes: 4096,
    rotational: false,
    volatileCache: true,
    features: ALL,
    trimGranularityBlocks: 1,
    ...changes,
  };
}

test('a plain device is described in 512-byte sectors', (t) => {
  t.deepEqual(ublkParamsFor(geometry()), {
    attributes: 4 | 8,
    logicalBlockShift: 12,
    physicalBlockShift: 12,
    ioMinShift: 12,
    ioOptShift: 12,
    maxSectors: 512,
    chunkSectors: 0,
    devSectors: 262144 * 8,
    discard: {
      granularityBytes: 4096,
      maxDiscardSectors: 8388600,
      maxWriteZeroesSectors: 8388600,
    },
  });
});

test('small blocks on large physical ones are told apart', (t) => {
  const params = ublkParamsFor(geometry({ blockBytes: 512, requestBlocksMax: 2048 }));
  t.is(params.logicalBlockShift, 9);
  t.is(params.physicalBlockShift, 12);
  t.is(params.ioMinShift, 12);
  t.is(params.devSectors, 262144);
  t.is(params.discard!.maxDiscardSectors, 8388607);
});

test('a physical block is never smaller than a logical one', (t) => {
  t.is(ublkParamsFor(geometry({ physicalBlockBytes: 512 })).physicalBlockShift, 12);
});

test('the capacity of the largest devices is exact', (t) => {
  t.is(ublkParamsFor(geometry({ blockCount: 2 ** 40 + 1 })).devSectors, 2 ** 43 + 8);
});

for (const [title, changes, attributes] of [
  ['volatile cache with FUA', {}, 4 | 8],
  ['volatile cache without FUA', { features: FEATURE_TRIM }, 4],
  ['no volatile cache: FUA is not announced', { volatileCache: false }, 0],
  ['rotational', { rotational: true, volatileCache: false }, 2],
  ['read-only', { features: FEATURE_READ_ONLY, volatileCache: false }, 1],
] as const) {
  test(`attributes: ${title}`, (t) => {
    t.is(ublkParamsFor(geometry(changes)).attributes, attributes);
  });
}

test('a read-only export announces neither discard nor write-zeroes', (t) => {
  const params = ublkParamsFor(geometry({ volatileCache: false }), { readOnly: true });
  t.is(params.attributes, 1);
  t.is(params.discard, null);
});

test('a striped device announces its strip and is not split by the kernel', (t) => {
  const params = ublkParamsFor(geometry({ optimalBoundaryBlocks: 16 }));
  t.is(params.ioOptShift, 16);
  t.is(params.ioMinShift, 12);
  t.is(params.chunkSectors, 0);
});

test('a device with a write unit is split at it, whatever its size', (t) => {
  // Three data strips of 64 KiB.
  const params = ublkParamsFor(geometry({ writeUnitBlocks: 48, optimalBoundaryBlocks: 16 }));
  t.is(params.chunkSectors, 384);
  t.is(params.maxSectors, 384);
  t.is(params.ioMinShift, 16);
  t.is(params.ioOptShift, 16);
  t.is(params.discard!.granularityBytes, 192 * KIB);
  t.is(params.discard!.maxDiscardSectors % 384, 0);
  t.is(params.discard!.maxWriteZeroesSectors % 384, 0);
});

test('requests are limited by the buffer and by the device', (t) => {
  t.is(ublkParamsFor(geometry({ requestBlocksMax: 16 })).maxSectors, 128);
  t.is(ublkParamsFor(geometry(), { bufferBytes: 64 * KIB }).maxSectors, 128);
  t.is(ublkParamsFor(geometry(), { bufferBytes: 66 * KIB }).maxSectors, 128);
});

test('the buffer holds at least one write unit, in whole pages', (t) => {
  t.is(bufferBytesFor(geometry()), 256 * KIB);
  t.is(bufferBytesFor(geometry(), 64 * KIB), 64 * KIB);
  t.is(bufferBytesFor(geometry({ writeUnitBlocks: 112 })), 448 * KIB);
  t.is(bufferBytesFor(geometry(), 1000), 4096);
  t.is(ublkParamsFor(geometry({ writeUnitBlocks: 112 })).maxSectors, 896);
});

test('a device whose write unit fits no request is refused in words', (t) => {
  const error = t.throws(
    () => ublkParamsFor(geometry({ writeUnitBlocks: 48 }), { bufferBytes: 128 * KIB }),
    { instanceOf: BandstandError },
  );
  t.is(error.code, 'BANDSTAND_UBLK_REFUSED');
  t.is(
    error.message,
    'cannot export a device whose largest request is 131072 bytes and whose write unit is 196608 bytes: ublk needs requests of 4096 bytes and of one write unit',
  );
});

test('a device that only discards, or only writes zeroes, says so', (t) => {
  t.deepEqual(ublkParamsFor(geometry({ features: FEATURE_TRIM })).discard, {
    granularityBytes: 4096,
    maxDiscardSectors: 8388600,
    maxWriteZeroesSectors: 0,
  });
  t.deepEqual(ublkParamsFor(geometry({ features: FEATURE_WRITE_ZEROES })).discard, {
    granularityBytes: 4096,
    maxDiscardSectors: 0,
    maxWriteZeroesSectors: 8388600,
  });
  t.is(ublkParamsFor(geometry({ features: 0 })).discard, null);
});

test('discards are whole granules below 4 GiB', (t) => {
  const params = ublkParamsFor(geometry({ trimGranularityBlocks: 256 }));
  t.is(params.discard!.granularityBytes, 1024 * KIB);
  t.is(params.discard!.maxDiscardSectors, 4095 * 2048);
  // A granule that a request cannot hold: no discard at all.
  const coarse = ublkParamsFor(geometry({ trimGranularityBlocks: 2 ** 21 }));
  t.is(coarse.discard!.maxDiscardSectors, 0);
  t.true(coarse.discard!.maxWriteZeroesSectors > 0);
});

test('every geometry gives limits that the driver accepts', (t) => {
  for (const blockBytes of [512, 4096]) {
    for (const writeUnitBlocks of [1, 8, 24, 48, 56]) {
      for (const optimalBoundaryBlocks of [0, 1, 8, 12, 128]) {
        for (const bufferKib of [64, 256, 260, 1024]) {
          const params = ublkParamsFor(
            geometry({
              blockBytes,
              writeUnitBlocks,
              optimalBoundaryBlocks,
              requestBlocksMax: 4096,
            }),
            { bufferBytes: Math.max(bufferKib * KIB, writeUnitBlocks * blockBytes) },
          );
          const { discard, maxSectors, chunkSectors } = params;
          t.true(maxSectors >= 8);
          t.is((maxSectors * 512) % blockBytes, 0);
          t.true(chunkSectors === 0 || maxSectors % chunkSectors === 0);
          t.true(params.ioMinShift >= params.physicalBlockShift);
          t.true(params.ioOptShift >= params.ioMinShift);
          t.true(discard!.maxDiscardSectors * 512 < 2 ** 32);
          t.is((discard!.maxWriteZeroesSectors * 512) % (writeUnitBlocks * blockBytes), 0);
        }
      }
    }
  }
});
