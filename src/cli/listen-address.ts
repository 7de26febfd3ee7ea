/**
 * Addresses to listen at: `unix:PATH` and `tcp:HOST:PORT`.                          (control plane)
 *
 * Who may reach an address is decided elsewhere (tls-options.ts).
 */

import { isIP } from 'node:net';
import { isAbsolute, resolve } from 'node:path';
import { usageError } from './arguments.ts';

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

const HINT = 'write unix:PATH or tcp:ADDRESS:PORT';
/** Longest path of a Unix socket. */
const SOCKET_PATH_MAX = 107;

/** Throws BANDSTAND_USAGE. A relative path is taken from the current directory. */
export function parseListen(text: string): ListenAddress {
  const unix = /^unix:(.+)$/s.exec(text);
  if (unix !== null) {
    const path = isAbsolute(unix[1]!) ? unix[1]! : resolve(unix[1]!);
    const bytes = Buffer.byteLength(path);
    if (bytes > SOCKET_PATH_MAX) {
      throw usageError(
        `cannot listen at ${text}: the path has ${bytes} bytes, the kernel allows ${SOCKET_PATH_MAX}`,
        'choose a shorter path',
      );
    }
    return { kind: 'unix', path };
  }
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (tcp === null) throw usageError(`cannot listen at '${text}': it is no address`, HINT);
  const name = tcp[1] ?? tcp[2]!;
  const host = name === 'localhost' ? '127.0.0.1' : name;
  const port = Number(tcp[3]);
  if (port > 65535) throw usageError(`cannot listen at '${text}': there is no port ${port}`, HINT);
  if (isIP(host) === 0) {
    throw usageError(`cannot listen at '${text}': '${name}' is no numeric address`, HINT);
  }
  return { kind: 'tcp', host, port };
}

/** True for a numeric address that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return /^127\./.test(host) || host === '::1';
}

/** The same address in one spelling, with an absolute path. */
export function formatListen(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `tcp:${host}:${address.port}`;
}
