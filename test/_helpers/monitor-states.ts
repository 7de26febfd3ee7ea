/** Stacks as the monitor sees them, without a server: quiet, at a rebuild, at a recovery. */

import {
  type ActivityStatus,
  IDLE,
  type IoStatus,
  type MemberStatusDocument,
  type StatusDocument,
} from '../../src/control/schema.ts';
import { firstState, type MonitorState } from '../../src/tui/monitor-state.ts';
import { type MonitorEvent, reduce } from '../../src/tui/reducer.ts';
import { cacheOf, recoveryOf } from './cache-status.ts';
import { eventOf, REBUILD, statusOf } from './fake-stack.ts';

export const LOOK_MS = Date.UTC(2026, 10, 20, 9, 41, 7);

function member(slot: number, change: Partial<MemberStatusDocument> = {}): MemberStatusDocument {
  return {
    slot,
    device: `/dev/nvme${slot}n1`,
    uuid: `0000000${slot}-0000-4000-8000-000000000000`,
    health: 'ok',
    read_errors: 0,
    write_errors: 0,
    repaired_blocks: 0,
    ...change,
  };
}

/** Operations since the start: so many of so many bytes, each as long as its bucket says. */
export function ioOf(ios: number, bytes: number, us: number): IoStatus {
  const latency_buckets = ios === 0 ? [] : [[us, ios] as const];
  return { ios, bytes, p50_us: us, p99_us: us, p999_us: us, latency_buckets };
}

/** 506 bands: a map, old ones, open ones, free ones. */
const CELLS = `M${'9'.repeat(150)}${'7'.repeat(60)}${'4'.repeat(40)}${'1'.repeat(20)}OG!${'.'.repeat(232)}`;

/** raid5f under an FTL and an NV cache; slot 2 is being rebuilt. */
export function rebuildStatus(change: Partial<StatusDocument> = {}): StatusDocument {
  return statusOf('tank', {
    health: 'degraded',
    reason: 'slot 2 is being rebuilt onto /dev/nvme5n1',
    action: 'let the rebuild finish; a further failure before that loses data',
    size_bytes: 10_709_243_658_240,
    exports: [
      {
        kind: 'ublk',
        address: '/dev/ublkb0',
        read_only: false,
        size_bytes: 10_709_243_658_240,
      },
    ],
    activity: REBUILD,
    array: {
      level: 'raid5f',
      strip_size_bytes: 131_072,
      superblock_seq: 88_412,
      members: [
        member(0),
        member(1, { read_errors: 1, repaired_blocks: 2 }),
        member(2, { device: '/dev/nvme5n1', health: 'rebuilding' }),
        member(3),
      ],
      spares: [member(0, { slot: null, device: '/dev/nvme6n1', health: 'spare' })],
    },
    ftl: {
      op_percent: 7,
      bands: {
        total: 506,
        free: 232,
        open: 1,
        closed: 272,
        size_bytes: 2 ** 30,
        map: { bands_per_cell: 1, cells: CELLS },
      },
      valid_blocks: 60_000_000,
      user_blocks_written: 100_000_000,
      relocated_blocks_written: 20_000_000,
      metadata_blocks_written: 1_000_000,
      write_amplification: 1.34,
      wrong_checksums: 0,
      repaired_checksums: 0,
      unreadable_blocks: 0,
    },
    cache: cacheOf({
      ring: {
        first_block: 2,
        block_count: 16_384,
        tail_block: 12_290,
        drained_block: 14_338,
        head_block: 4098,
      },
      undrained_bytes: 2 ** 25 - 2048 * 4096,
      drained_blocks: 3000,
      dropped_blocks: 1000,
    }),
    io: {
      read: ioOf(1000, 2 ** 30, 200),
      write: ioOf(1000, 2 ** 29, 1900),
      flush: ioOf(0, 0, 0),
      trim: ioOf(0, 0, 0),
    },
    ...change,
  });
}

/** The start of a stack after a crash: its cache is being scanned, or what it had is drained. */
export function recoveryStatus(at: 'scan' | 'drain'): StatusDocument {
  const ranges = [
    {
      phase: 1,
      first: 12_290,
      last: 16_385,
      records_valid: 812,
      records_old: 3,
      records_torn: 0,
      blocks: at === 'scan' ? 0 : 4096,
      recovered: at === 'scan' ? 0 : 4096,
    },
    {
      phase: 2,
      first: 2,
      last: 4097,
      records_valid: 700,
      records_old: 0,
      records_torn: 1,
      blocks: at === 'scan' ? 0 : 4096,
      recovered: at === 'scan' ? 0 : 655,
    },
  ];
  if (at === 'drain') {
    const recovery = recoveryOf({ ranges, trims: 12, scanned_blocks: 16_384 });
    const activity: ActivityStatus = {
      ...IDLE,
      kind: 'recovery',
      step: recovery.step,
      pace: 'running',
      done_bytes: 2 ** 23,
      total_bytes: 2 ** 25,
      rate_bytes_per_second: 2 ** 22,
      eta_seconds: 6,
    };
    return rebuildStatus({
      health: 'healthy',
      reason: null,
      action: null,
      activity,
      cache: cacheOf({ state: 'recover', epoch: 4, recovery }),
    });
  }
  const recovery = recoveryOf({
    step: 'Scan the NV cache',
    ranges,
    blocks_done: 8192,
    blocks_total: 16_384,
    scanned_blocks: 8192,
    unreadable_blocks: 2,
  });
  return statusOf('tank', {
    health: 'stopped',
    reason: 'it is being started: Scan the NV cache',
    action: 'wait until it can be used: bandstand wait tank',
    activity: { ...IDLE, kind: 'recovery', step: 'Scan the NV cache', pace: 'estimating' },
    array: null,
    io: null,
    cache: cacheOf({
      state: 'scan',
      uuid: null,
      epoch: null,
      phase: null,
      used_bytes: null,
      undrained_bytes: null,
      recovery,
    }),
  });
}

export const EVENTS = [
  eventOf(2, {
    severity: 'error',
    kind: 'member-failed',
    message: '/dev/nvme2n1 (slot 2): 17 read errors, failed',
    reason: 'it returned I/O errors',
    action: 'replace it: bandstand member add tank DEVICE; or look at dmesg',
    details: { slot: 2, read_errors: 17 },
  }),
  eventOf(9, { severity: 'info', message: 'rebuild of slot 2 onto /dev/nvme5n1 started' }),
  eventOf(31, { message: '/dev/nvme1n1: 2 blocks failed their checksum and were repaired' }),
];

export interface StateOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly status?: StatusDocument | null;
  /** What happens then. */
  readonly after?: readonly MonitorEvent[];
  readonly names?: readonly string[];
}

/** What is done so many times: rates and latencies of the curves follow from that. */
const LOOKS = [0, 4, 9, 16, 12, 1, 0, 30];

/** Seen for eight looks, with a gap after the third one. */
export function stateOf(options: StateOptions = {}): MonitorState {
  const {
    columns = 100,
    names = ['tank'],
    rows = 30,
    status = rebuildStatus(),
    after = [],
  } = options;
  let state = firstState({ names, columns, rows, intervalMs: 2000, withServer: false });
  const apply = (event: MonitorEvent): void => {
    state = reduce(state, event);
  };
  let [reads, writes] = [1000, 1000];
  if (status !== null) {
    LOOKS.forEach((amount, index) => {
      reads += 20 * amount;
      writes += 10 * amount;
      const io = status.io && {
        ...status.io,
        read: ioOf(reads, reads * 2 ** 20, 200),
        write: ioOf(writes, writes * 2 ** 20, 1900),
      };
      const events = index === 0 ? EVENTS : [];
      const atMs = LOOK_MS - (LOOKS.length - 1 - index) * 2000;
      apply({ kind: 'look', generation: 0, atMs, status: { ...status, io }, events, missed: 0 });
      if (index === 2) {
        apply({ kind: 'silence', generation: 0, atMs: atMs + 1000, why: 'it did not answer' });
      }
    });
  }
  for (const event of after) apply(event);
  return state;
}

export function keys(...names: readonly string[]): MonitorEvent[] {
  return names.map((key) => ({ kind: 'key', key }));
}
