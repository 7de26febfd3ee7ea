/**
 * Run and state directories.                                                        (control plane)
 *
 * RUN_DIR holds what dies with the machine: control and status sockets, locks, logs, NBD sockets.
 * STATE_DIR holds what is remembered of each stack (`NAME.json`). Both are world-searchable so that
 * `list` and `status` need no privileges; what must not be read by others has its own mode.
 *
 * Every environment variable has an equivalent option, because sudo resets the environment.
 */

import { mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { BandstandError } from '../block/errors.ts';

/** Longest path of a Unix socket, without the final zero byte (sun_path has 108 bytes). */
export const SOCKET_PATH_MAX = 107;

const SYSTEM_RUN_DIR = '/run/bandstand';
const SYSTEM_STATE_DIR = '/var/lib/bandstand';

export interface Directories {
  readonly runDir: string;
  readonly stateDir: string;
  /** True when neither was chosen by the user: reading verbs then also look at the system's. */
  readonly automatic: boolean;
}

export function chooseDirectories(
  options: { runDir?: string | null; stateDir?: string | null } = {},
  environment: NodeJS.ProcessEnv = process.env,
  uid: number = process.geteuid!(),
): Directories {
  const run = options.runDir ?? nonEmpty(environment['BANDSTAND_RUN_DIR']);
  const state = options.stateDir ?? nonEmpty(environment['BANDSTAND_STATE_DIR']);
  return {
    runDir: resolve(run ?? defaultRunDir(environment, uid)),
    stateDir: resolve(state ?? defaultStateDir(environment, uid)),
    automatic: run === null && state === null,
  };
}

function nonEmpty(value: string | undefined): string | null {
  return value === undefined || value === '' ? null : value;
}

function defaultRunDir(environment: NodeJS.ProcessEnv, uid: number): string {
  if (uid === 0) return SYSTEM_RUN_DIR;
  const base = nonEmpty(environment['XDG_RUNTIME_DIR']);
  // Without a runtime directory there is still something to read: the system's stacks.
  return base === null ? SYSTEM_RUN_DIR : join(base, 'bandstand');
}

function defaultStateDir(environment: NodeJS.ProcessEnv, uid: number): string {
  if (uid === 0) return SYSTEM_STATE_DIR;
  const base = nonEmpty(environment['XDG_STATE_HOME']) ?? join(homedir(), '.local', 'state');
  return join(base, 'bandstand');
}

/** The directories that reading verbs look at: the chosen ones, and the system's after them. */
export function readableDirectories(directories: Directories): readonly Directories[] {
  if (!directories.automatic || directories.stateDir === SYSTEM_STATE_DIR) return [directories];
  return [directories, { runDir: SYSTEM_RUN_DIR, stateDir: SYSTEM_STATE_DIR, automatic: true }];
}

/** Creates the directory (and its parents) when it is missing. */
export function ensureDirectory(path: string, what: 'run' | 'state'): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    if (statSync(path).isDirectory()) return;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
      message: `cannot use the ${what} directory ${path}: ${code === 'EACCES' ? 'permission denied' : code}`,
      hint: `run it with sudo, or choose another one with --${what}-dir`,
      details: { path, errno: code },
      cause: error,
    });
  }
  throw new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
    message: `cannot use the ${what} directory ${path}: it is not a directory`,
    hint: `choose another one with --${what}-dir`,
    details: { path },
  });
}

/** Everything that belongs to one stack in RUN_DIR. */
export interface StackPaths {
  readonly controlSocket: string;
  readonly statusSocket: string;
  readonly lock: string;
  readonly log: string;
  readonly nbdSocket: string;
}

export function stackPaths(runDir: string, name: string): StackPaths {
  const base = join(runDir, name);
  return {
    controlSocket: `${base}.control.sock`,
    statusSocket: `${base}.status.sock`,
    lock: `${base}.lock`,
    log: `${base}.log`,
    nbdSocket: `${base}.nbd`,
  };
}

/** Throws when `path` does not fit the kernel's limit for socket paths. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_MAX) return;
  throw new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
    message: `cannot make the socket ${path}: its path has ${bytes} bytes, the kernel allows ${SOCKET_PATH_MAX}`,
    hint: 'choose a shorter --run-dir',
    details: { path, bytes, bytes_max: SOCKET_PATH_MAX },
  });
}
