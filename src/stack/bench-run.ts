/**
 * bench: a load on a device, or on an arrangement of devices.                       (control plane)
 *
 * The target is a device specification; arrays in it have no superblock, their members begin at
 * block 0. Writing destroys, so a target that keeps what is written (a file or a block device) has
 * to be named with --erase before anything is written to it.
 */

import { Workload, type WorkloadOptions, type WorkloadResult } from '../bench/workload.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import { loadAddon } from '../native/load.ts';
import { planArray, planSpec } from '../raid/plan.ts';
import { RaidArray } from '../raid/raid-array.ts';
import type { Ring } from '../reactor/ring.ts';
import { RingReactor } from '../reactor/ring-reactor.ts';
import { type DeviceSpec, formatDeviceSpec, STRIP_BYTES_DEFAULT } from './device-spec.ts';
import { makeLeaf } from './device-tree.ts';
import { identifyDevice, usageOf } from './device-usage.ts';
import { nameless } from './find-members.ts';

export interface BenchRequest {
  readonly target: DeviceSpec;
  readonly writes: boolean;
  /** Identity keys of the devices that may be written to. */
  readonly erase: ReadonlySet<string>;
  readonly blockBytes: number | null;
  readonly pollUs: number;
  readonly hugePages: boolean;
  readonly workload: WorkloadOptions;
}

/** For superblocks, labels and what devices need besides the payloads. */
const ARENA_SPARE_BYTES = 8 * 2 ** 20;
const ARENA_BYTES_MAX = 2 ** 31;

/** Throws BandstandError: what the target is not, or what would be destroyed. */
export async function runBench(request: BenchRequest): Promise<WorkloadResult> {
  const paths = pathsOf(request.target);
  for (const path of paths) refuseUnsafe(path, request);
  const { depth, requestBytes } = request.workload;
  const arenaBytes = depth * requestBytes + arrayReserve(request.target) + ARENA_SPARE_BYTES;
  if (arenaBytes > ARENA_BYTES_MAX) {
    throw new BandstandError('BANDSTAND_USAGE', {
      message: `cannot run this load: ${depth} operations of ${formatSize(requestBytes)} need more than 2 GiB of buffers`,
      hint: 'use a smaller --depth or --bs',
      details: { depth, request_bytes: requestBytes },
    });
  }
  const reactor = RingReactor.create({
    native: loadAddon(),
    arenaBytes,
    pollUs: request.pollUs,
    hugePages: request.hugePages,
  });
  try {
    const device = await reactor.drive(openTree(reactor, request));
    try {
      return await run(reactor, device, request.workload);
    } finally {
      await reactor.drive(device.close());
    }
  } finally {
    await reactor.close();
  }
}

/** At full speed: the reactor does not come back to Node before the load has ended. */
async function run(
  reactor: RingReactor,
  device: BlockDevice,
  options: WorkloadOptions,
): Promise<WorkloadResult> {
  const workload = new Workload(reactor, device, options);
  workload.start(() => reactor.stop());
  await reactor.run();
  workload.dispose();
  return workload.result();
}

async function openTree(ring: Ring, request: BenchRequest): Promise<BlockDevice> {
  const { target, writes } = request;
  const options = {
    readOnly: !writes,
    depth: Math.max(64, request.workload.depth),
    ...(request.blockBytes === null ? {} : { blockBytes: request.blockBytes }),
  };
  if (target.kind !== 'array') {
    const device = makeLeaf(nameless(target), options);
    await device.open(ring);
    return device;
  }
  const members: BlockDevice[] = [];
  try {
    for (const spec of target.members) {
      const device = makeLeaf(nameless(spec), options);
      await device.open(ring);
      members.push(device);
    }
    return await openArray(ring, target, members, request.workload.depth);
  } catch (error) {
    for (const device of members) await device.close();
    throw error;
  }
}

async function openArray(
  ring: Ring,
  target: Extract<DeviceSpec, { kind: 'array' }>,
  members: readonly BlockDevice[],
  depth: number,
): Promise<BlockDevice> {
  const strip = target.level === 'raid1' ? null : (target.stripBytes ?? STRIP_BYTES_DEFAULT);
  const plan = planArray({
    name: 'bench',
    level: target.level,
    stripBytes: strip,
    // Members of one kind may have one name: `raid0(null:1G,null:1G)`.
    members: members.map(({ name, geometry }, slot) => ({ name: `${name} (${slot})`, geometry })),
    superblock: false,
  });
  const array = new RaidArray(planSpec(plan, members), { membersOpened: true, depth });
  await array.open(ring);
  return array;
}

/** raid5f reads and computes in buffers of its own. */
function arrayReserve(target: DeviceSpec): number {
  return target.kind === 'array' && target.level === 'raid5f' ? 64 * 2 ** 20 : 0;
}

function pathsOf(spec: DeviceSpec): string[] {
  if (spec.kind === 'path') return [spec.path];
  if (spec.kind === 'error' || spec.kind === 'delay') return pathsOf(spec.child);
  return spec.kind === 'array' ? spec.members.flatMap(pathsOf) : [];
}

function refuseUnsafe(path: string, request: BenchRequest): void {
  const identity = identifyDevice(path);
  if (!request.writes) return;
  const usage = usageOf(identity);
  if (usage !== null) {
    throw new BandstandError('BANDSTAND_DEVICE_BUSY', {
      message: `cannot write to ${path}: it is ${usage}`.replace('it is its', 'its'),
      hint: 'end that use first, or measure reading',
      details: { device: path, usage },
    });
  }
  if (request.erase.has(identity.key)) return;
  throw new BandstandError('BANDSTAND_DEVICE_IN_USE', {
    message: `cannot write to ${path}: what it holds would be lost`,
    hint: `to erase it, repeat the command with --erase ${path}`,
    details: { device: path, target: formatDeviceSpec(request.target) },
  });
}
