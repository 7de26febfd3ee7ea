import test from 'ava';
import {
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../../src/block/block-device.ts';
import { exportInfo } from '../../../src/exporter/nbd/export-info.ts';

const GEOMETRY: Geometry = {
  blockBytes: 4096,
  blockCount: 1000,
  writeUnitBlocks: 1,
  optimalBoundaryBlocks: 0,
  requestBlocksMax: 256,
  physicalBlockBytes: 4096,
  rotational: false,
  volatileCache: true,
  features: FEATURE_TRIM | FEATURE_WRITE_ZEROES,
  trimGranularityBlocks: 1,
};

function flagsOf(geometry: Partial<Geometry>, readOnly = false): number {
  return exportInfo({ ...GEOMETRY, ...geometry }, 'x', '', readOnly).transmissionFlags;
}

function preferredOf(geometry: Partial<Geometry>): number {
  return exportInfo({ ...GEOMETRY, ...geometry }, 'x', '', false).blockBytesPreferred;
}

test('the announced flags are what the device can do', (t) => {
  const base = 1 | 4 | 8 | 256 | 1024;
  t.is(flagsOf({}), base | 32 | 64 | 2048);
  t.is(flagsOf({ features: FEATURE_WRITE_ZEROES }), base | 64 | 2048);
  t.is(flagsOf({ features: 0 }), base | 64 | 2048);
  t.is(flagsOf({ rotational: true }), base | 16 | 32 | 64 | 2048);
});

test('a read-only export, or device, is announced as one, without what writes', (t) => {
  const base = 1 | 2 | 4 | 8 | 256 | 1024;
  t.is(flagsOf({}, true), base);
  t.is(flagsOf({ features: FEATURE_READ_ONLY | FEATURE_TRIM }), base);
});

test('the preferred block size is a power of two between the smallest and the largest', (t) => {
  t.is(preferredOf({}), 4096);
  t.is(preferredOf({ optimalBoundaryBlocks: 16 }), 65_536);
  t.is(preferredOf({ optimalBoundaryBlocks: 48 }), 4096);
  t.is(preferredOf({ blockBytes: 512, physicalBlockBytes: 512 }), 4096);
  t.is(preferredOf({ physicalBlockBytes: 16_384 }), 16_384);
  t.is(preferredOf({ optimalBoundaryBlocks: 2 ** 20 }), 4096);
});

test('the size, and the smallest and largest block, are in bytes', (t) => {
  const info = exportInfo(GEOMETRY, 'x', '', false);
  t.is(info.sizeBytes, 4_096_000);
  t.is(info.blockBytesMin, 4096);
  t.is(info.blockBytesMax, 33_554_432);
});
