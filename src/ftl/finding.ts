/**
 * Finding: a part of a device that is not what its checksum says, or cannot be read, and what
 * became of it.                                                                   (control plane)
 */

import type { Mended } from '../block/redundancy.ts';
import { EILSEQ } from '../block/status.ts';

export type FindingPart = 'block' | 'summary' | 'map page' | 'superblock';

export interface Finding {
  readonly part: FindingPart;
  /** Block of the device; null for what is none, and where it is not known which. */
  readonly block: number | null;
  /** Null for what is in no band. */
  readonly band: number | null;
  /** Number of the unit in its band, of the page, or of the copy. */
  readonly number: number;
  /** EILSEQ when the checksum is wrong, otherwise why it could not be read. */
  readonly status: number;
  /** Slots of members that have something else than what is right; empty where that is unknown. */
  readonly slots: readonly number[];
  /** repaired: it is right everywhere; repairable: it is right somewhere; lost: nowhere. */
  readonly outcome: 'repaired' | 'repairable' | 'lost';
}

/** Where something is. */
export type FindingPlace = Pick<Finding, 'part' | 'block' | 'band' | 'number'>;

/** Null where nothing is wrong any more: a read that went wrong once. */
export function findingOf(place: FindingPlace, mended: Mended): Finding | null {
  const { found, repaired, wrong } = mended;
  if (found && wrong.length === 0) return null;
  const status = mended.status === 0 ? EILSEQ : mended.status;
  if (!found) return { ...place, status, slots: [], outcome: 'lost' };
  const outcome = repaired.length === wrong.length ? 'repaired' : 'repairable';
  return { ...place, status, slots: wrong, outcome };
}
