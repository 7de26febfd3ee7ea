/**
 * From what the data path reports to events for people and programs.                (control plane)
 *
 * The steps of opening are for the log alone; everything else is an event. The array's manager
 * writes its own sentences; here are those of the layers that only report facts.
 */

import { formatCount, formatSize } from '../block/quantities.ts';
import { cacheStepWords } from '../stack/cache-step-events.ts';
import { BUFFER_LOST, findingWords, ftlAction, ftlReason, lostWords } from '../stack/ftl-words.ts';
import {
  cacheFailedAction,
  cacheFailedWords,
  cacheLostAction,
  cacheLostWords,
} from '../stack/layer-words.ts';
import type { StackEvent } from '../stack/worker-messages.ts';
import type { NewEvent } from './event-log.ts';

const CACHE_BLOCK_BYTES = 4096;
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
    case 'cache-failed':
      return {
        ...plainEvent('cache-failed', 'error', cacheFailedWords(event.device, event.why)),
        reason: event.why,
        action: cacheFailedAction(name),
        device: event.device,
      };
    case 'cache-lost':
      return {
        ...plainEvent('cache-lost', 'error', cacheLostWords(event.device, event.why)),
        reason: event.why,
        action: cacheLostAction(name, event.device),
        device: event.device,
      };
    case 'cache-changed': {
      const { cache, device } = event;
      return cache === null
        ? plainEvent('cache-detached', 'info', 'the NV cache is empty, and detached')
        : {
            ...plainEvent('cache-attached', 'info', `${device} is its NV cache now`),
            device,
            details: { uuid: cache.uuid },
          };
    }
    case 'cache-step': {
      const { counts, error, state, step } = event;
      const severity = state === 'failed' ? 'error' : 'info';
      return {
        ...plainEvent(`cache-step-${state}`, severity, cacheStepWords(event)),
        reason: error,
        details: { step, ...counts },
      };
    }
    case 'cache-recovered':
      return recoveredEvent(event.blocks, event.lostBlocks);
    case 'cache-discarded':
      return {
        ...plainEvent('cache-discarded', 'warning', 'started without its NV cache'),
        reason: 'it was given up with --discard-cache: what only it had is lost',
        action: 'check the file system on it',
        details: { uuid: event.uuid },
      };
    case 'ftl-found':
      return findingEvent(event.finding, name);
    case 'ftl-grown': {
      const { bytes, bytesBefore } = event;
      const sizes = `from ${formatSize(bytesBefore)} to ${formatSize(bytes)}`;
      return {
        ...plainEvent('ftl-grown', 'info', `the stack has grown ${sizes}`),
        reason: 'its array had grown: the FTL uses it as a whole from this start on',
        action: 'none; a file system on it has to be told',
        details: { bytes_before: bytesBefore, bytes },
      };
    }
    case 'ftl-buffer-lost':
      return {
        ...plainEvent('buffer-lost', 'warning', BUFFER_LOST),
        reason: 'it is gone or cannot be used, and --discard-buffer was given',
        action: 'check the file system or the data on it',
      };
    case 'ftl-lost': {
      const { band, count } = event.lost;
      return {
        ...plainEvent('blocks-lost', 'error', lostWords(event.lost)),
        reason: 'what says what they are cannot be read anywhere; they stay where they are',
        action: 'compare them with a backup, and write them again',
        details: { band, blocks: count },
      };
    }
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

/** Of ring blocks that were in use, and of blocks of the stack that nobody has any more. */
function recoveredEvent(blocks: number, lostBlocks: number): NewEvent {
  const bytes = blocks * CACHE_BLOCK_BYTES;
  const message =
    blocks === 0
      ? 'the NV cache held nothing that a crash had left'
      : `what a crash had left in the NV cache is drained: ${formatSize(bytes)}`;
  const details = { blocks, lost_blocks: lostBlocks };
  if (lostBlocks === 0) return plainEvent('recovery-finished', 'info', message, details);
  return {
    ...plainEvent('recovery-finished', 'error', message, details),
    reason: `${formatCount(lostBlocks)} blocks in it could not be read or were not right`,
    action: 'write these blocks again; status names them',
  };
}

type Finding = Extract<StackEvent, { readonly event: 'ftl-found' }>['finding'];

function findingEvent(finding: Finding, name: string): NewEvent {
  const { band, block, number, outcome, part, slots } = finding;
  const { action, message, reason } = findingWords(name, finding);
  const kind = outcome === 'repaired' ? 'checksum-repaired' : 'checksum-wrong';
  return {
    ...plainEvent(kind, outcome === 'lost' ? 'error' : 'warning', message),
    reason,
    action,
    slot: slots.length === 1 ? slots[0]! : null,
    details: { part, block, band, number, outcome, slots: slots.join(' ') },
  };
}
