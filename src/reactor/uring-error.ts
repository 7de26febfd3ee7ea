/**
 * Says why this process cannot have an io_uring, and what to do about it.          (control plane)
 *
 * The kernel answers a forbidden io_uring with a bare EPERM, whether the administrator has switched
 * it off (sysctl kernel.io_uring_disabled) or a container's seccomp filter refuses it. What tells
 * them apart is read from /proc here, so that the message names the one cause and its remedy.
 *
 * Not here: failures of a ring that already runs (ring-queues.ts).
 */

import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { BandstandError } from '../block/errors.ts';
import { EACCES, ENOMEM, ENOSYS, EPERM, statusName } from '../block/status.ts';

const ENFILE = 23;
const EMFILE = 24;

/** What decides between the causes of one errno. */
export interface UringFacts {
  /** The sysctl kernel.io_uring_disabled: `0`, `1` or `2`; null before Linux 6.6. */
  readonly disabled: string | null;
  /** The Seccomp line of /proc/self/status: `0` off, `1` strict, `2` filter; null when unknown. */
  readonly seccomp: string | null;
  /** The soft limit of locked memory in /proc/self/limits: bytes, or `unlimited`. */
  readonly memlock: string | null;
  readonly kernel: string;
}

interface Explanation {
  readonly why: string;
  readonly hint: string;
}

function firstMatch(file: string, pattern: RegExp): string | null {
  try {
    return pattern.exec(readFileSync(file, 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}

export function readUringFacts(): UringFacts {
  return {
    disabled: firstMatch('/proc/sys/kernel/io_uring_disabled', /^(\d+)/),
    seccomp: firstMatch('/proc/self/status', /^Seccomp:\s*(\d+)/m),
    memlock: firstMatch('/proc/self/limits', /^Max locked memory\s+(\S+)/m),
    kernel: release(),
  };
}

function forbidden(name: string, facts: UringFacts): Explanation {
  if (facts.disabled === '2') {
    return {
      why: 'the sysctl kernel.io_uring_disabled is 2, which forbids it to everybody',
      hint: 'run `sysctl -w kernel.io_uring_disabled=1` as root (1 still forbids it to ordinary users)',
    };
  }
  if (facts.disabled === '1') {
    return {
      why: 'the sysctl kernel.io_uring_disabled is 1, which forbids it to ordinary users',
      hint: 'run it as root, or join the group of the sysctl kernel.io_uring_group',
    };
  }
  if (facts.seccomp === '2') {
    return {
      why: `a seccomp filter forbids it (${name}), as containers do by default`,
      hint: 'allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container',
    };
  }
  return {
    why: `a security policy forbids it (${name})`,
    hint: 'look for a denial in the log of SELinux or AppArmor (`journalctl -k`)',
  };
}

function explain(errno: number, facts: UringFacts): Explanation {
  switch (errno) {
    case ENOSYS:
      return facts.seccomp === '2'
        ? {
            why: `a seccomp filter hides it, or Linux ${facts.kernel} lacks it (ENOSYS)`,
            hint: 'allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container',
          }
        : {
            why: `Linux ${facts.kernel} has none, or one older than 5.11 (ENOSYS)`,
            hint: 'use a kernel of 5.15 or later that is built with CONFIG_IO_URING',
          };
    case EPERM:
      return forbidden('EPERM', facts);
    case EACCES:
      return forbidden('EACCES', facts);
    case ENOMEM:
      return {
        why: `the kernel has no memory for it (ENOMEM; the limit of locked memory is ${facts.memlock ?? 'unknown'})`,
        hint: 'raise the limit (LimitMEMLOCK= in systemd, `ulimit -l`), or use a smaller --depth',
      };
    case ENFILE:
    case EMFILE:
      return {
        why: `too many files are open (${errno === EMFILE ? 'EMFILE' : 'ENFILE'})`,
        hint: 'raise the limit (LimitNOFILE= in systemd, `ulimit -n`)',
      };
    default:
      return {
        why: `Linux ${facts.kernel} answers ${statusName(errno)}`,
        hint: 'run `bandstand features` to see what this kernel offers',
      };
  }
}

/** BANDSTAND_URING_UNAVAILABLE for the (positive) `errno` with which ringCreate failed. */
export function uringError(
  errno: number,
  cause?: unknown,
  facts: UringFacts = readUringFacts(),
): BandstandError {
  const { why, hint } = explain(errno, facts);
  return new BandstandError('BANDSTAND_URING_UNAVAILABLE', {
    message: `cannot set up io_uring on this machine: ${why}`,
    hint,
    details: {
      errno,
      io_uring_disabled: facts.disabled,
      seccomp: facts.seccomp,
      memlock: facts.memlock,
      kernel: facts.kernel,
    },
    cause,
  });
}
