/**
 * Whether a device may join a running stack: what is asked without opening it.      (control plane)
 *
 * Asked three times, for what each place can see. The command looks first, where the user's mounts
 * are and blkid may run. The main thread of the server refuses what lies on the stack's own export,
 * because the data path would wait for itself there. The data path opens the device exclusively and
 * looks at its content once more (open-new-member.ts); that answer counts.
 */

import { BandstandError, type ErrorCode } from '../block/errors.ts';
import { type DeviceSpec, parseDeviceSpec } from './device-spec.ts';
import {
  type DeviceIdentity,
  identifyDevice,
  sizeOf,
  storageKeys,
  usageOf,
} from './device-usage.ts';
import { innermostPath } from './find-members.ts';
import { recognise, type Signature } from './signatures.ts';

/** What cannot be done, for messages: `add /dev/sdb to tank`. */
export type Subject = string;

export function cannot(
  subject: Subject,
  code: ErrorCode,
  why: string,
  hint: string,
  details: Readonly<Record<string, unknown>> = {},
): BandstandError {
  return new BandstandError(code, { message: `cannot ${subject}: ${why}`, hint, details });
}

export interface NewDevice {
  readonly spec: DeviceSpec;
  /** The block device or file below filters. */
  readonly path: string;
}

/** Throws BANDSTAND_DEVICE_INVALID for what cannot be kept or brings an identity of its own. */
export function parseNewDevice(subject: Subject, text: string): NewDevice {
  const spec = parseDeviceSpec(text);
  const hint = 'name a block device or a regular file';
  const path = innermostPath(spec);
  if (spec.kind === 'array' || path === null) {
    throw cannot(subject, 'BANDSTAND_DEVICE_INVALID', 'it would be gone with the server', hint);
  }
  if (spec.kind === 'path' && spec.uuid !== null) {
    const why = 'a new member is given its UUID by the stack';
    throw cannot(subject, 'BANDSTAND_DEVICE_INVALID', why, `name it without =${spec.uuid}`);
  }
  return { spec, path };
}

/** Throws BANDSTAND_DEVICE_BUSY. */
export function refuseUsed(subject: Subject, identity: DeviceIdentity): void {
  const usage = usageOf(identity);
  if (usage === null) return;
  throw cannot(
    subject,
    'BANDSTAND_DEVICE_BUSY',
    usage.startsWith('its ') ? usage : `it is ${usage}`,
    usage.includes('mounted')
      ? 'unmount it, or name a different device'
      : 'end that use, or name a different device',
    { device: identity.path, usage },
  );
}

const OURS: readonly string[] = ['spdk-raid', 'member-label'];

/**
 * Throws BANDSTAND_DEVICE_IN_USE for data of others. Where our own metadata is, whose it is
 * decides, and what else is found are the user's data inside the array.
 */
export function refuseForeign(subject: Subject, path: string, found: readonly Signature[]): void {
  if (found.some(({ kind }) => OURS.includes(kind))) return;
  const [first] = found;
  if (first === undefined) return;
  throw cannot(
    subject,
    'BANDSTAND_DEVICE_IN_USE',
    `it holds ${first.description}`,
    eraseHint(first.kind, path),
    { device: path, holds: first.kind, label: first.label },
  );
}

/** Programs of others know nothing of our metadata. */
export function eraseHint(kind: string, path: string): string {
  const command = kind === 'nv-cache' || OURS.includes(kind) ? 'bandstand wipe' : 'wipefs --all';
  return `erase it if nothing on it is needed: ${command} ${path}`;
}

/** What the command can see; throws BandstandError. */
export function inspectNewDevice(subject: Subject, text: string): void {
  const { path } = parseNewDevice(subject, text);
  const identity = identifyDevice(path);
  refuseUsed(subject, identity);
  let found: Signature[];
  try {
    found = recognise(identity.realPath, sizeOf(identity));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    throw cannot(
      subject,
      'BANDSTAND_DEVICE_PERMISSION',
      `it cannot be read: ${why === 'EACCES' ? 'permission denied' : why}`,
      'run it with sudo',
      { device: path, errno: why },
    );
  }
  refuseForeign(subject, path, found);
}

/** Throws BANDSTAND_DEVICE_INVALID for what lives on the block device that the stack exports. */
export function refuseOwnExport(
  subject: Subject,
  path: string,
  exports: readonly { readonly kind: string; readonly address: string }[],
): void {
  const identity = identifyDevice(path);
  const keys = storageKeys(identity);
  for (const { kind, address } of exports) {
    if (kind !== 'ublk' || !keys.includes(identifyDevice(address).key)) continue;
    throw cannot(
      subject,
      'BANDSTAND_DEVICE_INVALID',
      `it lies on ${address}, which this very stack exports`,
      'name a device that does not depend on the stack',
      { device: path, export: address },
    );
  }
}
