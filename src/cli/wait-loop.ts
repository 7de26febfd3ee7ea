/**
 * WaitLoop: waits until a stack is done with something, by looking at it again.     (control plane)
 *
 * Looks every half second; a stack whose activity is another one, or none, is done. Whether it was
 * done well is told by the newest event about its end: a `-stopped` that nothing followed is a
 * failure, and so is a stack that is degraded after its rebuild. An end before the wait counts as
 * one during it, so that a script that comes late reads the same; only of `idle` it does not.
 * What an NV cache does is not the stack's activity while its array does something, so that is read
 * from what status says of the cache: a recovery is over when everything that was found is drained,
 * a drain when nothing waits for it at that moment.
 * Between two rebuilds there may be a moment without one, so what looks like a failure is looked at
 * once more.
 *
 * Time, status and events come from outside, so that tests own them.
 */

import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import { type ActivityStatus, IDLE, type StatusDocument } from '../control/schema.ts';
import type { EventDocument } from '../control/schema-events.ts';
import { cacheProgress, isDraining, isRecovering } from './cache-progress.ts';

export const WAIT_FOR = ['rebuild', 'resync', 'check', 'recovery', 'drain', 'idle'] as const;
export type WaitFor = (typeof WAIT_FOR)[number];

export const POLL_MS = 500;

export interface WaitSource {
  nowMs(): number;
  sleep(ms: number): Promise<void>;
  /** Null when no server runs. */
  status(): Promise<StatusDocument | null>;
  /** What is new since the last call, oldest first; the first call returns all that is kept. */
  events(): Promise<readonly EventDocument[]>;
}

export interface WaitOptions {
  readonly name: string;
  readonly kind: WaitFor;
  /** Null: for ever. */
  readonly timeoutMs: number | null;
  /** Called with each status while it is waited for. */
  progress(status: StatusDocument): void;
}

export interface WaitResult {
  readonly name: string;
  readonly for: WaitFor;
  /** False when there was nothing to wait for. */
  readonly waited: boolean;
  readonly waited_seconds: number;
  /** How the last activity ended, in the words of its event. */
  readonly message: string | null;
  /** What is to be done about it. */
  readonly action: string | null;
  /** When that was: ISO 8601, UTC. */
  readonly ended_at: string | null;
  /** What a check or a resync found. */
  readonly mismatched_blocks: number | null;
  readonly repaired_blocks: number | null;
  readonly lost_blocks: number | null;
  /** True when a check has found what is still to be repaired; null when there is no check. */
  readonly findings_left: boolean | null;
  readonly health: StatusDocument['health'];
}

/** Ends of activities; the kind of the event is the kind of the activity and how it ended. */
const END = /^(rebuild|resync|check|recovery)-(finished|stopped)$/;

/** Throws BANDSTAND_WAIT_TIMEOUT, _ACTIVITY_STOPPED, _STACK_NOT_RUNNING or _SERVER_FAILED. */
export async function waitFor(source: WaitSource, options: WaitOptions): Promise<WaitResult> {
  const { name, kind, timeoutMs } = options;
  const startMs = source.nowMs();
  const kept = await source.events();
  const ends = kind === 'idle' ? [] : kept.filter((event) => concerns(event.kind, kind));
  let waited = false;
  let doubts = 0;
  for (;;) {
    const status = await source.status();
    if (status === null) throw gone(name, kind, waited);
    ends.push(...(await source.events()).filter((event) => concerns(event.kind, kind)));
    const own = ends.filter(({ details }) => details['array'] !== 'cache').at(-1);
    if (isDoing(status, kind) || makesWay(status, own)) {
      waited = true;
      doubts = 0;
      options.progress(watched(status, kind));
    } else {
      const last = ends.at(-1) ?? null;
      const mirrors = ends.filter(({ details }) => details['array'] === 'cache').at(-1);
      const failure = failureOf(options, status, [own, mirrors], waited);
      if (failure === null) {
        const seconds = Math.round((source.nowMs() - startMs) / 100) / 10;
        const { health } = status;
        return { name, for: kind, waited, waited_seconds: seconds, ...endOf(last), health };
      }
      if (doubts === 1) throw failure;
      doubts += 1;
    }
    const leftMs = timeoutMs === null ? POLL_MS : timeoutMs - (source.nowMs() - startMs);
    if (leftMs <= 0) throw tooLate(options, status);
    await source.sleep(Math.min(POLL_MS, leftMs));
  }
}

function endOf(
  last: EventDocument | null,
): Omit<WaitResult, 'name' | 'for' | 'waited' | 'waited_seconds' | 'health'> {
  const count = (key: string): number | null => {
    const value = last?.details[key];
    return typeof value === 'number' ? value : null;
  };
  const mismatched = count('mismatched_blocks');
  const repaired = count('repaired_blocks');
  const lost = count('lost_blocks');
  const isCheck = last?.kind.startsWith('check-') === true;
  // An event that says what to do says that something is left.
  const left = last?.action != null || (lost ?? 0) > 0 || (mismatched ?? 0) > (repaired ?? 0);
  return {
    message: last?.message ?? null,
    action: last?.action ?? null,
    ended_at: last?.time ?? null,
    mismatched_blocks: mismatched,
    repaired_blocks: repaired,
    lost_blocks: lost,
    findings_left: isCheck ? left : null,
  };
}

/** 0, or with --exit-code how the check ended and how the stack is, whichever is worse. */
export function waitExitStatus(result: WaitResult): number {
  const { findings_left: left, mismatched_blocks: found, health } = result;
  if (left === true || health === 'failed') return 4;
  return (left === false && (found ?? 0) > 0) || health === 'degraded' ? 3 : 0;
}

function until(name: string, kind: WaitFor): string {
  if (kind === 'drain') return `until the NV cache of ${name} is drained`;
  return kind === 'idle' ? `until ${name} is idle` : `for the ${kind} of ${name}`;
}

/**
 * The status, with what is waited for as its activity: of the stack's own array, of the mirror
 * under its NV cache, or of the cache.
 */
function watched(status: StatusDocument, kind: WaitFor): StatusDocument {
  if (kind === 'recovery' || kind === 'drain') return cacheProgress(status, kind);
  const mirrors = status.cache?.activity ?? IDLE;
  const isMirrors = !isOf(status.activity, kind) && isOf(mirrors, kind);
  return isMirrors ? { ...status, activity: mirrors } : status;
}

function isOf({ kind: doing }: ActivityStatus, kind: WaitFor): boolean {
  return kind === 'idle' ? doing !== 'idle' : doing === kind;
}

function isDoing(status: StatusDocument, kind: WaitFor): boolean {
  if (kind === 'recovery') return isRecovering(status);
  if (kind === 'drain') return isDraining(status);
  return isOf(watched(status, kind).activity, kind);
}

/** A check that was stopped for a rebuild, and goes on after it. */
function makesWay({ activity }: StatusDocument, last: EventDocument | undefined): boolean {
  return (
    activity.kind !== 'idle' && last?.kind === 'check-stopped' && last.details['waits'] === true
  );
}

function concerns(event: string, kind: WaitFor): boolean {
  const end = END.exec(event);
  return end !== null && (kind === 'idle' || end[1] === kind);
}

/** Why it was not done well, or null. */
function failureOf(
  { name, kind }: WaitOptions,
  status: StatusDocument,
  lasts: readonly (EventDocument | undefined)[],
  waited: boolean,
): BandstandError | null {
  const details = { name, for: kind, health: status.health };
  const fail = (why: string, hint: string | null): BandstandError =>
    new BandstandError('BANDSTAND_ACTIVITY_STOPPED', {
      message: `cannot wait ${until(name, kind)}: ${why}`,
      hint: hint ?? `look at it: bandstand status ${name}`,
      details,
    });
  const stopped = lasts.find((last) => last?.kind.endsWith('-stopped'));
  if (stopped !== undefined) return fail(stopped.message, stopped.action);
  if (status.health === 'failed') return fail(status.reason ?? 'it has failed', status.action);
  const undrained = status.cache?.undrained_bytes ?? 0;
  if (kind === 'drain' && undrained > 0) {
    const why = `nothing drains it: ${formatSize(undrained)} stay in its NV cache until that fills up`;
    return fail(why, `have it emptied: bandstand cache detach ${name}`);
  }
  if (kind !== 'rebuild' || status.health === 'healthy') return null;
  const why = waited ? 'the rebuild is over, and' : 'no rebuild is running, and';
  const reason = status.reason === null ? '' : ` (${status.reason})`;
  return fail(`${why} it is still ${status.health}${reason}`, status.action);
}

function gone(name: string, kind: WaitFor, waited: boolean): BandstandError {
  return new BandstandError(waited ? 'BANDSTAND_SERVER_FAILED' : 'BANDSTAND_STACK_NOT_RUNNING', {
    message: `cannot wait ${until(name, kind)}: ${waited ? 'its server has ended' : 'it is not running'}`,
    hint: waited
      ? `look at it: bandstand status ${name}`
      : `start it first: bandstand export ${name}`,
    details: { name, for: kind },
  });
}

function tooLate({ name, kind, timeoutMs }: WaitOptions, status: StatusDocument): BandstandError {
  const { activity } = watched(status, kind);
  const pace =
    activity.pace === 'paused' || activity.pace === 'stalled' ? `, ${activity.pace}` : '';
  return new BandstandError('BANDSTAND_WAIT_TIMEOUT', {
    message: `cannot wait longer ${until(name, kind)}: after ${timeoutMs! / 1000} s it is still at its ${activity.kind}${pace}`,
    hint: `look at it: bandstand status ${name}`,
    details: { name, for: kind, timeout_ms: timeoutMs, activity },
  });
}
