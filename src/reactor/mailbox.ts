/**
 * Mailbox: control messages from other threads, read between batches.               (control plane)
 *
 * The other side posts to a MessagePort and then writes to `wakeFd`. A read of that eventfd is
 * always in flight on the ring, so the write ends the reactor's sleep; the messages themselves are
 * taken with receiveMessageOnPort, without returning to Node's event loop. The message is visible
 * before the wake-up (it was posted first), so none is left lying.
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { assert } from '../block/assert.ts';
import { BandstandError } from '../block/errors.ts';
import { ECANCELED, statusText } from '../block/status.ts';
import type { Ring, RingHandler } from './ring.ts';

/** Receives one message; work that takes longer than the turn is a promise. */
export type MessageHandler = (message: unknown) => void | Promise<void>;

interface Attachment {
  readonly port: MessagePort;
  readonly onMessage: MessageHandler;
}

const EVENT_BYTES = 8;
const BUFFER_BYTES = 64;

export class Mailbox implements RingHandler {
  /** Write to it (eventfdWrite) after posting a message. */
  readonly wakeFd: number;
  /** True when messages may be waiting. */
  pending = false;
  /** True while the read of `wakeFd` is in flight. */
  listening = false;
  readonly #ring: Ring;
  readonly #slot: number;
  readonly #buffer: number;
  readonly #handlerId: number;
  #attachments: Attachment[] = [];
  #closed = false;

  constructor(ring: Ring) {
    this.#ring = ring;
    this.wakeFd = ring.native.eventfd();
    if (this.wakeFd < 0) {
      throw new BandstandError('BANDSTAND_URING_FAILED', {
        message: `cannot create an event file for the reactor: ${statusText(this.wakeFd)}`,
        hint: 'raise the limit on open files (ulimit -n)',
        details: { errno: -this.wakeFd },
      });
    }
    this.#slot = ring.registerFile(this.wakeFd, true);
    this.#buffer = ring.arena.allocate(BUFFER_BYTES, BUFFER_BYTES);
    this.#handlerId = ring.registerHandler(this);
    this.#listen();
  }

  attach(port: MessagePort, onMessage: MessageHandler): void {
    this.#attachments.push({ port, onMessage });
    this.pending = true;
  }

  detach(port: MessagePort): void {
    this.#attachments = this.#attachments.filter((attachment) => attachment.port !== port);
  }

  ringComplete(_token: number, result: number): void {
    this.listening = false;
    if (this.#closed) return;
    assert(result === EVENT_BYTES || result < 0, 'an event counter is eight bytes');
    this.pending = true;
    if (result !== -ECANCELED) this.#listen();
  }

  /** Hands every waiting message to its handler; promises go to `track`. */
  deliver(track: (work: Promise<void>) => void): void {
    this.pending = false;
    for (const { port, onMessage } of this.#attachments) {
      for (;;) {
        const received = receiveMessageOnPort(port) as { message: unknown } | undefined;
        if (received === undefined) break;
        const work = onMessage(received.message);
        if (work instanceof Promise) track(work);
      }
    }
  }

  /** Stops listening; the completion of the read, if it is in flight, still comes. */
  stop(): void {
    this.#closed = true;
    this.#attachments = [];
    if (this.listening) this.#ring.cancelRequest(this.#handlerId, 0);
  }

  /** After the read has completed. */
  dispose(): void {
    this.#ring.unregisterHandler(this.#handlerId);
    this.#ring.unregisterFile(this.#slot);
    this.#ring.native.fileClose(this.wakeFd);
    this.#ring.arena.release(this.#buffer, BUFFER_BYTES);
  }

  #listen(): void {
    this.listening = true;
    this.#ring.readAt(this.#slot, 0, this.#buffer, EVENT_BYTES, this.#handlerId, 0);
  }
}
