/**
 * RequestPool: the requests and the buffers of one connection.                        (data plane)
 *
 * A fixed number of NbdRequests and a fixed share of the arena, reserved when the connection's
 * slot is first used. Taking and giving back is O(1) and allocates nothing. Also the arithmetic of
 * requests: which blocks they touch, how much buffer that takes, and how a large one is cut into
 * segments, whose borders lie on blocks of the device.
 */

import type { Ring } from '../../reactor/ring.ts';
import { BLOCK_STATUS_BYTES } from './block-status.ts';
import { BufferClasses } from './buffer-classes.ts';
import { NbdRequest, type RequestOwner } from './nbd-request.ts';
import type { NbdOperations } from './operations.ts';
import { CMD_BLOCK_STATUS, CMD_READ, CMD_WRITE, CMD_WRITE_ZEROES } from './protocol.ts';

export class RequestPool {
  readonly size: number;
  available = 0;
  /** Blocks in the longest transfer that is done in one piece. */
  readonly segmentBlocks: number;
  /** Blocks that the buffers of a connection hold for one request at most. */
  readonly gatherBlocks: number;
  readonly #blockBytes: number;
  readonly #buffers: BufferClasses;
  #free: NbdRequest | null = null;

  /** Throws BANDSTAND_ARENA_FULL; then nothing is reserved. */
  constructor(
    ring: Ring,
    operations: NbdOperations,
    owner: RequestOwner,
    size: number,
    segmentBlocks: number,
  ) {
    this.size = size;
    this.segmentBlocks = segmentBlocks;
    this.#blockBytes = operations.blockBytes;
    // One block more than a segment: the margin of a partial write.
    this.#buffers = new BufferClasses(ring.arena, (segmentBlocks + 1) * this.#blockBytes);
    this.gatherBlocks = segmentBlocks * Math.min(this.#buffers.largestCount, size - 1);
    for (let index = 0; index < size; index += 1) this.give(new NbdRequest(operations, owner));
  }

  /** Every request must be back. */
  dispose(): void {
    this.#buffers.dispose();
  }

  // data path

  /** A request with nothing of its last use left, or null when all are out. */
  take(): NbdRequest | null {
    const request = this.#free;
    if (request === null) return null;
    this.#free = request.next;
    request.reset();
    this.available -= 1;
    return request;
  }

  /** Takes a request back, with its buffer. */
  give(request: NbdRequest): void {
    this.giveBuffer(request);
    request.next = this.#free;
    this.#free = request;
    this.available += 1;
  }

  giveBuffer(request: NbdRequest): void {
    if (request.buffer === -1) return;
    this.#buffers.give(request.buffer, request.bufferClass);
    request.buffer = -1;
  }

  /** Computes the blocks that the request's bytes touch. */
  setBlocks(request: NbdRequest): void {
    const { offset, length } = request;
    const block = Math.floor(offset / this.#blockBytes);
    request.block = block;
    request.blockCount = length === 0 ? 0 : Math.ceil((offset + length) / this.#blockBytes) - block;
  }

  /** Reserves the buffer that the request needs; false when it has to wait for one. */
  reserve(request: NbdRequest): boolean {
    const bytes = this.#bufferBytes(request);
    if (bytes === 0) return true;
    const buffer = this.#buffers.take(bytes);
    if (buffer === -1) return false;
    request.buffer = buffer;
    request.bufferClass = this.#buffers.takenClass;
    request.payload = buffer + (request.offset - request.block * this.#blockBytes);
    return true;
  }

  #bufferBytes(request: NbdRequest): number {
    const bytes = request.blockCount * this.#blockBytes;
    switch (request.type) {
      case CMD_READ:
        return bytes;
      case CMD_WRITE:
        return bytes === request.length ? bytes : bytes + this.#blockBytes;
      case CMD_WRITE_ZEROES:
        return bytes === request.length ? 0 : this.#blockBytes;
      case CMD_BLOCK_STATUS:
        return BLOCK_STATUS_BYTES;
      default:
        return 0;
    }
  }

  /** The segment of `parent` that starts `issuedBytes` into it, or null when it has to wait. */
  takeSegment(parent: NbdRequest, issuedBytes: number): NbdRequest | null {
    const segment = this.take();
    if (segment === null) return null;
    segment.type = parent.type;
    segment.flags = parent.flags;
    segment.cookieHigh = parent.cookieHigh;
    segment.cookieLow = parent.cookieLow;
    segment.offset = parent.offset + issuedBytes;
    const first = Math.floor(segment.offset / this.#blockBytes);
    const end = (first + this.segmentBlocks) * this.#blockBytes;
    segment.length = Math.min(parent.offset + parent.length, end) - segment.offset;
    this.setBlocks(segment);
    if (!this.reserve(segment)) {
      this.give(segment);
      return null;
    }
    segment.parent = parent;
    parent.pending += 1;
    return segment;
  }
  // end data path
}
