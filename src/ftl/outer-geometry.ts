/**
 * What an FTL tells whoever is above it: blocks of 4 KiB, written one by one.       (control plane)
 */

import {
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../block/block-device.ts';
import { FTL_BLOCK_BYTES, type FtlGeometry } from './geometry.ts';

const REQUEST_BYTES_MAX = 2 ** 20;

/** `answersAtOnce`: what it has answered may be in memory only, until a flush. */
export function outerGeometry(
  base: Geometry,
  geometry: FtlGeometry,
  answersAtOnce: boolean,
  readOnly: boolean,
): Geometry {
  return {
    blockBytes: FTL_BLOCK_BYTES,
    blockCount: geometry.blockCount,
    writeUnitBlocks: 1,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: REQUEST_BYTES_MAX / FTL_BLOCK_BYTES,
    physicalBlockBytes: FTL_BLOCK_BYTES,
    rotational: base.rotational,
    volatileCache: answersAtOnce || base.volatileCache,
    features:
      (readOnly ? FEATURE_READ_ONLY : 0) |
      FEATURE_TRIM |
      FEATURE_TRIM_ZEROES |
      FEATURE_WRITE_ZEROES |
      FEATURE_FUA |
      FEATURE_ATOMIC_BLOCK,
    trimGranularityBlocks: 1,
  };
}
