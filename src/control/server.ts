/**
 * Control server: the two Unix sockets of a stack's server process.                 (control plane)
 *
 * `control` (0600) takes every method, `status` (0666) only reading ones: reading needs no
 * privileges, changing does. Clients are untrusted: a line has a maximum length, a connection has a
 * time limit, the number of connections is bounded, nothing is read ahead of what is answered, and
 * garbage gets one error line and the end.
 *
 * The methods themselves are the handler's, which the server process provides.
 */

import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { BandstandError } from '../block/errors.ts';
import { checkSocketPath } from '../stack/directories.ts';
import { errorToWire } from '../stack/wire-error.ts';
import { kindOfMethod, type Method } from './schema.ts';
import {
  type ControlRequest,
  decodeRequest,
  encodeError,
  encodeResult,
  REQUEST_BYTES_MAX,
  type RefusedRequest,
} from './schema-message.ts';

export type MethodHandler = (
  method: Method,
  params: Readonly<Record<string, unknown>>,
) => Promise<unknown>;

/** A connection that says nothing for so long is closed. */
const IDLE_MS = 30_000;
const CONNECTIONS_MAX = 64;

const TOO_LONG: RefusedRequest = { why: 'the line is too long', kind: 'request', id: null };

type Takes = (method: Method) => boolean;

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
    await this.#listen(this.#paths.control, 0o600, () => true);
    await this.#listen(this.#paths.status, 0o666, (method) => kindOfMethod(method) === 'read');
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

  #listen(path: string, mode: number, takes: Takes): Promise<void> {
    checkSocketPath(path);
    rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      // Who has asked everything may close its side, and still hears the answers.
      const options = { allowHalfOpen: true };
      const server = createServer(options, (socket) => this.#serve(socket, takes));
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

  #serve(socket: Socket, takes: Takes): void {
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
      // What comes next is left in the kernel until this is done, so that nobody fills our memory.
      socket.pause();
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        queue = queue.then(() => this.#answer(socket, line, takes));
      }
      if (text.length > REQUEST_BYTES_MAX) {
        text = '';
        queue = queue.then(() => this.#refuse(socket, TOO_LONG));
      }
      queue = queue.then(() => void socket.resume());
    });
    // A line without its end is no request: more of it may have got lost.
    socket.on('end', () => {
      queue = queue.then(() => void socket.end());
    });
  }

  async #answer(socket: Socket, line: string, takes: Takes): Promise<void> {
    // After a refusal nothing is carried out any more.
    if (socket.destroyed || socket.writableEnded) return;
    const request = decodeRequest(line);
    if ('why' in request) {
      this.#refuse(socket, request);
      return;
    }
    const { id, method } = request.value;
    if (!takes(method)) {
      const why = `the status socket does not take the method ${method}`;
      this.#refuse(socket, { why, kind: 'method', id });
      return;
    }
    // Who waits for an answer is not idle, however long it takes.
    socket.setTimeout(0);
    const taken = socket.write(await this.#respond(request.value));
    socket.setTimeout(this.#idleMs);
    if (!taken) await drained(socket);
  }

  async #respond({ id, method, params }: ControlRequest): Promise<string> {
    try {
      return encodeResult(id, await this.#handler(method, params));
    } catch (error) {
      return encodeError(id, errorToWire(error));
    }
  }

  #refuse(socket: Socket, { why, kind, id }: RefusedRequest): void {
    if (socket.destroyed || socket.writableEnded) return;
    const error = {
      code: 'BANDSTAND_CONTROL_PROTOCOL',
      message: `cannot understand the request: ${why}`,
      hint: 'see bandstand-control(7)',
      details: {},
    };
    socket.end(encodeError(id, error, kind));
  }
}

/** Who takes no answers gets no more of them, and is idle. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    if (socket.destroyed) resolve();
    else socket.on('drain', done).on('close', done);
  });
}
