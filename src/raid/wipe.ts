/**
 * wipe: removes superblock and label copies from a device.                          (control plane)
 *
 * Only what is recognised (valid or damaged) is overwritten, so that a device that belongs to
 * something else stays as it is. Superblock first: a device with labels alone is no member of
 * anything. The result is read back.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { type Examination, examineDevice } from './examine.ts';
import { LABEL_BYTES, LABEL_OFFSETS } from './label.ts';
import { verifyArea, writeArea } from './metadata-io.ts';
import { superblockBytes } from './superblock-layout.ts';

export interface Wiped {
  readonly superblock: boolean;
  readonly labelCopies: number;
}

/** `device` is open for writing. Throws BANDSTAND_DEVICE_IO or BANDSTAND_METADATA_UNVERIFIED. */
export async function wipeDevice(reactor: Reactor, device: BlockDevice): Promise<Wiped> {
  const found = await examineDevice(reactor, device);
  const hasSuperblock = found.superblock.state !== 'absent';
  if (hasSuperblock) {
    await zeroArea(reactor, device, 0, superblockArea(found), 'superblock');
  }
  let labelCopies = 0;
  for (const copy of [0, 1] as const) {
    if (found.labels[copy].state === 'absent') continue;
    await zeroArea(reactor, device, LABEL_OFFSETS[copy], LABEL_BYTES, 'member label');
    labelCopies += 1;
  }
  return { superblock: hasSuperblock, labelCopies };
}

/** How much a superblock covers: one whose length is not known, its largest size up to the end. */
function superblockArea({ superblock, blockBytes, blockCount }: Examination): number {
  const members = superblock.value?.members.length ?? 255;
  return Math.min(superblockBytes(members), blockBytes * blockCount);
}

async function zeroArea(
  reactor: Reactor,
  device: BlockDevice,
  at: number,
  bytes: number,
  what: string,
): Promise<void> {
  const zeroes = new Uint8Array(bytes);
  await writeArea(reactor, device, at, zeroes);
  await flushDevice(device);
  await verifyArea(reactor, device, at, zeroes, what);
}
