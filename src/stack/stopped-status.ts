/**
 * The status of a stack that has no server, from what is remembered of it.          (control plane)
 *
 * Reading must need no privileges, so members are not opened: one whose path is there counts as
 * what it was when the server ended, and whether it really is the member is found out at export, or
 * by `examine`.
 */

import { existsSync } from 'node:fs';
import { IDLE, type StatusDocument } from '../control/schema.ts';
import { MIRROR_SLOT_PREFIX } from './array-words.ts';
import type { RememberedCache, RememberedMember, RememberedStack } from './state-store.ts';

export function stoppedStatus(stack: RememberedStack, crashed: boolean): StatusDocument {
  const members = stack.members.map((member) => ({
    slot: member.slot,
    device: member.path,
    uuid: member.uuid,
    health: existsSync(member.path) ? member.health : ('missing' as const),
    read_errors: null,
    write_errors: null,
    repaired_blocks: null,
  }));
  const spares = stack.spares.map(({ uuid, path }) => ({
    slot: null,
    device: path,
    uuid,
    health: existsSync(path) ? ('spare' as const) : ('missing' as const),
    read_errors: null,
    write_errors: null,
    repaired_blocks: null,
  }));
  const lacking = [...lackingMembers(stack.members, ''), ...lackingCache(stack.cache)];
  return {
    name: stack.name,
    uuid: stack.uuid,
    server: null,
    health: 'stopped',
    reason: crashed
      ? 'its server ended without a clean stop'
      : lacking.length > 0
        ? lacking.join('; ')
        : null,
    action: crashed
      ? `export it again, or clean up after it: bandstand stop ${stack.name}`
      : `export it: bandstand export ${stack.name}`,
    size_bytes: stack.sizeBytes,
    block_size: stack.blockBytes,
    activity: IDLE,
    exports: [],
    array: {
      level: stack.level,
      strip_size_bytes: stack.stripBytes === 0 ? null : stack.stripBytes,
      superblock_seq: null,
      members,
      spares,
    },
    ftl: null,
    cache: null,
    io: null,
  };
}

/** What is known to be wrong with members, a phrase each. */
function lackingMembers(members: readonly RememberedMember[], slotPrefix: string): string[] {
  return members.flatMap(({ slot, path, health }) => {
    const place = `slot ${slotPrefix}${slot}`;
    const which = `member ${path} (${place})`;
    if (health === 'rebuilding') return [`${place} was being rebuilt`];
    if (health === 'failed') return [`${which} has failed`];
    if (!existsSync(path)) return [`${which} cannot be found`];
    return health === 'missing' ? [`${which} was out of service`] : [];
  });
}

/** The same for an NV cache, on one device or on the members of a mirror. */
function lackingCache(cache: RememberedCache | null): string[] {
  if (cache === null) return [];
  if (cache.path === null) return lackingMembers(cache.members, MIRROR_SLOT_PREFIX);
  return existsSync(cache.path) ? [] : [`its NV cache ${cache.path} cannot be found`];
}
