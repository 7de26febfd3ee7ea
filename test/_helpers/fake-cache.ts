/** The NV cache of a stack in the words of status, without a stack: a mirror of two. */

import {
  type CacheStatusDocument,
  IDLE,
  type MemberStatusDocument,
} from '../../src/control/schema.ts';
import { cacheOf } from './cache-status.ts';

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
  return cacheOf({
    device: 'tank-cache',
    activity: IDLE,
    array: {
      level: 'raid1',
      strip_size_bytes: null,
      superblock_seq: 1,
      members: [cacheMemberOf(0), cacheMemberOf(1)],
      spares: [],
    },
    undrained_bytes: 0,
    ...change,
  });
}
