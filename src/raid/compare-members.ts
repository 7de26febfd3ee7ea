/**
 * compareMembers: a check of an array that nobody manages, because it is only read. (control plane)
 *
 * The same process as a check of a running stack, at full speed, and nothing is written.
 */

import type { LiveRanges } from '../block/live-ranges.ts';
import { ArrayProcessHost } from './array-process-host.ts';
import { Process } from './process.ts';
import { PROCESS_TUNING, type ProcessOutcome } from './process-host.ts';
import { ProcessRun, type RunPlan } from './process-run.ts';
import type { RaidArray } from './raid-array.ts';
import { AllRanges, LiveWork } from './work-ranges.ts';

/** More than any device does. */
const UNLIMITED_BYTES_PER_SECOND = 2 ** 40;

export interface Comparison {
  /** Blocks of the array's size that disagree, or that one member cannot read. */
  readonly mismatches: number;
  /** Blocks that cannot be read from any member. */
  readonly lostBlocks: number;
  /** False when it has ended before it had seen everything. */
  readonly complete: boolean;
}

/**
 * Null where there is nothing to compare. The array is open, and nobody writes to it. `written` is
 * what a layer above has written and needs, as SpaceUser says; null: everything is compared.
 */
export async function compareMembers(
  array: RaidArray,
  written: LiveRanges | null,
  advanced: (doneBytes: number, totalBytes: number) => void,
): Promise<Comparison | null> {
  if (!array.isRedundant) return null;
  const host = new ArrayProcessHost(array);
  if (!Process.canCheck(host)) return null;
  const plan: RunPlan = {
    kind: 'check',
    slot: null,
    replace: false,
    delta: false,
    repair: false,
    resumeBlock: 0,
    startBlock: 0,
    blocksBefore: 0,
    ranges: written === null ? new AllRanges(host.memberDataBlocks) : new LiveWork(written, host),
    unflushed: null,
  };
  const tuning = { ...PROCESS_TUNING, limitBytesPerSecond: UNLIMITED_BYTES_PER_SECOND };
  let end: ProcessOutcome = { kind: 'stopped' };
  const run = new ProcessRun(host, plan, tuning, {
    runAdvanced: (one) => {
      const { doneBytes, totalBytes } = one.status();
      advanced(doneBytes, totalBytes);
    },
    runEnded: (_run, outcome) => {
      end = outcome;
    },
    runMismatch: () => {},
    runLost: () => {},
  });
  await run.ended;
  const { lostBlocks, mismatches } = run;
  return { mismatches, lostBlocks, complete: isDone(end) };
}

function isDone(outcome: ProcessOutcome): boolean {
  return outcome.kind === 'done';
}
