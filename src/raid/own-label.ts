/**
 * What the labels of an array's devices are worth.                                  (control plane)
 *
 * A label counts only when it is of the array in question. A spare has no superblock: a device that
 * carries one nevertheless became a member without bandstand (SPDK took it), and its label says
 * nothing any more.
 *
 * Identity and role hold for ever. Bitmap, missed_since and process are *current* only in a label
 * that goes with the newest superblock: whoever moved the superblock on without the labels may have
 * written to the array, too. Members are marked one after another, so after a crash their current
 * labels can differ; here they are read together, always for the worse.
 */

import type { Examination } from './examine.ts';
import { type Label, type LabelProcess, NO_PROCESS } from './label.ts';
import type { Superblock } from './superblock.ts';

/** The newest label on the device if it is one of this array, else null. */
export function ownLabel(
  { label, superblock }: Pick<Examination, 'label' | 'superblock'>,
  { uuid }: Superblock,
): Label | null {
  if (label === null || label.arrayUuid !== uuid) return null;
  return label.role === 'spare' && superblock.value !== null ? null : label;
}

export function currentLabels(labels: readonly (Label | null)[], { seq }: Superblock): Label[] {
  return labels.flatMap((label) => (label?.superblockSeq === seq ? [label] : []));
}

/** `labels` are the current ones of the members in service. */
export function commonMissedSince(labels: readonly Label[]): number {
  const known = labels.map(({ bitmap, missedSince }) => (bitmap === null ? 0 : missedSince));
  return known.length === 0 || known.includes(0) ? 0 : Math.max(...known);
}

/** The resync or check that has to go on, from where all of them had come. */
export function commonProcess(labels: readonly Label[]): LabelProcess {
  for (const kind of ['resync', 'check'] as const) {
    const found = labels.flatMap(({ process }) => (process.kind === kind ? [process] : []));
    const [first] = found;
    if (first === undefined) continue;
    return {
      ...first,
      block: Math.min(...found.map(({ block }) => block)),
      repair: found.every(({ repair }) => repair),
      paused: found.every(({ paused }) => paused),
    };
  }
  return NO_PROCESS;
}

export function newestEventCount(labels: readonly (Label | null)[]): number {
  return labels.reduce((most, label) => Math.max(most, label?.eventCount ?? 0), 0);
}
