/**
 * The lock of a stack: two processes never work on one at the same time.            (control plane)
 *
 * An exclusive flock on RUN_DIR/NAME.lock for the life of the process; the pid inside is for
 * people. A file without a lock on it is nothing: it stays, because somebody may just open it.
 */

import { constants, readFileSync, writeFileSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import { EAGAIN, statusName, statusText } from '../block/status.ts';
import type { NativeAddon } from '../native/addon.ts';
import { stackPaths } from '../stack/directories.ts';

/**
 * The descriptor that holds the lock. `deed`: what it is for, as in `cannot DEED NAME`. Throws
 * BANDSTAND_STACK_RUNNING when a server has it, BANDSTAND_DIRECTORY_UNUSABLE when nobody can.
 */
export function takeStackLock(
  native: NativeAddon,
  runDir: string,
  name: string,
  deed: string,
): number {
  const path = stackPaths(runDir, name).lock;
  const fd = native.fileOpen(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (fd < 0) throw lockError(name, path, -fd, deed);
  const result = native.fileLock(fd, true);
  if (result < 0) {
    native.fileClose(fd);
    throw lockError(name, path, -result, deed);
  }
  writeFileSync(path, `${process.pid}\n`);
  return fd;
}

function lockError(name: string, path: string, errno: number, deed: string): BandstandError {
  if (errno !== EAGAIN) {
    return new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
      message: `cannot lock ${path} for ${name}: ${statusText(errno)} (${statusName(errno)})`,
      hint: 'run it with sudo, or choose another place with --run-dir',
      details: { path, errno },
    });
  }
  const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
  return runningError(name, deed, Number.isNaN(pid) ? null : pid);
}

/** `pid`: of the process that has the lock; null: it has not said. */
export function runningError(name: string, deed: string, pid: number | null): BandstandError {
  return new BandstandError('BANDSTAND_STACK_RUNNING', {
    message: `cannot ${deed} ${name}: a server of it is running or starting${pid === null ? '' : ` (pid ${pid})`}`,
    hint: `wait for it, or end it: bandstand stop ${name}`,
    details: { name, pid },
  });
}
