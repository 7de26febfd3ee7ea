/**
 * Spares that a stack has and its array has not: not here, or not in use.          (control plane)
 *
 * A spare is never needed to start, so that one is missing is easily overlooked: it is told, stays
 * remembered and stays in the status until it is found again or somebody removes it. The same holds
 * for a device that was being filled in place of a member in service.
 */

import type { FoundMembers } from './find-members.ts';
import type { ManagedStatus } from './managed-array.ts';
import type { RememberedSpare } from './state-store.ts';

export interface AbsentSpare extends RememberedSpare {
  /** Why it is not here; null when it is, and nothing is to be done with it (read-only). */
  readonly why: string | null;
}

export interface SpareSearch {
  readonly remembered: readonly RememberedSpare[];
  readonly found: FoundMembers;
  /** Device → why it could not be opened for use. */
  readonly unopened: ReadonlyMap<string, string>;
  /** The user has said where to look. */
  readonly given: boolean;
  /** Nothing is opened that is no member. */
  readonly readOnly: boolean;
  /** The name under which a remembered path was looked at. */
  nameOf(path: string): string;
}

/** What is remembered or was found and is not in use. */
export function absentSpares(search: SpareSearch): AbsentSpare[] {
  const { remembered, found, unopened, readOnly } = search;
  const { spares, target, slots } = found.assembly;
  const here = target === null ? spares : [...spares, target];
  const absent: AbsentSpare[] = [];
  for (const { uuid, device } of here) {
    const why = unopened.get(device) ?? null;
    if (readOnly || why !== null) absent.push({ uuid, path: device, why });
  }
  for (const { uuid, path } of remembered) {
    if ([...here, ...slots].some((one) => one.uuid === uuid)) continue;
    absent.push({ uuid, path, why: whyAbsent(search, path) });
  }
  return absent;
}

function whyAbsent({ found, given, nameOf }: SpareSearch, path: string): string {
  const name = nameOf(path);
  const error = found.unreadable.get(name);
  if (error !== undefined) return error.message;
  const unfit = found.assembly.unused.find(({ device }) => device === name);
  if (unfit !== undefined) return unfit.reason;
  if (given && !found.specs.has(name)) return 'it is not among the devices that were given';
  return 'what is there now is no spare of this stack';
}

type MembersNow = Pick<ManagedStatus, 'members' | 'spares' | 'process'>;

/** Without those that the array has by now. */
export function stillAbsent(
  absent: readonly AbsentSpare[],
  { members, spares, process }: MembersNow,
): AbsentSpare[] {
  const target = process?.target ?? null;
  const known = [...members, ...spares, ...(target === null ? [] : [target])];
  return absent.filter(({ uuid }) => !known.some((one) => one.uuid === uuid));
}

/** Sentences about what belongs to the stack, is not used, and is told nowhere else. */
export function notesAbout(
  { unreadable, assembly }: FoundMembers,
  absent: readonly AbsentSpare[],
): string[] {
  const notes = absent.flatMap(({ path, why }) => {
    return why === null ? [] : [`the spare ${path} is missing: ${why}`];
  });
  if (!assembly.degraded) return notes;
  // One of these may be what the array lacks.
  for (const { code, message } of unreadable.values()) {
    if (code === 'BANDSTAND_DEVICE_MISSING' || absent.some(({ why }) => why === message)) continue;
    notes.push(message);
  }
  return notes;
}
