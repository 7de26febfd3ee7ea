/**
 * wipe: removes superblock, label copies and bitmap from a device.                  (control plane)
 *
 * Only what is recognised (valid or damaged) is overwritten, so that a device that belongs to
 * something else stays as it is. Superblock first: a device with labels alone is no member of
 * anything, and a spare has nothing else. The result is read back.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { BITMAP_SIGNATURE } from './bitmap-format.ts';
import { type Examination, examineDevice } from './examine.ts';
import {
  BITMAP_AREA_END,
  BITMAP_AREA_START,
  BITMAP_BLOCK_BYTES,
  LABEL_BYTES,
  LABEL_OFFSETS,
} from './label.ts';
import { readArea, verifyArea, writeArea } from './metadata-io.ts';
import { superblockBytes } from './superblock-layout.ts';

const SIGNATURE_BYTES = BITMAP_SIGNATURE.length;

export interface Wiped {
  readonly superblock: boolean;
  readonly labelCopies: number;
  readonly bitmapBlocks: number;
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
  const bitmapBlocks = await wipeBitmap(reactor, device);
  return { superblock: hasSuperblock, labelCopies, bitmapBlocks };
}

/** Every block in the area of the bitmap that starts like one of it. */
async function wipeBitmap(reactor: Reactor, device: BlockDevice): Promise<number> {
  const area = await readArea(
    reactor,
    device,
    BITMAP_AREA_START,
    BITMAP_AREA_END - BITMAP_AREA_START,
  );
  const isOurs = (at: number): boolean =>
    Buffer.from(area.subarray(at, at + SIGNATURE_BYTES)).toString('latin1') === BITMAP_SIGNATURE;
  let wiped = 0;
  for (let at = 0; at + BITMAP_BLOCK_BYTES <= area.length; at += BITMAP_BLOCK_BYTES) {
    let end = at;
    while (end + BITMAP_BLOCK_BYTES <= area.length && isOurs(end)) end += BITMAP_BLOCK_BYTES;
    if (end === at) continue;
    await zeroArea(reactor, device, BITMAP_AREA_START + at, end - at, 'bitmap');
    wiped += (end - at) / BITMAP_BLOCK_BYTES;
    at = end;
  }
  return wiped;
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
