/**
 * What status and events say about an FTL that changes nothing any more.            (control plane)
 *
 * Its array may be in the best of health: the FTL stops by itself when a flush has failed or its
 * map cannot be written. So its words come before those of the array.
 */

import type { StatusDocument } from '../control/schema.ts';
import type { StackEvent } from './worker-messages.ts';

export type Words = Pick<StatusDocument, 'health' | 'reason' | 'action'>;

export function ftlReason(why: string): string {
  return `nothing can be written any more, only read: ${why}`;
}

export function ftlAction(name: string): string {
  return `look at its members and the kernel log (dmesg), then start it anew: bandstand stop ${name}, bandstand export ${name}`;
}

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
