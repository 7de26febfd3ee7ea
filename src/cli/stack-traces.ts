/**
 * What this machine has of a stack besides its devices, and how that is removed.    (control plane)
 *
 * The state file, and what a killed server has left in the run directory. Two things are never
 * taken away in passing: a write buffer, because writes that were answered may be nowhere else, and
 * a ublk device, because its users' I/O waits for it. The rest is litter.
 */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BandstandError } from '../block/errors.ts';
import { loadAddon } from '../native/load.ts';
import { bufferFile } from '../stack/buffer-file.ts';
import { type Directories, ensureDirectory, stackPaths } from '../stack/directories.ts';
import { type RememberedStack, StateStore } from '../stack/state-store.ts';
import { lockHolder } from './doctor/proc.ts';
import { type Orphan, orphanOf } from './orphans.ts';
import { runningError, takeStackLock } from './stack-lock.ts';

export interface StackTraces {
  readonly name: string;
  readonly directories: Directories;
  /** Null where nothing is remembered, or where that cannot be read. */
  readonly remembered: RememberedStack | null;
  /** Null: there is none. */
  readonly stateFile: string | null;
  /** Sockets and notes that are of no use to anybody. */
  readonly litter: readonly string[];
  /** The write buffer of a killed server. */
  readonly buffer: string | null;
  /** A device that waits for a server. */
  readonly orphan: Orphan | null;
}

/** Null: there is nothing. */
export function tracesOf(
  directories: Directories,
  name: string,
  ublkDevices?: string,
): StackTraces | null {
  const { runDir, stateDir } = directories;
  const states = new StateStore(stateDir);
  const state = states.path(name);
  const stateFile = existsSync(state) ? state : null;
  const paths = stackPaths(runDir, name);
  const note = join(runDir, `${name}.ublk`);
  const litter = [paths.controlSocket, paths.statusSocket, paths.nbdSocket, note];
  const buffer = bufferFile({ name, remembered: null }, runDir)?.path ?? null;
  const traces: StackTraces = {
    name,
    directories,
    remembered: stateFile === null ? null : readable(states, name),
    stateFile,
    litter: litter.filter((path) => existsSync(path)),
    buffer: buffer !== null && existsSync(buffer) ? buffer : null,
    orphan: orphanOf(runDir, name, ublkDevices),
  };
  const isSomething = stateFile !== null || traces.buffer !== null || traces.litter.length > 0;
  return isSomething ? traces : null;
}

function readable(states: StateStore, name: string): RememberedStack | null {
  try {
    return states.load(name);
  } catch (error) {
    if (error instanceof BandstandError && error.code === 'BANDSTAND_STATE_INVALID') return null;
    throw error;
  }
}

/** Throws BANDSTAND_STACK_RUNNING while a server has the stack, and what `refuseLosses` throws. */
export function refuseForgetting(traces: StackTraces, discardBuffer: boolean): void {
  const { directories, name } = traces;
  const holder = lockHolder(stackPaths(directories.runDir, name).lock);
  if (holder !== null) throw runningError(name, 'forget', holder);
  refuseLosses(traces, discardBuffer);
}

/**
 * Throws BANDSTAND_STACK_IN_USE while a device waits for a server, and BANDSTAND_NOT_CONFIRMED for
 * a write buffer that may not be discarded.
 */
function refuseLosses({ buffer, name, orphan }: StackTraces, discardBuffer: boolean): void {
  if (orphan !== null) {
    throw new BandstandError('BANDSTAND_STACK_IN_USE', {
      message: `cannot forget ${name}: ${orphan.device} waits for a server, and so does its I/O`,
      hint: `take it over: ${orphan.takeOver}; or give it up first: ${orphan.remove}`,
      details: { name, device: orphan.device },
    });
  }
  if (buffer === null || discardBuffer) return;
  throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
    message: `cannot forget ${name}: a killed server has left ${buffer}, and writes that it had answered may be nowhere else`,
    hint: `have them written to its members: bandstand export ${name}; or give them up: bandstand forget ${name} --discard-buffer`,
    details: { name, buffer },
  });
}

/** What `forgetTraces` removes, in its order: the stack is known until all else is gone. */
export function removedPaths({ buffer, litter, stateFile }: StackTraces): string[] {
  return [...litter, buffer, stateFile].filter((path) => path !== null);
}

/** Looks once more, under the lock of the stack. Gives what was removed. */
export function forgetTraces({ directories, name }: StackTraces, discardBuffer: boolean): string[] {
  const native = loadAddon();
  ensureDirectory(directories.runDir, 'run');
  const lock = takeStackLock(native, directories.runDir, name, 'forget');
  try {
    // A server may have come, and been killed, since the last look.
    const traces = tracesOf(directories, name);
    if (traces === null) return [];
    refuseLosses(traces, discardBuffer);
    const paths = removedPaths(traces);
    for (const path of paths) if (path !== traces.stateFile) removeFile(name, path);
    new StateStore(directories.stateDir).forget(name);
    return paths;
  } finally {
    native.fileClose(lock);
  }
}

function removeFile(name: string, path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
      message: `cannot forget ${name}: ${path} cannot be removed (${(error as NodeJS.ErrnoException).code})`,
      hint: 'run it with sudo, or as the user that the file belongs to',
      details: { name, path },
      cause: error,
    });
  }
}
