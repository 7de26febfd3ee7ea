/**
 * What an NV cache does, for those who wait for it: from the status document alone. (control plane)
 *
 * The activity of a stack is that of its array, where that does something. So of a recovery or a
 * drain status is asked where it says what the cache does.
 */

import { type ActivityStatus, IDLE, type StatusDocument } from '../control/schema.ts';

const BLOCK_BYTES = 4096;

/** A start goes on, or what it has found is not drained yet. */
export function isRecovering({ activity, cache, health }: StatusDocument): boolean {
  if (health === 'failed') return false;
  return activity.kind === 'recovery' || cache?.recovery?.over === false;
}

/** Something is to be drained, and that goes on; or a start does, and it is not known yet. */
export function isDraining(status: StatusDocument): boolean {
  const { cache } = status;
  if (status.health === 'failed') return false;
  if (isStarting(status)) return true;
  if (cache === null || cache.undrained_bytes === 0) return false;
  return cache.state === 'draining' || cache.state === 'recover';
}

/** Its steps are counted one by one: how much there will be to do in all is not known yet. */
export function isStarting({ health, server }: StatusDocument): boolean {
  return health === 'stopped' && server !== null;
}

/** The status, with what is waited for as its activity, if that is about the cache. */
export function cacheProgress(status: StatusDocument, kind: string): StatusDocument {
  if (kind !== 'recovery' && kind !== 'drain') return status;
  return { ...status, activity: activityOf(status, kind) };
}

function activityOf(status: StatusDocument, kind: 'recovery' | 'drain'): ActivityStatus {
  const { activity, cache } = status;
  if (isStarting(status)) return activity;
  if (activity.kind === 'recovery' || activity.kind === 'drain') return activity;
  const recovery = cache?.recovery ?? null;
  if (recovery === null || recovery.over) return { ...IDLE, kind };
  const { blocks_done: done, blocks_total: total, eta_seconds, step } = recovery;
  const rate = recovery.rate_bytes_per_second;
  return {
    ...IDLE,
    kind,
    step,
    pace: rate === 0 ? 'stalled' : eta_seconds === null ? 'estimating' : 'running',
    done_bytes: done * BLOCK_BYTES,
    total_bytes: total * BLOCK_BYTES,
    rate_bytes_per_second: rate,
    eta_seconds,
  };
}
