/**
 * create: checks all that can be checked, plans, and writes the metadata.          (control plane)
 *
 * Two halves. `prepareCreate` opens nothing for writing: it identifies the devices, refuses what is
 * missing, busy, given twice or holds data that was not named with --erase, and plans the array.
 * `executeCreate` opens the members exclusively, looks once more, and writes. --dry-run is the
 * first half alone, so what it shows is what would be done.
 */

import type { BlockDevice, Geometry } from '../block/block-device.ts';
import { flushDevice, writeBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import { makeUuid } from '../block/uuid.ts';
import { FileDevice } from '../device/file-device.ts';
import { CACHE_BLOCK_BYTES } from '../nv-cache/cache-format.ts';
import { CACHE_BLOCKS_LEAST } from '../nv-cache/cache-header.ts';
import { CACHE_STEPS } from '../nv-cache/cache-restore.ts';
import { createCache } from '../nv-cache/create-cache.ts';
import { createArray } from '../raid/create.ts';
import { levelRules } from '../raid/level-rules.ts';
import { type ArrayPlan, planArray } from '../raid/plan.ts';
import type { Ring } from '../reactor/ring.ts';
import {
  type DeviceIdentity,
  identifyDevice,
  partitionsOf,
  stablePath,
  usageOf,
} from './device-usage.ts';
import { makeFtl, type PlannedFtl, planFtl } from './ftl-plan.ts';
import {
  type MakeMirrorOptions,
  MIRROR_BLOCK_BYTES,
  makeMirror,
  planMirror,
} from './make-mirror.ts';
import type { OfflineProgress } from './offline-watch.ts';
import { recognise, type Signature } from './signatures.ts';
import type { RememberedCache, RememberedStack } from './state-store.ts';

/** More than any format that we know keeps at the end of a device. */
const END_BYTES = 2 ** 20;

export interface CreateRequest {
  readonly name: string;
  readonly level: string;
  readonly stripBytes: number | null;
  readonly uuid: string | null;
  readonly superblock: boolean;
  readonly ftl: boolean;
  /** Of the FTL; null for its default. */
  readonly overProvisioning: number | null;
  /** Paths in slot order. */
  readonly members: readonly string[];
  /** Paths of devices that are kept ready to replace a failed member. */
  readonly spares: readonly string[];
  /** Paths of the NV cache: one device, or two for a mirror; []: none. */
  readonly caches: readonly string[];
  /** Paths that may lose what they hold. */
  readonly erase: readonly string[];
}

export interface PreparedDevice {
  readonly device: string;
  readonly sizeBytes: number;
  readonly geometry: Geometry;
  /** What is recognised on it; [] for nothing. */
  readonly holds: readonly Signature[];
  readonly erase: boolean;
  readonly identity: DeviceIdentity;
}

export interface PreparedMember extends PreparedDevice {
  readonly slot: number;
}

export interface PreparedSpare extends PreparedDevice {
  readonly uuid: string;
}

export interface PreparedCache {
  /** UUID of the cache. */
  readonly uuid: string;
  /** The path of its device, or the name of its mirror. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly devices: readonly PreparedDevice[];
  /** Null for one device. */
  readonly mirror: ArrayPlan | null;
}

export interface PreparedCreate {
  readonly request: CreateRequest;
  readonly plan: ArrayPlan;
  /** Null without an FTL. */
  readonly ftl: PlannedFtl | null;
  readonly members: readonly PreparedMember[];
  readonly spares: readonly PreparedSpare[];
  /** Null: none. */
  readonly cache: PreparedCache | null;
  /** Sentences for the user. */
  readonly warnings: readonly string[];
}

/** Throws BandstandError for each thing that can be wrong, before anything is written. */
export async function prepareCreate(ring: Ring, request: CreateRequest): Promise<PreparedCreate> {
  const { caches } = request;
  const identities = [...request.members, ...request.spares, ...caches].map(identifyDevice);
  refuseDuplicates(request.name, identities);
  const erased = eraseKeys(request, identities);
  const devices: PreparedDevice[] = [];
  const cachesAt = request.members.length + request.spares.length;
  for (const [index, identity] of identities.entries()) {
    const isMirrored = index >= cachesAt && caches.length > 1;
    const geometry = await inspect(ring, request.name, identity, isMirrored);
    const sizeBytes = geometry.blockCount * geometry.blockBytes;
    const holds = holdings(identity, sizeBytes);
    const erase = erased.has(identity.key);
    if (holds.length > 0 && !erase) throw holdsError(request.name, identity.path, holds[0]!);
    devices.push({ device: identity.path, sizeBytes, geometry, holds, erase, identity });
  }
  const count = request.members.length;
  const members = devices.slice(0, count).map((device, slot) => ({ ...device, slot }));
  const named = devices.map(({ device, geometry }) => ({ name: device, geometry }));
  const plan = planArray({
    name: request.name,
    level: request.level,
    stripBytes: request.stripBytes,
    members: named.slice(0, count),
    spares: named.slice(count, count + request.spares.length),
    superblock: request.superblock,
    ...(request.uuid === null ? {} : { uuid: request.uuid }),
  });
  const spares = plan.spares.map(({ uuid }, index) => ({ ...devices[count + index]!, uuid }));
  const ftl = request.ftl ? await planFtl(ring, plan, members, request.overProvisioning) : null;
  const cache = prepareCache(request.name, devices.slice(cachesAt));
  const warnings = [...warningsFor(plan, members), ...cacheWarnings(cache, members)];
  return { request, plan, ftl, members, spares, cache, warnings };
}

/** What a user of the stack gets. */
export function preparedSize({ plan, ftl }: Pick<PreparedCreate, 'plan' | 'ftl'>): number {
  return ftl?.sizeBytes ?? plan.blockCount * plan.blockBytes;
}

function refuseDuplicates(name: string, identities: readonly DeviceIdentity[]): void {
  const seen = new Map<string, DeviceIdentity>();
  for (const identity of identities) {
    const other = seen.get(identity.key);
    if (other !== undefined) {
      const both =
        other.path === identity.path
          ? `${identity.path} is given twice`
          : `${other.path} and ${identity.path} are the same device`;
      throw new BandstandError('BANDSTAND_MEMBER_DUPLICATE', {
        message: `cannot create ${name}: ${both}`,
        hint: 'name each device once',
        details: { name, devices: [other.path, identity.path] },
      });
    }
    seen.set(identity.key, identity);
  }
  for (const { path, diskKey } of identities) {
    const disk = diskKey === null ? undefined : seen.get(diskKey);
    if (disk === undefined) continue;
    throw new BandstandError('BANDSTAND_MEMBER_DUPLICATE', {
      message: `cannot create ${name}: ${path} is a partition of ${disk.path}, which is given too`,
      hint: 'name the disk or its partitions, not both',
      details: { name, devices: [disk.path, path] },
    });
  }
}

/** Every --erase has to name a member: anything else is a misunderstanding. */
function eraseKeys(
  request: CreateRequest,
  identities: readonly DeviceIdentity[],
): ReadonlySet<string> {
  const keys = new Set<string>();
  const roles = [
    'member',
    ...(request.spares.length > 0 ? ['spare'] : []),
    ...(request.caches.length === 0 ? [] : ['cache']),
  ];
  const nobody = `names no ${roles.join(' and no ')}`;
  for (const path of request.erase) {
    const { key } = identifyDevice(path);
    if (!identities.some((identity) => identity.key === key)) {
      throw new BandstandError('BANDSTAND_USAGE', {
        message: `cannot create ${request.name}: --erase ${path} ${nobody}`,
        hint: 'name a device that is also given as a member',
        details: { name: request.name, device: path },
      });
    }
    keys.add(key);
  }
  return keys;
}

/** Opens the device exclusively for a moment: in use and unsuitable show here. */
async function inspect(
  ring: Ring,
  name: string,
  identity: DeviceIdentity,
  isMirrored: boolean,
): Promise<Geometry> {
  const usage = usageOf(identity);
  if (usage !== null) throw busyError(name, identity.path, usage);
  const blocks = isMirrored ? { blockBytes: MIRROR_BLOCK_BYTES } : {};
  const device = new FileDevice(identity.path, blocks);
  try {
    await device.open(ring);
  } catch (error) {
    if (error instanceof BandstandError && error.code === 'BANDSTAND_DEVICE_BUSY') {
      throw busyError(name, identity.path, 'opened exclusively by another program', error);
    }
    throw error;
  }
  const { geometry } = device;
  await device.close();
  return geometry;
}

function busyError(name: string, path: string, usage: string, cause?: unknown): BandstandError {
  return new BandstandError('BANDSTAND_DEVICE_BUSY', {
    message: `cannot create ${name}: ${path} is in use: it is ${usage}`.replace('it is its', 'its'),
    hint: usage.includes('mounted')
      ? 'unmount it, or pass a different device'
      : 'end that use, or pass a different device',
    details: { name, device: path, usage },
    ...(cause === undefined ? {} : { cause }),
  });
}

function holdings(identity: DeviceIdentity, sizeBytes: number): Signature[] {
  const found = recognise(identity.realPath, sizeBytes);
  if (found.length > 0 || identity.kind !== 'block') return found;
  const partitions = partitionsOf(identity.key);
  if (partitions.length === 0) return [];
  const names = partitions.map((partition) => partition.name).join(', ');
  return [{ kind: 'partitions', description: `partitions (${names})`, label: null, atByte: 0 }];
}

function holdsError(name: string, path: string, holds: Signature): BandstandError {
  return new BandstandError('BANDSTAND_DEVICE_IN_USE', {
    message: `cannot create ${name}: ${path} holds ${holds.description}`,
    hint: `to erase it, repeat the command with --erase ${path}`,
    details: { name, device: path, holds: holds.kind, label: holds.label },
  });
}

function warningsFor(plan: ArrayPlan, members: readonly PreparedMember[]): string[] {
  const warnings: string[] = [];
  const disks = new Map<string, string>();
  for (const { identity } of members) {
    const other = identity.diskKey === null ? undefined : disks.get(identity.diskKey);
    if (other !== undefined) {
      warnings.push(
        `${other} and ${identity.path} are on the same disk: if it fails, both members are lost`,
      );
    } else if (identity.diskKey !== null) disks.set(identity.diskKey, identity.path);
  }
  const used = plan.members.map((member) => member.dataOffset + member.dataSize);
  for (const [slot, member] of members.entries()) {
    const spare = member.geometry.blockCount - used[slot]!;
    if (levelRules(plan.level).equalSizes && spare > member.geometry.blockCount / 10) {
      const percent = Math.floor((100 * spare) / member.geometry.blockCount);
      warnings.push(
        `${percent} % of ${member.device} stays unused: a member contributes as much as the smallest`,
      );
    }
  }
  return warnings;
}

function prepareCache(name: string, devices: readonly PreparedDevice[]): PreparedCache | null {
  const [first] = devices;
  if (first === undefined) return null;
  const uuid = makeUuid();
  if (devices.length === 1) {
    refuseSmallCache(name, first);
    return { uuid, name: first.device, sizeBytes: first.sizeBytes, devices, mirror: null };
  }
  const named = devices.map(({ device, geometry }) => ({ name: device, geometry }));
  const mirror = planMirror(name, uuid, named);
  const sizeBytes = mirror.blockCount * mirror.blockBytes;
  return { uuid, name: mirror.name, sizeBytes, devices, mirror };
}

function refuseSmallCache(name: string, { device, sizeBytes }: PreparedDevice): void {
  const least = CACHE_BLOCKS_LEAST * CACHE_BLOCK_BYTES;
  if (sizeBytes >= least) return;
  throw new BandstandError('BANDSTAND_DEVICE_TOO_SMALL', {
    message: `cannot create ${name}: ${device} has ${formatSize(sizeBytes)}, an NV cache needs ${formatSize(least)}`,
    hint: 'name a larger device',
    details: { name, device, size_bytes: sizeBytes, least_bytes: least },
  });
}

function cacheWarnings(
  cache: PreparedCache | null,
  members: readonly PreparedMember[],
): readonly string[] {
  const warnings: string[] = [];
  const { devices = [], mirror = null } = cache ?? {};
  for (const { device, identity } of devices) {
    const { diskKey } = identity;
    const shared = members.find((one) => diskKey !== null && one.identity.diskKey === diskKey);
    if (shared === undefined) continue;
    const both = `${device} and ${shared.device}`;
    warnings.push(`${both} are on the same disk: the cache makes nothing faster`);
  }
  if (mirror === null) return warnings;
  const slots = devices.map((device, slot) => ({ ...device, slot }));
  return [...warnings, ...warningsFor(mirror, slots)];
}

/**
 * What stands at the end (backup of a partition table, md and ZFS metadata) would be recognised by
 * others as long as it is there; the start is overwritten by our own metadata anyway.
 */
async function eraseEnd(ring: Ring, device: BlockDevice): Promise<void> {
  const { blockBytes, blockCount } = device.geometry;
  const blocks = Math.min(blockCount, END_BYTES / blockBytes);
  await writeBlocks(ring, device, blockCount - blocks, new Uint8Array(blocks * blockBytes));
  await flushDevice(device);
}

/**
 * Writes the metadata and verifies it by reading it back. Nothing is started. What may take long is
 * the scrub of an NV cache whose device cannot zero by itself: `advanced` is told how far that is.
 */
export async function executeCreate(
  ring: Ring,
  prepared: PreparedCreate,
  advanced: OfflineProgress,
): Promise<RememberedStack> {
  const { plan, ftl, members, spares, request } = prepared;
  const { cache } = prepared;
  const caches = cache?.devices ?? [];
  const all: readonly PreparedDevice[] = [...members, ...spares, ...caches];
  const devices: BlockDevice[] = [];
  try {
    for (const one of all) {
      const ofCache = cache?.mirror == null ? {} : { blockBytes: MIRROR_BLOCK_BYTES };
      const blocks = caches.includes(one) ? ofCache : { blockBytes: plan.blockBytes };
      const device = new FileDevice(one.device, blocks);
      await device.open(ring);
      devices.push(device);
    }
    for (const [index, { erase }] of all.entries()) {
      if (erase) await eraseEnd(ring, devices[index]!);
    }
    const ours = devices.slice(0, members.length);
    if (request.superblock) {
      await createArray(ring, plan, ours, {
        overwrite: devices.filter((_, index) => all[index]!.erase),
        spares: devices.slice(members.length, members.length + spares.length),
        ftl: ftl !== null,
      });
      if (ftl !== null) {
        const uuid = makeUuid();
        // The cache first: a device that nothing refers to does no harm.
        const erased = devices.filter((_, index) => all[index]!.erase);
        const own = devices.slice(members.length + spares.length);
        const options = { owner: uuid, overwrite: erased, progress: scrubbing(advanced) };
        if (cache !== null) await makeCache(ring, cache, own, options);
        const named = cache === null ? null : { uuid: cache.uuid, epoch: 0 };
        await makeFtl(ring, plan, { ...ftl, uuid, cache: named }, ours);
      }
    }
  } finally {
    for (const device of devices) await device.close();
  }
  return {
    name: plan.name,
    uuid: plan.uuid ?? request.uuid!,
    level: plan.level,
    stripBytes: plan.stripBlocks * plan.blockBytes,
    blockBytes: plan.blockBytes,
    sizeBytes: preparedSize(prepared),
    superblock: request.superblock,
    ftl: request.ftl,
    members: plan.members.map(({ slot, uuid }) => ({
      slot,
      uuid,
      path: stablePath(members[slot]!.identity),
      health: 'ok',
    })),
    spares: spares.map(({ uuid, identity }) => ({ uuid, path: stablePath(identity) })),
    cache: cache === null ? null : rememberedCache(cache),
  };
}

async function makeCache(
  ring: Ring,
  { mirror, uuid }: PreparedCache,
  devices: readonly BlockDevice[],
  options: MakeMirrorOptions,
): Promise<void> {
  if (mirror !== null) await makeMirror(ring, mirror, devices, options);
  else await createCache(ring, devices[0]!, { ...options, uuid });
}

function scrubbing(advanced: OfflineProgress) {
  const { scrub } = CACHE_STEPS;
  return (done: number, total: number) =>
    advanced(scrub, done * CACHE_BLOCK_BYTES, total * CACHE_BLOCK_BYTES);
}

function rememberedCache({ devices, mirror, uuid }: PreparedCache): RememberedCache {
  const paths = devices.map(({ identity }) => stablePath(identity));
  if (mirror === null) return { uuid, path: paths[0]!, members: [], spares: [] };
  const members = mirror.members.map(({ slot, uuid: member }) => ({
    slot,
    uuid: member,
    path: paths[slot]!,
    health: 'ok' as const,
  }));
  return { uuid, path: null, members, spares: [] };
}
