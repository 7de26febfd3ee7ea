/**
 * ReplySender: the replies of one connection, gathered.                               (data plane)
 *
 * Replies wait in order of completion. Once per turn, when no send is in flight, all that wait
 * become one sendmsg: headers are written side by side into a staging area, payloads are sent from
 * where the device put them, and neighbouring headers without payload share one vector. While a
 * send is in flight the next batch grows by itself, so the slower the client, the larger the
 * batches and the fewer the system calls. A short send goes on where it stopped.
 *
 * A large read that is answered piece by piece (simple replies have no chunks) locks the stream:
 * other replies are held until it has ended.
 *
 * Memory: message header (56 bytes), vectors (16 bytes each: address, length), staging (32 bytes
 * per reply), allocated once.
 */

import type { Arena } from '../../block/arena.ts';
import { assert } from '../../block/assert.ts';
import { OK } from '../../block/status.ts';
import type { Ring } from '../../reactor/ring.ts';
import { type NbdRequest, NbdRequestQueue } from './nbd-request.ts';
import {
  ALLOCATION_CONTEXT_ID,
  CHUNK_BLOCK_STATUS,
  CHUNK_ERROR,
  CHUNK_FLAG_DONE,
  CHUNK_HEADER_BYTES,
  CHUNK_NONE,
  CHUNK_OFFSET_DATA,
  CMD_BLOCK_STATUS,
  CMD_READ,
  nbdError,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from './protocol.ts';

/** What a request puts on the wire when its turn comes (NbdRequest.reply). */
export const REPLY_SIMPLE = 0;
/** A simple header, then the payload. */
export const REPLY_SIMPLE_DATA = 1;
/** Payload only: a later piece of a simple reply. */
export const REPLY_DATA = 2;
/** One chunk of data, with more chunks to follow, or the last. */
export const REPLY_CHUNK_DATA = 3;
export const REPLY_CHUNK_DATA_DONE = 4;
export const REPLY_CHUNK_NONE = 5;
export const REPLY_CHUNK_ERROR = 6;
export const REPLY_CHUNK_STATUS = 7;

const STAGING_BYTES = 32;
const VECTOR_BYTES = 16;
const MESSAGE_BYTES = 64;
/** Positions of msg_iov and msg_iovlen in struct msghdr (64-bit). */
const MESSAGE_VECTORS = 16;
const MESSAGE_VECTOR_COUNT = 24;
/** The kernel goes on with a short send by itself, where it knows how to. */
const MSG_WAITALL = 0x100;

export interface ReplyOwner {
  /** The reply is in the socket (or dropped): the request and its buffer are free. */
  replySent(request: NbdRequest): void;
}

/** REPLY_* of a request whose `status` is final, when it is answered in one piece. */
export function replyKind(request: NbdRequest, structured: boolean): number {
  const { type, status } = request;
  if (type === CMD_READ) {
    // Parents and reads without length have no buffer.
    const data = status === OK && request.buffer !== -1;
    if (!structured) return data ? REPLY_SIMPLE_DATA : REPLY_SIMPLE;
    if (status !== OK) return REPLY_CHUNK_ERROR;
    return data ? REPLY_CHUNK_DATA_DONE : REPLY_CHUNK_NONE;
  }
  if (type === CMD_BLOCK_STATUS && structured) {
    return status === OK ? REPLY_CHUNK_STATUS : REPLY_CHUNK_ERROR;
  }
  return REPLY_SIMPLE;
}

export class ReplySender {
  /** True while a sendmsg is in flight. */
  sending = false;
  readonly #ring: Ring;
  readonly #arena: Arena;
  readonly #owner: ReplyOwner;
  readonly #repliesMax: number;
  readonly #memory: number;
  readonly #vectors: number;
  readonly #staging: number;
  readonly #ready = new NbdRequestQueue();
  readonly #held = new NbdRequestQueue();
  readonly #batch = new NbdRequestQueue();
  #locked = false;
  /** The vectors of the batch that are not sent yet. */
  #firstVector = 0;
  #vectorCount = 0;
  #staged = 0;
  /** True while the last vector ends where staging goes on. */
  #extendable = false;

  constructor(ring: Ring, owner: ReplyOwner, repliesMax: number) {
    this.#ring = ring;
    this.#arena = ring.arena;
    this.#owner = owner;
    this.#repliesMax = repliesMax;
    this.#memory = ring.arena.allocate(this.#memoryBytes(), 64);
    this.#vectors = this.#memory + MESSAGE_BYTES;
    this.#staging = this.#vectors + 2 * repliesMax * VECTOR_BYTES;
    ring.arena.u8.fill(0, this.#memory, this.#memory + MESSAGE_BYTES);
  }

  #memoryBytes(): number {
    return MESSAGE_BYTES + this.#repliesMax * (2 * VECTOR_BYTES + STAGING_BYTES);
  }

  dispose(): void {
    assert(!this.sending, 'a sender is disposed of when nothing is in flight');
    this.#arena.release(this.#memory, this.#memoryBytes());
  }

  // data path

  /** True when nothing waits and nothing is in flight. */
  get idle(): boolean {
    return !this.sending && this.#ready.length === 0 && this.#held.length === 0;
  }

  push(request: NbdRequest): void {
    if (this.#locked) this.#held.push(request);
    else this.#ready.push(request);
  }

  /** Holds other replies back; `pushPiece` still sends. */
  lock(): void {
    this.#locked = true;
  }

  pushPiece(request: NbdRequest): void {
    this.#ready.push(request);
  }

  unlock(): void {
    this.#locked = false;
    for (let held = this.#held.shift(); held !== null; held = this.#held.shift()) {
      this.#ready.push(held);
    }
  }

  /** Sends what waits, unless a send is in flight. */
  flush(slot: number, handlerId: number, token: number): void {
    if (this.sending || this.#ready.length === 0) return;
    this.#firstVector = 0;
    this.#vectorCount = 0;
    this.#staged = 0;
    this.#extendable = false;
    for (let count = 0; count < this.#repliesMax; count += 1) {
      const request = this.#ready.shift();
      if (request === null) break;
      this.#emit(request);
      this.#batch.push(request);
    }
    this.#send(slot, handlerId, token);
  }

  /** After `bytes` were sent: goes on with the rest, or frees the requests of the batch. */
  sent(bytes: number, slot: number, handlerId: number, token: number): void {
    this.sending = false;
    let left = bytes;
    while (left > 0 && this.#vectorCount > 0) {
      const vector = this.#vectors + this.#firstVector * VECTOR_BYTES;
      const length = this.#arena.u32[(vector + 8) >>> 2]!;
      if (left < length) {
        this.#setAddress(vector, this.#address(vector) + left);
        this.#arena.u32[(vector + 8) >>> 2] = length - left;
        break;
      }
      left -= length;
      this.#firstVector += 1;
      this.#vectorCount -= 1;
    }
    if (this.#vectorCount > 0) this.#send(slot, handlerId, token);
    else this.#releaseAll(this.#batch);
  }

  /** The connection is lost: frees every request that waits for its reply. */
  drop(): void {
    this.#locked = false;
    if (!this.sending) this.#releaseAll(this.#batch);
    this.#releaseAll(this.#ready);
    this.#releaseAll(this.#held);
  }

  /** The send in flight has ended with an error. */
  sendFailed(): void {
    this.sending = false;
    this.drop();
  }

  #releaseAll(queue: NbdRequestQueue): void {
    for (let request = queue.shift(); request !== null; request = queue.shift()) {
      this.#owner.replySent(request);
    }
  }

  #send(slot: number, handlerId: number, token: number): void {
    const vectors = this.#vectors + this.#firstVector * VECTOR_BYTES;
    this.#setAddress(this.#memory + MESSAGE_VECTORS, this.#arena.address + vectors);
    this.#arena.u32[(this.#memory + MESSAGE_VECTOR_COUNT) >>> 2] = this.#vectorCount;
    this.sending = true;
    this.#ring.sendMessage(slot, this.#memory, MSG_WAITALL, handlerId, token);
  }

  #emit(request: NbdRequest): void {
    switch (request.reply) {
      case REPLY_SIMPLE:
        this.#stage(this.#simpleHeader(request));
        return;
      case REPLY_SIMPLE_DATA:
        this.#stage(this.#simpleHeader(request));
        this.#payload(request);
        return;
      case REPLY_DATA:
        this.#payload(request);
        return;
      case REPLY_CHUNK_DATA:
        this.#stage(this.#dataHeader(request, 0));
        this.#payload(request);
        return;
      case REPLY_CHUNK_DATA_DONE:
        this.#stage(this.#dataHeader(request, CHUNK_FLAG_DONE));
        this.#payload(request);
        return;
      case REPLY_CHUNK_NONE:
        this.#stage(this.#chunkHeader(request, CHUNK_FLAG_DONE, CHUNK_NONE, 0));
        return;
      case REPLY_CHUNK_STATUS:
        if (request.buffer === -1) this.#stage(this.#statusChunk(request));
        else this.#statusPayload(request);
        return;
      default:
        this.#stage(this.#errorChunk(request));
    }
  }

  #simpleHeader(request: NbdRequest): number {
    const view = this.#arena.view;
    const at = this.#staging + this.#staged;
    view.setUint32(at, SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, nbdError(request.status));
    view.setUint32(at + 8, request.cookieHigh);
    view.setUint32(at + 12, request.cookieLow);
    return SIMPLE_REPLY_BYTES;
  }

  #chunkHeader(request: NbdRequest, flags: number, type: number, bytes: number): number {
    const view = this.#arena.view;
    const at = this.#staging + this.#staged;
    view.setUint32(at, STRUCTURED_REPLY_MAGIC);
    view.setUint16(at + 4, flags);
    view.setUint16(at + 6, type);
    view.setUint32(at + 8, request.cookieHigh);
    view.setUint32(at + 12, request.cookieLow);
    view.setUint32(at + 16, bytes);
    return CHUNK_HEADER_BYTES;
  }

  /** Chunk header and the offset of the data that follow. */
  #dataHeader(request: NbdRequest, flags: number): number {
    this.#chunkHeader(request, flags, CHUNK_OFFSET_DATA, 8 + request.length);
    const view = this.#arena.view;
    const at = this.#staging + this.#staged + CHUNK_HEADER_BYTES;
    const high = Math.floor(request.offset / 2 ** 32);
    view.setUint32(at, high);
    view.setUint32(at + 4, request.offset - high * 2 ** 32);
    return CHUNK_HEADER_BYTES + 8;
  }

  /** One extent, allocated and of unknown content, which is always a true answer. */
  #statusChunk(request: NbdRequest): number {
    this.#chunkHeader(request, CHUNK_FLAG_DONE, CHUNK_BLOCK_STATUS, 12);
    const view = this.#arena.view;
    const at = this.#staging + this.#staged + CHUNK_HEADER_BYTES;
    view.setUint32(at, ALLOCATION_CONTEXT_ID);
    view.setUint32(at + 4, request.length);
    view.setUint32(at + 8, 0);
    return CHUNK_HEADER_BYTES + 12;
  }

  /** The extents that are in the request's buffer. */
  #statusPayload(request: NbdRequest): void {
    const { payload, statusBytes } = request;
    this.#stage(this.#chunkHeader(request, CHUNK_FLAG_DONE, CHUNK_BLOCK_STATUS, statusBytes));
    this.#addVector(payload, statusBytes);
    this.#extendable = false;
  }

  #errorChunk(request: NbdRequest): number {
    this.#chunkHeader(request, CHUNK_FLAG_DONE, CHUNK_ERROR, 6);
    const view = this.#arena.view;
    const at = this.#staging + this.#staged + CHUNK_HEADER_BYTES;
    view.setUint32(at, nbdError(request.status));
    view.setUint16(at + 4, 0);
    return CHUNK_HEADER_BYTES + 6;
  }

  /** Adds the `bytes` just written at the end of staging to the message. */
  #stage(bytes: number): void {
    if (this.#extendable) {
      const last = this.#vectors + (this.#vectorCount - 1) * VECTOR_BYTES;
      this.#arena.u32[(last + 8) >>> 2]! += bytes;
    } else {
      this.#addVector(this.#staging + this.#staged, bytes);
      this.#extendable = true;
    }
    this.#staged += bytes;
  }

  #payload(request: NbdRequest): void {
    this.#addVector(request.payload, request.length);
    this.#extendable = false;
  }

  #addVector(at: number, bytes: number): void {
    const vector = this.#vectors + this.#vectorCount * VECTOR_BYTES;
    this.#setAddress(vector, this.#arena.address + at);
    this.#arena.u32[(vector + 8) >>> 2] = bytes;
    this.#arena.u32[(vector + 12) >>> 2] = 0;
    this.#vectorCount += 1;
  }

  /** Writes a 64-bit address (exact as a Number) in the byte order of the machine. */
  #setAddress(at: number, address: number): void {
    const high = Math.floor(address / 2 ** 32);
    this.#arena.u32[at >>> 2] = address - high * 2 ** 32;
    this.#arena.u32[(at >>> 2) + 1] = high;
  }

  #address(at: number): number {
    return this.#arena.u32[(at >>> 2) + 1]! * 2 ** 32 + this.#arena.u32[at >>> 2]!;
  }
  // end data path
}
