/**
 * What is left of a remembered stack on the devices that it was remembered with.    (control plane)
 *
 * Looks where each device was, and nowhere else, and writes nothing. A device that is not there, or
 * that cannot be read, may have everything: it counts as left. Only one that is there, and has none
 * of the stack's metadata any more, does not.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import type { Ring } from '../reactor/ring.ts';
import { identifyDevice } from './device-usage.ts';
import { type ExaminedDevice, examineAt } from './examine-device.ts';
import type { RememberedStack } from './state-store.ts';

/**
 * `marked`: it has metadata of the stack. `absent`: there is nothing at its path. `other`: what is
 * there belongs to another array. `unreadable`: it cannot be read, or what it has is damaged.
 * `bare`: the array was made without metadata.
 */
export type RemainingState = 'marked' | 'absent' | 'other' | 'unreadable' | 'bare';

/** What was found on a device. */
export type SeenDevice = Pick<ExaminedDevice, 'cache' | 'examination'>;

export interface RememberedDevice {
  readonly device: string;
  readonly role: 'member' | 'spare' | 'cache';
  /** Null where it has none. */
  readonly slot: number | null;
  /** What its metadata names: the array that it is in, or the cache that it is. */
  readonly owner: string;
}

export interface RemainingDevice extends RememberedDevice {
  readonly state: RemainingState;
}

/** All devices of the stack, members first. */
export function rememberedDevices(stack: RememberedStack): RememberedDevice[] {
  const { cache, members, spares, uuid } = stack;
  const devices: RememberedDevice[] = [
    ...members.map(({ path, slot }) => ({
      device: path,
      role: 'member' as const,
      slot,
      owner: uuid,
    })),
    ...spares.map(({ path }) => ({
      device: path,
      role: 'spare' as const,
      slot: null,
      owner: uuid,
    })),
  ];
  if (cache === null) return devices;
  const halves = [...cache.members, ...cache.spares].map(({ path }) => path);
  const paths = cache.path === null ? halves : [cache.path];
  const ofCache = { role: 'cache' as const, slot: null, owner: cache.uuid };
  return [...devices, ...paths.map((device) => ({ device, ...ofCache }))];
}

/** `wiped`: by the keys of devices (DeviceIdentity), what they had and will not have any more. */
export async function remainingDevices(
  ring: Ring,
  stack: RememberedStack,
  wiped: ReadonlyMap<string, SeenDevice>,
): Promise<RemainingDevice[]> {
  const found: RemainingDevice[] = [];
  for (const device of rememberedDevices(stack)) {
    const state = stack.superblock ? await stateOf(ring, device, wiped) : 'bare';
    if (state !== null) found.push({ ...device, state });
  }
  return found;
}

/** Null: nothing is left on it. */
async function stateOf(
  ring: Ring,
  { device, owner }: RememberedDevice,
  wiped: ReadonlyMap<string, SeenDevice>,
): Promise<RemainingState | null> {
  if (!existsSync(device)) return 'absent';
  try {
    const before = wiped.get(identifyDevice(device).key);
    if (before === undefined) return stateOn(await examineAt(ring, device), owner);
    // What was another's says that the stack's device is elsewhere.
    return stateOn(before, owner) === 'other' ? 'other' : null;
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return 'unreadable';
  }
}

/** For whoever looks for the array or the cache with this UUID; null: there is no metadata. */
export function stateOn(
  { cache, examination }: SeenDevice,
  owner: string,
): 'marked' | 'other' | 'unreadable' | null {
  const { label, labels, superblock } = examination;
  const named = [superblock.value?.uuid, label?.arrayUuid, cache?.header?.uuid];
  const owners = named.filter((uuid) => uuid !== undefined);
  if (owners.includes(owner)) return 'marked';
  if (owners.length > 0) return 'other';
  const damaged = [superblock, ...labels].some(({ state }) => state === 'damaged');
  return damaged || cache !== null ? 'unreadable' : null;
}
