/**
 * examine and wipe: what is on a device, and taking our metadata off it.            (control plane)
 *
 * Both work on devices that no running stack uses. Examining opens read-only and needs no more than
 * permission to read; wiping opens exclusively, removes what is recognised as ours, nothing else.
 */

import { BandstandError } from '../block/errors.ts';
import { FileDevice } from '../device/file-device.ts';
import { type Examination, examinationJson, examineDevice } from '../raid/examine.ts';
import { type Wiped, wipeDevice } from '../raid/wipe.ts';
import type { Ring } from '../reactor/ring.ts';
import { type DeviceIdentity, identifyDevice, usageOf } from './device-usage.ts';
import { withDevice } from './offline-ring.ts';
import { recognise, type Signature } from './signatures.ts';

export interface ExaminedDevice {
  readonly device: string;
  readonly sizeBytes: number;
  readonly examination: Examination;
  /** Everything recognisable that is not ours. */
  readonly foreign: readonly Signature[];
  /** How it is used at the moment, or null. */
  readonly usage: string | null;
}

const OURS = ['spdk-raid', 'member-label'];

export async function examineAt(ring: Ring, path: string): Promise<ExaminedDevice> {
  const identity = identifyDevice(path);
  const device = new FileDevice(path, { readOnly: true });
  return await withDevice(ring, device, async () => {
    const { blockBytes, blockCount } = device.geometry;
    const sizeBytes = blockBytes * blockCount;
    return {
      device: path,
      sizeBytes,
      examination: await examineDevice(ring, device),
      foreign: foreignOn(identity, sizeBytes),
      usage: usageOf(identity),
    };
  });
}

function foreignOn(identity: DeviceIdentity, sizeBytes: number): Signature[] {
  return recognise(identity.realPath, sizeBytes).filter(({ kind }) => !OURS.includes(kind));
}

/** Every field of superblock and labels, for --json. */
export function examinedJson(examined: ExaminedDevice): Record<string, unknown> {
  return {
    ...examinationJson(examined.examination),
    size_bytes: examined.sizeBytes,
    foreign: examined.foreign.map(({ kind, label, atByte }) => ({
      kind,
      label,
      offset_bytes: atByte,
    })),
    usage: examined.usage,
  };
}

export interface WipeOutcome {
  readonly device: string;
  readonly before: Examination;
  /** Null with dryRun. */
  readonly wiped: Wiped | null;
}

/** Throws BANDSTAND_DEVICE_BUSY for a member of a running stack or a device in other use. */
export async function wipeAt(ring: Ring, path: string, dryRun: boolean): Promise<WipeOutcome> {
  const identity = identifyDevice(path);
  const usage = usageOf(identity);
  if (usage !== null) throw busyError(path, usage);
  const device = new FileDevice(path);
  try {
    return await withDevice(ring, device, async () => {
      const before = await examineDevice(ring, device);
      return { device: path, before, wiped: dryRun ? null : await wipeDevice(ring, device) };
    });
  } catch (error) {
    if (!(error instanceof BandstandError) || error.code !== 'BANDSTAND_DEVICE_BUSY') throw error;
    throw busyError(path, 'opened exclusively by another program', error);
  }
}

function busyError(path: string, usage: string, cause?: unknown): BandstandError {
  return new BandstandError('BANDSTAND_DEVICE_BUSY', {
    message: `cannot wipe ${path}: it is ${usage}`.replace('it is its', 'its'),
    hint: 'stop whatever uses it first; bandstand list shows the running stacks',
    details: { device: path, usage },
    ...(cause === undefined ? {} : { cause }),
  });
}
