/** The NV cache of a stack in the words of status, without a stack: a mirror of two. */

import {
  type CacheStatusDocument,
  IDLE,
  type MemberStatusDocument,
} from '../../src/control/schema.ts';

export function cacheMemberOf(
  slot: number,
  change: Partial<MemberStatusDocument> = {},
): MemberStatusDocument {
  return {
    slot,
    device: `/dev/nvme${slot}n1`,
    uuid: null,
    health: 'ok',
    read_errors: 0,
    write_errors: 0,
    repaired_blocks: null,
    ...change,
  };
}

export function mirrorDocument(change: Partial<CacheStatusDocument> = {}): CacheStatusDocument {
  return {
    device: 'tank-cache',
    uuid: '0ca40ca4-0000-4000-8000-000000000001',
    health: 'ok',
    reason: null,
    action: null,
    activity: IDLE,
    array: {
      level: 'raid1',
      strip_size_bytes: null,
      superblock_seq: 1,
      members: [cacheMemberOf(0), cacheMemberOf(1)],
      spares: [],
    },
    size_bytes: 2 ** 30,
    used_bytes: 2 ** 20,
    undrained_bytes: 0,
    phase: 1,
    epoch: 1,
    user_blocks_written: 0,
    drained_blocks: 0,
    dropped_blocks: 0,
    read_blocks: 0,
    lost_blocks: 0,
    lost_ranges: [],
    ...change,
  };
}
