/**
 * What to remember of a stack whose members have changed.                           (control plane)
 *
 * A device that is there is remembered where it is. The path of a member that is missing is kept as
 * long as its slot still waits for it (the same UUID), because that is where it may come back.
 * Spares, and a device that is being filled beside a member in service, have a list of their own.
 */

import { parseDeviceSpec } from './device-spec.ts';
import { identifyDevice, stablePath } from './device-usage.ts';
import { innermostPath } from './find-members.ts';
import type { ManagedStatus } from './managed-array.ts';
import type { RememberedStack } from './state-store.ts';

/** `pathOf` gives the most stable path of a device. */
export function rememberMembers(
  old: RememberedStack,
  status: Pick<ManagedStatus, 'members' | 'spares' | 'process'>,
  pathOf: (device: string) => string,
): RememberedStack {
  const members = status.members.flatMap(({ slot, uuid, device }) => {
    const before = old.members.find((member) => member.slot === slot && member.uuid === uuid);
    const path = device === null ? (before?.path ?? null) : pathOf(device);
    return path === null ? [] : [{ slot, uuid, path }];
  });
  const target = status.process?.target ?? null;
  const spares = target === null ? status.spares : [...status.spares, target];
  const others = spares.filter(
    ({ uuid }, index) =>
      spares.findIndex((spare) => spare.uuid === uuid) === index &&
      !members.some((member) => member.uuid === uuid),
  );
  return {
    ...old,
    members,
    spares: others.map(({ uuid, device }) => ({ uuid, path: pathOf(device) })),
  };
}

/** The path of the device below filters that survives a reboot; as it is when it has gone. */
export function stableDevicePath(device: string): string {
  const path = innermostPath(parseDeviceSpec(device)) ?? device;
  try {
    return stablePath(identifyDevice(path));
  } catch {
    return path;
  }
}
