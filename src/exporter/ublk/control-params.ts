/**
 * What the kernel is told about an exported device.                                (control plane)
 *
 * Every parameter is true: the block layer sizes, aligns, caches and retries by them. Three rules
 * need a word:
 *
 *   - `chunk_sectors` makes the kernel split requests, and a request costs far more than a split
 *     inside our own layers. So it is set only where a write that crosses the boundary could not
 *     be served at all: to the write unit of a device that has one.
 *   - Preferred sizes are powers of two here (the driver takes a shift). For three strips of data
 *     the largest power of two that divides the size is given: aligned to it is aligned enough.
 *   - Discard and write-zeroes stay below 4 GiB: kernels before 6.11 truncated larger ones, and
 *     their byte length must fit into a signed result.
 */

import {
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../../block/block-device.ts';
import { BandstandError } from '../../block/errors.ts';
import {
  ATTR_FUA,
  ATTR_READ_ONLY,
  ATTR_ROTATIONAL,
  ATTR_VOLATILE_CACHE,
  SECTOR_BYTES,
  type UblkParams,
} from './uapi.ts';

/** One buffer of this size per request in flight: 128 deep, 32 MiB per queue. */
export const BUFFER_BYTES_DEFAULT = 256 * 1024;
export const DEPTH_DEFAULT = 128;
/** The driver's lower limit of max_sectors: one page. */
const REQUEST_BYTES_MIN = 4096;
/** Longest discard or write-zeroes, in sectors. */
const RANGE_SECTORS_MAX = Math.floor(0xffffffff / SECTOR_BYTES);
/** 2^31: the largest preferred size that a 32-bit limit of the block layer can hold. */
const SHIFT_MAX = 31;

export interface UblkParamsOptions {
  /** max_io_buf_bytes of the device as added; default `bufferBytesFor(geometry)`. */
  readonly bufferBytes?: number;
  /** Refuse writes even where the device takes them. */
  readonly readOnly?: boolean;
}

/**
 * Bytes of one request buffer: the default, or one write unit where that is more, since a smaller
 * request could not be written.
 */
export function bufferBytesFor(geometry: Geometry, wantedBytes = BUFFER_BYTES_DEFAULT): number {
  const unitBytes = geometry.writeUnitBlocks * geometry.blockBytes;
  const bytes = Math.max(wantedBytes, unitBytes, REQUEST_BYTES_MIN);
  return Math.ceil(bytes / REQUEST_BYTES_MIN) * REQUEST_BYTES_MIN;
}

/** Throws BANDSTAND_UBLK_REFUSED for a geometry that the driver cannot express. */
export function ublkParamsFor(geometry: Geometry, options: UblkParamsOptions = {}): UblkParams {
  const { blockBytes } = geometry;
  const blockSectors = blockBytes / SECTOR_BYTES;
  const bufferBytes = options.bufferBytes ?? bufferBytesFor(geometry);
  const unitSectors = geometry.writeUnitBlocks * blockSectors;
  const requestSectors = Math.min(
    Math.floor(bufferBytes / SECTOR_BYTES),
    geometry.requestBlocksMax * blockSectors,
  );
  const maxSectors = Math.floor(requestSectors / unitSectors) * unitSectors;
  if (maxSectors * SECTOR_BYTES < REQUEST_BYTES_MIN) {
    throw new BandstandError('BANDSTAND_UBLK_REFUSED', {
      message: `cannot export a device whose largest request is ${requestSectors * SECTOR_BYTES} bytes and whose write unit is ${unitSectors * SECTOR_BYTES} bytes: ublk needs requests of ${REQUEST_BYTES_MIN} bytes and of one write unit`,
      hint: 'use larger request buffers, or a smaller strip size',
      details: {
        request_bytes_max: requestSectors * SECTOR_BYTES,
        write_unit_bytes: unitSectors * SECTOR_BYTES,
      },
    });
  }
  const logicalBlockShift = Math.log2(blockBytes);
  const physicalBlockShift = Math.max(
    logicalBlockShift,
    Math.min(powerOfTwoIn(geometry.physicalBlockBytes), SHIFT_MAX),
  );
  const unitShift = powerOfTwoIn(geometry.writeUnitBlocks * blockBytes);
  const boundaryShift = powerOfTwoIn(geometry.optimalBoundaryBlocks * blockBytes);
  const ioMinShift = Math.max(physicalBlockShift, Math.min(unitShift, SHIFT_MAX));
  return {
    attributes: attributesOf(geometry, options.readOnly ?? false),
    logicalBlockShift,
    physicalBlockShift,
    ioMinShift,
    ioOptShift: Math.max(ioMinShift, Math.min(boundaryShift, SHIFT_MAX)),
    maxSectors,
    chunkSectors: geometry.writeUnitBlocks > 1 ? unitSectors : 0,
    devSectors: geometry.blockCount * blockSectors,
    discard: discardOf(geometry, options.readOnly ?? false),
  };
}

function attributesOf(geometry: Geometry, readOnly: boolean): number {
  const { features } = geometry;
  let attributes = 0;
  if (readOnly || (features & FEATURE_READ_ONLY) !== 0) attributes |= ATTR_READ_ONLY;
  if (geometry.rotational) attributes |= ATTR_ROTATIONAL;
  // Without a volatile cache every completed write is durable, and the kernel ignores FUA.
  if (geometry.volatileCache) {
    attributes |= ATTR_VOLATILE_CACHE;
    if ((features & FEATURE_FUA) !== 0) attributes |= ATTR_FUA;
  }
  return attributes;
}

function discardOf(geometry: Geometry, readOnly: boolean): UblkParams['discard'] {
  const { features, blockBytes, writeUnitBlocks, trimGranularityBlocks } = geometry;
  if (readOnly || (features & FEATURE_READ_ONLY) !== 0) return null;
  const unitSectors = (writeUnitBlocks * blockBytes) / SECTOR_BYTES;
  // A trim must be whole write units and free something: both divide this granularity.
  const granularityBlocks =
    trimGranularityBlocks % writeUnitBlocks === 0
      ? Math.max(trimGranularityBlocks, 1)
      : writeUnitBlocks;
  const granularitySectors = (granularityBlocks * blockBytes) / SECTOR_BYTES;
  const trim = (features & FEATURE_TRIM) !== 0;
  const writeZeroes = (features & FEATURE_WRITE_ZEROES) !== 0;
  const maxDiscardSectors = trim ? multipleBelow(RANGE_SECTORS_MAX, granularitySectors) : 0;
  const maxWriteZeroesSectors = writeZeroes ? multipleBelow(RANGE_SECTORS_MAX, unitSectors) : 0;
  if (maxDiscardSectors === 0 && maxWriteZeroesSectors === 0) return null;
  return {
    // The driver refuses 0 even where nothing can be discarded.
    granularityBytes: maxDiscardSectors === 0 ? blockBytes : granularitySectors * SECTOR_BYTES,
    maxDiscardSectors,
    maxWriteZeroesSectors,
  };
}

/** Exponent of the largest power of two that divides `value`; 0 for 0. */
function powerOfTwoIn(value: number): number {
  let exponent = 0;
  let rest = value;
  while (rest > 0 && rest % 2 === 0) {
    rest /= 2;
    exponent += 1;
  }
  return exponent;
}

function multipleBelow(limit: number, unit: number): number {
  return Math.floor(limit / unit) * unit;
}
