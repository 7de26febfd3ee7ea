/**
 * The path of a Unix socket: whether a server is behind it, and whose it is.        (control plane)
 */

import { lstatSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';

/** Null where a server accepts, else the code of the error. */
export function probeSocket(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'EIO'));
  });
}

/** Null where there is nothing. */
export function inodeOf(path: string): bigint | null {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino ?? null;
}

export function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Someone else has removed it, or whoever binds to it hears that it is still there.
  }
}
