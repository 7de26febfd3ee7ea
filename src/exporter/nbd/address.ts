/**
 * Addresses that NBD is served on: checked, bound, described and taken away.        (control plane)
 *
 * A Unix socket is made with mode 0600. A socket file that is in the way is probed: when a server
 * answers it is left alone and refused, when nobody does it is a leftover and replaced. Anything
 * else in the way is never removed. TCP is for the loopback addresses unless there is TLS or the
 * caller insists, because plain NBD gives everyone who can reach it the whole device.
 */

import { lstatSync } from 'node:fs';
import { BandstandError } from '../../block/errors.ts';
import { EACCES, EADDRINUSE, statusName, statusText } from '../../block/status.ts';
import type { NativeAddon } from '../../native/addon.ts';
import { inodeOf, probeSocket, unlinkQuietly } from '../../native/socket-path.ts';

export type NbdAddress =
  | { readonly unix: string }
  | { readonly host: string; readonly port: number };

/** What this file needs of the addon, so that tests can stand in for it. */
export type SocketCalls = Pick<
  NativeAddon,
  'socketListenUnix' | 'socketListenTcp' | 'socketPort' | 'socketTune' | 'fileClose'
>;

const SOCKET_MODE = 0o600;
const BACKLOG = 64;
/** The room for a path in struct sockaddr_un, less the NUL. */
const UNIX_PATH_BYTES_MAX = 107;

export interface Listener {
  readonly fd: number;
  /** With the port that the kernel chose when 0 was asked for. */
  readonly address: NbdAddress;
  /** Removes the socket file, if it is still this listener's. Does not close `fd`. */
  unlink(): void;
}

/**
 * Throws BANDSTAND_EXPORT_ADDRESS_INVALID for what must not or cannot be listened on. `anywhere`:
 * there is TLS, or the user insists.
 */
export function checkAddress(address: NbdAddress, anywhere: boolean): void {
  if ('unix' in address) {
    const bytes = Buffer.byteLength(address.unix);
    if (bytes > 0 && bytes <= UNIX_PATH_BYTES_MAX && !address.unix.includes('\0')) return;
    throw new BandstandError('BANDSTAND_EXPORT_ADDRESS_INVALID', {
      message: `cannot listen on ${address.unix}: a socket path has 1 to ${UNIX_PATH_BYTES_MAX} bytes, not ${bytes}`,
      hint: 'choose a shorter path',
      details: { address: address.unix },
    });
  }
  const { host, port } = address;
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    throw new BandstandError('BANDSTAND_EXPORT_ADDRESS_INVALID', {
      message: `cannot listen on ${host}: port ${port} is not between 0 and 65535`,
      hint: 'choose another port; that of NBD is 10809',
      details: { host, port },
    });
  }
  if (anywhere || isLoopback(host)) return;
  throw new BandstandError('BANDSTAND_EXPORT_ADDRESS_INVALID', {
    message: `cannot listen on ${host}: it is not a loopback address, and NBD without TLS gives the device to everyone who can reach it`,
    hint: 'add TLS (--tls-cert and --tls-key, or --tls-psk), use 127.0.0.1, or insist with --insecure',
    details: { host, port },
  });
}

export function isLoopback(host: string): boolean {
  if (host === '::1') return true;
  const parts = host.split('.');
  return (
    parts.length === 4 &&
    parts[0] === '127' &&
    parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)
  );
}

/** Binds and listens. Throws BandstandError; then nothing is left behind. */
export async function listen(calls: SocketCalls, address: NbdAddress): Promise<Listener> {
  if ('unix' in address) return listenUnix(calls, address.unix);
  const fd = calls.socketListenTcp(address.host, address.port, BACKLOG);
  if (fd < 0) throw addressError(addressText(address), -fd);
  const port = address.port === 0 ? calls.socketPort(fd) : address.port;
  return { fd, address: { host: address.host, port }, unlink: () => {} };
}

async function listenUnix(calls: SocketCalls, path: string): Promise<Listener> {
  let fd = calls.socketListenUnix(path, SOCKET_MODE, BACKLOG);
  if (fd === -EADDRINUSE) {
    await removeLeftover(path);
    fd = calls.socketListenUnix(path, SOCKET_MODE, BACKLOG);
  }
  if (fd < 0) throw addressError(path, -fd);
  const inode = inodeOf(path);
  return {
    fd,
    address: { unix: path },
    unlink: () => {
      if (inode !== null && inodeOf(path) === inode) unlinkQuietly(path);
    },
  };
}

/** Removes a socket file without a server. Throws when it has one, or is something else. */
async function removeLeftover(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) {
    throw new BandstandError('BANDSTAND_EXPORT_ADDRESS_BUSY', {
      message: `cannot listen on ${path}: the path exists and is not a socket`,
      hint: 'choose another path, or remove the file if nothing needs it',
      details: { address: path },
    });
  }
  const outcome = await probeSocket(path);
  if (outcome === 'ECONNREFUSED') unlinkQuietly(path);
  else if (outcome === null) throw addressError(path, EADDRINUSE);
  else if (outcome === 'EACCES') throw addressError(path, EACCES);
  // Anything else (the file has just gone) shows at the second attempt.
}

function addressError(address: string, errno: number): BandstandError {
  const busy = errno === EADDRINUSE;
  const why = busy ? 'another server is listening there' : statusText(errno);
  return new BandstandError(
    busy ? 'BANDSTAND_EXPORT_ADDRESS_BUSY' : 'BANDSTAND_EXPORT_ADDRESS_INVALID',
    {
      message: `cannot listen on ${address}: ${why} (${statusName(errno)})`,
      hint: busy ? 'choose another address, or stop the other server' : 'choose another address',
      details: { address, errno },
    },
  );
}

function addressText(address: NbdAddress): string {
  if ('unix' in address) return address.unix;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** The NBD URI under which clients find the export. */
export function nbdUri(address: NbdAddress, name: string, tls: boolean): string {
  const path = encodeURIComponent(name);
  const scheme = tls ? 'nbds' : 'nbd';
  if (!('unix' in address)) return `${scheme}://${addressText(address)}/${path}`;
  const socket = encodeURIComponent(address.unix).replaceAll('%2F', '/');
  return `${scheme}+unix:///${path}?socket=${socket}`;
}
