/**
 * The spares of an array among the devices at hand.                                 (control plane)
 *
 * A spare has a label of its array and nothing else. It belongs to no slot, holds no data, and is
 * never needed to start, so nothing about it stops assembly: one that cannot serve is left aside
 * with the reason.
 */

import type { Examination } from './examine.ts';
import { levelRules } from './level-rules.ts';
import { ownLabel } from './own-label.ts';
import type { Superblock } from './superblock.ts';

export interface SpareDevice {
  readonly uuid: string;
  readonly device: string;
  /** The sequence of the newest label on it, of whichever array; 0 without one. */
  readonly labelSequence: number;
}

export interface SpareSearch {
  readonly spares: readonly SpareDevice[];
  readonly unfit: readonly { readonly device: string; readonly reason: string }[];
}

/** `labelled` are the devices with a label and without a superblock. */
export function findSpares(newest: Superblock, labelled: readonly Examination[]): SpareSearch {
  const spares: SpareDevice[] = [];
  const unfit: { device: string; reason: string }[] = [];
  for (const examination of labelled) {
    const label = ownLabel(examination, newest);
    if (label?.role !== 'spare') continue;
    const { device } = examination;
    const twin = spares.find(({ uuid }) => uuid === label.memberUuid);
    const reason =
      twin === undefined
        ? unfitness(newest, examination)
        : `it and ${twin.device} are the same spare ${label.memberUuid}: one is a copy`;
    if (reason === null)
      spares.push({ uuid: label.memberUuid, device, labelSequence: label.sequence });
    else unfit.push({ device, reason });
  }
  return { spares, unfit };
}

function unfitness(newest: Superblock, examination: Examination): string | null {
  const { blockBytes, blockCount } = examination;
  const level = levelRules(newest.level);
  if (level.tolerates(newest.members.length) === 0) {
    return `${level.name} has no redundancy and no use for a spare`;
  }
  if (blockBytes !== newest.blockBytes) {
    return `it is a spare with ${blockBytes}-byte blocks, the array has ${newest.blockBytes}-byte blocks`;
  }
  const needed = Math.max(...newest.members.map((one) => one.dataOffset + one.dataSize));
  if (blockCount >= needed) return null;
  return `it is a spare with ${blockCount} blocks, a member needs ${needed}`;
}
