/**
 * Reads what servers that are gone have left: RUN_DIR, /sys, /dev/shm, locks.       (control plane)
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { bufferFile } from '../../stack/buffer-file.ts';
import { type Directories, stackPaths } from '../../stack/directories.ts';
import { nameDefect } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import { isServer, orphanOf } from '../orphans.ts';
import { readUblkRecord } from '../ublk-record.ts';
import type { LeftoverFacts, StackLeftovers, StrayDevice } from './leftover-checks.ts';
import { entries, lockHolder } from './proc.ts';
import type { OwnUblkDevice } from './read-machine.ts';

const SUFFIXES = ['.control.sock', '.status.sock', '.nbd', '.ublk', '.lock', '.buffer'];
const SHARED_MEMORY = '/dev/shm';
const STRAY_BUFFER = /^bandstand-[0-9a-f]{16}-(.+)\.buffer$/;

export interface LeftoverSearch {
  /** The run and state directories that are looked at. */
  readonly directories: readonly Directories[];
  /** One stack only; null: all, and what belongs to none. */
  readonly name: string | null;
  /** Stacks that have a server. */
  readonly running: ReadonlySet<string>;
  /** See readMachine. */
  readonly devices: readonly OwnUblkDevice[] | null;
}

export function readLeftovers(search: LeftoverSearch): LeftoverFacts {
  const { directories, name } = search;
  const stacks = directories.flatMap((pair) =>
    namesIn(pair)
      .filter((one) => (name === null || one === name) && !search.running.has(one))
      .map((one) => leftoversOf(pair, one, search.devices)),
  );
  const isAll = name === null;
  return {
    stacks: stacks.filter(isSomething),
    strayDevices: isAll ? strayDevices(search) : [],
    strayBuffers: isAll ? strayBuffers(directories) : [],
  };
}

/** Stacks of which there may be something in the run directory, or that are known. */
export function namesIn({ runDir, stateDir }: Directories): string[] {
  const names = new Set(new StateStore(stateDir).names());
  for (const entry of entries(runDir)) {
    const suffix = SUFFIXES.find((one) => entry.endsWith(one));
    if (suffix !== undefined) names.add(entry.slice(0, -suffix.length));
  }
  return [...names].filter((name) => nameDefect(name) === null).sort();
}

function leftoversOf(
  { runDir, stateDir }: Directories,
  name: string,
  devices: LeftoverSearch['devices'],
): StackLeftovers {
  const paths = stackPaths(runDir, name);
  const orphan = orphanOf(runDir, name);
  const note = join(runDir, `${name}.ublk`);
  const buffer = bufferFile({ name, remembered: null }, runDir)?.path ?? null;
  const isLeft = buffer !== null && existsSync(buffer) && lockHolder(buffer) === null;
  const holder = lockHolder(paths.lock);
  const sockets = [paths.controlSocket, paths.statusSocket, paths.nbdSocket].filter(existsSync);
  return {
    name,
    isKnown: existsSync(new StateStore(stateDir).path(name)),
    runDir,
    device: orphan?.device ?? null,
    deviceState: devices?.find(({ id }) => id === orphan?.id)?.state ?? null,
    staleNote: holder === null && existsSync(note) ? note : null,
    // Of a server that is starting or ending they are not left.
    sockets: holder === null ? sockets : [],
    buffer: isLeft ? buffer : null,
    holder,
  };
}

function isSomething(left: StackLeftovers): boolean {
  const { buffer, device, holder, sockets, staleNote } = left;
  const all = [buffer, device, holder, staleNote];
  return sockets.length > 0 || all.some((one) => one !== null);
}

function strayDevices({ devices, directories }: LeftoverSearch): StrayDevice[] | null {
  if (devices === null) return null;
  const noted = new Set(
    directories.flatMap(({ runDir, stateDir }) =>
      namesIn({ runDir, stateDir, automatic: false }).map(
        (name) => readUblkRecord(runDir, name)?.id,
      ),
    ),
  );
  const stray = devices.filter(({ id, serverPid }) => !noted.has(id) && !isServer(serverPid));
  return stray.map(({ id, serverPid, state }) => ({ device: `/dev/ublkb${id}`, serverPid, state }));
}

function strayBuffers(directories: readonly Directories[]): string[] {
  return entries(SHARED_MEMORY).flatMap((entry) => {
    const name = STRAY_BUFFER.exec(entry)?.[1];
    if (name === undefined) return [];
    const path = join(SHARED_MEMORY, entry);
    const isOurs = directories.some(
      ({ runDir }) => bufferFile({ name, remembered: null }, runDir)?.path === path,
    );
    return isOurs || lockHolder(path) !== null ? [] : [path];
  });
}
