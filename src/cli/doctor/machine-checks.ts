/**
 * Checks of the machine: kernel, io_uring, ublk, privileges, memory, the addon.     (control plane)
 *
 * What a stack needs of a machine before any stack is looked at. Whoever is not root needs less:
 * then only files and NBD are promised, and what belongs to ublk is not applicable.
 */

import { formatSize } from '../../block/quantities.ts';
import type { RingFeatures } from '../../stack/machine-features.ts';
import { type Check, notApplicable, ok, problem, type Question, warning } from './check.ts';

export interface MachineFacts {
  /** `6.12.0-1`, as uname(2) says. */
  readonly kernel: string;
  readonly features: RingFeatures;
  readonly ublk: UblkFacts;
  readonly isRoot: boolean;
  /** The effective capabilities of this process, as a mask; null: unknown. */
  readonly capabilities: bigint | null;
  /** The soft limit of locked memory in bytes; Infinity: none; null: unknown. */
  readonly memlockBytes: number | null;
  /** The word in brackets in /sys/kernel/mm/transparent_hugepage/enabled; null: there is none. */
  readonly transparentHugePages: string | null;
  /** Huge pages of 2 MiB that nobody has. */
  readonly freeHugePages: number;
}

export interface UblkFacts {
  readonly available: boolean;
  readonly features: readonly string[];
  /** An error code, and what it says; null where it is available. */
  readonly code: string | null;
  readonly reason: string | null;
  readonly hint: string | null;
}

/** linux/capability.h */
const CAPABILITIES: readonly (readonly [bit: bigint, name: string])[] = [
  [14n, 'CAP_IPC_LOCK'],
  [21n, 'CAP_SYS_ADMIN'],
  [24n, 'CAP_SYS_RESOURCE'],
];
const CAP_IPC_LOCK = 1n << 14n;
/** Without these a killed server takes its device with it. */
const UBLK_NEEDED = ['user-recovery', 'user-recovery-reissue'];
/** Linux before these has no io_uring that is enough, and one that is slower. */
const KERNEL_LEAST = [5, 15] as const;
const KERNEL_FAST = [6, 1] as const;
/** Buffers of a server: about the least that one has. */
const SERVER_BYTES = 64 * 2 ** 20;

const MACHINE = { area: 'machine', stack: null } as const;

export function machineChecks(facts: MachineFacts): Check[] {
  return [
    kernelCheck(facts),
    addonCheck(facts),
    uringCheck(facts),
    ublkCheck(facts),
    capabilityCheck(facts),
    memlockCheck(facts),
    hugePageCheck(facts),
  ];
}

function kernelCheck({ kernel }: MachineFacts): Check {
  const question: Question = {
    ...MACHINE,
    name: 'kernel',
    lookedAt: 'uname -r',
    why: 'the data path needs io_uring of Linux 5.15, and what came with 6.1 makes it fast',
  };
  const found = `Linux ${kernel}`;
  const words = /^(\d+)\.(\d+)/.exec(kernel);
  if (words === null) return notApplicable(question, `${found}, of which nothing is known`);
  const version = [Number(words[1]), Number(words[2])] as const;
  if (isBefore(version, KERNEL_LEAST)) {
    return problem(question, found, 'use Linux 6.1 or later, for ublk 6.12 or later');
  }
  if (isBefore(version, KERNEL_FAST)) {
    return warning(question, found, 'use Linux 6.1 or later, for ublk 6.12 or later');
  }
  return ok(question, found);
}

type KernelVersion = readonly [major: number, minor: number];

function isBefore([major, minor]: KernelVersion, [least, leastMinor]: KernelVersion): boolean {
  return major < least || (major === least && minor < leastMinor);
}

function addonCheck({ features }: MachineFacts): Check {
  const { io_uring: ring, kernels } = features;
  const question: Question = {
    ...MACHINE,
    name: 'addon',
    lookedAt: 'the native addon, and which byte kernels it chooses for this processor',
    why: 'parity and checksums are computed there, and nothing is served without it',
  };
  if (kernels === null) {
    const why = ring.reason ?? 'it cannot be loaded';
    return problem(question, why, 'build it: npm run build:native');
  }
  if (kernels === 'portable') {
    const found = `byte kernels ${kernels}: this processor has none that are faster`;
    return warning(question, found, null);
  }
  return ok(question, `byte kernels ${kernels}`);
}

function uringCheck({ features: { io_uring: ring } }: MachineFacts): Check {
  const question: Question = {
    ...MACHINE,
    name: 'io-uring',
    lookedAt: 'a ring that was made and closed again (sysctl kernel.io_uring_disabled, seccomp)',
    why: 'every read and write of a stack goes through it',
  };
  if (!ring.available) {
    return problem(question, ring.reason ?? 'not available', ring.hint ?? 'bandstand features');
  }
  if (!ring.fixed_buffers) {
    const found = 'usable, but buffers cannot be registered';
    return warning(question, found, 'raise the limit of locked memory (ulimit -l)');
  }
  const flags = ring.setup_flags.length === 0 ? '' : ` (${ring.setup_flags.join(', ')})`;
  return ok(question, `usable${flags}`);
}

function ublkCheck({ isRoot, ublk }: MachineFacts): Check {
  const question: Question = {
    ...MACHINE,
    name: 'ublk',
    lookedAt: '/dev/ublk-control, and the features of its driver',
    why: 'without it there are no /dev/ublkbN: stacks are served over NBD only',
  };
  if (ublk.available) {
    const missing = UBLK_NEEDED.filter((name) => !ublk.features.includes(name));
    if (missing.length === 0) return ok(question, `available (${ublk.features.join(', ')})`);
    const found = `available, without ${missing.join(' and ')}: I/O fails when a server dies`;
    return warning(question, found, 'use Linux 6.12 or later');
  }
  const reason = ublk.reason ?? 'not available';
  if (!isRoot && ublk.code !== 'BANDSTAND_UBLK_UNAVAILABLE') {
    return notApplicable(question, 'only root can ask the driver');
  }
  if (!isRoot) return notApplicable(question, reason);
  const action = 'modprobe ublk_drv; where the kernel has none, export with --via nbd';
  return warning(question, reason, ublk.code === 'BANDSTAND_UBLK_UNAVAILABLE' ? action : ublk.hint);
}

function capabilityCheck({ capabilities, isRoot }: MachineFacts): Check {
  const question: Question = {
    ...MACHINE,
    name: 'capabilities',
    lookedAt: 'CapEff in /proc/self/status',
    why: 'a server of a block device must neither be swapped out nor wait for its own writeback',
  };
  if (!isRoot) return notApplicable(question, 'not root: files and NBD need none');
  if (capabilities === null) return notApplicable(question, 'the kernel does not tell');
  const missing = CAPABILITIES.flatMap(([bit, name]) =>
    ((capabilities >> bit) & 1n) === 0n ? [name] : [],
  );
  if (missing.length === 0) return ok(question, CAPABILITIES.map(([, name]) => name).join(', '));
  const action = `give them to the container or the service (--cap-add, AmbientCapabilities=)`;
  return warning(question, `root without ${missing.join(', ')}`, action);
}

function memlockCheck({ capabilities, isRoot, memlockBytes }: MachineFacts): Check {
  const question: Question = {
    ...MACHINE,
    name: 'memlock',
    lookedAt: 'Max locked memory in /proc/self/limits',
    why: 'the memory of a server of a block device is locked, so that reclaim cannot wait for it',
  };
  if (memlockBytes === null) return notApplicable(question, 'the kernel does not tell');
  const found = memlockBytes === Infinity ? 'no limit' : `a limit of ${formatSize(memlockBytes)}`;
  if (memlockBytes >= SERVER_BYTES) return ok(question, found);
  if (!isRoot) return notApplicable(question, `${found}; not root: nothing is promised`);
  if (capabilities === null || (capabilities & CAP_IPC_LOCK) !== 0n) {
    return ok(question, `${found}, which does not hold for root`);
  }
  const action = 'raise it: LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited';
  return warning(question, found, action);
}

function hugePageCheck({ freeHugePages, transparentHugePages }: MachineFacts): Check {
  const question: Question = {
    ...MACHINE,
    name: 'huge-pages',
    lookedAt: '/sys/kernel/mm/transparent_hugepage/enabled, and free pages of 2 MiB',
    why: 'with small pages the buffers of a server work, and cost more processor time',
  };
  if (transparentHugePages === 'always' || transparentHugePages === 'madvise') {
    return ok(question, `transparent (${transparentHugePages})`);
  }
  if (freeHugePages > 0) return ok(question, `${freeHugePages} free`);
  const found = `transparent ones are ${transparentHugePages ?? 'not built in'}, others none`;
  const action = 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled';
  return warning(question, found, transparentHugePages === null ? null : action);
}
