/**
 * Takes an array off its disks, as a person does who deletes it and erases what is left.
 */

import type { Reactor } from '../../src/block/reactor.ts';
import { wipeDevice } from '../../src/raid/wipe.ts';
import type { SimDisk } from './sim-disk.ts';

/** Throws BandstandError when a disk fails; the others are erased nevertheless. */
export async function eraseDisks(reactor: Reactor, disks: readonly SimDisk[]): Promise<void> {
  let failure: unknown = null;
  for (const disk of disks) {
    try {
      await disk.open(reactor);
      await wipeDevice(reactor, disk);
    } catch (error) {
      failure ??= error;
    } finally {
      await disk.close();
    }
  }
  if (failure !== null) throw failure;
}
