/**
 * Runs one workload in this process and prints its result as one line of JSON:
 *
 *     node --import=tsx bench/load.ts '{"device": …, "workload": …}'
 *
 * A process of its own per run, so that what one case teaches V8 about shapes does not help or
 * harm the next. `heap` reports the growth of the heap between the first tenth and the end.
 */

import { Workload, type WorkloadOptions } from '../src/bench/workload.ts';
import type { BlockDevice } from '../src/block/block-device.ts';
import { FileDevice } from '../src/device/file-device.ts';
import { MemoryDevice } from '../src/device/memory-device.ts';
import { MeterDevice } from '../src/device/meter-device.ts';
import { NullDevice } from '../src/device/null-device.ts';
import { OffsetDevice } from '../src/device/offset-device.ts';
import { loadAddon } from '../src/native/load.ts';
import type { LevelName } from '../src/raid/level-rules.ts';
import { RaidArray } from '../src/raid/raid-array.ts';
import { RingReactor } from '../src/reactor/ring-reactor.ts';

export type DeviceSpec =
  | { readonly kind: 'null' | 'mem'; readonly sizeBytes: number }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'meter' | 'offset'; readonly lower: DeviceSpec }
  | {
      readonly kind: 'raid';
      readonly level: LevelName;
      readonly stripBytes: number;
      readonly memberBytes: number;
      readonly members: readonly DeviceSpec[];
    };

export interface LoadSpec {
  readonly device: DeviceSpec;
  readonly workload: Omit<WorkloadOptions, 'cpuUs'>;
  /** Writes the whole device first: memory that was never written is read for free. */
  readonly fill?: boolean;
  readonly arenaBytes?: number;
  readonly pollUs?: number;
}

const BLOCK_BYTES = 4096;

function makeDevice(spec: DeviceSpec): BlockDevice {
  switch (spec.kind) {
    case 'null':
      return new NullDevice('null', { sizeBytes: spec.sizeBytes });
    case 'mem':
      return new MemoryDevice('mem', { sizeBytes: spec.sizeBytes });
    case 'file':
      return new FileDevice(spec.path, { blockBytes: BLOCK_BYTES });
    case 'meter':
      return new MeterDevice(makeDevice(spec.lower));
    case 'offset':
      return new OffsetDevice(makeDevice(spec.lower), { firstBlock: 1 });
    case 'raid':
      return makeArray(spec);
  }
}

function makeArray(spec: Extract<DeviceSpec, { kind: 'raid' }>): RaidArray {
  const stripBlocks = spec.stripBytes / BLOCK_BYTES;
  const memberBlocks = Math.floor(spec.memberBytes / spec.stripBytes) * stripBlocks;
  const dataMembers = spec.members.length - (spec.level === 'raid5f' ? 1 : 0);
  return new RaidArray({
    name: spec.level,
    uuid: null,
    level: spec.level,
    blockBytes: BLOCK_BYTES,
    stripBlocks,
    blockCount: memberBlocks * dataMembers,
    members: spec.members.map((member) => ({
      uuid: null,
      device: makeDevice(member),
      dataOffset: 0,
      dataSize: memberBlocks,
    })),
  });
}

async function main(spec: LoadSpec): Promise<void> {
  const native = loadAddon();
  const reactor = RingReactor.create({
    native,
    arenaBytes: spec.arenaBytes ?? 64 * 2 ** 20,
    ...(spec.pollUs === undefined ? {} : { pollUs: spec.pollUs }),
  });
  const device = makeDevice(spec.device);
  await reactor.drive(device.open(reactor));
  const run = async (workload: LoadSpec['workload']): Promise<Workload> => {
    const load = new Workload(reactor, device, { ...workload, cpuUs: () => native.threadCpuUs() });
    load.start(() => reactor.stop());
    await reactor.run();
    load.dispose();
    return load;
  };
  if (spec.fill === true) {
    const { blockBytes, blockCount } = device.geometry;
    const requestBytes = 64 * 1024;
    const ios = Math.floor((blockBytes * blockCount) / requestBytes);
    await run({ rw: 'write', requestBytes, depth: 8, ios });
  }
  // Warm up: V8 compiles the path, and the page tables fill.
  const ios = Math.max(1000, Math.floor((spec.workload.ios ?? 0) / 10));
  await run({ ...spec.workload, ios, timeUs: 1_000_000 });
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const load = await run(spec.workload);
  globalThis.gc?.();
  const heapGrowthBytes = process.memoryUsage().heapUsed - heapBefore;
  process.stdout.write(
    `${JSON.stringify({ ...load.result(), heap_growth_bytes: heapGrowthBytes, ...reactor.stats })}\n`,
  );
  await reactor.drive(device.close());
  await reactor.close();
}

await main(JSON.parse(process.argv[2]!) as LoadSpec);
