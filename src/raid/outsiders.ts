/**
 * What becomes of an array's devices that fill no slot.                             (control plane)
 *
 * One may be the target of a rebuild that goes on (rebuild-target.ts). Members that were left out
 * may return (returning-members.ts), and so may a device that was made a target and had not begun:
 * its slot is still free. The others are left aside. Each gets its reason, and the reason of an
 * empty slot says what is known about the device that belongs there.
 */

import type { AssembledSlot } from './assemble.ts';
import type { Examination } from './examine.ts';
import type { Find } from './find-array.ts';
import { ownLabel } from './own-label.ts';
import { findTarget, type RebuildTarget, type TargetSearch } from './rebuild-target.ts';
import { judgeReturn, type ReturningMember, usedApart } from './returning-members.ts';
import type { Superblock } from './superblock.ts';

export interface Outsiders {
  /** The slots as given, with what is known now in the reasons of the empty ones. */
  readonly slots: readonly AssembledSlot[];
  readonly returning: readonly ReturningMember[];
  readonly target: RebuildTarget | null;
  readonly unused: readonly { readonly device: string; readonly reason: string }[];
  readonly warnings: readonly string[];
  /** The devices without a superblock that were judged here. */
  readonly bare: readonly Examination[];
}

/** A device that belongs into an empty slot. */
interface Absentee {
  readonly slot: AssembledSlot;
  readonly holder: Examination;
}

/**
 * `holders` are the devices with a superblock by member UUID, `strangers` those of them with the
 * role target that the newest superblock does not list.
 */
export function sortOutsiders(
  found: Find,
  slots: readonly AssembledSlot[],
  holders: ReadonlyMap<string, Examination>,
  strangers: readonly Examination[],
  missedSince: number,
): Outsiders {
  const { newest } = found;
  const absentees = slots.flatMap((slot): Absentee[] => {
    const holder = slot.device === null ? holders.get(slot.uuid) : undefined;
    return holder === undefined ? [] : [{ slot, holder }];
  });
  const isTarget = (one: Examination): boolean => ownLabel(one, newest)?.role === 'target';
  // Configured, but too old: that one has been a member since, and returns as one.
  const unfinished = absentees.filter(({ slot, holder }) => slot.recorded && isTarget(holder));
  const bare = found.labelled.filter(isTarget);
  const candidates = [...unfinished.map(({ holder }) => holder), ...strangers, ...bare];
  const search = findTarget(found, slots, candidates);
  const verdicts = absentees.map((one) => judge(one, newest, slots, search, missedSince));
  const reasons = new Map(verdicts.map(({ slot, reason }) => [slot, reason]));
  const returning = verdicts.flatMap((verdict) => verdict.returning ?? []);
  const unused = verdicts.flatMap((verdict) =>
    verdict.returning === null
      ? []
      : [{ device: verdict.returning.device, reason: `slot ${verdict.slot}: ${verdict.reason}` }],
  );
  for (const { examination, why } of search.others) {
    if (absentees.some(({ holder }) => holder === examination)) continue;
    const { device } = examination;
    const { memberUuid: uuid, slot } = ownLabel(examination, newest)!;
    const free = slots[slot]?.uuid === uuid && slots[slot].device === null && !holders.has(uuid);
    if (free && !returning.some((other) => other.slot === slot)) {
      const labelSequence = examination.label?.sequence ?? 0;
      const base = { slot, uuid, device, delta: false, failed: false, labelSequence };
      returning.push({ ...base, why: `${device}: ${why}` });
    }
    unused.push({ device, reason: `it was to be rebuilt into slot ${slot}: ${why}` });
  }
  return {
    slots: slots.map((slot) => ({ ...slot, reason: reasons.get(slot.slot) ?? slot.reason })),
    returning,
    target: search.target,
    unused,
    warnings: verdicts.flatMap(({ warning }) => warning ?? []),
    bare,
  };
}

interface Verdict {
  readonly slot: number;
  /** Why the slot is empty. */
  readonly reason: string;
  /** Null for the target. */
  readonly returning: ReturningMember | null;
  readonly warning: string | null;
}

function judge(
  { slot, holder }: Absentee,
  newest: Superblock,
  slots: readonly AssembledSlot[],
  search: TargetSearch,
  missedSince: number,
): Verdict {
  const { device } = holder;
  const recorded = slot.recorded ? `recorded as ${newest.members[slot.slot]!.state}; ` : '';
  if (device === search.target?.device) {
    const reason = `${recorded}${device} is being rebuilt`;
    return { slot: slot.slot, reason, returning: null, warning: null };
  }
  const inService = slots.filter((other) => other.device !== null);
  const returning = judgeReturn(holder, newest, slot, inService, missedSince);
  const unable = search.others.find(({ examination }) => examination === holder);
  const apart = usedApart(holder, newest, inService);
  return {
    slot: slot.slot,
    reason: apart === null ? slot.reason! : `${recorded}${apart}`,
    returning:
      unable === undefined || apart !== null
        ? returning
        : { ...returning, delta: false, why: `${device}: ${unable.why}` },
    warning: apart === null ? null : `slot ${slot.slot}: ${apart}`,
  };
}
