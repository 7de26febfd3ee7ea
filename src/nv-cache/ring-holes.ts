/**
 * Holes: blocks of the ring that cannot be read where a record may have been.       (control plane)
 *
 * A start finds records by reading. A block that holds none was never written, or torn by the power
 * cut; one that cannot be read says nothing at all, so it is no end of the ring. There are three
 * places where a record may have been that somebody relies on:
 *
 *   in use    between the oldest record that was found and the end of the newest
 *   before    where the tail names an older record than any that was found
 *   behind    where newer ones may have gone: as far as they can be on their way at once, because
 *             what was written again after a failure, or with FUA, may count behind a gap
 *
 * What the description of a record that counts says to be its data is no hole: those blocks are
 * known, and lost one by one. After a clean stop nothing behind the newest record was read.
 */

import { RECORD_BLOCKS_MAX, RING_START } from './cache-format.ts';
import type { CacheHeader } from './cache-header.ts';
import type { FoundPlace } from './found-records.ts';
import { IN_FLIGHT_MAX } from './record-writer.ts';

/** With what is skipped at the end of a lap. */
export const REACH_BLOCKS = (IN_FLIGHT_MAX + 1) * RECORD_BLOCKS_MAX;

export interface HoleSearch {
  readonly header: CacheHeader;
  readonly place: FoundPlace;
  /** Ring blocks that a scan could not read. */
  readonly unreadable: Iterable<number>;
  /** True when a record that counts says what the ring block holds. */
  covers(ringBlock: number): boolean;
}

export interface Hole {
  readonly ringBlock: number;
  /** A clause that says what may have been there. */
  readonly why: string;
}

/** The first of them, or null. */
export function findHole({ covers, header, place, unreadable }: HoleSearch): Hole | null {
  const blocks = header.sizeBlocks - RING_START;
  const { head, tail } = place;
  const used = head - tail;
  const before = blocksBefore(header, place);
  for (const ringBlock of unreadable) {
    const distance = (ringBlock - RING_START - (tail % blocks) + blocks) % blocks;
    if (distance < used) {
      if (covers(ringBlock)) continue;
      return { ringBlock, why: 'nothing says what was there' };
    }
    if (blocks - distance <= before) {
      return { ringBlock, why: 'a record is needed that was not found, and may be there' };
    }
    if (distance < used + REACH_BLOCKS) {
      return { ringBlock, why: 'records that are newer than all others may be there' };
    }
  }
  return null;
}

/** Blocks before the first record that was found in which an older one that is needed may lie. */
function blocksBefore(header: CacheHeader, { head, records, tail, tailSequence }: FoundPlace) {
  const [first] = records;
  if (first === undefined || first.sequence === tailSequence) return 0;
  const blocks = header.sizeBlocks - RING_START;
  const free = blocks - (head - tail);
  if (header.tailSequence === tailSequence) {
    const fromHeader = (tail - (header.tailAddress - RING_START)) % blocks;
    return Math.min(free, (fromHeader + blocks) % blocks);
  }
  // The tail is that of a newer record, which does not say where it lies.
  const missing = first.sequence - tailSequence;
  return Math.min(free, missing * RECORD_BLOCKS_MAX, REACH_BLOCKS);
}
