/**
 * SurvivingFile: surviving memory on a real machine, a file in memory.              (control plane)
 *
 * The file lies on a tmpfs: it is there until somebody unlinks it or the machine restarts, whatever
 * becomes of processes. Its pages are put in the place of a part of the arena, so that JavaScript,
 * the kernels and the ring use them like any other buffer.
 *
 *   - Its name belongs to one server at a time: whoever has the exclusive flock. A name that was
 *     unlinked or made anew while we were waiting is tried again.
 *   - All its memory is allocated before it is used. Otherwise a full tmpfs would end the process
 *     with SIGBUS in the middle of a store.
 *   - It is created with mode 0600. One that somebody else could have prepared or can open (another
 *     owner, other modes, a link) is refused: its content decides what reaches the disks.
 *
 * Not here: what is in it.
 */

import { constants, fstatSync, lstatSync, type Stats, unlinkSync } from 'node:fs';
import type { Arena } from '../block/arena.ts';
import { assert } from '../block/assert.ts';
import { BandstandError, type ErrorCode } from '../block/errors.ts';
import { EAGAIN, ENOSPC } from '../block/status.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';
import type { NativeAddon } from '../native/addon.ts';

/** Sizes are multiples of this, so that it fits into an arena of huge pages. */
const UNIT_BYTES = 2 ** 21;
export const SURVIVING_BYTES_MAX = 2 ** 30;
/** Each server that stops between our opening and our lock costs one attempt. */
const ATTEMPTS_MAX = 20;
const MODE = 0o600;

export interface SurvivingFileOptions {
  /** On a tmpfs, in a folder that only root or this user can write, or that is sticky. */
  readonly path: string;
  /** Of a new file: rounded up to 2 MiB, at most 1 GiB. One that is found keeps its size. */
  readonly bytes: number;
}

export class SurvivingFile implements SurvivingMemory {
  readonly path: string;
  readonly bytes: number;
  readonly isAdopted: boolean;
  readonly #native: NativeAddon;
  #fd: number;
  #at = -1;
  #isDiscarded = false;

  /** Finds or creates the file and locks it. Throws BANDSTAND_SURVIVING_*. */
  static open(native: NativeAddon, options: SurvivingFileOptions): SurvivingFile {
    const { path, bytes } = options;
    assert(bytes > 0 && bytes <= SURVIVING_BYTES_MAX, 'surviving memory has at most 1 GiB');
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const fd = openLocked(native, path);
      if (fd === null) continue;
      try {
        return new SurvivingFile(native, path, fd, bytes);
      } catch (error) {
        removeIfEmpty(path, fd);
        native.fileClose(fd);
        throw error;
      }
    }
    throw failure('BUSY', path, 'other servers come and go', { attempts: ATTEMPTS_MAX });
  }

  private constructor(native: NativeAddon, path: string, fd: number, bytes: number) {
    const stats = fstatSync(fd);
    checkTrust(native, path, fd, stats);
    this.#native = native;
    this.#fd = fd;
    this.path = path;
    // A server that was killed before it could allocate has left an empty file.
    this.isAdopted = stats.size > 0;
    this.bytes = this.isAdopted ? stats.size : Math.ceil(bytes / UNIT_BYTES) * UNIT_BYTES;
    if (this.bytes % UNIT_BYTES !== 0 || this.bytes > SURVIVING_BYTES_MAX) {
      throw failure('UNUSABLE', path, `no server makes one of ${this.bytes} bytes`, {
        bytes: this.bytes,
      });
    }
    const result = native.fileAllocate(fd, this.bytes);
    if (result === 0) return;
    const name = native.errnoName(-result);
    const details = { bytes: this.bytes, errno: name };
    if (-result !== ENOSPC) throw failure('UNUSABLE', path, `no memory for it: ${name}`, details);
    throw failure('FULL', path, `no room for ${this.bytes} bytes in that file system`, details);
  }

  get at(): number {
    assert(this.#at >= 0, 'surviving memory is placed before it is used');
    return this.#at;
  }

  /** `memory` is the one under the arena; byte `at` is a multiple of 2 MiB. */
  placeIn(arena: Arena, memory: ArrayBuffer, at: number): void {
    assert(at % UNIT_BYTES === 0, 'surviving memory begins with a huge page');
    this.#native.memoryPlaceFile(memory, at, this.#fd, this.bytes);
    arena.reserve(at, this.bytes);
    this.#at = at;
  }

  discard(): void {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    assert(this.#fd >= 0, 'surviving memory is discarded before it is closed');
    if (isNamed(this.path, this.#fd)) unlinkSync(this.path);
  }

  /** The memory is unmapped; another server may have it now. */
  close(): void {
    if (this.#fd < 0) return;
    this.#native.fileClose(this.#fd);
    this.#fd = -1;
  }
}

/** Null: try again, the name has changed hands. */
function openLocked(native: NativeAddon, path: string): number | null {
  const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
  const fd = native.fileOpen(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, MODE);
  if (fd < 0) {
    const name = native.errnoName(-fd);
    throw failure('UNUSABLE', path, reasonOf(name), { errno: name });
  }
  const result = native.fileLock(fd, true);
  if (result === 0 && isNamed(path, fd)) return fd;
  native.fileClose(fd);
  if (result === 0) return null;
  if (-result === EAGAIN) throw failure('BUSY', path, 'another server has it', {});
  throw failure('UNUSABLE', path, native.errnoName(-result), { errno: native.errnoName(-result) });
}

/** What was made by this attempt, or by one that was killed: it holds nothing. */
function removeIfEmpty(path: string, fd: number): void {
  const stats = fstatSync(fd);
  const isOurs = stats.isFile() && stats.uid === process.geteuid!();
  if (isOurs && stats.size === 0 && isNamed(path, fd)) unlinkSync(path);
}

function isNamed(path: string, fd: number): boolean {
  const named = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  const opened = fstatSync(fd, { bigint: true });
  return named !== undefined && named.dev === opened.dev && named.ino === opened.ino;
}

function checkTrust(native: NativeAddon, path: string, fd: number, stats: Stats): void {
  const refuse = (reason: string, details: Record<string, unknown>): never => {
    throw failure('UNUSABLE', path, reason, details);
  };
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  if (!stats.isFile()) refuse('it is not a regular file', {});
  if (stats.uid !== process.geteuid!()) {
    refuse(`it belongs to user ${stats.uid}, not to ${process.geteuid!()}`, { uid: stats.uid });
  }
  if ((stats.mode & 0o077) !== 0) refuse(`others may open it (mode ${mode})`, { mode });
  if (stats.nlink !== 1) refuse(`it has ${stats.nlink} names`, { links: stats.nlink });
  if (!native.deviceInfo(fd).inMemory) refuse('it is not on a file system in memory (tmpfs)', {});
}

function reasonOf(name: string): string {
  switch (name) {
    case 'ELOOP':
      return 'it is a symbolic link';
    case 'EISDIR':
      return 'it is a directory';
    case 'ENOENT':
      return 'its folder does not exist';
    case 'EACCES':
      return 'permission denied';
    default:
      return name;
  }
}

const HINTS = {
  BUSY: 'stop the server that has it; `bandstand list` shows the running ones',
  FULL: 'make room there, or give that file system more memory (mount -o remount,size=…)',
  UNUSABLE:
    'look at the file; remove it only if what it may hold was written by no server of this name',
} as const;

function failure(
  kind: 'BUSY' | 'FULL' | 'UNUSABLE',
  path: string,
  reason: string,
  details: Record<string, unknown>,
): BandstandError {
  const code: ErrorCode = `BANDSTAND_SURVIVING_${kind}`;
  return new BandstandError(code, {
    message: `cannot use the surviving memory ${path}: ${reason}`,
    hint: HINTS[kind],
    details: { path, ...details },
  });
}
