/**
 * What an NV cache asks of the device behind it, and how both look from outside.    (control plane)
 */

import {
  type BlockDevice,
  type DeviceDescription,
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { CACHED_BLOCKS_MAX } from './block-map.ts';
import { CACHE_BLOCK_BYTES } from './cache-format.ts';
import type { CacheHeader } from './cache-header.ts';
import type { Backing } from './nv-core.ts';

const REQUEST_BLOCKS_MAX = 256;
/** What a device behind a cache has to be able to do. */
const BACKING_FEATURES =
  FEATURE_TRIM | FEATURE_TRIM_ZEROES | FEATURE_WRITE_ZEROES | FEATURE_ATOMIC_BLOCK;

/** Throws BANDSTAND_CACHE_UNSUITABLE. */
export function checkBacking(backing: Backing): void {
  const { blockBytes, blockCount, features, writeUnitBlocks } = backing.geometry;
  const hasFeatures = (features & BACKING_FEATURES) === BACKING_FEATURES;
  const fits = blockBytes === CACHE_BLOCK_BYTES && blockCount < CACHED_BLOCKS_MAX;
  if (hasFeatures && fits && writeUnitBlocks === 1) return;
  throw new BandstandError('BANDSTAND_CACHE_UNSUITABLE', {
    message: `cannot use an NV cache in front of ${backing.name}: it is no log-structured device`,
    hint: 'create the array with --ftl',
    details: { device: backing.name },
  });
}

export function outerGeometry(cache: Geometry, backing: Geometry, readOnly: boolean): Geometry {
  return {
    blockBytes: CACHE_BLOCK_BYTES,
    blockCount: backing.blockCount,
    writeUnitBlocks: 1,
    optimalBoundaryBlocks: 0,
    requestBlocksMax: Math.min(REQUEST_BLOCKS_MAX, backing.requestBlocksMax),
    physicalBlockBytes: CACHE_BLOCK_BYTES,
    rotational: backing.rotational,
    volatileCache: cache.volatileCache,
    features: (readOnly ? FEATURE_READ_ONLY : 0) | BACKING_FEATURES | FEATURE_FUA,
    trimGranularityBlocks: 1,
  };
}

/** `header` is null while the cache is closed. */
export function describeCache(
  { backing, cache, name }: { backing: BlockDevice; cache: BlockDevice; name: string },
  header: CacheHeader | null,
): DeviceDescription {
  return {
    kind: 'nv-cache',
    name,
    children: [backing.describe(), cache.describe()],
    details: {
      uuid: header?.uuid ?? null,
      blocks: header?.sizeBlocks ?? null,
      bytes: header === null ? null : header.sizeBlocks * CACHE_BLOCK_BYTES,
    },
  };
}
