/**
 * Control server: the two Unix sockets of a stack's server process.                 (control plane)
 *
 * `control` (0600) takes every method, `status` (0666) only reading ones: reading needs no
 * privileges, changing does. Clients are untrusted: a line has a maximum length, a connection has a
 * time limit, the number of connections is bounded, and garbage gets one error line and the end.
 *
 * The methods themselves are the handler's, which the server process provides.
 */

import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { BandstandError } from '../block/errors.ts';
import { checkSocketPath } from '../stack/directories.ts';
import { errorToWire } from '../stack/wire-error.ts';
import {
  type ControlRequest,
  decodeRequest,
  encodeResponse,
  LINE_BYTES_MAX,
  type Method,
  STATUS_METHODS,
} from './schema.ts';

export type MethodHandler = (
  method: Method,
  params: Readonly<Record<string, unknown>>,
) => Promise<unknown>;

/** A connection that says nothing for so long is closed. */
const IDLE_MS = 30_000;
const CONNECTIONS_MAX = 64;
/** Requests have a few hundred bytes; responses may be larger. */
const REQUEST_BYTES_MAX = Math.min(64 * 1024, LINE_BYTES_MAX);

/** Where a socket is for the moment in which its path is removed. */
const aside = (path: string): string => `${path}.left`;

export class ControlServer {
  readonly #paths: { readonly control: string; readonly status: string };
  readonly #handler: MethodHandler;
  readonly #idleMs: number;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** Paths where a server that was killed had left its sockets. */
  #stale: readonly string[] = [];

  constructor(
    paths: { control: string; status: string },
    handler: MethodHandler,
    idleMs: number = IDLE_MS,
  ) {
    this.#paths = paths;
    this.#handler = handler;
    this.#idleMs = idleMs;
  }

  /** The caller holds the stack's lock, so sockets that lie about are stale and are replaced. */
  async start(): Promise<void> {
    this.#stale = [this.#paths.control, this.#paths.status].filter((path) => existsSync(path));
    await this.#listen(this.#paths.control, 0o600, null);
    await this.#listen(this.#paths.status, 0o666, STATUS_METHODS);
  }

  /**
   * Stops listening, removes the sockets, and lets answers that are being written go out. Where
   * `leavesStale`, sockets that a killed server had left are left again: they say that it was.
   */
  async stop(leavesStale = false): Promise<void> {
    const left = leavesStale && this.#servers.length > 0 ? this.#stale : [];
    // To close a socket removes its path, wherever it was bound.
    for (const path of left) renameSync(path, aside(path));
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const path of [this.#paths.control, this.#paths.status]) rmSync(path, { force: true });
    for (const socket of this.#sockets) socket.destroySoon();
    await Promise.all(closed);
    for (const path of left) renameSync(aside(path), path);
  }

  #listen(path: string, mode: number, methods: readonly Method[] | null): Promise<void> {
    checkSocketPath(path);
    rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => this.#serve(socket, methods));
      server.maxConnections = CONNECTIONS_MAX;
      server.on('error', (error: NodeJS.ErrnoException) => {
        reject(
          new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
            message: `cannot listen at ${path}: ${error.code ?? error.message}`,
            hint: 'choose another place with --run-dir',
            details: { path, errno: error.code ?? null },
            cause: error,
          }),
        );
      });
      // The umask keeps the socket closed to others until its mode is set.
      const umask = process.umask(0o177);
      server.listen(path, () => {
        process.umask(umask);
        chmodSync(path, mode);
        this.#servers.push(server);
        resolve();
      });
    });
  }

  #serve(socket: Socket, methods: readonly Method[] | null): void {
    this.#sockets.add(socket);
    let text = '';
    let queue = Promise.resolve();
    socket.setEncoding('utf8');
    socket.setTimeout(this.#idleMs, () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    // A client that goes away is its own business.
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        queue = queue.then(() => this.#answer(socket, line, methods));
      }
      if (text.length > REQUEST_BYTES_MAX) {
        text = '';
        this.#refuse(socket, 0, 'the line is too long');
      }
    });
  }

  async #answer(socket: Socket, line: string, methods: readonly Method[] | null): Promise<void> {
    if (socket.destroyed) return;
    const request = decodeRequest(line);
    if ('why' in request) {
      this.#refuse(socket, 0, request.why);
      return;
    }
    const { id, method } = request.value;
    if (methods !== null && !methods.includes(method)) {
      this.#refuse(socket, id, `the status socket does not take the method ${method}`);
      return;
    }
    // Who waits for an answer is not idle, however long it takes.
    socket.setTimeout(0);
    socket.write(await this.#respond(request.value));
    socket.setTimeout(this.#idleMs);
  }

  async #respond({ id, method, params }: ControlRequest): Promise<string> {
    try {
      return encodeResponse({ id, result: (await this.#handler(method, params)) ?? null });
    } catch (error) {
      return encodeResponse({ id, error: errorToWire(error) });
    }
  }

  #refuse(socket: Socket, id: number, why: string): void {
    const error = {
      code: 'BANDSTAND_CONTROL_PROTOCOL',
      message: `cannot understand the request: ${why}`,
      hint: null,
      details: {},
    };
    socket.end(encodeResponse({ id, error }));
  }
}
