/**
 * A Node server at an address: bound, told, and taken away again.                   (control plane)
 *
 * As with NBD (src/exporter/nbd/address.ts, which has the addon bind): a socket file that is in the
 * way is probed. One where a server answers is left alone and refused, one that nobody has any more
 * is replaced, and anything else is never removed. A socket that somebody else has made at the path
 * since is not removed with ours.
 */

import { once } from 'node:events';
import { existsSync, lstatSync, renameSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { dirname } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { BandstandError } from '../block/errors.ts';
import { EACCES, EADDRINUSE, ENOENT } from '../block/status.ts';
import { inodeOf, probeSocket, unlinkQuietly } from '../native/socket-path.ts';
import { formatListen, type ListenAddress } from './listen-address.ts';

type UnixAddress = Extract<ListenAddress, { kind: 'unix' }>;

const BACKLOG = 64;

export interface BoundAddress {
  /** With the port that the kernel chose where 0 was asked for. */
  readonly address: ListenAddress;
  /** Takes no more connections; those that there are go on. Removes the socket file. */
  close(): void;
}

/**
 * Everyone on this machine who reaches its folder may use a Unix socket.
 * Throws BANDSTAND_EXPORT_ADDRESS_BUSY or BANDSTAND_EXPORT_ADDRESS_INVALID.
 */
export async function bindAddress(server: Server, address: ListenAddress): Promise<BoundAddress> {
  try {
    await listen(server, address);
  } catch (error) {
    const isInUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    if (address.kind !== 'unix' || !isInUse) throw refusal(address, error);
    await removeLeftover(address);
    await listen(server, address).catch((again: unknown) => {
      throw refusal(address, again);
    });
  }
  if (address.kind === 'unix') return boundSocket(server, address);
  const { port } = server.address() as AddressInfo;
  return { address: { ...address, port }, close: () => void server.close() };
}

async function listen(server: Server, address: ListenAddress): Promise<void> {
  if (address.kind === 'unix') {
    const { path } = address;
    server.listen({ path, backlog: BACKLOG, readableAll: true, writableAll: true });
  } else {
    const { host, port } = address;
    server.listen({ host, port, backlog: BACKLOG });
  }
  await once(server, 'listening');
}

function boundSocket(server: Server, address: UnixAddress): BoundAddress {
  const { path } = address;
  const own = inodeOf(path);
  return {
    address,
    close: () => {
      const found = inodeOf(path);
      const isOthers = found !== null && found !== own;
      // To close a socket removes its path, whatever is there by now.
      const aside = `${path}.${process.pid}`;
      if (isOthers) renameSync(path, aside);
      server.close();
      if (isOthers) renameSync(aside, path);
    },
  };
}

/** Removes a socket file without a server. Throws where it has one, or is something else. */
async function removeLeftover(address: UnixAddress): Promise<void> {
  const { path } = address;
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSocket()) {
    throw new BandstandError('BANDSTAND_EXPORT_ADDRESS_BUSY', {
      message: `cannot listen at ${formatListen(address)}: the path exists and is not a socket`,
      hint: 'choose another path, or remove the file if nothing needs it',
      details: { address: formatListen(address) },
    });
  }
  const failure = await probeSocket(path);
  if (failure === 'ECONNREFUSED') unlinkQuietly(path);
  else if (failure === null) throw refusal(address, { errno: -EADDRINUSE });
  else if (failure === 'EACCES') throw refusal(address, { errno: -EACCES });
  // Anything else (the file has just gone) shows at the second attempt.
}

/** Its folder is missing, for which Node has the error of one that is not ours. */
function isNowhere(address: ListenAddress): boolean {
  return address.kind === 'unix' && !existsSync(dirname(address.path));
}

/** `cause`: an error of a system call, or only its number. Anything else is thrown as it is. */
function refusal(address: ListenAddress, cause: unknown): BandstandError {
  const errno = isNowhere(address) ? -ENOENT : (cause as NodeJS.ErrnoException).errno;
  const [name, text] = getSystemErrorMap().get(errno ?? 0) ?? [];
  if (errno === undefined || name === undefined) throw cause;
  const isBusy = errno === -EADDRINUSE;
  const why = isBusy ? 'another server is listening there' : text;
  const code = isBusy ? 'BANDSTAND_EXPORT_ADDRESS_BUSY' : 'BANDSTAND_EXPORT_ADDRESS_INVALID';
  return new BandstandError(code, {
    message: `cannot listen at ${formatListen(address)}: ${why} (${name})`,
    hint: isBusy ? 'choose another address, or stop the other server' : 'choose another address',
    details: { address: formatListen(address), errno: name },
    cause,
  });
}
