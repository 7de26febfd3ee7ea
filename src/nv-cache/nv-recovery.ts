/**
 * NvRecovery: how far a start is, and the recovery after it, as plain data.         (control plane)
 */

import type { ProgressMeter } from '../block/progress.ts';
import type { CacheRestoreReport } from './cache-restore.ts';
import type { DrainProgress } from './drain-progress.ts';
import type { RingSpace } from './ring-space.ts';

/** Goes on when the start is over. */
export const DRAIN_FOUND = 'Drain what the NV cache had';

/** What was found of one phase. */
export interface RecoveryRange {
  readonly phase: number;
  /** Ring blocks: where its first record begins, and its last one ends. */
  readonly first: number;
  readonly last: number;
  /** Records that count, that the tail had left behind, and that were torn. */
  readonly valid: number;
  readonly old: number;
  readonly torn: number;
  /** Ring blocks that were in use, and how many of them were drained; 0 before that is known. */
  readonly blocks: number;
  readonly recovered: number;
}

export interface NvRecovery {
  /** The step of the start that is under way, or DRAIN_FOUND. */
  readonly step: string;
  /** The start is over. */
  readonly isOnline: boolean;
  readonly isOver: boolean;
  /** The last stop was clean; what it has left stays in the ring. */
  readonly clean: boolean;
  /** Of the step. */
  readonly doneBlocks: number;
  readonly totalBlocks: number;
  /** Null where an answer would be a guess. */
  readonly rateBytesPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly scannedBlocks: number;
  readonly scrubbedBlocks: number;
  readonly unreadableBlocks: number;
  readonly lostBlocks: number;
  readonly trims: number;
  readonly ranges: readonly RecoveryRange[];
}

/** `ring` and `recovery` are null while the start goes on. */
export interface RecoveryParts {
  readonly report: CacheRestoreReport;
  /** Of the start. */
  readonly meter: ProgressMeter;
  readonly ring: RingSpace | null;
  readonly recovery: DrainProgress | null;
  readonly nowUs: number;
}

export function nvRecovery(parts: RecoveryParts): NvRecovery {
  const { nowUs, recovery, report } = parts;
  const isOnline = recovery !== null;
  const isOver = isOnline && recovery.isOver;
  const meter = recovery?.meter ?? parts.meter;
  return {
    step: isOnline ? DRAIN_FOUND : report.step,
    isOnline,
    isOver,
    clean: report.clean,
    doneBlocks: isOnline ? recovery.done : Math.max(report.scannedBlocks, report.scrubbedBlocks),
    totalBlocks: isOnline ? recovery.to - recovery.from : report.totalBlocks,
    rateBytesPerSecond: isOver ? null : meter.rateBytesPerSecond(nowUs),
    etaSeconds: isOver ? null : meter.etaSeconds(nowUs),
    scannedBlocks: report.scannedBlocks,
    scrubbedBlocks: report.scrubbedBlocks,
    unreadableBlocks: report.unreadableBlocks,
    lostBlocks: report.found?.lost ?? 0,
    trims: report.found?.trims ?? 0,
    ranges: rangesOf(parts),
  };
}

function rangesOf({ recovery, report, ring }: RecoveryParts): RecoveryRange[] {
  const ranges: RecoveryRange[] = [];
  for (const [phase, found] of (report.found?.phases ?? []).entries()) {
    if (found.lowestAddress === null) continue;
    const { blocks, recovered } = inUse(phase, recovery, ring);
    ranges.push({
      phase,
      first: found.lowestAddress,
      last: found.highestAddress ?? found.lowestAddress,
      valid: found.records - found.old - found.torn,
      old: found.old,
      torn: found.torn,
      blocks,
      recovered,
    });
  }
  return ranges;
}

/** What was found lies in one lap or in two, and a lap has a phase. */
function inUse(phase: number, recovery: DrainProgress | null, ring: RingSpace | null) {
  let [blocks, recovered] = [0, 0];
  if (recovery === null || ring === null) return { blocks, recovered };
  const { from, to } = recovery;
  for (let start = from; start < to; start = ring.nextLap(start)) {
    if (ring.phaseOf(start) !== phase) continue;
    const end = Math.min(to, ring.nextLap(start));
    blocks += end - start;
    recovered += Math.min(Math.max(ring.drained - start, 0), end - start);
  }
  return { blocks, recovered };
}
