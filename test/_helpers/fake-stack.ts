/**
 * A control server without a stack behind it: tests say what it answers, and see what it was asked.
 */

import { mkdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import {
  type ActivityStatus,
  IDLE,
  type Method,
  PROTOCOL_VERSION,
  type StatusDocument,
} from '../../src/control/schema.ts';
import type { EventDocument } from '../../src/control/schema-events.ts';
import type { ActivityReply, MemberReply } from '../../src/control/schema-members.ts';
import { ControlServer, type MethodHandler } from '../../src/control/server.ts';
import { CliWorld } from './run-cli.ts';

const QUIET = { ios: 0, bytes: 0, p50_us: null, p99_us: null, p999_us: null, latency_buckets: [] };

export const REBUILD: ActivityStatus = {
  ...IDLE,
  kind: 'rebuild',
  pace: 'running',
  done_bytes: 1_573_292_507_136,
  total_bytes: 3_837_302_454_272,
  rate_bytes_per_second: 641_728_512,
  eta_seconds: 3528,
  member_slot: 2,
  mismatched_blocks: 0,
  repaired_blocks: 0,
  lost_blocks: 0,
};

export const MEMBER: MemberReply = {
  action: 'add',
  dry_run: false,
  of_cache: false,
  changed: true,
  device: '/dev/sdd',
  uuid: 'eeeeeeee-0000-4000-8000-000000000000',
  slot: 2,
  was: null,
  role: 'rebuild',
  mode: 'full',
  replaces: null,
  rebuild_device: '/dev/sdd',
  rebuild_slot: 2,
  waits_for: null,
  health: 'degraded',
};

export const ACTIVITY: ActivityReply = {
  action: 'show',
  dry_run: false,
  changed: false,
  activity: IDLE,
  limit_before: null,
};

/** A healthy mirror of two, exported nowhere. */
export function statusOf(name: string, change: Partial<StatusDocument> = {}): StatusDocument {
  const member = (slot: number, device: string) => ({
    slot,
    device,
    uuid: `0000000${slot}-0000-4000-8000-000000000000`,
    health: 'ok' as const,
    read_errors: 0,
    write_errors: 0,
    repaired_blocks: 0,
  });
  return {
    name,
    uuid: '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44',
    server: { pid: 7, version: '0.1.0', started_at: '2026-11-20T09:14:02.000Z' },
    health: 'healthy',
    reason: null,
    action: null,
    size_bytes: 2 ** 30,
    block_size: 4096,
    activity: IDLE,
    exports: [],
    array: {
      level: 'raid1',
      strip_size_bytes: null,
      superblock_seq: 1,
      members: [member(0, '/dev/sdb'), member(1, '/dev/sdc')],
      spares: [],
    },
    ftl: null,
    cache: null,
    io: { read: QUIET, write: QUIET, flush: QUIET, trim: QUIET },
    ...change,
  };
}

export function eventOf(sequence: number, change: Partial<EventDocument> = {}): EventDocument {
  return {
    sequence,
    time: new Date(Date.UTC(2026, 10, 20, 9, 14, sequence)).toISOString(),
    kind: 'warning',
    severity: 'warning',
    stack: 'tank',
    message: `event ${sequence}`,
    reason: null,
    action: null,
    slot: null,
    device: null,
    details: {},
    ...change,
  };
}

export interface Asked {
  readonly method: Method;
  readonly params: Readonly<Record<string, unknown>>;
}

export class FakeStack {
  readonly world: CliWorld;
  readonly asked: Asked[] = [];
  readonly #server: ControlServer;

  private constructor(world: CliWorld, name: string, handler: MethodHandler) {
    this.world = world;
    mkdirSync(world.path('run'), { recursive: true });
    const paths = {
      control: world.path(`run/${name}.control.sock`),
      status: world.path(`run/${name}.status.sock`),
    };
    this.#server = new ControlServer(paths, async (method, params) => {
      if (method === 'ping') {
        return { pid: process.pid, version: '0.1.0', protocol: PROTOCOL_VERSION };
      }
      if (method !== 'status' && method !== 'events') this.asked.push({ method, params });
      return await handler(method, params);
    });
  }

  static async start(
    t: ExecutionContext,
    name: string,
    handler: MethodHandler,
    world: CliWorld = new CliWorld(t),
  ): Promise<FakeStack> {
    const fake = new FakeStack(world, name, handler);
    await fake.#server.start();
    t.teardown(() => fake.stop());
    return fake;
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }
}
