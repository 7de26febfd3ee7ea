/**
 * RequestRules: what a client may ask for in the transmission phase.                  (data plane)
 *
 * The one place where a request of a stranger is judged, before anything is reserved for it. Which
 * errno answers what follows the protocol description: EINVAL for unknown commands, flags and
 * ranges, ENOSPC for writes beyond the end, EPERM for writes to a read-only export, ENOTSUP for a
 * fast zeroing that would be slow, EOVERFLOW for an unfragmented read that is too long.
 *
 * The protocol leaves requests without length undefined; here they succeed and do nothing, except
 * BLOCK_STATUS, which has to answer with at least one extent.
 */

import type { BlockDevice } from '../../block/block-device.ts';
import { EINVAL, ENOSPC, EOPNOTSUPP, EOVERFLOW, EPERM, OK } from '../../block/status.ts';
import type { NbdRequest } from './nbd-request.ts';
import {
  allowedCommandFlags,
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_FLAG_DF,
  CMD_FLAG_FAST_ZERO,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE,
  CMD_WRITE_ZEROES,
  REQUEST_BYTES_MAX,
  TRANSMIT_READ_ONLY,
  TRANSMIT_TRIM,
} from './protocol.ts';

export class RequestRules {
  structuredReplies = false;
  allocationContext = false;
  /** The client asked for the block sizes: it has to keep to the smallest one. */
  blockSizesKnown = false;
  readonly #device: BlockDevice;
  readonly #blockBytes: number;
  readonly #readOnly: boolean;
  readonly #trim: boolean;
  readonly #zeroNative: boolean;
  readonly #unfragmentedBytesMax: number;

  constructor(
    device: BlockDevice,
    transmissionFlags: number,
    zeroNative: boolean,
    unfragmentedBytesMax: number,
  ) {
    this.#device = device;
    this.#blockBytes = device.geometry.blockBytes;
    this.#readOnly = (transmissionFlags & TRANSMIT_READ_ONLY) !== 0;
    this.#trim = (transmissionFlags & TRANSMIT_TRIM) !== 0;
    this.#zeroNative = zeroNative;
    this.#unfragmentedBytesMax = unfragmentedBytesMax;
  }

  // data path

  /** OK, or the errno with which the request is refused. */
  check(request: NbdRequest): number {
    const { type, flags, length } = request;
    if ((flags & ~allowedCommandFlags(type)) !== 0) return EINVAL;
    switch (type) {
      case CMD_READ:
        return this.#checkRead(request);
      case CMD_WRITE:
        if (this.#readOnly) return EPERM;
        if (length > REQUEST_BYTES_MAX) return EINVAL;
        return this.#checkRange(request, ENOSPC);
      case CMD_FLUSH:
        return length === 0 && request.offset === 0 ? OK : EINVAL;
      case CMD_TRIM:
        if (this.#readOnly) return EPERM;
        return this.#trim ? this.#checkRange(request, EINVAL) : EINVAL;
      case CMD_WRITE_ZEROES:
        return this.#checkZeroes(request);
      case CMD_CACHE:
        return this.#checkRange(request, EINVAL);
      case CMD_BLOCK_STATUS:
        if (!this.allocationContext || length === 0) return EINVAL;
        return this.#checkRange(request, EINVAL);
      default:
        return EINVAL;
    }
  }

  #checkRead(request: NbdRequest): number {
    if (request.length > REQUEST_BYTES_MAX) return EINVAL;
    if ((request.flags & CMD_FLAG_DF) !== 0) {
      if (!this.structuredReplies) return EINVAL;
      if (request.length > this.#unfragmentedBytesMax) return EOVERFLOW;
    }
    return this.#checkRange(request, EINVAL);
  }

  #checkZeroes(request: NbdRequest): number {
    if (this.#readOnly) return EPERM;
    const status = this.#checkRange(request, ENOSPC);
    if (status !== OK || (request.flags & CMD_FLAG_FAST_ZERO) === 0) return status;
    return this.#zeroNative && this.isAligned(request) ? OK : EOPNOTSUPP;
  }

  /** An offset beyond 2^53 arrives rounded, and is beyond every device either way. */
  #checkRange(request: NbdRequest, beyondEnd: number): number {
    const { blockCount, blockBytes } = this.#device.geometry;
    if (!(request.offset + request.length <= blockCount * blockBytes)) return beyondEnd;
    if (this.blockSizesKnown && !this.isAligned(request)) return EINVAL;
    return OK;
  }

  isAligned(request: NbdRequest): boolean {
    const blockBytes = this.#blockBytes;
    const { offset, length } = request;
    return (
      Math.floor(offset / blockBytes) * blockBytes === offset && (length & (blockBytes - 1)) === 0
    );
  }
  // end data path
}
