/**
 * What a killed server leaves behind, and how it is removed.                        (control plane)
 *
 * Sockets without a listener, the note of its ublk device, and the device itself, which waits for
 * another server (state `quiesced`). A device is removed only when the driver's own record agrees
 * that it is ours and that its server is the one that was killed.
 */

import { existsSync, rmSync } from 'node:fs';
import { UblkControl } from '../exporter/ublk/control.ts';
import { loadAddon } from '../native/load.ts';
import { stackPaths } from '../stack/directories.ts';
import { refuseInUse } from './export-in-use.ts';
import { readUblkRecord, removeUblkRecord } from './ublk-record.ts';

export interface CleanUpOptions {
  /** For messages: what cannot be done while the device is in use. */
  readonly verb: 'stop' | 'export';
  /** Remove the device although it is mounted or open. */
  readonly inUse: boolean;
  readonly timeoutMs: number;
}

/** Names what was removed; [] when there was nothing. Throws BANDSTAND_STACK_IN_USE. */
export async function cleanUp(
  runDir: string,
  name: string,
  options: CleanUpOptions,
): Promise<string[]> {
  const removed: string[] = [];
  const device = await removeUblkDevice(runDir, name, options);
  if (device !== null) removed.push(device);
  const paths = stackPaths(runDir, name);
  for (const path of [paths.controlSocket, paths.statusSocket, paths.nbdSocket]) {
    if (!existsSync(path)) continue;
    rmSync(path, { force: true });
    removed.push(path);
  }
  return removed;
}

async function removeUblkDevice(
  runDir: string,
  name: string,
  options: CleanUpOptions,
): Promise<string | null> {
  const record = readUblkRecord(runDir, name);
  if (record === null) return null;
  const path = `/dev/ublkb${record.id}`;
  const control = await UblkControl.open({ native: loadAddon(), timeoutMs: options.timeoutMs });
  try {
    const found = (await control.list()).find((info) => info.id === record.id);
    const ours =
      found !== undefined &&
      control.isOurs(found) &&
      (record.serverPids.includes(found.serverPid) || found.serverPid <= 0);
    if (ours) {
      if (!options.inUse)
        refuseInUse(options.verb, name, [{ kind: 'ublk', address: path }], undefined);
      await control.remove(record.id);
    }
    removeUblkRecord(runDir, name);
    return ours ? path : null;
  } finally {
    control.close();
  }
}
