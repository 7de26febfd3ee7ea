/**
 * Transmission: from received bytes to requests, and from done requests to replies.   (data plane)
 *
 * One per connection. Requests are taken from the receive window in order, as many as there are;
 * they complete in any order. What a request needs (an NbdRequest, a buffer) is reserved before
 * its header is taken, and when it is not to be had the header stays where it is: the connection
 * then receives nothing more until replies are sent, which is all the back-pressure there is.
 *
 *   - A small write waits in the window until it is complete and is copied once, to an aligned
 *     buffer. A larger one takes its header, copies what is there, and has the rest received
 *     directly into its buffer. It is begun when the socket holds nothing more that is wanted now
 *     (`beginFilled`), because a client goes on sending as soon as its socket has room.
 *   - A request longer than a segment becomes segments, issued in order as buffers come free.
 *     Structured reads answer each with a chunk of its own; simple reads are gathered, or, when
 *     they are longer than all the buffers together, answered piece by piece.
 *   - A write that is refused still has its payload, which is received and thrown away before the
 *     refusal is sent (clients expect the reply after the payload).
 *
 * Progress: only the request in hand ever waits for buffers, and those that have theirs never wait
 * for it, so buffers always come back.
 *
 * Not here: sockets, the handshake and closing (connection.ts); device operations (operations.ts).
 */

import { assert } from '../../block/assert.ts';
import { OK } from '../../block/status.ts';
import type { Ring } from '../../reactor/ring.ts';
import {
  appendSegment,
  type NbdRequest,
  NbdRequestQueue,
  type RequestOwner,
  shiftSegment,
} from './nbd-request.ts';
import type { NbdOperations } from './operations.ts';
import {
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_DISC,
  CMD_FLUSH,
  CMD_READ,
  CMD_WRITE,
  REQUEST_BYTES,
  REQUEST_MAGIC,
} from './protocol.ts';
import type { ReceiveWindow } from './receive-window.ts';
import {
  REPLY_CHUNK_DATA,
  REPLY_DATA,
  REPLY_SIMPLE_DATA,
  type ReplyOwner,
  ReplySender,
  replyKind,
} from './reply-sender.ts';
import { RequestPool } from './request-pool.ts';
import type { RequestRules } from './request-rules.ts';

/** Writes up to this length are copied out of the window; longer ones are received in place. */
const INLINE_BYTES_MAX = 32_768;

export interface TransmissionOwner {
  /** There is something to send or to take at the end of the turn. */
  transmissionChanged(): void;
  /** The stream cannot go on: the connection has to be cut. */
  transmissionFailed(reason: string): void;
}

export class Transmission implements RequestOwner, ReplyOwner {
  readonly sender: ReplySender;
  readonly rules: RequestRules;
  /** The client has said goodbye: nothing more is taken. */
  disconnected = false;
  readonly #ring: Ring;
  readonly #window: ReceiveWindow;
  readonly #operations: NbdOperations;
  readonly #owner: TransmissionOwner;
  readonly #pool: RequestPool;
  readonly #inlineBytesMax: number;
  /** No new requests are taken. */
  #stopped = false;
  /** Replies are of no use any more. */
  #dropping = false;
  /** Something was missing; taking goes on when something is released. */
  #starved = false;
  /** The request in hand: a payload is being received or thrown away, or segments are issued. */
  #current: NbdRequest | null = null;
  #issuedBytes = 0;
  #discardBytes = 0;
  /** What the payload is received into: `#current` or its newest segment. */
  #filling: NbdRequest | null = null;
  #filledBytes = 0;
  /** Writes that were received in place and are yet to be begun. */
  readonly #filled = new NbdRequestQueue();
  /** The last request was received in place, so only a header is asked for next. */
  #headerOnly = false;

  /** Throws BANDSTAND_ARENA_FULL; then nothing is reserved. */
  constructor(
    ring: Ring,
    window: ReceiveWindow,
    operations: NbdOperations,
    rules: RequestRules,
    owner: TransmissionOwner,
    requestsMax: number,
    segmentBlocks: number,
  ) {
    this.#ring = ring;
    this.#window = window;
    this.#operations = operations;
    this.rules = rules;
    this.#owner = owner;
    this.#inlineBytesMax = Math.min(INLINE_BYTES_MAX, (segmentBlocks - 1) * operations.blockBytes);
    this.sender = new ReplySender(ring, this, requestsMax);
    try {
      this.#pool = new RequestPool(ring, operations, this, requestsMax, segmentBlocks);
    } catch (error) {
      this.sender.dispose();
      throw error;
    }
  }

  dispose(): void {
    assert(this.idle, 'a connection is disposed of when nothing is in flight');
    this.sender.dispose();
    this.#pool.dispose();
  }

  /** Makes ready for the next client. */
  restart(): void {
    assert(this.idle, 'a connection is reused when nothing is in flight');
    this.disconnected = false;
    this.#stopped = false;
    this.#dropping = false;
    this.#starved = false;
    this.#headerOnly = false;
  }

  // data path

  /** True when no request is anywhere between its header and its reply. */
  get idle(): boolean {
    return this.#pool.available === this.#pool.size && this.sender.idle;
  }

  /** True when `takeRequests` waits for something to be released. */
  get starved(): boolean {
    return this.#starved;
  }

  /** Bytes that the next receive may bring; 0 means not now. */
  receiveBytes(): number {
    if (this.#stopped || this.#starved) return 0;
    const filling = this.#filling;
    if (filling !== null) return filling.length - this.#filledBytes;
    const room = this.#window.makeRoom();
    return this.#headerOnly ? Math.min(room, REQUEST_BYTES) : room;
  }

  /** Where the bytes of the next receive go: asked for after `receiveBytes`. */
  get receiveAt(): number {
    const filling = this.#filling;
    return filling === null ? this.#window.tail : filling.payload + this.#filledBytes;
  }

  /** True when the next receive is the rest of a payload and of nothing else. */
  get receivesInPlace(): boolean {
    return this.#filling !== null;
  }

  /** `bytes` have arrived where `receiveAt` said. Before the turn ends comes `beginFilled`. */
  received(bytes: number): void {
    if (this.#filling === null) this.#window.tail += bytes;
    else this.#filledBytes += bytes;
    this.#take();
  }

  /** Begins the writes that have been received in place, in the order of arrival. */
  beginFilled(): void {
    const filled = this.#filled;
    for (let write = filled.shift(); write !== null; write = filled.shift()) {
      this.#operations.begin(write);
    }
  }

  /** Takes what is there, as far as there is room for it. */
  takeRequests(): void {
    this.#take();
    this.beginFilled();
  }

  #take(): void {
    this.#starved = false;
    for (;;) {
      const current = this.#current;
      const goOn = current === null ? this.#takeHeader() : this.#continue(current);
      if (!goOn) return;
    }
  }

  /** Takes no more requests; those taken whole are still answered. */
  stop(): void {
    this.#stopped = true;
    const current = this.#current;
    if (current === null || (current.type === CMD_READ && this.#discardBytes === 0)) return;
    this.#current = null;
    this.#discardBytes = 0;
    const filling = this.#filling;
    this.#filling = null;
    current.abandoned = true;
    current.issuing = false;
    if (filling !== null && filling !== current) {
      current.pending -= 1;
      this.#pool.give(filling);
    }
    if (current.pending === 0) this.#releaseFamily(current);
  }

  /** The connection is lost: what is in flight runs out, nothing is answered. */
  abort(): void {
    this.stop();
    this.#dropping = true;
    const current = this.#current;
    this.#current = null;
    if (current !== null) {
      current.issuing = false;
      if (current.pending === 0) this.#releaseFamily(current);
    }
    this.sender.drop();
  }

  /** The device is done with a request or a segment. */
  requestDone(request: NbdRequest): void {
    if (request.parent !== null) this.#segmentDone(request, request.parent);
    else if (this.#dropping) this.#pool.give(request);
    else {
      const answers = request.type === CMD_READ || request.type === CMD_BLOCK_STATUS;
      if (!answers) this.#pool.giveBuffer(request);
      request.reply = replyKind(request, this.rules.structuredReplies);
      this.sender.push(request);
    }
    this.#owner.transmissionChanged();
  }

  replySent(request: NbdRequest): void {
    this.#pool.give(request);
  }

  #takeHeader(): boolean {
    const window = this.#window;
    if (this.#stopped || window.available < REQUEST_BYTES) return false;
    const at = window.head;
    const view = this.#ring.arena.view;
    if (view.getUint32(at) !== REQUEST_MAGIC) {
      this.#owner.transmissionFailed('a request without its magic number');
      return false;
    }
    const type = view.getUint16(at + 6);
    const length = view.getUint32(at + 24);
    if (type === CMD_DISC) {
      this.disconnected = true;
      this.#stopped = true;
      this.#owner.transmissionChanged();
      return false;
    }
    if (type === CMD_WRITE && length <= this.#inlineBytesMax) {
      this.#headerOnly = false;
      if (window.available < REQUEST_BYTES + length) return false;
    }
    const request = this.#pool.take();
    if (request === null) {
      this.#starved = true;
      return false;
    }
    request.type = type;
    request.flags = view.getUint16(at + 4);
    request.cookieHigh = view.getUint32(at + 8);
    request.cookieLow = view.getUint32(at + 12);
    request.offset = view.getUint32(at + 16) * 2 ** 32 + view.getUint32(at + 20);
    request.length = length;
    request.status = this.rules.check(request);
    return request.status === OK ? this.#start(request) : this.#refuse(request);
  }

  /** A refusal is sent when the payload, if there is one, is out of the way. */
  #refuse(request: NbdRequest): boolean {
    this.#window.head += REQUEST_BYTES;
    this.#headerOnly = false;
    if (request.type === CMD_WRITE && request.length > 0) {
      this.#discardBytes = request.length;
      this.#current = request;
    } else {
      this.requestDone(request);
    }
    return true;
  }

  /** Begins a checked request, or leaves its header in the window for want of a buffer. */
  #start(request: NbdRequest): boolean {
    const { type } = request;
    this.#pool.setBlocks(request);
    const nothingToDo = request.blockCount === 0 && type !== CMD_FLUSH;
    const asksMap = type === CMD_BLOCK_STATUS && this.#operations.hasMap;
    if (nothingToDo || type === CMD_CACHE || (type === CMD_BLOCK_STATUS && !asksMap)) {
      this.#window.head += REQUEST_BYTES;
      this.requestDone(request);
      return true;
    }
    const large = request.blockCount > this.#pool.segmentBlocks;
    const inPlace = type === CMD_WRITE && request.length > this.#inlineBytesMax;
    this.#headerOnly = inPlace;
    if (large && (type === CMD_READ || type === CMD_WRITE)) {
      this.#window.head += REQUEST_BYTES;
      request.issuing = true;
      this.#issuedBytes = 0;
      this.#current = request;
      return true;
    }
    if (!this.#pool.reserve(request)) {
      this.#pool.give(request);
      this.#starved = true;
      return false;
    }
    this.#window.head += REQUEST_BYTES;
    if (!inPlace) this.beginFilled();
    if (asksMap) {
      this.#operations.readMap(request, this.#ring.arena.view);
      this.requestDone(request);
      return true;
    }
    if (inPlace) {
      this.#current = request;
      this.#filling = request;
      this.#filledBytes = 0;
      return true;
    }
    if (type === CMD_WRITE) {
      this.#ring.kernels.copy(request.payload, this.#window.head, request.length);
      this.#window.head += request.length;
    }
    this.#operations.begin(request);
    return true;
  }

  /** Goes on with the request in hand; false when something is missing. */
  #continue(current: NbdRequest): boolean {
    if (this.#discardBytes > 0) return this.#discard(current);
    return current.type === CMD_READ ? this.#issueReads(current) : this.#fill(current);
  }

  #discard(current: NbdRequest): boolean {
    const bytes = Math.min(this.#discardBytes, this.#window.available);
    this.#window.head += bytes;
    this.#discardBytes -= bytes;
    if (this.#discardBytes > 0) return false;
    this.#current = null;
    this.requestDone(current);
    return true;
  }

  #takeSegment(parent: NbdRequest): NbdRequest | null {
    const segment = this.#pool.takeSegment(parent, this.#issuedBytes);
    if (segment === null) this.#starved = true;
    else this.#issuedBytes += segment.length;
    return segment;
  }

  /** Moves payload into the buffer that is being filled, and begins the write when it is full. */
  #fill(current: NbdRequest): boolean {
    if (this.#filling === null) {
      this.#filling = this.#takeSegment(current);
      this.#filledBytes = 0;
      if (this.#filling === null) return false;
    }
    const filling = this.#filling;
    const bytes = Math.min(this.#window.available, filling.length - this.#filledBytes);
    if (bytes > 0) {
      this.#ring.kernels.copy(filling.payload + this.#filledBytes, this.#window.head, bytes);
      this.#window.head += bytes;
      this.#filledBytes += bytes;
    }
    if (this.#filledBytes < filling.length) return false;
    this.#filling = null;
    const last = filling === current || this.#issuedBytes === current.length;
    if (last) this.#current = null;
    this.#filled.push(filling);
    if (last && filling !== current) this.#allIssued(current);
    return true;
  }

  /** Issues the segments of a large read, while there are buffers and none has failed. */
  #issueReads(current: NbdRequest): boolean {
    while (this.#issuedBytes < current.length && current.status === OK && !this.#dropping) {
      const segment = this.#takeSegment(current);
      if (segment === null) return false;
      if (!this.rules.structuredReplies) appendSegment(current, segment);
      this.#operations.begin(segment);
    }
    // One that is answered piece by piece stays in hand until its last piece is on its way.
    if (!this.#isStreamed(current)) this.#current = null;
    if (current.issuing) this.#allIssued(current);
    return this.#current === null;
  }

  #allIssued(parent: NbdRequest): void {
    parent.issuing = false;
    if (parent.pending === 0) this.#settle(parent);
  }

  #isStreamed(request: NbdRequest): boolean {
    return !this.rules.structuredReplies && request.blockCount > this.#pool.gatherBlocks;
  }

  #segmentDone(segment: NbdRequest, parent: NbdRequest): void {
    parent.pending -= 1;
    segment.done = true;
    if (segment.status !== OK && parent.status === OK) parent.status = segment.status;
    const read = segment.type === CMD_READ;
    const ordered = read && !this.rules.structuredReplies;
    if (!ordered) {
      if (read && segment.status === OK && !this.#dropping) {
        segment.reply = REPLY_CHUNK_DATA;
        this.sender.push(segment);
      } else {
        this.#pool.give(segment);
      }
    }
    if (parent.pending === 0 && !parent.issuing) this.#settle(parent);
    else if (ordered && !this.#dropping && this.#isStreamed(parent)) this.#stream(parent);
  }

  /** All segments were issued and are done. */
  #settle(parent: NbdRequest): void {
    if (this.#dropping || parent.abandoned) {
      this.#releaseFamily(parent);
    } else if (parent.firstSegment !== null || parent.streaming) {
      if (parent.status === OK || parent.streaming) this.#stream(parent);
      else this.#failOrdered(parent);
    } else if (parent.type === CMD_WRITE && parent.status === OK) {
      if (this.#operations.needsFlush(parent)) this.#operations.flush(parent);
      else this.requestDone(parent);
    } else {
      this.requestDone(parent);
    }
  }

  /** A large simple read has failed before anything of its reply was sent. */
  #failOrdered(parent: NbdRequest): void {
    while (parent.firstSegment !== null) this.#pool.give(shiftSegment(parent));
    this.#leaveHand(parent);
    this.requestDone(parent);
  }

  /** Sends the pieces of a large simple read that are there, in order: first with the header. */
  #stream(parent: NbdRequest): void {
    const piecemeal = this.#isStreamed(parent);
    while (parent.firstSegment?.done === true) {
      if (parent.status !== OK) {
        // Without a piece on the wire the failure is still an error reply, when all are done.
        if (parent.streaming) {
          this.#owner.transmissionFailed('a large read failed after its reply had begun');
        }
        return;
      }
      const piece = shiftSegment(parent);
      piece.reply = parent.streaming ? REPLY_DATA : REPLY_SIMPLE_DATA;
      if (piecemeal && !parent.streaming) this.sender.lock();
      parent.streaming = true;
      if (piecemeal) this.sender.pushPiece(piece);
      else this.sender.push(piece);
    }
    if (parent.firstSegment !== null || parent.issuing || parent.pending > 0) return;
    if (piecemeal) this.sender.unlock();
    this.#leaveHand(parent);
    this.#pool.give(parent);
  }

  #leaveHand(parent: NbdRequest): void {
    if (this.#current !== parent) return;
    this.#current = null;
    this.#starved = true;
  }

  #releaseFamily(parent: NbdRequest): void {
    while (parent.firstSegment !== null) this.#pool.give(shiftSegment(parent));
    this.#pool.give(parent);
  }
  // end data path
}
