/**
 * What to remember of a stack whose members have changed.                           (control plane)
 *
 * A device that is there is remembered where it is. The path of a member that is missing is kept as
 * long as its slot still waits for it (the same UUID), because that is where it may come back.
 * Spares, also those that are not here, and a device that is being filled and is no member yet,
 * have a list of their own.
 */

import { parseDeviceSpec } from './device-spec.ts';
import { identifyDevice, stablePath } from './device-usage.ts';
import { innermostPath } from './find-members.ts';
import type { ManagedStatus } from './managed-array.ts';
import type { RememberedSpare, RememberedStack } from './state-store.ts';

/** Who the members and spares are at present, and how large the array is. */
export interface PresentMembers extends Pick<ManagedStatus, 'members' | 'spares' | 'process'> {
  readonly absent: readonly RememberedSpare[];
  readonly sizeBytes: number;
}

type Remembered = Pick<RememberedStack, 'members' | 'spares'>;

/** `pathOf` gives the most stable path of a device. */
export function rememberMembers(
  old: RememberedStack,
  status: PresentMembers,
  pathOf: (device: string) => string,
): RememberedStack {
  return { ...old, sizeBytes: status.sizeBytes, ...presentMembers(old, status, pathOf) };
}

/** The same for any array of a stack. */
export function presentMembers(
  old: Remembered,
  status: PresentMembers,
  pathOf: (device: string) => string,
): Remembered {
  const target = status.process?.target ?? null;
  const known = [...old.members, ...old.spares];
  const members = status.members.flatMap(({ slot, uuid, device, health }) => {
    // While a slot is being rebuilt, the device is that of the target, which may be another member.
    const other = health === 'rebuilding' && target?.uuid !== uuid;
    const before = known.find((one) => one.uuid === uuid)?.path ?? null;
    const path = device === null || other ? before : pathOf(device);
    return path === null ? [] : [{ slot, uuid, path, health }];
  });
  const spares = [
    ...status.spares,
    ...(target === null ? [] : [target]),
    ...status.absent.map(({ uuid, path }) => ({ uuid, device: path })),
  ];
  const others = spares.filter(
    ({ uuid }, index) =>
      spares.findIndex((spare) => spare.uuid === uuid) === index &&
      !members.some((member) => member.uuid === uuid),
  );
  return {
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
