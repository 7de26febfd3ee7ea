/**
 * A reactor for the length of one command that looks at or writes devices itself.   (control plane)
 *
 * Small: few buffers, ordinary pages, nothing pinned that the command does not need.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { loadAddon } from '../native/load.ts';
import type { Ring } from '../reactor/ring.ts';
import { RingReactor } from '../reactor/ring-reactor.ts';

export type { Ring };

const ARENA_BYTES = 4 * 2 ** 20;

/** Runs `work` on a reactor of its own; everything it opens it has to close. */
export async function withRing<T>(
  work: (ring: Ring) => Promise<T>,
  arenaBytes = ARENA_BYTES,
): Promise<T> {
  const reactor = RingReactor.create({
    native: loadAddon(),
    arenaBytes,
    entries: 64,
    cqEntries: 1024,
    hugePages: false,
  });
  try {
    return await reactor.drive(work(reactor));
  } finally {
    await reactor.close();
  }
}

/** Opens, works, closes. */
export async function withDevice<T>(
  ring: Ring,
  device: BlockDevice,
  work: () => Promise<T>,
): Promise<T> {
  await device.open(ring);
  try {
    return await work();
  } finally {
    await device.close();
  }
}
