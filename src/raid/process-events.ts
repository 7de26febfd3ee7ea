/**
 * What the processes of an array tell: the event of each begin, end and find.       (control plane)
 *
 * Functions from what happened to the sentence, its reason and the command that helps; nothing here
 * decides anything.
 */

import type { BandstandError } from '../block/errors.ts';
import { formatCount, formatSize } from '../block/quantities.ts';
import { EIO, statusName, statusText } from '../block/status.ts';
import type { EventParts } from './array-events.ts';
import type { Target } from './member.ts';
import type { ProcessOutcome } from './process-host.ts';
import type { ProcessRun, RunPlan } from './process-run.ts';
import type { RaidArray } from './raid-array.ts';
import type { Candidate } from './rebuild-steps.ts';

// --- any process --------------------------------------------------------------------------------

export function cannotRun({ kind }: RunPlan, error: BandstandError): EventParts {
  return {
    kind: `${kind}-stopped`,
    severity: 'error',
    message: `the ${kind} cannot run`,
    reason: error.message,
    action: error.hint,
  };
}

function outcomeText(array: RaidArray, outcome: ProcessOutcome): string | null {
  if (outcome.kind === 'done') return null;
  if (outcome.kind === 'stopped') return 'it was asked for';
  const { slot, memberBlock } = outcome;
  const who = slot === null ? 'the target' : `the member in slot ${slot}`;
  if (slot !== null && array.members[slot]!.device === null) return `${who} is out of service`;
  const at = formatSize(memberBlock * array.blockBytes);
  const status = outcome.status || EIO;
  return `${who}, ${at} into its data: ${statusText(status)} (${statusName(status)})`;
}

export function rangeLost(run: ProcessRun, memberBlock: number, count: number): EventParts {
  return {
    kind: 'range-lost',
    severity: 'error',
    message: `${blocks(count)} from member block ${memberBlock} on cannot be read from any member`,
    reason: `found by the ${run.plan.kind}`,
    action: 'write them again, or restore them from a backup',
    details: { member_block: memberBlock, blocks: count },
  };
}

// --- resync -------------------------------------------------------------------------------------

/** `isAll`: no layer above says that it uses less. */
export function resyncStarted(regions: number, all: number, isAll: boolean): EventParts {
  const most = isAll ? 'of everything' : 'of all that is used';
  const share = regions === all ? most : `of ${regions} of ${all} regions`;
  return {
    kind: 'resync-started',
    message: `resync ${share} started`,
    reason: 'members may differ there since a crash, a failed write, or creation',
    details: { regions, regions_total: all },
  };
}

export function resyncEnded(
  array: RaidArray,
  run: ProcessRun,
  outcome: ProcessOutcome,
): EventParts {
  const { repaired, lostBlocks } = run;
  const whole = outcome.kind === 'done' && lostBlocks === 0;
  const trouble = outcome.kind === 'done' ? `could not read ${blocks(lostBlocks)}` : 'has stopped';
  return {
    kind: whole ? 'resync-finished' : 'resync-stopped',
    severity: whole ? 'info' : 'error',
    message: whole
      ? `resync is complete: ${blocks(repaired)} differed and are equal now`
      : `resync ${trouble}`,
    reason: outcomeText(array, outcome),
    action: whole ? null : 'look at the members (dmesg), and replace the one that cannot be read',
    details: { repaired_blocks: repaired, lost_blocks: lostBlocks },
  };
}

// --- rebuild ------------------------------------------------------------------------------------

export function rebuildStarted(
  run: ProcessRun,
  { device, begun }: Candidate,
  isAll: boolean,
): EventParts {
  const { slot, delta, replace } = run.plan;
  const { doneBytes, totalBytes } = run.status();
  const what = `${replace ? 'replacement' : 'rebuild'} of slot ${slot}`;
  const used = isAll ? null : 'only what is used is copied';
  return {
    kind: 'rebuild-started',
    message: `${what} onto ${device.name} ${begun ? 'goes on' : 'started'}`,
    reason: delta ? 'only what was written without it is copied' : used,
    slot,
    device: device.name,
    details: { delta, replace, resumed: begun, done_bytes: doneBytes, total_bytes: totalBytes },
  };
}

export function rebuildRefused(slot: number, device: string, error: BandstandError): EventParts {
  return {
    kind: 'rebuild-stopped',
    severity: 'error',
    message: `rebuild of slot ${slot} onto ${device} cannot begin`,
    reason: error.message,
    action: error.hint,
    slot,
    device,
  };
}

/** `device`: the name of the target, which is gone by now; null: it was gone before. */
export function rebuildStopped(
  array: RaidArray,
  run: ProcessRun,
  outcome: ProcessOutcome,
  device: string | null,
): EventParts {
  const { slot } = run.plan;
  const { option, stack } = array.address;
  const again = `bandstand member add ${stack} ${device ?? 'DEVICE'}${option}`;
  const stopped = outcome.kind === 'stopped';
  return {
    kind: 'rebuild-stopped',
    severity: stopped ? 'warning' : 'error',
    message: `rebuild of slot ${slot} has stopped`,
    reason: outcomeText(array, outcome),
    action: stopped
      ? `begin it again with: ${again}`
      : `look at the members (dmesg), then: ${again}`,
    slot,
    device,
    details: { lost_blocks: run.lostBlocks },
  };
}

export function rebuildFinished(array: RaidArray, slot: number, target: Target): EventParts[] {
  const device = target.device.name;
  const what = target.replaces ? 'replacement' : 'rebuild';
  const events: EventParts[] = [
    {
      kind: 'rebuild-finished',
      message: `${what} of slot ${slot} onto ${device} is complete`,
      slot,
      device,
    },
    {
      kind: 'member-in-service',
      message: `${device} is in service in slot ${slot}`,
      slot,
      device,
    },
  ];
  if (array.absent === 0) {
    events.push({ kind: 'array-healthy', message: 'the array is whole again' });
  }
  return events;
}

// --- check --------------------------------------------------------------------------------------

export function checkStarted({ repair, startBlock }: RunPlan): EventParts {
  const resumed = startBlock > 0;
  return {
    kind: 'check-started',
    message: `check${repair ? ' with repair' : ''} ${resumed ? 'goes on' : 'started'}`,
    details: { repair, resumed },
  };
}

/** `waits`: it made way for a rebuild. */
export function checkEnded(
  array: RaidArray,
  run: ProcessRun,
  outcome: ProcessOutcome,
  waits: boolean,
): EventParts {
  const { mismatches, lostBlocks, repaired } = run;
  const { repair } = run.plan;
  const done = outcome.kind === 'done';
  const bad = mismatches > 0 || lostBlocks > 0;
  const found = `${blocks(mismatches)} disagreed, ${blocks(lostBlocks)} could not be read`;
  const left = bad && !repair ? 'nothing was changed' : `${repaired} were repaired`;
  return {
    kind: done ? 'check-finished' : 'check-stopped',
    severity: bad || outcome.kind === 'failed' ? 'warning' : 'info',
    message: `check ${done ? 'is complete' : 'has stopped'}: ${found}; ${left}`,
    reason: waits
      ? 'a rebuild goes first; the check goes on after it'
      : outcomeText(array, outcome),
    action: bad && !repair ? `bandstand check ${array.address.stack} --repair` : null,
    details: {
      mismatched_blocks: mismatches,
      repaired_blocks: repaired,
      lost_blocks: lostBlocks,
      waits,
    },
  };
}

function blocks(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'}`;
}

/** Null when it would be one of too many: they are told ever more rarely. */
export function mismatchFound(
  run: ProcessRun,
  memberBlock: number,
  count: number,
  repaired: boolean,
): EventParts | null {
  if (run.plan.kind === 'resync') return null;
  const total = run.mismatches;
  if (Math.floor(Math.log2(total)) === Math.floor(Math.log2(total - count))) return null;
  return {
    kind: 'mismatch-found',
    severity: 'warning',
    message: `${blocks(total)} disagreed so far, now at member block ${memberBlock}`,
    reason: repaired ? 'they were repaired' : 'nothing was changed',
    details: { member_block: memberBlock, blocks: count, total },
  };
}
