/**
 * Metrics over HTTP, for Prometheus: GET and HEAD of one page.                      (control plane)
 *
 * It runs in a process of its own, so that neither HTTP nor a client is ever near a data path.
 * Clients are untrusted all the same. A connection has one request, whose head is short and there
 * in time; a body is not waited for; all of it together has a limit of time, and there are few
 * connections. Requests that come while the stacks are being looked at share that look.
 *
 * Not here: who may reach it (the command), and what the numbers are (metrics-text.ts).
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type BoundAddress, bindAddress } from './bound-address.ts';
import type { ListenAddress } from './listen-address.ts';

export const METRICS_PATH = '/metrics';

/** "Exposition formats" of the Prometheus documentation: the text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';

export interface MetricsLimits {
  /** Connections at a time; further ones are closed at once. */
  readonly connections: number;
  /** Request line and headers together. */
  readonly headBytes: number;
  /** From the connection to the end of the head. */
  readonly requestMs: number;
  /** From the connection to its end, whatever happens on it. */
  readonly connectionMs: number;
}

/** Besides the time that a look at the stacks may take. */
const ANSWER_MS = 10_000;

export function metricsLimits(lookMs: number): MetricsLimits {
  const requestMs = 5000;
  const connectionMs = requestMs + lookMs + ANSWER_MS;
  return { connections: 16, headBytes: 8192, requestMs, connectionMs };
}

/** How often Node looks for those that take too long. */
const CHECK_MS_MAX = 1000;

export class MetricsServer {
  readonly #read: () => Promise<string>;
  readonly #onFailure: (error: unknown) => void;
  readonly #limits: MetricsLimits;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #bound: BoundAddress | null = null;
  /** The look that goes on, if one does. */
  #look: Promise<string> | null = null;

  /**
   * `read` looks at the stacks and gives the whole text. It is not expected to fail: where it does,
   * the client is told so, and `onFailure` why.
   */
  constructor(
    read: () => Promise<string>,
    onFailure: (error: unknown) => void,
    limits: MetricsLimits,
  ) {
    this.#read = read;
    this.#onFailure = onFailure;
    this.#limits = limits;
    const { requestMs, headBytes, connections } = limits;
    this.#server = createServer({
      maxHeaderSize: headBytes,
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(requestMs, CHECK_MS_MAX),
    });
    this.#server.maxConnections = connections;
    this.#server.maxRequestsPerSocket = 1;
    this.#server.on('connection', (socket) => this.#admit(socket));
    this.#server.on('request', (request, response) => this.#serve(request, response));
    // Who asks whether to send a body is answered without it.
    this.#server.on('checkContinue', (request, response) => this.#serve(request, response));
  }

  /** Gives the address with its port. Throws what `bindAddress` does. */
  async start(address: ListenAddress): Promise<ListenAddress> {
    this.#bound = await bindAddress(this.#server, address);
    // A connection that could not be taken; the next one may be.
    this.#server.on('error', () => {});
    return this.#bound.address;
  }

  /** Ends all connections, whatever they wait for. */
  stop(): void {
    this.#bound?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #admit(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), this.#limits.connectionMs);
    this.#sockets.add(socket);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    // Nothing can follow, so that nobody has to read a body to find where it ends.
    response.setHeader('Connection', 'close');
    const path = pathOf(request.url!);
    if (path !== '/' && path !== METRICS_PATH) {
      send(response, 404, `there is no such page; the metrics are at ${METRICS_PATH}\n`);
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      send(response, 405, 'this page can only be read, with GET or HEAD\n');
    } else if (path === '/') {
      send(response, 200, `metrics of bandstand: ${METRICS_PATH}\n`);
    } else {
      this.#sendMetrics(response).catch(this.#onFailure);
    }
  }

  async #sendMetrics(response: ServerResponse): Promise<void> {
    let text: string;
    try {
      this.#look ??= this.#read().finally(() => {
        this.#look = null;
      });
      text = await this.#look;
    } catch (error) {
      send(response, 500, 'the stacks cannot be looked at\n');
      throw error;
    }
    send(response, 200, text, METRICS_TYPE);
  }
}

/** To HEAD, Node sends the headers alone. */
function send(response: ServerResponse, status: number, text: string, type = TEXT_TYPE): void {
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': length });
  response.end(text);
}

/** Of `/metrics?x`, and of `http://host/metrics`, which HTTP has a server understand. */
function pathOf(target: string): string {
  return target.replace(/^https?:\/\/[^/?]*/i, '').replace(/\?.*$/s, '');
}
