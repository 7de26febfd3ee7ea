/**
 * Control client: one call to the server of a stack.                                (control plane)
 *
 * Each call makes a connection, sends one line and reads one. "There is no server" is an ordinary
 * answer (null), because every reading verb has to live with it; a server that answers nonsense or
 * not at all is an error with the time that was waited.
 */

import { connect } from 'node:net';
import { BandstandError, ERROR_CODES, type ErrorCode } from '../block/errors.ts';
import type { Method, WireError } from './schema.ts';
import {
  type ControlRequest,
  decodeResponse,
  encodeRequest,
  LINE_BYTES_MAX,
} from './schema-message.ts';

export const TIMEOUT_MS_DEFAULT = 10_000;

export interface CallOptions {
  readonly timeoutMs?: number;
  /** For messages: the name of the stack. */
  readonly name: string;
  /** Gives the call up; its answer is then null. */
  readonly signal?: AbortSignal;
}

/** The result, or null when no server listens at `socketPath`. Throws what the server reports. */
export async function call(
  socketPath: string,
  method: Method,
  params: Readonly<Record<string, unknown>>,
  options: CallOptions,
): Promise<{ result: unknown } | null> {
  const line = await exchange(socketPath, { id: 1, method, params }, options);
  if (line === null) return null;
  const response = decodeResponse(line);
  if ('why' in response) throw protocolError(options.name, response.why);
  // An error without an id: the server could not read that of the request.
  const { id } = response.value;
  if (id !== 1 && id !== null) {
    throw protocolError(options.name, 'the answer is to another request');
  }
  if ('error' in response.value) throw errorFromWire(response.value.error);
  return { result: response.value.result };
}

export function protocolError(name: string, why: string): BandstandError {
  return new BandstandError('BANDSTAND_CONTROL_PROTOCOL', {
    message: `cannot understand the server of ${name}: ${why}`,
    hint: 'look whether it is of another version: bandstand status',
    details: { name },
  });
}

/** The error as it was on the other side; a code that this version does not know stays readable. */
export function errorFromWire(wire: WireError): BandstandError {
  const known = Object.hasOwn(ERROR_CODES, wire.code);
  return new BandstandError(known ? (wire.code as ErrorCode) : 'BANDSTAND_SERVER_FAILED', {
    message: wire.message,
    ...(wire.hint === null ? {} : { hint: wire.hint }),
    details: known ? wire.details : { ...wire.details, code: wire.code },
  });
}

/** One line out, one line in; null when nobody listens. */
function exchange(
  socketPath: string,
  request: ControlRequest,
  options: CallOptions,
): Promise<string | null> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const chunks: Buffer[] = [];
    let bytes = 0;
    const fail = (error: BandstandError): void => {
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(timeoutError(options.name, request, timeoutMs)), timeoutMs);
    const giveUp = (): void => {
      done();
      socket.destroy();
      resolve(null);
    };
    options.signal?.addEventListener('abort', giveUp);
    const done = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', giveUp);
    };
    if (options.signal?.aborted === true) giveUp();
    socket.on('connect', () => socket.write(encodeRequest(request)));
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes > LINE_BYTES_MAX) {
        done();
        fail(protocolError(options.name, 'the answer is too long'));
        return;
      }
      chunks.push(chunk);
      if (!chunk.includes(0x0a)) return;
      done();
      socket.destroy();
      const text = Buffer.concat(chunks).toString('utf8');
      resolve(text.slice(0, text.indexOf('\n')));
    });
    socket.on('close', () => {
      done();
      if (request.method === 'stop' && bytes === 0) resolve(null);
      else reject(protocolError(options.name, 'it closed the connection without an answer'));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      done();
      const { code } = error;
      // A server that was killed may take its connections down a moment after itself.
      const died = code === 'ECONNRESET' && bytes === 0 && request.method === 'status';
      if (code === 'ENOENT' || code === 'ECONNREFUSED' || died) resolve(null);
      else reject(connectError(options.name, socketPath, error));
    });
  });
}

function timeoutError(name: string, request: ControlRequest, timeoutMs: number): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
    message: `cannot ${request.method === 'ping' ? 'reach' : request.method} ${name}: its server did not answer within ${timeoutMs} ms`,
    hint: 'look at the kernel log (dmesg) and the log of the server, or wait longer with --timeout',
    details: { name, timeout_ms: timeoutMs },
  });
}

function connectError(
  name: string,
  socketPath: string,
  error: NodeJS.ErrnoException,
): BandstandError {
  const denied = error.code === 'EACCES' || error.code === 'EPERM';
  return new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot reach the server of ${name} at ${socketPath}: ${denied ? 'permission denied' : error.code}`,
    hint: denied ? 'run it with sudo' : 'look whether the run directory is the right one',
    details: { name, socket: socketPath, errno: error.code ?? null },
    cause: error,
  });
}
