/**
 * ArrayEvent: what happens to an array, for people and programs.                    (control plane)
 *
 * Every change of state is one event with a sentence, the reason where there is one, and what to do
 * where something should be done. Log, `bandstand events` and status texts are made from these, so
 * that they cannot disagree.
 */

export type ArrayEventKind =
  | 'member-error'
  | 'member-failed'
  | 'member-removed'
  | 'member-added'
  | 'member-in-service'
  | 'spare-added'
  | 'spare-removed'
  | 'rebuild-started'
  | 'rebuild-finished'
  | 'rebuild-stopped'
  | 'resync-started'
  | 'resync-finished'
  | 'resync-stopped'
  | 'check-started'
  | 'check-finished'
  | 'check-stopped'
  | 'process-paused'
  | 'process-resumed'
  | 'process-rate'
  | 'blocks-repaired'
  | 'mismatch-found'
  | 'array-failed'
  | 'array-degraded'
  | 'array-healthy'
  | 'range-lost'
  | 'array-resized';

export type EventSeverity = 'info' | 'warning' | 'error';

export type EventDetails = Readonly<Record<string, string | number | boolean | null>>;

export interface ArrayEvent {
  readonly kind: ArrayEventKind;
  readonly severity: EventSeverity;
  /** A sentence without the name of the array, in lower case. */
  readonly message: string;
  readonly reason: string | null;
  readonly action: string | null;
  readonly slot: number | null;
  readonly device: string | null;
  readonly details: EventDetails;
}

/** What most events leave out. */
export type EventParts = Pick<ArrayEvent, 'kind' | 'message'> & Partial<ArrayEvent>;

export function arrayEvent(parts: EventParts): ArrayEvent {
  return {
    severity: 'info',
    reason: null,
    action: null,
    slot: null,
    device: null,
    details: {},
    ...parts,
  };
}
