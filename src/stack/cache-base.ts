/**
 * CacheBase: what the ring of an NV cache lies on, open.                            (control plane)
 *
 * One device, or a mirror of two. Whoever has one closes it, and lets go of it when the cache is
 * detached.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { FtlCache } from '../ftl/ftl-superblock.ts';
import { examineDevice } from '../raid/examine.ts';
import { wipeDevice } from '../raid/wipe.ts';
import type { Ring } from '../reactor/ring.ts';
import { CacheMirror } from './cache-mirror.ts';
import { parseDeviceSpec } from './device-spec.ts';
import { MEMBER_DEADLINE_US, makeLeaf } from './device-tree.ts';
import { findCache, missingCache } from './find-cache.ts';
import { nameless } from './find-members.ts';
import { withDevice } from './offline-ring.ts';
import type { StackEvent, StackPlan } from './worker-messages.ts';

export interface CacheBase {
  readonly device: BlockDevice;
  /** The path of the device, or the name of the array. */
  readonly name: string;
  /** Of the cache. */
  readonly uuid: string;
  /** Null for one device. */
  readonly mirror: CacheMirror | null;
}

export interface CacheBaseOptions {
  readonly ring: Ring;
  readonly plan: StackPlan;
  emit(event: StackEvent): void;
}

/** Finds and opens the cache that the FTL names. Throws BandstandError; then nothing is open. */
export async function openCacheBase(
  { emit, plan, ring }: CacheBaseOptions,
  wanted: FtlCache,
): Promise<CacheBase> {
  const { uuid } = wanted;
  const found = await findCache(ring, plan, wanted);
  if (found.kind === 'mirror') {
    const { name: stack, readOnly } = plan;
    const { search } = found;
    const opened = CacheMirror.open({ ring, stack, search, wanted, readOnly, emit });
    const mirror = await opened.catch((error: unknown) => {
      if (!(error instanceof BandstandError)) throw error;
      if (error.code !== 'BANDSTAND_ARRAY_NOT_FOUND') throw error;
      throw missingCache(stack, wanted, search.remembered?.members[0]?.path ?? null, error);
    });
    return { device: mirror.device, name: mirror.name, uuid, mirror };
  }
  const spec = nameless(parseDeviceSpec(found.path));
  const device = makeLeaf(spec, { readOnly: plan.readOnly, deadlineUs: MEMBER_DEADLINE_US });
  await device.open(ring);
  return { device, name: found.path, uuid, mirror: null };
}

export async function closeCacheBase({ device, mirror }: CacheBase): Promise<void> {
  if (mirror === null) await device.close();
  else await mirror.close();
}

/**
 * Takes the metadata of a mirror that has been closed off its devices, of which nobody wants
 * anything any more; `uuid` is its own, and what has that of another array is left as it is. Gives
 * sentences about those where that was not possible.
 */
export async function wipeMirrorDevices(
  ring: Ring,
  uuid: string,
  paths: readonly string[],
): Promise<string[]> {
  const failures: string[] = [];
  for (const path of paths) {
    const device = makeLeaf(nameless(parseDeviceSpec(path)));
    try {
      await withDevice(ring, device, async () => {
        const { label, superblock } = await examineDevice(ring, device);
        if ((superblock.value?.uuid ?? label?.arrayUuid) === uuid) await wipeDevice(ring, device);
      });
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      failures.push(`${path} still has metadata of the NV cache: ${error.message}`);
    }
  }
  return failures;
}
