/**
 * RingOperations: fills one submission queue entry per operation.                     (data plane)
 *
 * The lower half of RingReactor. A read or write uses the registered buffers when the arena could
 * be registered and the range lies inside one of them (a registered buffer is at most 1 GiB, so
 * buffer = position / 1 GiB); otherwise the plain form of the same operation. Files whose
 * operations may wait are plain in every respect (file-table.ts says why).
 */

import type { Arena } from '../block/arena.ts';
import { assert } from '../block/assert.ts';
import type { NativeAddon } from '../native/addon.ts';
import { type FileTable, PLAIN_SLOT } from './file-table.ts';
import type { RingHandler } from './ring.ts';
import type { RingMemory } from './ring-memory.ts';
import type { RingQueues } from './ring-queues.ts';
import {
  BLOCK_URING_CMD_DISCARD,
  IORING_FSYNC_DATASYNC,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_OP_SHUTDOWN,
  IORING_OP_TIMEOUT,
  IORING_OP_URING_CMD,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SQE_FIXED_FILE,
} from './uring.ts';

const TWO_32 = 2 ** 32;
/** log2 of the size of a registered buffer. */
const BUFFER_SHIFT = 30;

/** Slot of operations that have no file: the kernel does not look at the descriptor. */
const NO_FILE = PLAIN_SLOT;

const NO_HANDLER: RingHandler = {
  ringComplete(): void {
    throw new Error('a completion has a registered handler');
  },
};

/** What cancelRequest completes to: whether the request was found does not matter. */
const IGNORED: RingHandler = { ringComplete(): void {} };

export abstract class RingOperations {
  readonly native: NativeAddon;
  readonly arena: Arena;
  protected readonly queues: RingQueues;
  protected readonly files: FileTable;
  /** Receivers of completions by number; number 0 is for outcomes that nobody needs. */
  protected readonly handlers: RingHandler[] = [IGNORED];
  readonly #freeHandlers: number[] = [];
  readonly #buffersRegistered: boolean;
  /** The arena's address in two words; a position in it may carry into the upper one. */
  readonly #addressLow: number;
  readonly #addressHigh: number;

  constructor(native: NativeAddon, memory: RingMemory, queues: RingQueues, files: FileTable) {
    this.native = native;
    this.arena = memory.arena;
    this.queues = queues;
    this.files = files;
    this.#buffersRegistered = memory.registered;
    this.#addressHigh = Math.floor(memory.arena.address / TWO_32);
    this.#addressLow = memory.arena.address - this.#addressHigh * TWO_32;
  }

  registerHandler(handler: RingHandler): number {
    const handlerId = this.#freeHandlers.pop() ?? this.handlers.length;
    this.handlers[handlerId] = handler;
    return handlerId;
  }

  unregisterHandler(handlerId: number): void {
    assert(this.handlers[handlerId] !== NO_HANDLER, 'a handler is unregistered once');
    this.handlers[handlerId] = NO_HANDLER;
    this.#freeHandlers.push(handlerId);
  }

  registerFile(fd: number, mayWait = false): number {
    return this.files.register(fd, mayWait);
  }

  unregisterFile(slot: number): void {
    this.files.unregister(slot);
  }

  readAt(
    slot: number,
    fileByte: number,
    at: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void {
    this.#transfer(
      IORING_OP_READ,
      IORING_OP_READ_FIXED,
      slot,
      fileByte,
      at,
      bytes,
      0,
      handlerId,
      token,
    );
  }

  writeAt(
    slot: number,
    fileByte: number,
    at: number,
    bytes: number,
    rwFlags: number,
    handlerId: number,
    token: number,
  ): void {
    this.#transfer(
      IORING_OP_WRITE,
      IORING_OP_WRITE_FIXED,
      slot,
      fileByte,
      at,
      bytes,
      rwFlags,
      handlerId,
      token,
    );
  }

  syncData(slot: number, handlerId: number, token: number): void {
    this.#fill(IORING_OP_FSYNC, slot, 0, 0, IORING_FSYNC_DATASYNC, handlerId, token);
  }

  allocateRange(
    slot: number,
    mode: number,
    fileByte: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void {
    const at = this.#fill(IORING_OP_FALLOCATE, slot, fileByte, mode, 0, handlerId, token);
    const words = this.queues.words;
    words[at + 4] = bytes;
    words[at + 5] = bytes / TWO_32;
  }

  discardRange(
    slot: number,
    fileByte: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void {
    const at = this.#fill(
      IORING_OP_URING_CMD,
      slot,
      BLOCK_URING_CMD_DISCARD,
      0,
      0,
      handlerId,
      token,
    );
    const words = this.queues.words;
    words[at + 4] = fileByte;
    words[at + 5] = fileByte / TWO_32;
    words[at + 12] = bytes;
    words[at + 13] = bytes / TWO_32;
  }

  accept(slot: number, handlerId: number, token: number): void {
    this.#fill(IORING_OP_ACCEPT, slot, 0, 0, SOCK_CLOEXEC, handlerId, token);
  }

  receive(
    slot: number,
    at: number,
    bytes: number,
    messageFlags: number,
    handlerId: number,
    token: number,
  ): void {
    assert(at >= 0 && bytes > 0 && at + bytes <= this.arena.bytes, 'a buffer lies in the arena');
    const entry = this.#fill(IORING_OP_RECV, slot, 0, bytes, messageFlags, handlerId, token);
    this.#setAddress(entry, at);
  }

  send(
    slot: number,
    at: number,
    bytes: number,
    messageFlags: number,
    handlerId: number,
    token: number,
  ): void {
    assert(at >= 0 && bytes > 0 && at + bytes <= this.arena.bytes, 'a buffer lies in the arena');
    const flags = messageFlags | MSG_NOSIGNAL;
    const entry = this.#fill(IORING_OP_SEND, slot, 0, bytes, flags, handlerId, token);
    this.#setAddress(entry, at);
  }

  sendMessage(
    slot: number,
    messageAt: number,
    messageFlags: number,
    handlerId: number,
    token: number,
  ): void {
    const flags = messageFlags | MSG_NOSIGNAL;
    const entry = this.#fill(IORING_OP_SENDMSG, slot, 0, 1, flags, handlerId, token);
    this.#setAddress(entry, messageAt);
  }

  shutdown(slot: number, how: number, handlerId: number, token: number): void {
    this.#fill(IORING_OP_SHUTDOWN, slot, 0, how, 0, handlerId, token);
  }

  poll(slot: number, events: number, handlerId: number, token: number): void {
    this.#fill(IORING_OP_POLL_ADD, slot, 0, 0, events, handlerId, token);
  }

  command(
    slot: number,
    commandOp: number,
    word0: number,
    word1: number,
    word2: number,
    word3: number,
    handlerId: number,
    token: number,
  ): void {
    const at = this.#fill(IORING_OP_URING_CMD, slot, commandOp, 0, 0, handlerId, token);
    const words = this.queues.words;
    words[at + 12] = word0;
    words[at + 13] = word1;
    words[at + 14] = word2;
    words[at + 15] = word3;
  }

  /**
   * Completes with -ETIME after the time in the struct __kernel_timespec at `timespecAt` in the
   * arena, which must stay as it is until the entry has been submitted.
   */
  timeout(timespecAt: number, handlerId: number, token: number): void {
    const entry = this.#fill(IORING_OP_TIMEOUT, NO_FILE, 0, 1, 0, handlerId, token);
    this.#setAddress(entry, timespecAt);
  }

  cancelRequest(handlerId: number, token: number): void {
    const at = this.#fill(IORING_OP_ASYNC_CANCEL, NO_FILE, 0, 0, 0, 0, 0);
    const words = this.queues.words;
    words[at + 4] = token;
    words[at + 5] = handlerId;
  }

  #transfer(
    plain: number,
    fixed: number,
    slot: number,
    fileByte: number,
    at: number,
    bytes: number,
    rwFlags: number,
    handlerId: number,
    token: number,
  ): void {
    assert(at >= 0 && bytes > 0 && at + bytes <= this.arena.bytes, 'a buffer lies in the arena');
    const buffer = at >>> BUFFER_SHIFT;
    const registered =
      this.#buffersRegistered && slot < PLAIN_SLOT && (at + bytes - 1) >>> BUFFER_SHIFT === buffer;
    const opcode = registered ? fixed : plain;
    const entry = this.#fill(opcode, slot, fileByte, bytes, rwFlags, handlerId, token);
    this.#setAddress(entry, at);
    if (registered) this.queues.words[entry + 10] = buffer;
  }

  /** Writes all 16 words, so that nothing of an older entry is left; returns the first's index. */
  #fill(
    opcode: number,
    slot: number,
    offset: number,
    length: number,
    operationFlags: number,
    handlerId: number,
    token: number,
  ): number {
    const queues = this.queues;
    const at = queues.claim();
    const words = queues.words;
    if (slot < PLAIN_SLOT) {
      words[at] = opcode | SQE_FIXED_FILE;
      words[at + 1] = slot;
    } else {
      words[at] = opcode;
      words[at + 1] = slot - PLAIN_SLOT;
    }
    words[at + 2] = offset;
    words[at + 3] = offset / TWO_32;
    words[at + 4] = 0;
    words[at + 5] = 0;
    words[at + 6] = length;
    words[at + 7] = operationFlags;
    words[at + 8] = token;
    words[at + 9] = handlerId;
    words[at + 10] = 0;
    words[at + 11] = 0;
    words[at + 12] = 0;
    words[at + 13] = 0;
    words[at + 14] = 0;
    words[at + 15] = 0;
    return at;
  }

  #setAddress(entry: number, at: number): void {
    const low = this.#addressLow + at;
    const words = this.queues.words;
    words[entry + 4] = low;
    words[entry + 5] = low >= TWO_32 ? this.#addressHigh + 1 : this.#addressHigh;
  }
}
