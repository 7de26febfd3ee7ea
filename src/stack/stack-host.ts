/**
 * StackHost: the main thread's handle of the data-path worker.                      (control plane)
 *
 * Requests are promises; a message is posted first and the reactor woken after it, so that none is
 * left lying. When the worker ends unexpectedly every open request is rejected and `failed` is told
 * once: the process then ends, because the data path is what it is for.
 */

import { once } from 'node:events';
import {
  MessageChannel,
  type MessagePort,
  type TransferListItem,
  Worker,
} from 'node:worker_threads';
import { BandstandError, ERROR_CODES, type ErrorCode } from '../block/errors.ts';
import type { WireError } from '../control/schema.ts';
import type { NativeAddon } from '../native/addon.ts';
import type {
  StackEvent,
  WorkerMethod,
  WorkerMethods,
  WorkerOptions,
  WorkerReply,
} from './worker-messages.ts';

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

export interface StackHostObserver {
  stackEvent(event: StackEvent): void;
  /** The worker has stopped by itself. */
  stackFailed(error: BandstandError): void;
}

/** The thread before it has a stack: it loads its modules, and waits for its options. */
export class DataPathThread {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly #broken: Promise<never>;
  readonly #loaded: Promise<unknown>;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    this.worker = new Worker(new URL(`./stack-worker.${extension}`, import.meta.url), {
      workerData: port2,
      transferList: [port2],
      name: 'data path',
    });
    this.port = port1;
    this.#loaded = once(this.worker, 'message');
    this.#loaded.catch(() => {});
    this.#broken = new Promise((_, reject) => {
      this.worker.once('error', reject);
      this.worker.once('exit', (code) => reject(endedError(code)));
    });
    // It is looked at when the thread is to begin.
    this.#broken.catch(() => {});
  }

  /** Resolves when it only waits for its options. Throws where it has ended. */
  async loaded(): Promise<void> {
    await Promise.race([this.#loaded, this.#broken]);
  }

  /** Makes the reactor. Throws what keeps it from being made; the thread has ended then. */
  async begin(options: WorkerOptions): Promise<Extract<WorkerReply, { kind: 'ready' }>> {
    const answer = new Promise<WorkerReply>((resolve) => this.port.once('message', resolve));
    this.worker.postMessage(options);
    const ready = await Promise.race([answer, this.#broken]);
    if (ready.kind === 'ready') return ready;
    await this.end();
    throw ready.kind === 'fatal' ? errorOf(ready.error) : endedError(0);
  }

  /** Ends a thread that has not begun. */
  async end(): Promise<void> {
    await this.worker.terminate();
    this.port.close();
  }
}

export class StackHost {
  readonly warnings: readonly string[];
  readonly #native: NativeAddon;
  readonly #port: MessagePort;
  readonly #wakeFd: number;
  readonly #pending = new Map<number, Pending>();
  readonly #ended: Promise<void>;
  #observer: StackHostObserver;
  #nextId = 1;
  #closing = false;

  /** `thread`: one that has been started already, and is waiting for its options. */
  static async start(
    native: NativeAddon,
    options: WorkerOptions,
    observer: StackHostObserver,
    thread = new DataPathThread(),
  ): Promise<StackHost> {
    const { worker, port } = thread;
    const { wakeFd, warnings } = await thread.begin(options);
    return new StackHost(native, worker, port, wakeFd, warnings, observer);
  }

  private constructor(
    native: NativeAddon,
    worker: Worker,
    port: MessagePort,
    wakeFd: number,
    warnings: readonly string[],
    observer: StackHostObserver,
  ) {
    this.#native = native;
    this.#port = port;
    this.#wakeFd = wakeFd;
    this.warnings = warnings;
    this.#observer = observer;
    worker.removeAllListeners('error').removeAllListeners('exit');
    port.on('message', (reply: WorkerReply) => this.#receive(reply));
    worker.on('error', (error) => this.#fail(defect(error)));
    this.#ended = new Promise((resolve) => {
      worker.on('exit', (code) => {
        if (!this.#closing) this.#fail(endedError(code));
        resolve();
      });
    });
  }

  call<M extends WorkerMethod>(
    method: M,
    params: WorkerMethods[M]['params'],
    transfer: readonly TransferListItem[] = [],
  ): Promise<WorkerMethods[M]['result']> {
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#port.postMessage({ id, method, params }, transfer);
      this.#native.eventfdWrite(this.#wakeFd);
    });
  }

  /** Flushes, closes the devices and ends the thread. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.call('close', null);
    await this.#ended;
    this.#port.close();
  }

  /**
   * Closes the devices, ends the thread, and leaves the clients of its exports to the next server.
   * Throws when that cannot be done; then the thread goes on serving. Gives what has failed else.
   */
  async handOver(): Promise<string | null> {
    const failed = await this.call('handOver', null);
    this.#closing = true;
    await this.#ended;
    this.#port.close();
    return failed;
  }

  #receive(reply: WorkerReply): void {
    if (reply.kind === 'event') this.#observer.stackEvent(reply.event);
    else if (reply.kind === 'fatal') this.#fail(errorOf(reply.error));
    else if (reply.kind !== 'ready') {
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (reply.kind === 'result') pending?.resolve(reply.result);
      else pending?.reject(errorOf(reply.error));
    }
  }

  #fail(error: BandstandError): void {
    const closing = this.#closing;
    this.#closing = true;
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    // An open port would keep the process from ending.
    this.#port.close();
    if (!closing) this.#observer.stackFailed(error);
  }
}

function endedError(code: number): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot go on serving: the data-path thread ended with status ${code}`,
    hint: 'look at the log of the server',
    details: { status: code },
  });
}

function defect(error: Error): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot go on serving: the data-path thread met a defect of its own: ${error.message}`,
    hint: 'look at the log of the server',
    details: { stack: error.stack ?? null },
    cause: error,
  });
}

/** The error as it was in the worker. */
export function errorOf(wire: WireError): BandstandError {
  const known = Object.hasOwn(ERROR_CODES, wire.code);
  return new BandstandError(known ? (wire.code as ErrorCode) : 'BANDSTAND_SERVER_FAILED', {
    message: wire.message,
    ...(wire.hint === null ? {} : { hint: wire.hint }),
    details: wire.details,
  });
}
