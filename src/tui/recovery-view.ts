/**
 * What a start has behind it, and before it, from the status document.             (user interface)
 *
 * A start of an NV cache reads its header, scans the ring, decides what counts, and scrubs a ring
 * that a crash has left half made; then the stack is online, and what was found is drained behind
 * its back. A start without one has only the step that it is at.
 */

import { formatCount, formatSize } from '../block/quantities.ts';
import type {
  CacheRangeDocument,
  CacheRecoveryDocument,
  CacheStatusDocument,
  StatusDocument,
} from '../control/schema.ts';
import { type ActivityView, activityView, BLOCK_BYTES, blocksText } from './view.ts';

export const RECOVERY_STEPS = ['header', 'scan', 'recover', 'scrub', 'drain'] as const;
export type RecoveryStep = (typeof RECOVERY_STEPS)[number];

export interface StepView {
  readonly step: RecoveryStep | 'start';
  readonly state: 'done' | 'now' | 'next';
  readonly words: string;
}

export interface RecoveryView {
  /** In the words of the log. */
  readonly title: string;
  readonly steps: readonly StepView[];
  readonly progress: ActivityView;
  /** By phase: what was found, and where. */
  readonly ranges: readonly string[];
  /** What nobody has any more. */
  readonly loss: string;
  readonly isLossy: boolean;
  /** The stack can be used. */
  readonly isOnline: boolean;
}

/** Null when there is none. */
export function recoveryView(status: StatusDocument): RecoveryView | null {
  const { activity, cache } = status;
  const recovery = cache?.recovery ?? null;
  const isOnline = status.health !== 'stopped';
  if (recovery === null || cache === null) {
    if (activity.kind !== 'recovery') return null;
    const words = activity.step ?? '';
    return {
      title: words,
      steps: [{ step: 'start', state: 'now', words }],
      progress: activityView(activity, ''),
      ranges: [],
      loss: 'none known',
      isLossy: false,
      isOnline,
    };
  }
  if (recovery.over) return null;
  return cacheRecovery(cache, recovery, isOnline);
}

function cacheRecovery(
  cache: CacheStatusDocument,
  recovery: CacheRecoveryDocument,
  isOnline: boolean,
): RecoveryView {
  const now = stepNow(cache);
  const at = RECOVERY_STEPS.indexOf(now);
  const lost = Math.max(recovery.lost_blocks, cache.lost_blocks);
  return {
    title: recovery.step,
    steps: RECOVERY_STEPS.map((step, index) => ({
      step,
      state: index < at ? 'done' : index === at ? 'now' : 'next',
      words: wordsOf(step, index <= at, cache, recovery),
    })),
    progress: progressOf(recovery),
    ranges: recovery.ranges.map(rangeWords),
    loss: lossWords(lost, recovery, at > RECOVERY_STEPS.indexOf('recover')),
    isLossy: lost > 0 || recovery.unreadable_blocks > 0,
    isOnline,
  };
}

/** What counts is known when the start is over, so `recover` with numbers is the drain. */
function stepNow({ state, used_bytes: used }: CacheStatusDocument): RecoveryStep {
  if (used !== null) return 'drain';
  return RECOVERY_STEPS.find((step) => step === state) ?? 'header';
}

function progressOf(recovery: CacheRecoveryDocument): ActivityView {
  const { blocks_done: done, blocks_total: total, eta_seconds: eta } = recovery;
  const rate = recovery.rate_bytes_per_second;
  return activityView(
    {
      kind: 'recovery',
      step: null,
      pace: rate === 0 ? 'stalled' : eta === null ? 'estimating' : 'running',
      done_bytes: total === 0 ? null : Math.min(done, total) * BLOCK_BYTES,
      total_bytes: total === 0 ? null : total * BLOCK_BYTES,
      rate_bytes_per_second: rate,
      eta_seconds: eta,
      limit_bytes_per_second: null,
      member_slot: null,
      mismatched_blocks: null,
      repaired_blocks: null,
      lost_blocks: null,
    },
    '',
  );
}

function wordsOf(
  step: RecoveryStep,
  isReached: boolean,
  { epoch }: CacheStatusDocument,
  recovery: CacheRecoveryDocument,
): string {
  const { ranges, scanned_blocks: scanned, trims, unreadable_blocks: bad } = recovery;
  switch (step) {
    case 'header':
      return epoch === null ? 'read the header' : `start number ${formatCount(epoch)}`;
    case 'scan': {
      const read = `${formatSize(scanned * BLOCK_BYTES)} of the ring read`;
      if (!isReached) return 'read the ring';
      return bad === 0 ? read : `${read}, ${blocksText(bad)} cannot be read`;
    }
    case 'recover': {
      const valid = ranges.reduce((sum, range) => sum + range.records_valid, 0);
      if (!isReached) return 'decide which records count';
      return `${formatCount(valid)} records and ${formatCount(trims)} trims count`;
    }
    case 'scrub':
      return isReached ? 'the ring is sound' : 'empty a ring that is half made';
    default:
      return 'bring what was found to the FTL';
  }
}

/** `phase 1  blocks 2 to 81: 40 records, 3 old, 1 torn; 12 of 80 blocks drained` */
function rangeWords(range: CacheRangeDocument): string {
  const { blocks, first, last, phase, recovered } = range;
  const counts = [`${formatCount(range.records_valid)} records`];
  if (range.records_old > 0) counts.push(`${formatCount(range.records_old)} old`);
  if (range.records_torn > 0) counts.push(`${formatCount(range.records_torn)} torn`);
  const drained =
    blocks === 0 ? '' : `; ${formatCount(recovered)} of ${formatCount(blocks)} blocks drained`;
  const where = `blocks ${formatCount(first)} to ${formatCount(last)}`;
  return `phase ${phase}  ${where}: ${counts.join(', ')}${drained}`;
}

function lossWords(lost: number, recovery: CacheRecoveryDocument, isKnown: boolean): string {
  const { unreadable_blocks: bad } = recovery;
  if (lost > 0) return `${blocksText(lost)} of the stack: nobody has their newest content`;
  if (isKnown) return 'none known: all that was found can be read';
  if (bad > 0) return `what was in ${blocksText(bad)} of the ring that cannot be read, perhaps`;
  return 'not known before all is read';
}
