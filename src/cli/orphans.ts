/**
 * Orphans: ublk devices of ours that no server serves.                              (control plane)
 *
 * A server that was killed leaves its device waiting: its users' I/O stands still until another
 * server takes it over, or somebody removes it. Found without privileges, through the note in
 * RUN_DIR and /sys, so that `list` can offer what to do. What the driver says about it takes root;
 * it is asked before anything is done (leftovers.ts, ublk-recovery.ts).
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printable } from '../block/printable.ts';
import { processAlive } from './process-alive.ts';
import { readUblkRecord } from './ublk-record.ts';

const DEVICES_DIRECTORY = '/sys/class/ublk-char';
/** A pid may have another owner by now; a server's name begins so. */
const SERVER_NAME = /^bandstand/;

export interface Orphan {
  readonly stack: string;
  readonly id: number;
  /** /dev/ublkbN */
  readonly device: string;
  /** The command that goes on with it, and the one that gives it up. */
  readonly takeOver: string;
  readonly remove: string;
}

/** The device that the stack has left; null: there is none, or a process that may serve it. */
export function orphanOf(
  runDir: string,
  stack: string,
  devices = DEVICES_DIRECTORY,
): Orphan | null {
  const record = readUblkRecord(runDir, stack);
  if (record === null || record.serverPids.some(isServer)) return null;
  const { id } = record;
  if (!existsSync(join(devices, `ublkc${id}`))) return null;
  return {
    stack,
    id,
    device: `/dev/ublkb${id}`,
    takeOver: `bandstand export ${stack}`,
    remove: `bandstand stop ${stack}`,
  };
}

/** True for a process that runs and has the name of a server. */
export function isServer(pid: number): boolean {
  if (!processAlive(pid)) return false;
  try {
    return SERVER_NAME.test(readFileSync(`/proc/${pid}/comm`, 'utf8'));
  } catch {
    return false;
  }
}

/** What `list` says below its table; [] when there are none. */
export function orphanLines(orphans: readonly Orphan[]): string[] {
  return orphans.flatMap(({ device, remove, stack, takeOver }) => [
    `${printable(stack)}: ${device} waits for a server, and so does its I/O`,
    `  take it over: ${takeOver}; or give it up: ${remove}`,
  ]);
}
