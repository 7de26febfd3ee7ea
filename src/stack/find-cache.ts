/**
 * Finds what the NV cache of a stack lies on: a device, or the members of a mirror. (control plane)
 *
 * The FTL's superblock names the cache by its UUID. A device has it in the header of the ring at
 * its start, the members of a mirror in their superblocks, as that of their array. Looked at are
 * the devices that the user gave; else the remembered ones, and when those are not it every block
 * device of the machine. Looking opens devices read-only and changes nothing.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { OffsetDevice } from '../device/offset-device.ts';
import type { FtlCache } from '../ftl/ftl-superblock.ts';
import type { CacheHeader } from '../nv-cache/cache-header.ts';
import { readCacheHeader } from '../nv-cache/cache-header-io.ts';
import { examineDevice } from '../raid/examine.ts';
import { parseDeviceSpec } from './device-spec.ts';
import { makeLeaf } from './device-tree.ts';
import { scanBlockDevices } from './device-usage.ts';
import { type FoundMembers, type MemberSearch, nameless, presentPath } from './find-members.ts';
import { mirrorName } from './make-mirror.ts';
import type { StackPlan } from './worker-messages.ts';

export type FoundCache =
  | {
      readonly kind: 'device';
      /** Device specification. */
      readonly path: string;
    }
  | { readonly kind: 'mirror'; readonly search: MemberSearch };

/** Throws BandstandError: why there is none to go on with. */
export async function findCache(
  reactor: Reactor,
  plan: StackPlan,
  wanted: FtlCache,
): Promise<FoundCache> {
  const given = plan.cacheDevices ?? [];
  if (given.length > 1) return mirrorOf(plan, wanted, given);
  const [device] = given;
  if (device !== undefined) {
    const found = await look(reactor, device);
    const { uuid } = found;
    if (uuid !== wanted.uuid) throw anotherCache(plan.name, device, wanted, uuid);
    if (found.header === null) return mirrorOf(plan, wanted, given);
    refuseStale(plan.name, device, wanted, found.header);
    return { kind: 'device', path: device };
  }
  const remembered = plan.remembered?.cache ?? null;
  if (remembered?.path === null && remembered.uuid === wanted.uuid) {
    return mirrorOf(plan, wanted, []);
  }
  const path = remembered?.path ?? null;
  const first = path === null ? [] : [presentPath(path)];
  let why: BandstandError | null = null;
  for (const [index, one] of [...first, ...scanBlockDevices()].entries()) {
    try {
      const { header, uuid } = await look(reactor, one);
      if (uuid !== wanted.uuid) continue;
      if (header === null) return mirrorOf(plan, wanted, []);
      refuseStale(plan.name, one, wanted, header);
      return { kind: 'device', path: one };
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      // Of a device that may be anybody's nothing is expected.
      if (index < first.length || error.code === 'BANDSTAND_CACHE_STALE') why ??= error;
    }
  }
  throw missingCache(plan.name, wanted, path, why);
}

/** `devices`: [] for where they were, or wherever they are found. */
function mirrorOf(
  { degraded, name, remembered }: StackPlan,
  { uuid }: FtlCache,
  devices: readonly string[],
): FoundCache {
  const cache = remembered?.cache?.uuid === uuid ? remembered.cache : null;
  const search = { name: mirrorName(name), uuid, devices, remembered: cache, degraded };
  return { kind: 'mirror', search };
}

interface Seen {
  /** Of the cache that it is, or that it is a part of. */
  readonly uuid: string;
  /** Null for a member of an array. */
  readonly header: CacheHeader | null;
}

/** Throws BandstandError when the device is no cache, nor a member of an array. */
async function look(reactor: Reactor, text: string): Promise<Seen> {
  const device = makeLeaf(nameless(parseDeviceSpec(text)), { readOnly: true });
  await device.open(reactor);
  try {
    try {
      const { header } = await readCacheHeader(reactor, device);
      return { uuid: header.uuid, header };
    } catch (error) {
      const isNone = error instanceof BandstandError && error.code === 'BANDSTAND_CACHE_NOT_FOUND';
      if (!isNone) throw error;
      const { label, superblock } = await examineDevice(reactor, device);
      const uuid = superblock.value?.uuid ?? label?.arrayUuid ?? null;
      if (uuid === null) throw error;
      return { uuid, header: null };
    }
  } finally {
    await device.close();
  }
}

/**
 * The members of a mirror that is about to be started, `found`, have the cache that the FTL wants,
 * and no older state of it. Asked before anything is written to them, because a start without a
 * member records its loss. Throws BandstandError.
 */
export async function checkMirror(
  reactor: Reactor,
  stack: string,
  { assembly, specs }: FoundMembers,
  wanted: FtlCache,
): Promise<void> {
  const { blockBytes, name } = assembly.superblock;
  const parts = assembly.slots.flatMap(({ dataOffset: firstBlock, device }) => {
    if (device === null) return [];
    const leaf = makeLeaf(nameless(specs.get(device)!), { readOnly: true, blockBytes });
    return [new OffsetDevice(leaf, { firstBlock })];
  });
  await checkRings(reactor, { stack, array: name, parts }, wanted);
}

/** The same of the data areas of its members, `parts`, which are closed. */
export async function checkRings(
  reactor: Reactor,
  { array, parts, stack }: { stack: string; array: string; parts: readonly BlockDevice[] },
  wanted: FtlCache,
): Promise<void> {
  let newest: CacheHeader | null = null;
  let why: BandstandError | null = null;
  for (const part of parts) {
    await part.open(reactor);
    try {
      const { header } = await readCacheHeader(reactor, part);
      // A crash may have left the newest one on one member only.
      if (newest === null || header.sequence > newest.sequence) newest = header;
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      why = error;
    } finally {
      await part.close();
    }
  }
  if (newest === null) throw why;
  if (newest.uuid !== wanted.uuid) throw anotherCache(stack, array, wanted, newest.uuid);
  refuseStale(stack, array, wanted, newest);
}

/** The FTL has been used with a later state of this cache than the device holds. */
function refuseStale(name: string, device: string, wanted: FtlCache, { epoch }: CacheHeader): void {
  if (epoch >= wanted.epoch) return;
  throw new BandstandError('BANDSTAND_CACHE_STALE', {
    message: `cannot use ${device} as the NV cache of ${name}: it is an old copy, of epoch ${epoch} where epoch ${wanted.epoch} was in use`,
    hint: 'name the device that was in use with --cache',
    details: { name, device, epoch, wanted: wanted.epoch },
  });
}

function anotherCache(
  name: string,
  device: string,
  wanted: FtlCache,
  uuid: string,
): BandstandError {
  const both = `${uuid}, not ${wanted.uuid}`;
  return new BandstandError('BANDSTAND_CACHE_OWNER', {
    message: `cannot use ${device} as the NV cache of ${name}: it belongs to ${both}`,
    hint: 'name another device with --cache, or leave it out to have it found',
    details: { name, device, uuid, wanted: wanted.uuid },
  });
}

export function missingCache(
  name: string,
  wanted: FtlCache,
  path: string | null,
  why: BandstandError | null,
): BandstandError {
  const was = path === null ? '' : `, which was at ${path}`;
  const reason = why === null ? '' : `: ${why.message}`;
  return new BandstandError('BANDSTAND_CACHE_MISSING', {
    message: `cannot start ${name}: its NV cache ${wanted.uuid}${was} is not there${reason}`,
    hint: `bring it back, or name it with --cache; bandstand export ${name} --discard-cache gives up what only the cache has`,
    details: { name, uuid: wanted.uuid, path },
    ...(why === null ? {} : { cause: why }),
  });
}
