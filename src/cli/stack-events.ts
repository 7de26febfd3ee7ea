/**
 * From what the data path reports to events for people and programs.                (control plane)
 *
 * The steps of opening are for the log alone; everything else is an event. The array's manager
 * writes its own sentences; here are those of the layers that only report facts.
 */

import { ftlAction, ftlReason } from '../stack/ftl-words.ts';
import type { StackEvent } from '../stack/worker-messages.ts';
import type { NewEvent } from './event-log.ts';

const NOTHING = { reason: null, action: null, slot: null, device: null, details: {} } as const;

/** An event without further facts. */
export function plainEvent(
  kind: string,
  severity: NewEvent['severity'],
  message: string,
  details: NewEvent['details'] = {},
): NewEvent {
  return { ...NOTHING, kind, severity, message, details };
}

/** Null for what only the log wants. */
export function eventOf(event: StackEvent, name: string): NewEvent | null {
  switch (event.event) {
    case 'array':
      return event.array;
    case 'warning':
      return plainEvent('warning', 'warning', event.message);
    case 'array-failed':
      return {
        ...plainEvent('array-failed', 'error', `the array has failed (${event.errno})`),
        reason: `more members are gone than the level can bear (${event.errno})`,
        action: `stop it (bandstand stop ${name}), and look at its members and the kernel log`,
        details: { errno: event.errno },
      };
    case 'ftl-failed':
      return {
        ...plainEvent('ftl-failed', 'error', `the FTL writes nothing any more (${event.errno})`),
        reason: ftlReason(event.why),
        action: ftlAction(name),
        details: { errno: event.errno },
      };
    case 'member-failed':
      return {
        ...plainEvent('member-failed', 'error', `${event.device} has failed (${event.errno})`),
        device: event.device,
        details: { errno: event.errno },
      };
    case 'member-error': {
      const { slot, device, op, errno, count } = event;
      const which = device === null ? `slot ${slot}` : `${device} (slot ${slot})`;
      const sum = count === 1 ? '' : `, error number ${count}`;
      return {
        ...plainEvent('member-error', 'warning', `${which}: ${op} failed (${errno})${sum}`),
        slot,
        device,
        details: { op, errno, count },
      };
    }
    default:
      return null;
  }
}
