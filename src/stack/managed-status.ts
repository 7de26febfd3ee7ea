/**
 * From the state of a managed array to health, reason, action and activity.         (control plane)
 *
 * Pure: the words that status shows are made here and nowhere else, so that every reader (text,
 * JSON, events) tells the same.
 */

import { formatSize } from '../block/quantities.ts';
import {
  type ActivityStatus,
  type Health,
  IDLE,
  type MemberStatusDocument,
} from '../control/schema.ts';
import { type LevelName, levelRules } from '../raid/level-rules.ts';
import type { AbsentSpare } from './absent-spares.ts';
import type { ArrayWords } from './array-words.ts';
import type { ManagedProcess, ManagedStatus } from './managed-array.ts';

export interface ManagedStack {
  readonly words: ArrayWords;
  readonly level: LevelName;
  /** Nothing about its members can be changed. */
  readonly readOnly: boolean;
  readonly hasFtl: boolean;
  readonly status: ManagedStatus;
  /** Why the slot is out of service: a phrase, or null when that is not known. */
  why(slot: number): string | null;
}

export function managedHealth({ members, failed }: ManagedStatus): Health {
  if (failed) return 'failed';
  return members.every(({ health }) => health === 'ok') ? 'healthy' : 'degraded';
}

/** How many members more may fail before data is lost. */
export function failuresLeft(level: LevelName, { members }: ManagedStatus): number {
  const out = members.filter(({ health }) => health !== 'ok').length;
  return levelRules(level).tolerates(members.length) - out;
}

export function managedReason(stack: ManagedStack): string | null {
  const { status } = stack;
  const parts: string[] = [];
  for (const { slot, device, health } of status.members) {
    if (health === 'ok') continue;
    if (health === 'rebuilding') {
      // Why the slot was lost is not why it is being filled.
      parts.push(`slot ${slot} is being rebuilt onto ${device}`);
      continue;
    }
    const which = device === null ? `the member in slot ${slot}` : `${device} (slot ${slot})`;
    const why = stack.why(slot);
    parts.push(`${which} is ${health}${why === null ? '' : ` (${why})`}`);
  }
  if (status.lost !== null) parts.push(status.lost);
  const { process } = status;
  if (parts.length === 0 && process?.kind === 'resync') {
    return 'members may differ where a crash, a failed write or their creation left them so, and are made equal there';
  }
  return parts.length === 0 ? null : parts.join('; ');
}

export function managedAction(stack: ManagedStack): string | null {
  const { words, level, readOnly, hasFtl, status } = stack;
  const { option, stack: name } = words;
  if (status.failed) return 'stop it, and look at its members and the kernel log (dmesg)';
  const { process } = status;
  if (process?.paused === true && process.kind !== 'check') {
    return `resume the ${process.kind}: bandstand rebuild ${name} --resume${option}`;
  }
  if (managedHealth(status) === 'healthy') return null;
  const left = failuresLeft(level, status);
  if (readOnly) return readOnlyAction(name, level === 'raid5f' && !hasFtl, left);
  const risk = left > 0 ? '' : '; a further failure before that loses data';
  if (process?.kind === 'rebuild') return `let the rebuild finish${risk}`;
  const [spare] = status.spares;
  if (spare !== undefined && process === null) {
    // It is not taken by itself after a rebuild was cancelled.
    const again = `bandstand member remove ${name} ${spare.device}, then bandstand member add ${name} ${spare.device}${option}`;
    return `begin the rebuild onto its spare: ${again}${risk}`;
  }
  return `put a device in its place: bandstand member add ${name} DEVICE${option}${risk}`;
}

/** A read-only stack is degraded, and cannot be made whole as it is. */
function readOnlyAction(name: string, always: boolean, left: number): string {
  const risk = left > 0 ? '' : '; a further failure loses data';
  return always
    ? `copy its data to another stack: raid5f without an FTL cannot be rebuilt${risk}`
    : `start it for writing, and add a device: bandstand stop ${name}, bandstand export ${name}${risk}`;
}

/** An export keeps the size with which it began; null when that is the size of the array. */
export function grownWords(
  name: string,
  sizeBytes: number,
  exportBytes: number,
): { readonly reason: string; readonly action: string } | null {
  if (sizeBytes === exportBytes) return null;
  return {
    reason: `the array has ${formatSize(sizeBytes)} since it has grown, its export still ${formatSize(exportBytes)}`,
    action: `unexport it and export it again: bandstand unexport ${name}, then bandstand export ${name}`,
  };
}

export function managedActivity(process: ManagedProcess | null): ActivityStatus {
  if (process === null) return IDLE;
  const { kind, paused, rateBytesPerSecond: rate, etaSeconds: eta } = process;
  return {
    kind,
    step: process.replace ? 'copy' : process.repair && kind === 'check' ? 'repair' : null,
    pace: paused ? 'paused' : rate === 0 ? 'stalled' : eta === null ? 'estimating' : 'running',
    done_bytes: Math.min(process.doneBytes, process.totalBytes),
    total_bytes: process.totalBytes,
    rate_bytes_per_second: paused || rate === null ? null : Math.round(rate),
    eta_seconds: paused || eta === null ? null : Math.max(0, Math.round(eta)),
    limit_bytes_per_second: process.limitBytesPerSecond,
    member_slot: process.slot,
    mismatched_blocks: process.mismatches,
    repaired_blocks: process.repaired,
    lost_blocks: process.lostBlocks,
  };
}

export function managedMembers({ members }: ManagedStatus): MemberStatusDocument[] {
  return members.map((member) => ({ ...member }));
}

/**
 * Spares, before them the device that is being filled to replace a member in service, behind them
 * those that are not here.
 */
export function managedSpares(
  { spares, process }: ManagedStatus,
  absent: readonly AbsentSpare[],
): MemberStatusDocument[] {
  const unknown = { read_errors: null, write_errors: null, repaired_blocks: null };
  const target = process?.replace === true ? process.target : null;
  const others = spares.filter(({ uuid }) => uuid !== target?.uuid);
  return [
    ...(target === null
      ? []
      : [{ slot: process!.slot, ...target, health: 'rebuilding' as const, ...unknown }]),
    ...others.map((spare) => ({ slot: null, ...spare, health: 'spare' as const, ...unknown })),
    ...absent.map(({ uuid, path, why }) => {
      const health = why === null ? ('spare' as const) : ('missing' as const);
      return { slot: null, uuid, device: path, health, ...unknown };
    }),
  ];
}
