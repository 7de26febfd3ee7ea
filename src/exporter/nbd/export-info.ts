/**
 * What a client is told about the export: size, flags and block sizes.              (control plane)
 *
 * Everything announced is true of the device below: read-only devices say so, TRIM is offered only
 * where it does something, and the smallest block is the device's own. Pure functions of a
 * geometry.
 */

import { FEATURE_READ_ONLY, FEATURE_TRIM, type Geometry } from '../../block/block-device.ts';
import {
  REQUEST_BYTES_MAX,
  TRANSMIT_CACHE,
  TRANSMIT_FAST_ZERO,
  TRANSMIT_FLUSH,
  TRANSMIT_FUA,
  TRANSMIT_HAS_FLAGS,
  TRANSMIT_MULTI_CONN,
  TRANSMIT_READ_ONLY,
  TRANSMIT_ROTATIONAL,
  TRANSMIT_TRIM,
  TRANSMIT_WRITE_ZEROES,
} from './protocol.ts';

const PREFERRED_BYTES_DEFAULT = 4096;

export interface NbdExportInfo {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** TRANSMIT_* bits, without TRANSMIT_DF, which depends on what the client negotiates. */
  readonly transmissionFlags: number;
  readonly blockBytesMin: number;
  readonly blockBytesPreferred: number;
  readonly blockBytesMax: number;
}

export function exportInfo(
  geometry: Geometry,
  name: string,
  description: string,
  readOnly: boolean,
): NbdExportInfo {
  return {
    name,
    description,
    sizeBytes: geometry.blockCount * geometry.blockBytes,
    transmissionFlags: transmissionFlags(geometry, readOnly),
    blockBytesMin: geometry.blockBytes,
    blockBytesPreferred: preferredBlockBytes(geometry),
    blockBytesMax: REQUEST_BYTES_MAX,
  };
}

/**
 * CAN_MULTI_CONN is honest: all connections share one reactor and one device, so a flush on one
 * covers what completed on any. FAST_ZERO only promises that a slow zeroing is refused quickly.
 */
function transmissionFlags(geometry: Geometry, readOnly: boolean): number {
  let flags = TRANSMIT_HAS_FLAGS | TRANSMIT_FLUSH | TRANSMIT_FUA;
  flags |= TRANSMIT_MULTI_CONN | TRANSMIT_CACHE;
  if (geometry.rotational) flags |= TRANSMIT_ROTATIONAL;
  if (readOnly || (geometry.features & FEATURE_READ_ONLY) !== 0) return flags | TRANSMIT_READ_ONLY;
  flags |= TRANSMIT_WRITE_ZEROES | TRANSMIT_FAST_ZERO;
  if ((geometry.features & FEATURE_TRIM) !== 0) flags |= TRANSMIT_TRIM;
  return flags;
}

/** The strip where there is one (the protocol wants a power of two), else the physical block. */
function preferredBlockBytes(geometry: Geometry): number {
  const boundary = geometry.optimalBoundaryBlocks * geometry.blockBytes;
  if (boundary >= geometry.blockBytes && boundary <= REQUEST_BYTES_MAX && isPowerOfTwo(boundary)) {
    return boundary;
  }
  const physical = isPowerOfTwo(geometry.physicalBlockBytes) ? geometry.physicalBlockBytes : 0;
  return Math.min(
    REQUEST_BYTES_MAX,
    Math.max(geometry.blockBytes, physical, PREFERRED_BYTES_DEFAULT),
  );
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
