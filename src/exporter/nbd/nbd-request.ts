/**
 * NbdRequest: one request of a client, or one segment of a large one.                 (data plane)
 *
 * Pooled per connection, one fixed shape, nothing allocated per request. Each embeds the BlockIo
 * with which its device operations are done, one at a time, and is itself that operation's
 * completer. `operations` says what comes next at the device, `owner` (the connection) what comes
 * next on the wire.
 *
 * A request longer than a segment is a parent that does no transfer itself: its segments are
 * requests of the same pool with `parent` set, and `pending` counts those that are not done.
 */

import { BlockIo, type Completer } from '../../block/block-io.ts';

/** The part of the exporter that takes a request through its device operations. */
export interface RequestOperations {
  deviceCompleted(request: NbdRequest): void;
}

/** The connection that a request belongs to. */
export interface RequestOwner {
  /** The device is done with the request; `status` is final. */
  requestDone(request: NbdRequest): void;
}

export class NbdRequest implements Completer {
  readonly io: BlockIo;
  readonly operations: RequestOperations;
  readonly owner: RequestOwner;

  /** CMD_* and CMD_FLAG_*, as sent. */
  type = 0;
  flags = 0;
  /** The client's cookie, returned as it came. */
  cookieHigh = 0;
  cookieLow = 0;
  /** Bytes; a safe integer. */
  offset = 0;
  length = 0;

  /** 0 or a positive errno. */
  status = 0;
  /** REPLY_*: what goes on the wire (reply-sender.ts). */
  reply = 0;
  /** What to do when the device operation in flight completes (operations.ts). */
  step = 0;
  /** Next block to be zeroed, where the device cannot. */
  cursor = 0;

  /** Position of the I/O buffer in the arena, or -1, and its size class. */
  buffer = -1;
  bufferClass = 0;
  /** Position of the client's bytes inside the buffer. */
  payload = 0;
  /** Blocks that the request touches, rounded outwards. */
  block = 0;
  blockCount = 0;
  /** Of the answer to BLOCK_STATUS at `payload`. */
  statusBytes = 0;

  parent: NbdRequest | null = null;
  pending = 0;
  /** True while a parent has segments yet to be issued. */
  issuing = false;
  /** True when the device is done with it (segments that wait for their turn on the wire). */
  done = false;
  /** True once a parent's reply is being sent piece by piece. */
  streaming = false;
  /** True when the client went away before it had sent everything: nothing is replied. */
  abandoned = false;
  /** Segments of a parent in order of offset, where they are sent in that order. */
  firstSegment: NbdRequest | null = null;
  lastSegment: NbdRequest | null = null;
  nextSegment: NbdRequest | null = null;

  /** Free list, reply queue: one at a time. */
  next: NbdRequest | null = null;
  /** Write gate: active list or waiting queue. */
  gateState = 0;
  gatePrevious: NbdRequest | null = null;
  gateNext: NbdRequest | null = null;

  constructor(operations: RequestOperations, owner: RequestOwner) {
    this.operations = operations;
    this.owner = owner;
    this.io = new BlockIo();
    this.io.completer = this;
    // Values above 2^31 once, so that V8 settles on doubles for these fields before serving.
    this.io.block = 2 ** 40 + 0.5;
    this.io.block = 0;
    this.offset = 2 ** 40 + 0.5;
    this.offset = 0;
    this.block = 2 ** 40 + 0.5;
    this.block = 0;
    this.cursor = 2 ** 40 + 0.5;
    this.cursor = 0;
    this.cookieHigh = 2 ** 32 - 1;
    this.cookieLow = 2 ** 32 - 1;
  }

  complete(_io: BlockIo): void {
    this.operations.deviceCompleted(this);
  }

  /** Makes a used request like new, except for what every start sets. */
  reset(): void {
    this.status = 0;
    this.step = 0;
    this.buffer = -1;
    this.parent = null;
    this.pending = 0;
    this.issuing = false;
    this.done = false;
    this.streaming = false;
    this.abandoned = false;
    this.firstSegment = null;
    this.lastSegment = null;
    this.nextSegment = null;
    this.next = null;
  }
}

/** Adds `segment` at the end of the ordered segments of `parent`. */
export function appendSegment(parent: NbdRequest, segment: NbdRequest): void {
  if (parent.lastSegment === null) parent.firstSegment = segment;
  else parent.lastSegment.nextSegment = segment;
  parent.lastSegment = segment;
}

/** Takes the first ordered segment of `parent`, which there has to be. */
export function shiftSegment(parent: NbdRequest): NbdRequest {
  const segment = parent.firstSegment!;
  parent.firstSegment = segment.nextSegment;
  if (parent.firstSegment === null) parent.lastSegment = null;
  segment.nextSegment = null;
  return segment;
}

/** First in, first out, over `next`. */
export class NbdRequestQueue {
  #head: NbdRequest | null = null;
  #tail: NbdRequest | null = null;
  length = 0;

  push(request: NbdRequest): void {
    request.next = null;
    if (this.#tail === null) this.#head = request;
    else this.#tail.next = request;
    this.#tail = request;
    this.length += 1;
  }

  shift(): NbdRequest | null {
    const request = this.#head;
    if (request === null) return null;
    this.#head = request.next;
    if (this.#head === null) this.#tail = null;
    request.next = null;
    this.length -= 1;
    return request;
  }
}
