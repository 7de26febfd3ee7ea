/**
 * Which ublk device belongs to a stack: RUN_DIR/NAME.ublk.                          (control plane)
 *
 * Written before the device exists for users and removed after it is deleted, so that a server that
 * was killed leaves a note of what has to be cleaned up. RUN_DIR dies with the machine, and so do
 * ublk devices. The number alone is never trusted: the driver's own word for the owner (a tag) and
 * the pid of the server have to agree before anything is removed.
 */

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from '../control/schema.ts';

export interface UblkRecord {
  readonly id: number;
  /** The server, and while it takes over from another one that one too. */
  readonly serverPids: readonly number[];
}

function recordPath(runDir: string, name: string): string {
  return join(runDir, `${name}.ublk`);
}

export function writeUblkRecord(runDir: string, name: string, record: UblkRecord): void {
  const path = recordPath(runDir, name);
  writeFileSync(`${path}.new`, JSON.stringify({ id: record.id, server_pids: record.serverPids }));
  renameSync(`${path}.new`, path);
}

/** null when there is none, or when it is damaged: then there is nothing that could be trusted. */
export function readUblkRecord(runDir: string, name: string): UblkRecord | null {
  try {
    const value: unknown = JSON.parse(readFileSync(recordPath(runDir, name), 'utf8'));
    if (!isRecord(value)) return null;
    const { id, server_pids } = value;
    if (!Number.isSafeInteger(id) || !Array.isArray(server_pids)) return null;
    return { id: id as number, serverPids: server_pids.filter(Number.isSafeInteger) };
  } catch {
    return null;
  }
}

export function removeUblkRecord(runDir: string, name: string): void {
  rmSync(recordPath(runDir, name), { force: true });
}
