/**
 * Members that are here and not in service: what they need to come back.            (control plane)
 *
 * They were ejected, removed, or absent when something changed. Their data is that of the array as
 * of their superblock, so the write-intent bitmap may know all that they lack (`delta`), provided
 * that they did not go on by themselves in the meantime: a member whose superblock says that one
 * now in service was lost was used apart from the others, and has data that is nowhere else. Such
 * a member, and one that was ejected for its errors, only comes back when somebody says so
 * (`failed`).
 */

import type { AssembledSlot } from './assemble.ts';
import type { Examination } from './examine.ts';
import { isSameSuperblock } from './find-array.ts';
import { newestEventCount, ownLabel } from './own-label.ts';
import type { Superblock } from './superblock.ts';

export interface ReturningMember {
  readonly slot: number;
  readonly uuid: string;
  readonly device: string;
  /** Only the missed regions have to be copied to it. */
  readonly delta: boolean;
  /** Never taken back without being told to. */
  readonly failed: boolean;
  /** What it lacks, or why all of it has to be rebuilt. */
  readonly why: string;
  /** The sequence of the newest label on it, of whichever array; 0 without one. */
  readonly labelSequence: number;
}

/** What the superblock of a member that was used apart says, or null when it was not. */
export function usedApart(
  holder: Examination,
  newest: Superblock,
  inService: readonly AssembledSlot[],
): string | null {
  const own = holder.superblock.value;
  if (own === null || own.seq > newest.seq) return null;
  const lost = own.members.filter(({ state }) => state === 'missing' || state === 'failed');
  if (!inService.some(({ uuid }) => lost.some((entry) => entry.uuid === uuid))) return null;
  return `${holder.device} was used apart from the others since sequence ${own.seq}: its own writes would be lost`;
}

/** `holder` is the member in `slot`, which it does not fill. */
export function judgeReturn(
  holder: Examination,
  newest: Superblock,
  slot: AssembledSlot,
  inService: readonly AssembledSlot[],
  missedSince: number,
): ReturningMember {
  const { uuid } = slot;
  const apart = usedApart(holder, newest, inService);
  const obstacle = apart ?? deltaObstacle(holder, newest, uuid, inService, missedSince);
  const { seq } = holder.superblock.value!;
  return {
    slot: slot.slot,
    uuid,
    device: holder.device,
    delta: obstacle === null,
    failed: apart !== null || newest.members[slot.slot]!.state === 'failed',
    labelSequence: holder.label?.sequence ?? 0,
    why: obstacle ?? `${holder.device} lacks what was written since superblock sequence ${seq}`,
  };
}

/** Why the missed regions are not all that the member lacks, or null. */
function deltaObstacle(
  holder: Examination,
  newest: Superblock,
  uuid: string,
  inService: readonly AssembledSlot[],
  missedSince: number,
): string | null {
  const label = ownLabel(holder, newest);
  const own = holder.superblock.value!;
  const { device } = holder;
  if (label === null) return `${device} has no label of the array`;
  if (label.role === 'target') return `${device} was never completely rebuilt`;
  if (missedSince === 0) return 'what was written without it is not known';
  if (own.seq < missedSince) {
    return `${device} left at superblock sequence ${own.seq}; what was written without it is known from ${missedSince} on`;
  }
  if (own.seq === newest.seq && !isSameSuperblock(own, newest)) {
    return `the superblock of ${device}, sequence ${own.seq}, was never in use`;
  }
  if (!sameShape(own, newest)) return `${device} belongs to another shape of the array`;
  const entry = (wanted: string) => own.members.find((member) => member.uuid === wanted);
  if (entry(uuid)?.state !== 'configured') return `${device} was not complete when it left`;
  const newcomer = inService.find((member) => entry(member.uuid)?.state !== 'configured');
  if (newcomer !== undefined) {
    return `${device} does not know the member in slot ${newcomer.slot}, which came after it had left`;
  }
  const newestEvents = newestEventCount(inService.map((member) => member.label));
  if (label.eventCount > newestEvents) {
    return `the label of ${device} has seen ${label.eventCount} starts, those in service ${newestEvents}`;
  }
  return null;
}

function sameShape(a: Superblock, b: Superblock): boolean {
  return (
    a.level === b.level &&
    a.blockBytes === b.blockBytes &&
    a.stripBlocks === b.stripBlocks &&
    a.members.length === b.members.length &&
    a.members.every((entry, slot) => entry.dataOffset === b.members[slot]!.dataOffset)
  );
}
