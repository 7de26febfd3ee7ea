/**
 * ControlRing: commands to /dev/ublk-control, each with a time limit.               (control plane)
 *
 * The driver takes its commands only as 128-byte entries of an io_uring and works on them in a
 * kernel thread, where some wait for a server, for requests in flight or for a last reference. A
 * bug or a stuck server can make that wait endless, so nothing here waits without a limit: the
 * ring is polled from timers, the event loop goes on. At the limit the command is cancelled, which
 * interrupts the waits that the driver made interruptible; if it does not end even then, the
 * caller is told and the command's buffer is left mapped, because the kernel may still write to it.
 *
 * Each command has a page of its own, taken from a list of free ones. Not here: what the commands
 * mean and how their errors read (control.ts).
 */

import { assert } from '../../block/assert.ts';
import { EINVAL } from '../../block/status.ts';
import type { NativeAddon, NativeMapping, NativeRing } from '../../native/addon.ts';
import { CONTROL_COMMAND } from './uapi.ts';

/** linux/io_uring.h: IORING_SETUP_SQE128, IORING_OP_URING_CMD, IORING_OP_ASYNC_CANCEL. */
const SETUP_SQE128 = 1 << 10;
const OP_URING_CMD = 46;
const OP_ASYNC_CANCEL = 14;
const ENTRIES = 8;
const CQ_ENTRIES = 64;
const SQE_WORDS = 32;
/** Where the command structure lies in an entry. */
const COMMAND_BYTE = 48;
const CQE_WORDS = 4;
/** User data of cancellations, whose outcome nobody waits for; commands count from 1. */
const USER_DATA_IGNORED = 0;

const PAGE_BYTES = 4096;
/** Longest time that one look at the ring may block the event loop. */
const POLL_BLOCK_US = 500;
const POLL_DELAY_MS_MAX = 10;
/** How long a cancelled command may take to end. */
const CANCEL_WAIT_MS = 2000;

export interface ControlCommand {
  readonly op: number;
  readonly deviceId: number;
  readonly queueId: number;
  /** Content of the buffer when the command is sent; empty: no buffer. */
  readonly payload: Uint8Array;
  readonly data: number;
  readonly timeoutMs: number;
}

export interface ControlReply {
  /** ≥ 0, or -errno. */
  readonly result: number;
  /** The buffer as the kernel left it, as long as the payload. */
  readonly payload: Uint8Array;
}

interface Waiting {
  readonly page: NativeMapping;
  readonly settle: (result: number | null) => void;
}

export class ControlRing {
  readonly #native: NativeAddon;
  readonly #fd: number;
  readonly #ring: NativeRing;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #cqes: Uint32Array;
  readonly #results: Int32Array;
  readonly #freePages: NativeMapping[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #tail = 0;
  #toSubmit = 0;
  #head = 0;
  #consumed = 0;
  #userData = USER_DATA_IGNORED;
  #polling = false;
  #closed = false;

  /** `fd`: /dev/ublk-control, owned by the caller. Throws what ringCreate throws. */
  constructor(native: NativeAddon, fd: number) {
    this.#native = native;
    this.#fd = fd;
    this.#ring = native.ringCreate(ENTRIES, CQ_ENTRIES, SETUP_SQE128);
    assert(this.#ring.sqeBytes === SQE_WORDS * 4, 'a control ring has 128-byte entries');
    this.#words = new Uint32Array(this.#ring.sqes);
    this.#bytes = new Uint8Array(this.#ring.sqes);
    this.#cqes = new Uint32Array(this.#ring.cqes);
    this.#results = new Int32Array(this.#ring.cqes);
  }

  /** Sends a command. Resolves with null when the kernel has not answered in time. */
  async send(command: ControlCommand): Promise<ControlReply | null> {
    assert(!this.#closed, 'a control ring is open');
    assert(command.payload.length <= PAGE_BYTES, 'a control payload fits into a page');
    const page = this.#freePages.pop() ?? this.#native.memoryMap(PAGE_BYTES, false);
    const memory = new Uint8Array(page.memory);
    memory.set(command.payload);
    this.#userData += 1;
    const userData = this.#userData;
    const answer = new Promise<number | null>((settle) => {
      this.#waiting.set(userData, { page, settle });
    });
    this.#fillCommand(command, page.address, userData);
    const limit = setTimeout(() => this.#giveUp(userData), command.timeoutMs);
    void this.#poll();
    const result = await answer;
    clearTimeout(limit);
    if (result === null) return null;
    const payload = memory.slice(0, command.payload.length);
    this.#freePages.push(page);
    return { result, payload };
  }

  /** Commands that were given up are left to the kernel, and so are their pages. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { settle } of this.#waiting.values()) settle(null);
    this.#waiting.clear();
    this.#native.ringClose(this.#ring.handle);
    for (const page of this.#freePages) this.#native.memoryUnmap(page.memory);
  }

  #fillCommand(command: ControlCommand, address: number, userData: number): void {
    const at = this.#claim();
    const hasPayload = command.payload.length > 0;
    this.#words[at] = OP_URING_CMD;
    this.#words[at + 1] = this.#fd;
    this.#words[at + 2] = command.op;
    this.#words[at + 8] = userData;
    CONTROL_COMMAND.encode(
      {
        dev_id: command.deviceId,
        queue_id: command.queueId,
        len: command.payload.length,
        addr: hasPayload ? address : 0,
        data: command.data,
        dev_path_len: 0,
      },
      this.#bytes,
      at * 4 + COMMAND_BYTE,
    );
  }

  /** The first word of the next entry, cleared. */
  #claim(): number {
    assert(this.#toSubmit < this.#ring.sqEntries, 'the control ring has a free entry');
    const at = (this.#tail & (this.#ring.sqEntries - 1)) * SQE_WORDS;
    this.#tail += 1;
    this.#toSubmit += 1;
    this.#words.fill(0, at, at + SQE_WORDS);
    return at;
  }

  #giveUp(userData: number): void {
    if (!this.#waiting.has(userData)) return;
    const at = this.#claim();
    this.#words[at] = OP_ASYNC_CANCEL;
    this.#words[at + 1] = 0xffffffff;
    this.#words[at + 4] = userData;
    this.#words[at + 8] = USER_DATA_IGNORED;
    setTimeout(() => {
      const waiting = this.#waiting.get(userData);
      this.#waiting.delete(userData);
      waiting?.settle(null);
    }, CANCEL_WAIT_MS).unref();
  }

  /** One loop for all commands; it ends when none waits. */
  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    let delayMs = 0;
    while (this.#waiting.size > 0 && !this.#closed) {
      const taken = this.#reap();
      delayMs = taken > 0 ? 0 : Math.min(delayMs + 1, POLL_DELAY_MS_MAX);
      await new Promise<void>((resolve) => setTimeout(resolve, delayMs));
    }
    this.#polling = false;
  }

  /** Returns how many commands were answered. */
  #reap(): number {
    const { handle, cqEntries } = this.#ring;
    const toSubmit = this.#toSubmit;
    const ready = this.#native.ringEnter(handle, toSubmit, 1, this.#consumed, POLL_BLOCK_US);
    this.#toSubmit = 0;
    this.#consumed = 0;
    assert(ready >= 0 || ready === -EINVAL, 'a control ring can be entered');
    for (let index = 0; index < ready; index += 1) {
      const at = (this.#head & (cqEntries - 1)) * CQE_WORDS;
      this.#settle(this.#cqes[at]!, this.#results[at + 2]!);
      this.#head += 1;
      this.#consumed += 1;
    }
    return Math.max(ready, 0);
  }

  #settle(userData: number, result: number): void {
    const waiting = this.#waiting.get(userData);
    this.#waiting.delete(userData);
    waiting?.settle(result);
  }
}
