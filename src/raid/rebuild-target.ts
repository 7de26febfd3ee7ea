/**
 * The target of an interrupted rebuild, and how far it had come.                    (control plane)
 *
 * A device whose label has the role target is no member until the newest superblock calls it
 * configured. Until then the rebuild goes on, if nothing else was written in the meantime:
 *
 *   - its superblock is the newest (every record made while it was a target reached it);
 *   - its label goes with that superblock and has seen every start of the array;
 *   - the labels of all members in service name it, for a rebuild of the same kind.
 *
 * Then it goes on at the least checkpoint that any of them knows. Otherwise from the beginning,
 * without trusting what was copied. The target of a replacement is in no superblock, so at least
 * one member in service has to know of it; one that nobody knows is left aside.
 *
 * Slot and data offset are those of the slot's entry, for both kinds of rebuild: nothing else on
 * disk says where the data of an unfinished target lies.
 */

import type { AssembledSlot } from './assemble.ts';
import type { Examination } from './examine.ts';
import { type Find, updateInterrupted } from './find-array.ts';
import type { Label } from './label.ts';
import { newestEventCount, ownLabel } from './own-label.ts';

export interface RebuildTarget {
  readonly slot: number;
  readonly uuid: string;
  readonly device: string;
  readonly dataOffset: number;
  /** Member data blocks: below it the target is filled, but for missed regions. */
  readonly block: number;
  /** The slot has a member in service until the end. */
  readonly replace: boolean;
  readonly paused: boolean;
  /** Only missed regions have to be copied. */
  readonly delta: boolean;
  /** The sequence of the newest label on it, of whichever array; 0 without one. */
  readonly labelSequence: number;
}

export interface TargetSearch {
  readonly target: RebuildTarget | null;
  /** Devices with the role target that cannot go on, and why. */
  readonly others: readonly { readonly examination: Examination; readonly why: string }[];
}

/** `slots` are filled as far as they can be. */
export function findTarget(
  found: Find,
  slots: readonly AssembledSlot[],
  candidates: readonly Examination[],
): TargetSearch {
  const inService = slots.flatMap(({ device, label }) => (device === null ? [] : [label]));
  const judged = candidates.map((examination) => {
    const label = ownLabel(examination, found.newest)!;
    const knows = (other: Label | null): boolean => other?.process.uuid === label.memberUuid;
    const named = inService.filter(knows).length;
    return { examination, label, named, why: obstacle(found, slots, examination, label, named) };
  });
  const able = judged.filter(({ why }) => why === null);
  const best = able.reduce<(typeof able)[0] | null>(
    (most, one) => (most === null || one.named > most.named ? one : most),
    null,
  );
  const others = judged.flatMap((one) =>
    one === best
      ? []
      : [{ examination: one.examination, why: one.why ?? 'another rebuild goes first' }],
  );
  const target = best === null ? null : resume(found, slots, best.examination, best.label);
  return { target, others };
}

/** Why the rebuild of this device cannot go on, or null. */
function obstacle(
  found: Find,
  slots: readonly AssembledSlot[],
  examination: Examination,
  label: Label,
  named: number,
): string | null {
  const { newest } = found;
  const slot = slots[label.slot];
  if (slot === undefined) return `its label is for slot ${label.slot}, which does not exist`;
  if (label.process.replace) {
    if (named === 0) return 'no member in service knows of the replacement it was meant for';
    if (slot.device === null) return `the member that it was to replace is not in service`;
  } else if (slot.uuid !== label.memberUuid) {
    return `the newest superblock has another member in slot ${label.slot}`;
  }
  if (examination.superblock.value === null) return 'its rebuild had not begun';
  const { seq } = examination.superblock.value;
  if (seq < newest.seq && !updateInterrupted(found, examination)) {
    return `its rebuild was left at superblock sequence ${seq}, the array is at ${newest.seq}`;
  }
  const { blockBytes, blockCount } = examination;
  const needed = slot.dataOffset + slot.dataSize;
  if (blockBytes !== newest.blockBytes || blockCount < needed) {
    return `it has ${blockCount} blocks of ${blockBytes} bytes, slot ${label.slot} needs ${needed} of ${newest.blockBytes}`;
  }
  return null;
}

function resume(
  { newest }: Find,
  slots: readonly AssembledSlot[],
  examination: Examination,
  label: Label,
): RebuildTarget {
  const { process } = label;
  const inService = slots.flatMap((slot) => (slot.device === null ? [] : [slot.label]));
  const same = (other: Label | null): boolean =>
    other !== null &&
    other.superblockSeq === newest.seq &&
    other.process.uuid === process.uuid &&
    other.process.replace === process.replace &&
    other.process.delta === process.delta;
  const inStep =
    examination.superblock.value!.seq === newest.seq &&
    label.superblockSeq === newest.seq &&
    label.eventCount >= newestEventCount(inService) &&
    inService.every(same);
  const blocks = [process.block, ...inService.map((other) => other?.process.block ?? 0)];
  const slot = slots[label.slot]!;
  return {
    slot: label.slot,
    uuid: label.memberUuid,
    device: examination.device,
    dataOffset: slot.dataOffset,
    block: inStep ? Math.min(...blocks, slot.dataSize) : 0,
    replace: process.replace,
    paused: process.paused,
    delta: inStep && process.delta,
    labelSequence: label.sequence,
  };
}
