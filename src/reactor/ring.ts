/**
 * Ring: the operations that a RingReactor offers to devices and exporters.            (data plane)
 *
 * Interface only (the implementation is ring-reactor.ts). Every call fills one submission queue
 * entry; the entry reaches the kernel at the end of the turn, or earlier when the queue is full.
 * The outcome comes as `handler.ringComplete(token, result, flags)` in a later turn, where
 * `handler` was registered once per device, queue or connection and `token` is the caller's 32-bit
 * word. `result` is the kernel's: ≥ 0, or -errno.
 *
 * Files are slots of the ring's registered file table (`registerFile`). Payloads are positions in
 * the arena, which is registered as fixed buffers where the kernel and the limits allow it.
 */

import type { Reactor } from '../block/reactor.ts';
import type { NativeAddon } from '../native/addon.ts';

export interface RingHandler {
  ringComplete(token: number, result: number, flags: number): void;
}

export interface Ring extends Reactor {
  /** The addon, for what devices and exporters do outside the ring (open, ioctls, sockets). */
  readonly native: NativeAddon;
  /** Registers a receiver of completions; returns its number. */
  registerHandler(handler: RingHandler): number;
  /** Only when nothing of it is in flight. */
  unregisterHandler(handlerId: number): void;
  /**
   * Puts `fd` into the file table; returns the slot. `mayWait`: operations on it may take for ever
   * (sockets, event counters, ublk queues), so it must not hold up the release of other files.
   */
  registerFile(fd: number, mayWait?: boolean): number;
  /** Frees the slot (the fd itself stays open and the caller's). */
  unregisterFile(slot: number): void;

  /** pread into the arena. `fileByte` is a safe integer. */
  readAt(
    slot: number,
    fileByte: number,
    at: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void;
  /** pwrite from the arena; `rwFlags`: RWF_DSYNC = 2 for FUA. */
  writeAt(
    slot: number,
    fileByte: number,
    at: number,
    bytes: number,
    rwFlags: number,
    handlerId: number,
    token: number,
  ): void;
  /** fdatasync. */
  syncData(slot: number, handlerId: number, token: number): void;
  /** fallocate(2) with FALLOC_FL_* in `mode`. */
  allocateRange(
    slot: number,
    mode: number,
    fileByte: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void;
  /** BLKDISCARD through the ring (kernel ≥ 6.12); -EINVAL or -EOPNOTSUPP on older ones. */
  discardRange(
    slot: number,
    fileByte: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void;

  /** accept4(SOCK_CLOEXEC); the result is a plain fd. */
  accept(slot: number, handlerId: number, token: number): void;
  /** recv into the arena; 0 = end of stream. */
  receive(
    slot: number,
    at: number,
    bytes: number,
    messageFlags: number,
    handlerId: number,
    token: number,
  ): void;
  /** send from the arena (MSG_NOSIGNAL is added). */
  send(
    slot: number,
    at: number,
    bytes: number,
    messageFlags: number,
    handlerId: number,
    token: number,
  ): void;
  /** sendmsg; `messageAt` is the arena position of a struct msghdr whose pointers are addresses. */
  sendMessage(
    slot: number,
    messageAt: number,
    messageFlags: number,
    handlerId: number,
    token: number,
  ): void;
  /** shutdown(2); how: 0 read, 1 write, 2 both. */
  shutdown(slot: number, how: number, handlerId: number, token: number): void;
  /** One-shot poll; the result is the mask of ready events. */
  poll(slot: number, events: number, handlerId: number, token: number): void;
  /** IORING_OP_URING_CMD with a 16-byte command given as four words (ublk queues). */
  command(
    slot: number,
    commandOp: number,
    word0: number,
    word1: number,
    word2: number,
    word3: number,
    handlerId: number,
    token: number,
  ): void;
  /** Asks the kernel to cancel what (handlerId, token) has in flight; it completes as ever. */
  cancelRequest(handlerId: number, token: number): void;
}
