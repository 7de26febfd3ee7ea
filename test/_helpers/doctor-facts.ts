/** Facts for doctor's checks in which everything is as it should be, and ways to look at checks. */

import type { AssemblyFacts, DeviceFacts } from '../../src/cli/doctor/assembly-checks.ts';
import type { Check, CheckState } from '../../src/cli/doctor/check.ts';
import type { DirectoryFacts, PlaceFacts } from '../../src/cli/doctor/directory-checks.ts';
import type { StackLeftovers } from '../../src/cli/doctor/leftover-checks.ts';
import type { MachineFacts } from '../../src/cli/doctor/machine-checks.ts';
import type { ProcessFacts, ServerFacts } from '../../src/cli/doctor/server-checks.ts';
import { IDLE } from '../../src/control/schema.ts';

export const MACHINE: MachineFacts = {
  kernel: '6.12.0-1-amd64',
  features: {
    kernels: 'avx2+sse4.2',
    io_uring: {
      available: true,
      setup_flags: ['DEFER_TASKRUN'],
      fixed_buffers: true,
      fixed_files: true,
      huge_pages: true,
      reason: null,
      hint: null,
    },
  },
  ublk: {
    available: true,
    features: ['user-recovery', 'user-recovery-reissue'],
    code: null,
    reason: null,
    hint: null,
  },
  isRoot: true,
  capabilities: (1n << 14n) | (1n << 21n) | (1n << 24n),
  memlockBytes: 8 * 2 ** 20,
  transparentHugePages: 'madvise',
  freeHugePages: 0,
};

export function placeAt(path: string, change: Partial<PlaceFacts> = {}): PlaceFacts {
  const plain = { mode: 0o640, uid: 0, isWritable: true, onExport: null };
  return { path, kind: 'file', ...plain, ...change };
}

export function directoryAt(
  what: 'run' | 'state',
  change: Partial<DirectoryFacts> = {},
): DirectoryFacts {
  const place = placeAt(`/srv/${what}`, { kind: 'directory', mode: 0o755 });
  return { ...place, what, ownUid: 0, isForeign: false, ...change };
}

export const PROCESS: ProcessFacts = {
  uid: 0,
  lockedBytes: 100 * 2 ** 20,
  swappedBytes: 0,
  oomScoreAdj: -1000,
  isFlusher: true,
  isDataPathFlusher: true,
  hasOwnMounts: true,
  stuckMount: null,
  members: [{ path: '/dev/sdb', direct: true }],
  service: { notifies: true, watchdogUs: 30_000_000 },
};

const FTL = {} as NonNullable<NonNullable<ServerFacts['status']>['ftl']>;

export const SERVED: NonNullable<ServerFacts['status']> = {
  health: 'healthy',
  reason: null,
  action: null,
  activity: IDLE,
  cache: null,
  ftl: FTL,
  exports: [{ kind: 'ublk', address: '/dev/ublkb0', read_only: false, size_bytes: 4096 }],
  server: { pid: 4711, version: '1.2.3', started_at: '2026-11-20T09:41:07Z' },
};

export const SERVER: ServerFacts = {
  name: 'tank',
  pid: 4711,
  status: SERVED,
  silence: null,
  version: '1.2.3',
  process: PROCESS,
  log: placeAt('/run/bandstand/tank.log'),
  buffer: placeAt('/run/bandstand/tank.buffer'),
};

export const LEFT: StackLeftovers = {
  name: 'tank',
  isKnown: true,
  runDir: '/run/bandstand',
  device: null,
  deviceState: null,
  staleNote: null,
  sockets: [],
  buffer: null,
  holder: null,
};

export function memberAt(slot: number, change: Partial<DeviceFacts> = {}): DeviceFacts {
  return {
    path: `/dev/sd${'bcde'[slot]}`,
    role: 'member',
    slot,
    content: `member of tank (the UUID), slot ${slot} of 2, raid1`,
    error: null,
    damage: [],
    usage: null,
    ...change,
  };
}

export const ASSEMBLED: AssemblyFacts = {
  name: 'tank',
  error: null,
  startsDegraded: false,
  startsWith: null,
  clean: true,
  slots: [0, 1].map((slot) => ({
    slot,
    device: memberAt(slot).path,
    reason: null,
    recorded: false,
    filledBy: null,
  })),
  devices: [memberAt(0), memberAt(1)],
  unused: [],
  warnings: [],
  ftl: { state: 'found', where: null, error: null },
  cache: { state: 'found', where: '/dev/nvme0n1', error: null },
  buffer: { path: '/run/bandstand/tank.buffer', isThere: true },
};

/** The one check of this name. */
export function named(checks: readonly Check[], name: string): Check {
  const found = checks.filter((check) => check.name === name);
  if (found.length === 1) return found[0]!;
  throw new Error(`${found.length} checks are called ${name}: ${checks.map((c) => c.name)}`);
}

/** Names of the checks that are in this state. */
export function inState(checks: readonly Check[], state: CheckState): string[] {
  return checks.filter((check) => check.state === state).map(({ name }) => name);
}
