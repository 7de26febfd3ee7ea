/**
 * Finds the device of a stack's NV cache.                                           (control plane)
 *
 * The FTL's superblock names the cache by its UUID. Looked at are the device that the user gave;
 * else the remembered one, and when that is not it every block device of the machine. Looking opens
 * devices read-only and changes nothing.
 */

import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import type { FtlCache } from '../ftl/ftl-superblock.ts';
import type { CacheHeader } from '../nv-cache/cache-header.ts';
import { readCacheHeader } from '../nv-cache/cache-header-io.ts';
import { parseDeviceSpec } from './device-spec.ts';
import { makeLeaf } from './device-tree.ts';
import { scanBlockDevices } from './device-usage.ts';
import { nameless, presentPath } from './find-members.ts';
import type { StackPlan } from './worker-messages.ts';

/** Device specification of the cache. Throws BandstandError: why there is none to go on with. */
export async function findCache(
  reactor: Reactor,
  plan: StackPlan,
  wanted: FtlCache,
): Promise<string> {
  const given = plan.cacheDevice ?? null;
  if (given !== null) {
    const header = await look(reactor, given);
    if (header.uuid !== wanted.uuid) throw anotherCache(plan.name, given, wanted, header);
    refuseStale(plan.name, given, wanted, header);
    return given;
  }
  const remembered = plan.remembered?.cache ?? null;
  const first = remembered === null ? [] : [presentPath(remembered.path)];
  let why: BandstandError | null = null;
  for (const [index, path] of [...first, ...scanBlockDevices()].entries()) {
    try {
      const header = await look(reactor, path);
      if (header.uuid !== wanted.uuid) continue;
      refuseStale(plan.name, path, wanted, header);
      return path;
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      // Of a device that may be anybody's nothing is expected.
      if (index < first.length || error.code === 'BANDSTAND_CACHE_STALE') why ??= error;
    }
  }
  throw missing(plan.name, wanted, remembered?.path ?? null, why);
}

async function look(reactor: Reactor, text: string): Promise<CacheHeader> {
  const device = makeLeaf(nameless(parseDeviceSpec(text)), { readOnly: true });
  await device.open(reactor);
  try {
    return (await readCacheHeader(reactor, device)).header;
  } finally {
    await device.close();
  }
}

/** The FTL has been used with a later state of this cache than the device holds. */
function refuseStale(name: string, device: string, wanted: FtlCache, { epoch }: CacheHeader): void {
  if (epoch >= wanted.epoch) return;
  throw new BandstandError('BANDSTAND_CACHE_STALE', {
    message: `cannot use ${device} as the NV cache of ${name}: it is an old copy, started ${epoch} times where the cache was started ${wanted.epoch} times`,
    hint: 'name the device that was in use with --cache',
    details: { name, device, epoch, wanted: wanted.epoch },
  });
}

function anotherCache(
  name: string,
  device: string,
  wanted: FtlCache,
  header: CacheHeader,
): BandstandError {
  const both = `${header.uuid}, not ${wanted.uuid}`;
  return new BandstandError('BANDSTAND_CACHE_OWNER', {
    message: `cannot use ${device} as the NV cache of ${name}: it is the cache ${both}`,
    hint: 'name another device with --cache, or leave it out to have it found',
    details: { name, device, uuid: header.uuid, wanted: wanted.uuid },
  });
}

function missing(
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
