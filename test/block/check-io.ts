import test from 'ava';
import {
  checkIo,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../src/block/block-device.ts';
import {
  BlockIo,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../src/block/block-io.ts';
import { EINVAL, EOPNOTSUPP, EROFS, OK } from '../../src/block/status.ts';

const geometry: Geometry = {
  blockBytes: 4096,
  blockCount: 1000,
  writeUnitBlocks: 1,
  optimalBoundaryBlocks: 0,
  requestBlocksMax: 64,
  physicalBlockBytes: 4096,
  rotational: false,
  volatileCache: true,
  features: FEATURE_TRIM | FEATURE_WRITE_ZEROES,
  trimGranularityBlocks: 1,
};

function check(op: Op, block: number, blockCount: number, changes: Partial<Geometry> = {}): number {
  const io = new BlockIo();
  io.op = op;
  io.block = block;
  io.blockCount = blockCount;
  return checkIo({ ...geometry, ...changes }, io);
}

test('operations inside the device pass, also at its very end', (t) => {
  for (const op of [OP_READ, OP_WRITE, OP_TRIM, OP_WRITE_ZEROES] as const) {
    t.is(check(op, 0, 1), OK);
    t.is(check(op, 999, 1), OK);
  }
  t.is(check(OP_FLUSH, 0, 0), OK);
});

test('empty, negative and out-of-range operations are refused', (t) => {
  for (const op of [OP_READ, OP_WRITE, OP_TRIM, OP_WRITE_ZEROES] as const) {
    t.is(check(op, 0, 0), EINVAL);
    t.is(check(op, -1, 1), EINVAL);
    t.is(check(op, 1000, 1), EINVAL);
    t.is(check(op, 999, 2), EINVAL);
    t.is(check(op, Number.NaN, 1), EINVAL);
    t.is(check(op, 0, Number.NaN), EINVAL);
  }
});

test('only reads and writes are bounded by the request size', (t) => {
  t.is(check(OP_READ, 0, 65), EINVAL);
  t.is(check(OP_WRITE, 0, 65), EINVAL);
  t.is(check(OP_TRIM, 0, 1000), OK);
  t.is(check(OP_WRITE_ZEROES, 0, 1000), OK);
});

test('a read-only device refuses everything but reads and flushes', (t) => {
  const readOnly = { features: FEATURE_READ_ONLY };
  t.is(check(OP_READ, 0, 1, readOnly), OK);
  t.is(check(OP_FLUSH, 0, 0, readOnly), OK);
  for (const op of [OP_WRITE, OP_TRIM, OP_WRITE_ZEROES] as const) {
    t.is(check(op, 0, 1, readOnly), EROFS);
  }
});

test('writes respect the write unit in position and length', (t) => {
  const unit = { writeUnitBlocks: 12 };
  t.is(check(OP_WRITE, 24, 36, unit), OK);
  t.is(check(OP_WRITE, 25, 36, unit), EINVAL);
  t.is(check(OP_WRITE, 24, 35, unit), EINVAL);
  t.is(check(OP_READ, 25, 35, unit), OK);
});

test('operations that a device lacks are not supported', (t) => {
  t.is(check(OP_TRIM, 0, 1, { features: 0 }), EOPNOTSUPP);
  t.is(check(OP_WRITE_ZEROES, 0, 1, { features: 0 }), EOPNOTSUPP);
});
