/**
 * AssemblyLook: would a stopped stack start, and if not, because of what?           (control plane)
 *
 * It is found out by doing what a start does, up to the point where a start would write: the same
 * search for members, the same assembly, the same reader of the FTL's superblock, the same search
 * for the NV cache. So there is no second opinion that could differ from what an export says.
 * Besides, each remembered device is examined by itself: where assembly can only say that a slot
 * has no member, what lies at its old path is told, too.
 *
 * Nothing is written, and nothing is held: somebody who starts the stack meanwhile is not in the
 * way of this, nor this of him. What is told may then be of the moment before.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { readFtlIdentity } from '../ftl/ftl-identity.ts';
import type { FtlCache } from '../ftl/ftl-superblock.ts';
import { redundancyOf } from '../raid/array-copies.ts';
import { assemblySpec } from '../raid/assemble.ts';
import { RaidArray } from '../raid/raid-array.ts';
import { makeLeaf } from './device-tree.ts';
import { type ExaminedDevice, examineAt } from './examine-device.ts';
import { checkMirror, findCache } from './find-cache.ts';
import { type FoundMembers, findMembers, nameless, presentPath } from './find-members.ts';
import type { Ring } from './offline-ring.ts';
import { rememberedSpec } from './remembered-spec.ts';
import { mirrorOfCache, takesStripesOnly } from './start-failure.ts';
import type { RememberedStack } from './state-store.ts';
import type { StackPlan } from './worker-messages.ts';

/** What is at the path where a device of the stack was; one of the two is null. */
export interface DeviceLook {
  readonly path: string;
  readonly role: 'member' | 'spare' | 'cache';
  /** Of a member. */
  readonly slot: number | null;
  readonly examined: ExaminedDevice | null;
  readonly error: BandstandError | null;
}

/** A part of the stack that lies on the array. */
export interface LayerLook {
  /** `unknown`: what is below it does not work. */
  readonly state: 'absent' | 'found' | 'wrong' | 'unknown';
  /** Of an NV cache that was found: its device, or `a mirror on` its members. */
  readonly where: string | null;
  readonly error: BandstandError | null;
}

export interface AssemblyLook {
  /** What an export would be refused with; null: it would start. */
  readonly error: BandstandError | null;
  /** It would not start without, but with --degraded. */
  readonly startsDegraded: boolean;
  /** Only with --degraded and these devices it would, without the one that `error` is about. */
  readonly startsWith: readonly string[] | null;
  /** What assembly has decided; null where it could decide nothing. */
  readonly found: FoundMembers | null;
  readonly devices: readonly DeviceLook[];
  readonly ftl: LayerLook;
  readonly cache: LayerLook;
  /** See FtlIdentity. */
  readonly bufferBoot: string | null;
}

export type StoppedPlan = StackPlan & { readonly remembered: RememberedStack };

type Layers = Pick<AssemblyLook, 'ftl' | 'cache' | 'bufferBoot'>;

const ABSENT: LayerLook = { state: 'absent', where: null, error: null };
const UNKNOWN: LayerLook = { state: 'unknown', where: null, error: null };
const FOUND: LayerLook = { state: 'found', where: null, error: null };

const UNKNOWN_LAYERS: Layers = { ftl: UNKNOWN, cache: UNKNOWN, bufferBoot: null };
const START = { startsDegraded: false, startsWith: null, found: null } as const;

/** Throws nothing that is about the stack: that is what it tells. */
export async function lookAtAssembly(ring: Ring, plan: StoppedPlan): Promise<AssemblyLook> {
  const devices = await lookAtDevices(ring, plan.remembered);
  if (!plan.remembered.superblock) return { ...(await lookAtBare(ring, plan)), devices };
  const strict = await attempt(() => findMembers(ring, { ...plan, degraded: false }));
  if (strict.value !== null) {
    const layers = await lookAtLayers(ring, plan, strict.value);
    return {
      ...START,
      error: refusal(plan.name, strict.value),
      found: strict.value,
      devices,
      ...layers,
    };
  }
  const { error } = strict;
  const lenient = await attempt(() => findMembers(ring, { ...plan, degraded: true }));
  if (lenient.value !== null) {
    const layers = await lookAtLayers(ring, plan, lenient.value);
    const startsDegraded = refusal(plan.name, lenient.value) === null;
    return { ...START, error, startsDegraded, found: lenient.value, devices, ...layers };
  }
  const others = othersThan(plan.remembered, error);
  const without = await attempt(() =>
    findMembers(ring, { ...plan, degraded: true, devices: others }),
  );
  if (others.length === 0 || without.value === null) {
    return { ...START, error, devices, ...UNKNOWN_LAYERS };
  }
  const layers = await lookAtLayers(ring, plan, without.value);
  return { ...START, error, startsWith: others, found: without.value, devices, ...layers };
}

/** The members but for the one that the error is about; [] when it is about none. */
function othersThan({ members }: RememberedStack, { details }: BandstandError): string[] {
  const paths = members.map(({ path }) => presentPath(path));
  const others = paths.filter((path) => path !== details['device']);
  return others.length === paths.length ? [] : others;
}

type Attempt<T> =
  | { readonly value: T; readonly error: null }
  | { readonly value: null; readonly error: BandstandError };

async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await work(), error: null };
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return { value: null, error };
  }
}

/** What a start refuses although the array is complete. */
function refusal(name: string, { assembly }: FoundMembers): BandstandError | null {
  const { ftl, nvCache, superblock } = assembly;
  if (nvCache) return mirrorOfCache(name, superblock);
  return superblock.level === 'raid5f' && !ftl ? takesStripesOnly(name, superblock.level) : null;
}

// --- devices -------------------------------------------------------------------------------------

async function lookAtDevices(ring: Ring, remembered: RememberedStack): Promise<DeviceLook[]> {
  const { cache } = remembered;
  const known: Pick<DeviceLook, 'path' | 'role' | 'slot'>[] = [
    ...remembered.members.map(({ path, slot }) => ({ path, slot, role: 'member' as const })),
    ...remembered.spares.map(({ path }) => ({ path, slot: null, role: 'spare' as const })),
  ];
  const cachePaths =
    cache === null
      ? []
      : [...(cache.path === null ? [] : [cache.path]), ...cache.members.map(({ path }) => path)];
  known.push(...cachePaths.map((path) => ({ path, slot: null, role: 'cache' as const })));
  const looks: DeviceLook[] = [];
  for (const one of known) {
    const { value, error } = await attempt(() => examineAt(ring, presentPath(one.path)));
    looks.push({ ...one, examined: value, error });
  }
  return looks;
}

/** An array without superblock: its members are where they were, or it does not start. */
async function lookAtBare(ring: Ring, plan: StoppedPlan): Promise<Omit<AssemblyLook, 'devices'>> {
  const { name, remembered } = plan;
  const members = [...remembered.members].sort((a, b) => a.slot - b.slot);
  const opened: BlockDevice[] = [];
  const { error } = await attempt(async () => {
    try {
      for (const { path } of members) {
        const spec = { kind: 'path', path, uuid: null } as const;
        const device = makeLeaf(spec, { readOnly: true, blockBytes: remembered.blockBytes });
        await device.open(ring);
        opened.push(device);
      }
      return rememberedSpec(remembered, opened);
    } finally {
      for (const device of opened) await device.close();
    }
  });
  const stripes = remembered.level === 'raid5f' ? takesStripesOnly(name, remembered.level) : null;
  return {
    ...START,
    error: error ?? stripes,
    ftl: ABSENT,
    cache: ABSENT,
    bufferBoot: null,
  };
}

// --- what lies on the array ----------------------------------------------------------------------

async function lookAtLayers(ring: Ring, plan: StoppedPlan, found: FoundMembers): Promise<Layers> {
  if (!found.assembly.ftl) return { ftl: ABSENT, cache: ABSENT, bufferBoot: null };
  const identity = await attempt(() =>
    withArray(ring, found, (array) => readFtlIdentity(ring, array, redundancyOf(array))),
  );
  if (identity.value === null) {
    const { error } = identity;
    return { ftl: { state: 'wrong', where: null, error }, cache: UNKNOWN, bufferBoot: null };
  }
  const { bufferBoot, cache } = identity.value;
  const look = cache === null ? ABSENT : await lookAtCache(ring, plan, cache);
  return { ftl: FOUND, cache: look, bufferBoot };
}

/** The array as a start would have it, but only for reading. */
async function withArray<T>(
  ring: Ring,
  { assembly, specs }: FoundMembers,
  work: (array: RaidArray) => Promise<T>,
): Promise<T> {
  const { blockBytes } = assembly.superblock;
  const devices = new Map<string, BlockDevice>();
  try {
    for (const { device: name } of assembly.slots) {
      if (name === null) continue;
      const leaf = makeLeaf(nameless(specs.get(name)!), { readOnly: true, blockBytes });
      await leaf.open(ring);
      devices.set(name, leaf);
    }
    const steadyReads = assembly.clean === false;
    const array = new RaidArray(assemblySpec(assembly, devices), {
      membersOpened: true,
      steadyReads,
    });
    await array.open(ring);
    try {
      return await work(array);
    } finally {
      await array.close();
    }
  } finally {
    for (const device of devices.values()) await device.close();
  }
}

async function lookAtCache(ring: Ring, plan: StoppedPlan, wanted: FtlCache): Promise<LayerLook> {
  const { error, value } = await attempt(async () => {
    const found = await findCache(ring, { ...plan, degraded: false }, wanted);
    if (found.kind === 'device') return found.path;
    const members = await findMembers(ring, found.search);
    await checkMirror(ring, plan.name, members, wanted);
    const on = members.assembly.slots.flatMap(({ device }) => (device === null ? [] : [device]));
    return `a mirror on ${on.join(' and ')}`;
  });
  if (error !== null) return { state: 'wrong', where: null, error };
  return { state: 'found', where: value, error: null };
}
