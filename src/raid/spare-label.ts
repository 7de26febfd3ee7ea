/**
 * Makes a device a spare of an array: a label that says so, and nothing else.       (control plane)
 *
 * A spare has no superblock, because it has no slot; its label names the array that may take it.
 * The first MiB becomes zeroes before, so that nothing else is recognised on it, and the label is
 * read back.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Reactor } from '../block/reactor.ts';
import { type Label, NO_PROCESS } from './label.ts';
import { clearMetadata, verifyLabel, writeLabel } from './metadata-io.ts';
import type { Superblock } from './superblock.ts';

/**
 * `device` is open for writing; `uuid` is its own as a spare. Throws BANDSTAND_DEVICE_IO or
 * BANDSTAND_METADATA_UNVERIFIED.
 */
export async function labelSpare(
  reactor: Reactor,
  device: BlockDevice,
  array: Pick<Superblock, 'uuid' | 'seq'>,
  uuid: string,
): Promise<void> {
  await clearMetadata(reactor, device);
  const label: Label = {
    sequence: 1,
    memberUuid: uuid,
    arrayUuid: array.uuid,
    superblockSeq: array.seq,
    slot: 0,
    role: 'spare',
    state: 'clean',
    eventCount: 0,
    bitmap: null,
    process: NO_PROCESS,
    ftl: false,
    nvCache: false,
    missedSince: 0,
  };
  await writeLabel(reactor, device, label);
  await verifyLabel(reactor, device, label);
}
