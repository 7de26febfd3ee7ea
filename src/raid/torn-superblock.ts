/**
 * A superblock that power failed in the middle of.                                  (control plane)
 *
 * There is one copy of it on each member, and with more than four members it takes more than one
 * 512-byte sector, so a record that was being written may leave one sector of the new and one of
 * the old. Nothing was acknowledged under that record, because it was not on this member; so the
 * member is what its label says, at the sequence that the label goes with.
 *
 * Only that is forgiven: a checksum that does not match, a superblock of several sectors, a whole
 * label of the array, and another member with a superblock that can be believed.
 */

import type { Examination } from './examine.ts';
import { ownLabel } from './own-label.ts';
import type { Superblock } from './superblock.ts';
import { superblockBytes } from './superblock-layout.ts';

/** The unit that disks write whole, at least. */
const SECTOR_BYTES = 512;

/** True when power may fail between two sectors of a superblock of so many members. */
export function mayTear(members: number): boolean {
  return superblockBytes(members) > SECTOR_BYTES;
}

/** `damaged` as its label vouches for it, or null when it does not. */
export function vouchedFor(damaged: Examination, newest: Superblock): Examination | null {
  const { superblock } = damaged;
  if (superblock.error?.code !== 'BANDSTAND_SUPERBLOCK_CHECKSUM') return null;
  if (!mayTear(newest.members.length)) return null;
  const label = ownLabel(damaged, newest);
  if (label === null || label.role === 'spare' || label.superblockSeq > newest.seq) return null;
  const warning = `the superblock of ${damaged.device} was torn by a power cut; its label says that it is member ${label.memberUuid}, and it is written again`;
  return {
    ...damaged,
    superblock: {
      ...superblock,
      state: 'ok',
      value: { ...newest, seq: label.superblockSeq },
      error: null,
    },
    warnings: [...damaged.warnings, warning],
  };
}
