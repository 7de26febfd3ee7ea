/**
 * Reading and writing the metadata areas of a member.                               (control plane)
 *
 * Metadata sits at fixed bytes; these functions turn them into blocks of the device. Writing is
 * always followed by a flush here, and by reading back where the caller verifies, because metadata
 * that is not on the disk is worse than none.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice, readBlocks, writeBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { encodeLabel, LABEL_OFFSETS, type Label, labelCopy } from './label.ts';
import { DATA_OFFSET_BYTES_MIN } from './superblock-layout.ts';

/** Contains the first sector of a superblock, without which it is none. */
const SUPERBLOCK_START_BYTES = 4096;

/** `bytes` from byte `at` on (a multiple of 4096), cut where the device ends. */
export async function readArea(
  reactor: Reactor,
  device: BlockDevice,
  at: number,
  bytes: number,
): Promise<Uint8Array> {
  const { blockBytes, blockCount } = device.geometry;
  const first = at / blockBytes;
  const count = Math.min(Math.ceil(bytes / blockBytes), blockCount - first);
  return count <= 0 ? new Uint8Array(0) : readBlocks(reactor, device, first, count);
}

/** Writes `bytes` at byte `at` (a multiple of 4096), padded with zeroes to a whole block. */
export async function writeArea(
  reactor: Reactor,
  device: BlockDevice,
  at: number,
  bytes: Uint8Array,
): Promise<void> {
  const { blockBytes } = device.geometry;
  const length = Math.ceil(bytes.length / blockBytes) * blockBytes;
  const whole = length === bytes.length ? bytes : new Uint8Array(length);
  if (whole !== bytes) whole.set(bytes);
  await writeBlocks(reactor, device, at / blockBytes, whole);
}

/**
 * Makes everything before the data zeroes, durably. The superblock goes first: were it there and
 * the label gone after a power cut, nobody could tell which member the device was, and the array
 * that it was a member of would not assemble.
 */
export async function clearMetadata(reactor: Reactor, device: BlockDevice): Promise<void> {
  for (const bytes of [SUPERBLOCK_START_BYTES, DATA_OFFSET_BYTES_MIN]) {
    await writeArea(reactor, device, 0, new Uint8Array(bytes));
    await flushDevice(device);
  }
}

/** Throws BANDSTAND_METADATA_UNVERIFIED when the device does not give back `bytes` at byte `at`. */
export async function verifyArea(
  reactor: Reactor,
  device: BlockDevice,
  at: number,
  bytes: Uint8Array,
  what: string,
): Promise<void> {
  const found = await readArea(reactor, device, at, bytes.length);
  for (let index = 0; index < bytes.length; index += 1) {
    if (found[index] === bytes[index]) continue;
    throw new BandstandError('BANDSTAND_METADATA_UNVERIFIED', {
      message: `cannot trust ${device.name}: the ${what} read back differs from what was written, first at byte ${at + index}`,
      hint: 'check the device; nothing on it can be relied on',
      details: { device: device.name, what, byte: at + index },
    });
  }
}

/** Writes the label to its copy and flushes. */
export async function writeLabel(
  reactor: Reactor,
  device: BlockDevice,
  label: Label,
): Promise<void> {
  const at = LABEL_OFFSETS[labelCopy(label.sequence)];
  await writeArea(reactor, device, at, encodeLabel(label));
  await flushDevice(device);
}

export function verifyLabel(reactor: Reactor, device: BlockDevice, label: Label): Promise<void> {
  const at = LABEL_OFFSETS[labelCopy(label.sequence)];
  return verifyArea(reactor, device, at, encodeLabel(label), 'member label');
}
