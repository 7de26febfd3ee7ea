/**
 * The steps with which an NV cache starts, as events of the stack.                  (control plane)
 *
 * As the steps of other layers they go to the log; and because what a cache holds may be in no
 * other place, each is also an event for clients, with what it has found.
 */

import { formatCount } from '../block/quantities.ts';
import type { StepObserver } from '../block/steps.ts';
import { CACHE_STEPS } from '../nv-cache/cache-restore.ts';
import type { NvRecovery } from '../nv-cache/nv-recovery.ts';
import { stepEvents } from './step-events.ts';
import type { StackEvent } from './worker-messages.ts';

export type CacheCounts = Readonly<Record<string, number | boolean>>;

/** `recovery`: how far the start is. */
export function cacheStepEvents(
  emit: (event: StackEvent) => void,
  recovery: () => NvRecovery | null,
): StepObserver {
  const told = stepEvents(emit);
  return {
    stepStarted: (step, index, count) => {
      told.stepStarted(step, index, count);
      emit({ event: 'cache-step', step, state: 'started', error: null, counts: {} });
    },
    stepEnded: (step, error) => {
      told.stepEnded(step, error);
      const now = recovery();
      const counts = now === null ? {} : countsOf(step, now);
      const why = error === null ? null : error instanceof Error ? error.message : String(error);
      const state = why === null ? 'finished' : 'failed';
      emit({ event: 'cache-step', step, state, error: why, counts });
    },
  };
}

function countsOf(step: string, recovery: NvRecovery): CacheCounts {
  const sum = (column: 'valid' | 'old' | 'torn'): number =>
    recovery.ranges.reduce((total, range) => total + range[column], 0);
  switch (step) {
    case CACHE_STEPS.header:
      return { clean: recovery.clean };
    case CACHE_STEPS.scan: {
      const { scannedBlocks, unreadableBlocks } = recovery;
      const records = sum('valid') + sum('old') + sum('torn');
      return { scanned_blocks: scannedBlocks, unreadable_blocks: unreadableBlocks, records };
    }
    case CACHE_STEPS.recover: {
      const [valid, old, torn] = [sum('valid'), sum('old'), sum('torn')];
      const { lostBlocks, trims } = recovery;
      return {
        records_valid: valid,
        records_old: old,
        records_torn: torn,
        trims,
        lost_blocks: lostBlocks,
      };
    }
    case CACHE_STEPS.scrub:
      return { scrubbed_blocks: recovery.scrubbedBlocks };
    default:
      return {};
  }
}

/** `Scan the NV cache: 262 142 scanned blocks, 0 unreadable blocks, 2 013 records` */
export function cacheStepWords(event: Extract<StackEvent, { event: 'cache-step' }>): string {
  const { counts, error, state, step } = event;
  if (state === 'started') return `${step}: started`;
  if (state === 'failed') return `${step}: ${error}`;
  const words = Object.entries(counts).map(([key, value]) => {
    if (typeof value === 'boolean') return `${value ? '' : 'not '}stopped cleanly`;
    return `${formatCount(value)} ${key.replaceAll('_', ' ')}`;
  });
  return words.length === 0 ? `${step}: done` : `${step}: ${words.join(', ')}`;
}
