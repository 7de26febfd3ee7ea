/**
 * Making the mirror under an NV cache: a raid1 array of two, with a ring on it.     (control plane)
 *
 * The UUID of the array is that of the cache, which the FTL's superblock names: so its members are
 * known whatever the array is called. Its blocks are those of the ring, also on disks with smaller
 * ones.
 */

import type { BlockDevice, Geometry } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import type { Reactor } from '../block/reactor.ts';
import { CACHE_BLOCK_BYTES } from '../nv-cache/cache-format.ts';
import { CACHE_BLOCKS_LEAST } from '../nv-cache/cache-header.ts';
import { createCache } from '../nv-cache/create-cache.ts';
import { createArray } from '../raid/create.ts';
import { type ArrayPlan, planArray, planSpec } from '../raid/plan.ts';
import { RaidArray } from '../raid/raid-array.ts';
import { wipeDevice } from '../raid/wipe.ts';
import { NAME_BYTES_MAX } from './stack-name.ts';

/** Both are opened with blocks of this size. */
export const MIRROR_BLOCK_BYTES = CACHE_BLOCK_BYTES;

const SUFFIX = '-cache';

/** For people: nothing is found by it. */
export function mirrorName(stack: string): string {
  return `${stack.slice(0, NAME_BYTES_MAX - SUFFIX.length)}${SUFFIX}`;
}

/** Throws BandstandError: BANDSTAND_DEVICE_TOO_SMALL, _MEMBER_*. `stack` is its name. */
export function planMirror(
  stack: string,
  uuid: string,
  devices: readonly { readonly name: string; readonly geometry: Geometry }[],
): ArrayPlan {
  const name = mirrorName(stack);
  const plan = planArray({
    name,
    level: 'raid1',
    stripBytes: null,
    members: devices,
    superblock: true,
    uuid,
  });
  if (plan.blockCount >= CACHE_BLOCKS_LEAST) return plan;
  const [has, least] = [plan.blockCount, CACHE_BLOCKS_LEAST].map(
    (blocks) => blocks * plan.blockBytes,
  );
  throw new BandstandError('BANDSTAND_DEVICE_TOO_SMALL', {
    message: `cannot create ${name}: the smaller of its devices has ${formatSize(has!)} beside the metadata, an NV cache needs ${formatSize(least!)}`,
    hint: 'name larger devices',
    details: { name, size_bytes: has, least_bytes: least },
  });
}

/** An array without a manager goes on without a member, and nothing would say so later. */
function refuseFailed({ name }: ArrayPlan, array: RaidArray): void {
  const failed = array.memberStatus().find(({ health }) => health !== 'ok');
  if (failed === undefined) return;
  throw new BandstandError('BANDSTAND_DEVICE_IO', {
    message: `cannot create ${name}: the device in slot ${failed.slot} failed while the ring was scrubbed`,
    hint: 'look at the kernel log for this device (dmesg)',
    details: { name, slot: failed.slot, device: failed.device },
  });
}

export interface MakeMirrorOptions {
  /** UUID of the FTL that it is for. */
  readonly owner: string;
  /** Devices on which metadata of an array may be overwritten. */
  readonly overwrite: readonly BlockDevice[];
  /** Told how much of the ring was scrubbed. */
  readonly progress?: (doneBlocks: number, totalBlocks: number) => void;
}

/**
 * Writes an empty cache; closes `devices`, which are open for writing, in the order of the plan.
 * Throws BandstandError; then what was written is wiped, as far as that is possible.
 */
export async function makeMirror(
  reactor: Reactor,
  plan: ArrayPlan,
  devices: readonly BlockDevice[],
  { overwrite, ...options }: MakeMirrorOptions,
): Promise<void> {
  try {
    await createArray(reactor, plan, devices, { overwrite, nvCache: true });
    const array = new RaidArray(planSpec(plan, devices), { membersOpened: true });
    await array.open(reactor);
    try {
      await createCache(reactor, array, { ...options, uuid: plan.uuid! });
      refuseFailed(plan, array);
    } catch (error) {
      for (const device of devices) await wipeDevice(reactor, device).catch(() => {});
      throw error;
    } finally {
      await array.close();
    }
  } finally {
    for (const device of devices) await device.close();
  }
}
