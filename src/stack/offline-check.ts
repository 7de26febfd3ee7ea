/**
 * An offline check: a stopped stack is assembled to be read, and verified.          (control plane)
 *
 * Nothing is written, anywhere: the members are opened for reading, the FTL does what a start has
 * to do in memory, and what is found is only told. While it lasts nobody else may write: each
 * member is held as a server would hold it, only for reading, so that one that runs is noticed, and
 * one that starts meanwhile is refused.
 */

import { constants } from 'node:fs';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { EAGAIN, EBUSY, statusName, statusText } from '../block/status.ts';
import type { FtlCheckReport } from '../ftl/check.ts';
import type { Finding } from '../ftl/finding.ts';
import { Ftl } from '../ftl/ftl.ts';
import { redundancyOf } from '../raid/array-copies.ts';
import { type Assembly, assembleArray, assemblySpec } from '../raid/assemble.ts';
import { type Comparison, compareMembers } from '../raid/compare-members.ts';
import { examineDevice } from '../raid/examine.ts';
import { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { bootId } from './boot-id.ts';
import { makeLeaf } from './device-tree.ts';
import { identifyDevice } from './device-usage.ts';
import { type FoundMembers, findMembers, innermostPath, nameless } from './find-members.ts';
import type { OfflineWatch } from './offline-watch.ts';
import type { StackPlan } from './worker-messages.ts';

export interface OfflineReport {
  readonly name: string;
  readonly level: string;
  readonly warnings: readonly string[];
  /** A killed server has left a write buffer of this boot, which was not looked at. */
  readonly bufferLost: boolean;
  /** The last stop was clean; null where that is not known. */
  readonly clean: boolean | null;
  /** Null without an FTL. */
  readonly checksums: FtlCheckReport | null;
  /** What the start of the FTL has found before the check. */
  readonly atStart: readonly Finding[];
  /** Null where there is nothing to compare. */
  readonly comparison: Comparison | null;
}

type OfflineLook = Pick<OfflineWatch, 'begin' | 'advanced'>;

/** Throws BandstandError; then nothing is left open. */
export async function checkOffline(
  ring: Ring,
  plan: StackPlan,
  watch: OfflineLook,
): Promise<OfflineReport> {
  watch.begin('Find the members');
  const found = await findMembers(ring, plan);
  const held = hold(ring, plan.name, found);
  const devices = new Map<string, BlockDevice>();
  try {
    for (const { device: name } of found.assembly.slots) {
      if (name === null) continue;
      const { blockBytes } = found.assembly.superblock;
      const leaf = makeLeaf(nameless(found.specs.get(name)!), { readOnly: true, blockBytes });
      await leaf.open(ring);
      devices.set(name, leaf);
    }
    // Again, now that nobody else can write to the members.
    watch.begin('Read the superblocks');
    const examinations = [];
    for (const device of devices.values()) examinations.push(await examineDevice(ring, device));
    const assembly = assembleArray(examinations, found.options);
    return await checkAssembled(ring, assembly, devices, watch);
  } finally {
    for (const device of devices.values()) await device.close();
    for (const fd of held) ring.native.fileClose(fd);
  }
}

async function checkAssembled(
  ring: Ring,
  assembly: Assembly,
  devices: ReadonlyMap<string, BlockDevice>,
  watch: OfflineLook,
): Promise<OfflineReport> {
  const { clean, ftl, superblock, warnings } = assembly;
  const spec = assemblySpec(assembly, devices);
  const steadyReads = clean === false;
  const array = new RaidArray(spec, { membersOpened: true, steadyReads });
  await array.open(ring);
  try {
    const { level } = superblock;
    const about = { name: spec.name, level, warnings, clean };
    if (ftl) return { ...about, ...(await checkFtl(ring, array, watch)) };
    const comparison = await compareMembers(array, null, comparing(watch));
    return { ...about, bufferLost: false, checksums: null, atStart: [], comparison };
  } finally {
    await array.close();
  }
}

function comparing({ advanced }: OfflineLook) {
  return (done: number, total: number) => advanced('Compare members', done, total);
}

/** The FTL is open meanwhile: it knows what has to be the same on all members. */
async function checkFtl(
  ring: Ring,
  array: RaidArray,
  watch: OfflineLook,
): Promise<Omit<OfflineReport, 'clean' | 'level' | 'name' | 'warnings'>> {
  const atStart: Finding[] = [];
  let starts = true;
  const ftl = new Ftl(array, {
    baseKept: true,
    readOnly: true,
    // What lies in a cache has checksums of its own, which a start verifies.
    isCached: true,
    bootId: bootId(),
    discardBuffer: true,
    redundancy: redundancyOf(array),
    found: (finding) => {
      if (starts) atStart.push(finding);
    },
    steps: { stepStarted: (step) => watch.begin(step), stepEnded: () => {} },
  });
  await ftl.open(ring);
  starts = false;
  try {
    const checksums = await ftl.check({
      advanced: (done, total) => watch.advanced('Verify checksums', done, total),
    });
    const written = await ftl.space!.writtenRanges();
    const comparison = await compareMembers(array, written, comparing(watch));
    const { bufferLost } = ftl.restoreReport!;
    return { bufferLost, checksums, atStart, comparison };
  } finally {
    await ftl.close();
  }
}

/** Descriptors that keep writers away from the members; refuses where there is one. */
function hold(ring: Ring, name: string, { assembly, specs }: FoundMembers): number[] {
  const held: number[] = [];
  try {
    for (const { device } of assembly.slots) {
      const path = device === null ? null : innermostPath(specs.get(device)!);
      if (path !== null) held.push(holdOne(ring, name, path));
    }
    return held;
  } catch (error) {
    for (const fd of held) ring.native.fileClose(fd);
    throw error;
  }
}

function holdOne(ring: Ring, name: string, path: string): number {
  const { native } = ring;
  const isFile = identifyDevice(path).kind === 'file';
  const fd = native.fileOpen(path, constants.O_RDONLY | (isFile ? 0 : constants.O_EXCL), 0);
  if (fd < 0) throw cannotHold(name, path, -fd);
  if (!isFile) return fd;
  const result = native.fileLock(fd, false);
  if (result === 0) return fd;
  native.fileClose(fd);
  throw cannotHold(name, path, result === -EAGAIN ? EBUSY : -result);
}

function cannotHold(name: string, path: string, errno: number): BandstandError {
  const busy = errno === EBUSY;
  return new BandstandError(busy ? 'BANDSTAND_DEVICE_BUSY' : 'BANDSTAND_DEVICE_PERMISSION', {
    message: `cannot check ${name} offline: ${path}: ${statusText(errno)} (${statusName(errno)})`,
    hint: busy
      ? `find out who uses it; a stack that runs is checked with bandstand check ${name}`
      : 'run it with sudo',
    details: { name, device: path, errno },
  });
}
