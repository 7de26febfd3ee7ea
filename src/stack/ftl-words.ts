/**
 * What status and events say about an FTL.                                          (control plane)
 *
 * One that changes nothing any more may have an array in the best of health: the FTL stops by
 * itself when a flush has failed or its map cannot be written. So its words come before those of
 * the array.
 */

import { formatCount } from '../block/quantities.ts';
import { EILSEQ, statusText } from '../block/status.ts';
import type { StatusDocument } from '../control/schema.ts';
import type { Finding } from '../ftl/finding.ts';
import type { LostBlocks } from '../ftl/lost-blocks.ts';
import type { StackEvent } from './worker-messages.ts';

export type Words = Pick<StatusDocument, 'health' | 'reason' | 'action'>;

export function ftlReason(why: string): string {
  return `nothing can be written any more, only read: ${why}`;
}

export function ftlAction(name: string): string {
  return `look at its members and the kernel log (dmesg), then start it anew: bandstand stop ${name}, bandstand export ${name}`;
}

/** Told where somebody has started it without the write buffer that a killed server had left. */
export const BUFFER_LOST =
  'the write buffer of the server that was killed was given up: writes since the last flush may be lost';

/** `why` is null while the FTL works: then what the array says is all there is to say. */
export function ftlWords(name: string, why: string | null, array: Words): Words {
  if (why === null) return array;
  const reasons = [ftlReason(why), ...(array.reason === null ? [] : [array.reason])];
  return { health: 'failed', reason: reasons.join('; '), action: ftlAction(name) };
}

/** What has failed: the FTL by itself, where `why` is not null, or all below it. */
export function failureEvent(errno: string, why: string | null): StackEvent {
  return why === null ? { event: 'array-failed', errno } : { event: 'ftl-failed', errno, why };
}

/** What was found, what is wrong with it, and what became of it. */
export function findingWords(
  name: string,
  finding: Finding,
): {
  readonly message: string;
  readonly reason: string;
  readonly action: string | null;
} {
  const { outcome, slots, status } = finding;
  const why = status === EILSEQ ? 'a checksum is wrong' : statusText(status);
  const who = slots.length === 1 ? `slot ${slots[0]}` : `slots ${slots.join(', ')}`;
  const where = slots.length === 0 ? '' : ` on the member in ${who}`;
  const message = `${partWords(finding)} is wrong${where}: `;
  const reason = `found by a check, by relocation or at a start: ${why}`;
  if (outcome === 'repaired') {
    return { message: `${message}it was written again`, reason, action: null };
  }
  if (outcome === 'repairable') {
    const action = `mend it: bandstand check ${name} --repair`;
    return { message: `${message}nothing was changed`, reason, action };
  }
  const isUsers = finding.part === 'block';
  const action = isUsers ? 'write it again, or restore it from a backup' : null;
  return { message: `${message}nothing says what is right`, reason, action };
}

function partWords({ part, block, band, number }: Finding): string {
  if (part === 'map page') return `page ${number} of the map`;
  if (part === 'superblock') return `copy ${number} of the superblock of the FTL`;
  const where = `unit ${number} of band ${band}`;
  return part === 'summary' ? `the summary of ${where}` : `block ${block} (${where})`;
}

export function lostWords({ band, blocks, count }: LostBlocks): string {
  const named = blocks.join(', ') + (count > blocks.length ? ' and others' : '');
  return `${formatCount(count)} ${count === 1 ? 'block' : 'blocks'} of band ${band} cannot be verified any more (${named})`;
}

/** `1 block had a wrong checksum` is of a check that is over; this one is of what is there now. */
export function wrongWords(count: number): string {
  return `${formatCount(count)} with a wrong checksum`;
}
