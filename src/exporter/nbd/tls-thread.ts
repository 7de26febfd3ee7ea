/**
 * TlsThread: the main thread's handle of the thread that speaks TLS.                (control plane)
 *
 * A thread of its own, so that neither the data path nor the answers of the control socket wait for
 * anybody's cryptography (docs/decisions/0028). The data path gets one end of a port, over which it
 * hands clients over: nothing has to wake it, because all that comes back are bytes in sockets.
 */

import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { BandstandError } from '../../block/errors.ts';
import { CONNECTIONS_MAX, FINISH_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS } from './limits.ts';
import type { TlsHandover, TlsMessage } from './tls-handover.ts';
import type { TlsSettings } from './tls-settings.ts';
import type { TlsReport, TlsWorkerData } from './tls-worker.ts';

const LIMITS = {
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  finishTimeoutMs: FINISH_TIMEOUT_MS,
  // As many as the data path serves, and as many that are leaving.
  clientsMax: 2 * CONNECTIONS_MAX,
};
/** When all clients have to be gone after the last word of the data path. */
const END_TIMEOUT_MS = 2 * FINISH_TIMEOUT_MS;

export interface TlsThreadObserver {
  /** A client was turned away, for people; at most once a minute. */
  clientRefused(reason: string): void;
  /** The thread has ended by itself: its clients are lost, and there will be no others. */
  threadFailed(reason: string): void;
}

export class TlsThread {
  /** For the data path: to be transferred to its thread, and used with `handoverThrough`. */
  readonly port: MessagePort;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #ending = false;

  /** Throws BANDSTAND_SERVER_FAILED when the thread does not come up. */
  static async start(settings: TlsSettings, observer: TlsThreadObserver): Promise<TlsThread> {
    const { port1, port2 } = new MessageChannel();
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const workerData: TlsWorkerData = { port: port2, settings, limits: LIMITS };
    const worker = new Worker(new URL(`./tls-worker.${extension}`, import.meta.url), {
      workerData,
      transferList: [port2],
      name: 'TLS',
    });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', (error) => reject(startError(error.message)));
      worker.once('exit', (status) => reject(startError(`it ended with status ${status}`)));
    });
    return new TlsThread(worker, port1, observer);
  }

  private constructor(worker: Worker, port: MessagePort, observer: TlsThreadObserver) {
    this.#worker = worker;
    this.port = port;
    // It is the export that keeps a server alive.
    worker.unref();
    worker.removeAllListeners('error').removeAllListeners('exit');
    worker.on('message', (report: TlsReport) => {
      if (report.kind === 'refused') observer.clientRefused(report.reason);
    });
    let reason = 'it ended by itself';
    worker.on('error', (error: Error) => {
      reason = error.message;
    });
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        resolve();
        if (!this.#ending) observer.threadFailed(reason);
      });
    });
  }

  /** After the data path has ended the handover: waits until clients have their last replies. */
  async ended(): Promise<void> {
    this.#ending = true;
    const timer = setTimeout(() => void this.#worker.terminate(), END_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Ends it at once. */
  async terminate(): Promise<void> {
    this.#ending = true;
    await this.#worker.terminate();
  }
}

/** The other side's handover, on the thread that `port` was transferred to. */
export function handoverThrough(port: MessagePort): TlsHandover {
  const post = (message: TlsMessage): void => port.postMessage(message);
  let client = 0;
  return {
    secure: (clientFd, plainFd) => {
      client += 1;
      post({ kind: 'secure', client, clientFd, plainFd });
      return client;
    },
    left: (client) => post({ kind: 'left', client }),
    end: () => post({ kind: 'end' }),
  };
}

function startError(why: string): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot start the thread that speaks TLS: ${why}`,
    hint: 'look at the log of the server',
    details: { why },
  });
}
