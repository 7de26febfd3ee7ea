/**
 * Proc: what /proc says of a process and of locks, as doctor needs it.              (control plane)
 *
 * Each function reads one thing and gives null where the kernel does not tell, or does not tell us:
 * the answer is then `not applicable`, never a guess. The texts are parsed by functions of their
 * own, which tests give texts.
 */

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { deviceKey } from '../../stack/device-usage.ts';

const KIB = 1024;
/** include/linux/sched.h: what PR_SET_IO_FLUSHER sets, and proc(5) shows. */
const PF_MEMALLOC_NOIO = 0x0008_0000;
const PF_LOCAL_THROTTLE = 0x0010_0000;
const PF_FLUSHER = PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE;
/** open(2), on the processors that Node runs on but for arm64, where this bit is another one. */
const O_DIRECT = process.arch === 'arm64' ? 0o200000 : 0o40000;

/** `1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF` */
const FLOCK = /^\d+: FLOCK\s+\S+\s+WRITE\s+(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /;

export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** `VmLck:     1234 kB` in bytes; null: there is no such line. */
export function statusBytes(status: string, key: string): number | null {
  const kib = new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1];
  return kib === undefined ? null : Number(kib) * KIB;
}

/** The effective user. */
export function statusUid(status: string): number | null {
  const uid = /^Uid:\s*\d+\s+(\d+)/m.exec(status)?.[1];
  return uid === undefined ? null : Number(uid);
}

export function statusCapabilities(status: string): bigint | null {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask === undefined ? null : BigInt(`0x${mask}`);
}

/** Whether the task of this `stat` is an I/O flusher; null: the text is no such. */
export function isFlusher(stat: string): boolean | null {
  // The name in parentheses may contain anything; after it come state, five numbers and the flags.
  const flags = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6];
  if (flags === undefined || !/^\d+$/.test(flags)) return null;
  return (Number(flags) & PF_FLUSHER) === PF_FLUSHER;
}

export interface ThreadFacts {
  readonly tid: number;
  readonly name: string;
  readonly isFlusher: boolean | null;
}

/** The threads of a process; [] when it is gone. */
export function threadsOf(pid: number): ThreadFacts[] {
  return entries(`/proc/${pid}/task`).flatMap((tid) => {
    const name = readText(`/proc/${pid}/task/${tid}/comm`);
    const stat = readText(`/proc/${pid}/task/${tid}/stat`);
    if (name === null || stat === null) return [];
    return [{ tid: Number(tid), name: name.trim(), isFlusher: isFlusher(stat) }];
  });
}

/** Files that a process has open: path → past the page cache; null: we may not look. */
export function openFiles(pid: number): ReadonlyMap<string, boolean> | null {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return null;
  }
  const found = new Map<string, boolean>();
  for (const fd of names) {
    const path = linkOf(`/proc/${pid}/fd/${fd}`);
    const flags = /^flags:\s*([0-7]+)$/m.exec(readText(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1];
    if (path === null || flags === undefined) continue;
    const direct = (Number.parseInt(flags, 8) & O_DIRECT) !== 0;
    found.set(path, direct || (found.get(path) ?? false));
  }
  return found;
}

/** `NAME=VALUE` of the environment that a process was started with; null: we may not look. */
export function environmentOf(pid: number): ReadonlyMap<string, string> | null {
  const text = readText(`/proc/${pid}/environ`);
  if (text === null) return null;
  return new Map(
    text.split('\0').flatMap((pair) => {
      const at = pair.indexOf('=');
      return at <= 0 ? [] : [[pair.slice(0, at), pair.slice(at + 1)] as const];
    }),
  );
}

export function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

export function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Who has a flock on the file, by /proc/locks; null: nobody. Taking it would be in the way. */
export function lockHolder(path: string, locks = readText('/proc/locks') ?? ''): number | null {
  let file: { readonly dev: number; readonly ino: number };
  try {
    file = statSync(path);
  } catch {
    return null;
  }
  for (const line of locks.split('\n')) {
    const [, pid, major, minor, inode] = FLOCK.exec(line) ?? [];
    if (pid === undefined || Number(inode) !== file.ino) continue;
    const key = `${Number.parseInt(major!, 16)}:${Number.parseInt(minor!, 16)}`;
    const own = deviceKey(file.dev);
    // stat(2) gives files of btrfs and overlays numbers that their file system does not have.
    if (key === own || own.startsWith('0:')) return Number(pid);
  }
  return null;
}
