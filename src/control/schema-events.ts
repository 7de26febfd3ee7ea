/**
 * Events: what has happened to a stack, and how clients ask for it.                 (control plane)
 *
 * A server numbers its events from 1 and keeps the last ones. A client asks for what came after a
 * number, and may wait a bounded time for it (long poll). `missed` counts events that were dropped
 * before the client came for them.
 */

import { type Decoded, isCount, isRecord } from './schema.ts';

export type Severity = 'info' | 'warning' | 'error';
const SEVERITIES: readonly Severity[] = ['info', 'warning', 'error'];

/** Schema bandstand.event/1. */
export interface EventDocument {
  readonly sequence: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  /** For programs: `member-failed`, `rebuild-finished`, … */
  readonly kind: string;
  readonly severity: Severity;
  readonly stack: string;
  /** For people: one sentence without the name of the stack. */
  readonly message: string;
  readonly reason: string | null;
  /** What to do about it. */
  readonly action: string | null;
  readonly slot: number | null;
  readonly device: string | null;
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

export const EVENTS_LIMIT_MAX = 1000;
export const EVENTS_WAIT_MS_MAX = 20_000;

export interface EventsRequest {
  /** The number of the last event that is known; 0 for all that are kept. */
  readonly since: number;
  readonly limit: number;
  /** How long to wait when there is none. */
  readonly wait_ms: number;
}

export interface EventsReply {
  /** Oldest first. */
  readonly events: readonly EventDocument[];
  /** What to ask `since` next time. */
  readonly last: number;
  /** Events after `since` that are not kept any more. */
  readonly missed: number;
}

/** Where it is left open: all that are kept, and no waiting. */
export function decodeEventsRequest(value: unknown): Decoded<EventsRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const since = value['since'] ?? 0;
  const limit = value['limit'] ?? EVENTS_LIMIT_MAX;
  const wait_ms = value['wait_ms'] ?? 0;
  if (!isCount(since)) return { why: 'since is not a number' };
  if (!isCount(limit) || limit < 1 || limit > EVENTS_LIMIT_MAX) {
    return { why: `limit is not between 1 and ${EVENTS_LIMIT_MAX}` };
  }
  if (!isCount(wait_ms) || wait_ms > EVENTS_WAIT_MS_MAX) {
    return { why: `wait_ms is not between 0 and ${EVENTS_WAIT_MS_MAX}` };
  }
  return { value: { since, limit, wait_ms } };
}

export function decodeEventsReply(value: unknown): Decoded<EventsReply> {
  if (!isRecord(value)) return { why: 'the reply is not an object' };
  const { events, last, missed } = value;
  if (!isCount(last) || !isCount(missed)) return { why: 'last or missed is not a number' };
  if (!Array.isArray(events)) return { why: 'the events are not a list' };
  const decoded: EventDocument[] = [];
  for (const event of events) {
    const one = decodeEvent(event);
    if ('why' in one) return one;
    decoded.push(one.value);
  }
  return { value: { events: decoded, last, missed } };
}

function decodeEvent(value: unknown): Decoded<EventDocument> {
  if (!isRecord(value)) return { why: 'an event is not an object' };
  const { sequence, time, kind, severity, stack, message, reason, action, slot, device, details } =
    value;
  if (!isCount(sequence)) return { why: 'an event has no number' };
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time))) {
    return { why: 'the time of an event is no time' };
  }
  for (const [key, text] of Object.entries({ kind, stack, message })) {
    if (typeof text !== 'string') return { why: `the ${key} of an event is missing` };
  }
  if (!SEVERITIES.includes(severity as Severity)) return { why: 'a severity is unknown' };
  for (const [key, text] of Object.entries({ reason, action, device })) {
    if (text !== null && typeof text !== 'string') return { why: `the ${key} of an event is bad` };
  }
  if (slot !== null && !isCount(slot)) return { why: 'the slot of an event is no slot' };
  if (!isRecord(details)) return { why: 'the details of an event are missing' };
  return { value: value as unknown as EventDocument };
}
