/**
 * What `wipe` means for the stacks that this machine remembers.                     (control plane)
 *
 * A stack is forgotten with the metadata on the last of its devices, so that its name can be used
 * again. One of which something may be left stays known, and is told with what is left: a device
 * that is merely away, too, because it may come back.
 */

import { BandstandError } from '../block/errors.ts';
import { identifyDevice } from '../stack/device-usage.ts';
import type { Directories } from '../stack/directories.ts';
import type { WipeOutcome } from '../stack/examine-device.ts';
import type { Ring } from '../stack/offline-ring.ts';
import {
  type RemainingDevice,
  type RemainingState,
  remainingDevices,
  rememberedDevices,
  type SeenDevice,
  stateOn,
} from '../stack/remaining-devices.ts';
import { type RememberedStack, StateStore } from '../stack/state-store.ts';
import { forgetTraces, refuseForgetting, tracesOf } from './stack-traces.ts';

export interface WipedStack {
  readonly name: string;
  readonly uuid: string;
  /** Always false with dryRun. */
  readonly forgotten: boolean;
  readonly remaining: readonly RemainingDevice[];
  /** Why it is known although nothing remains; null: it is not, or something does. */
  readonly refusal: BandstandError | null;
}

/** Of the devices that are, or with dryRun would be, wiped. Stacks that run are not concerned. */
export async function wipedStacks(
  ring: Ring,
  directories: Directories,
  outcomes: readonly WipeOutcome[],
  dryRun: boolean,
): Promise<WipedStack[]> {
  const wiped = new Map(
    outcomes.map((outcome) => [identifyDevice(outcome.device).key, seen(outcome)] as const),
  );
  const found: WipedStack[] = [];
  for (const stack of rememberedStacks(directories)) {
    if (!isConcerned(stack, wiped)) continue;
    const { name, uuid } = stack;
    const remaining = await remainingDevices(ring, stack, wiped);
    const refusal = forgetEmpty(directories, name, remaining.length > 0 || dryRun);
    if (refusal?.code === 'BANDSTAND_STACK_RUNNING') continue;
    const forgotten = remaining.length === 0 && refusal === null && !dryRun;
    found.push({ name, uuid, forgotten, remaining, refusal });
  }
  return found;
}

/** What keeps the stack from being forgotten; null: it is, or with `looking` could be. */
function forgetEmpty(
  directories: Directories,
  name: string,
  looking: boolean,
): BandstandError | null {
  const traces = tracesOf(directories, name);
  if (traces === null) return null;
  try {
    refuseForgetting(traces, false);
    if (!looking) forgetTraces(traces, false);
    return null;
  } catch (error) {
    // The devices are wiped: that this did not work, too, is told with the rest.
    if (error instanceof BandstandError) return error;
    throw error;
  }
}

function rememberedStacks({ stateDir }: Directories): RememberedStack[] {
  const states = new StateStore(stateDir);
  return states.names().flatMap((name) => {
    try {
      return states.load(name) ?? [];
    } catch (error) {
      if (error instanceof BandstandError) return [];
      throw error;
    }
  });
}

const seen = ({ before, cache }: WipeOutcome): SeenDevice => ({ examination: before, cache });

/** One of the devices had its metadata; or it had nobody's, and is where one of its devices was. */
function isConcerned(stack: RememberedStack, wiped: ReadonlyMap<string, SeenDevice>): boolean {
  const owners = [stack.uuid, ...(stack.cache === null ? [] : [stack.cache.uuid])];
  const all = [...wiped.values()];
  if (owners.some((owner) => all.some((one) => stateOn(one, owner) === 'marked'))) return true;
  return rememberedDevices(stack).some(({ device, owner }) => {
    const one = wiped.get(keyOf(device) ?? '');
    return one !== undefined && stateOn(one, owner) !== 'other';
  });
}

/** Null: there is no device. */
function keyOf(path: string): string | null {
  try {
    return identifyDevice(path).key;
  } catch {
    return null;
  }
}

export function wipedStackJson({ forgotten, name, refusal, remaining, uuid }: WipedStack) {
  return {
    name,
    uuid,
    forgotten,
    remaining: remaining.map(({ device, role, slot, state }) => ({ device, role, slot, state })),
    reason: refusal?.message ?? null,
  };
}

const LEFT: Readonly<Record<RemainingState, string>> = {
  marked: 'has its metadata',
  absent: 'is not there',
  other: 'is of another array now',
  unreadable: 'cannot be read',
  bare: 'had no metadata',
};

export function wipedStackLines(stack: WipedStack, dryRun: boolean): string[] {
  const { name, refusal, remaining } = stack;
  if (remaining.length > 0) {
    const why = remaining.map(({ device, state }) => `${device} ${LEFT[state]}`).join(', ');
    const line = `${name} is still known: ${why}`;
    if (remaining.some(({ state }) => state === 'marked')) return [line];
    return [line, `  if it is gone for good: bandstand forget ${name}`];
  }
  if (refusal !== null) return [`${name} is still known: ${refusal.message}`, `  ${refusal.hint}`];
  const deed = dryRun ? 'would forget' : 'forgot';
  return [`${deed} ${name}: nothing is left of it on its devices`];
}
