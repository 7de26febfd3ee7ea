/**
 * Members in memory, with or without an array on them, and ways to bend their metadata.
 */

import type { BlockDevice } from '../../src/block/block-device.ts';
import { writeBlocks } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { ArrayMetadata } from '../../src/raid/array-metadata.ts';
import { type AssembleOptions, type Assembly, assembleArray } from '../../src/raid/assemble.ts';
import { createArray } from '../../src/raid/create.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import {
  encodeLabel,
  LABEL_OFFSETS,
  type Label,
  labelCopy,
  NO_PROCESS,
} from '../../src/raid/label.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import { newestEventCount } from '../../src/raid/own-label.ts';
import { planArray, plannedSuperblock } from '../../src/raid/plan.ts';
import type { RaidArray } from '../../src/raid/raid-array.ts';
import { encodeSuperblock, type Superblock } from '../../src/raid/superblock.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice } from './ram-device.ts';

export const ARRAY = '00112233-4455-6677-8899-aabbccddeeff';
export const MEMBERS = [
  '11111111-1111-4111-8111-111111111111',
  '22222222-2222-4222-8222-222222222222',
  '33333333-3333-4333-8333-333333333333',
  '44444444-4444-4444-8444-444444444444',
];
export const DATA_BLOCKS = 512;

export interface MemberBench {
  readonly reactor: SimulatedReactor;
  readonly devices: RamDevice[];
  assemble(options?: AssembleOptions, devices?: readonly RamDevice[]): Promise<Assembly>;
  refusal(options?: AssembleOptions, devices?: readonly RamDevice[]): Promise<string>;
  /** Puts a changed superblock on a device, past the codec of create. */
  put(slot: number, change: (superblock: Superblock) => Superblock): void;
  label(slot: number, change: (label: Label) => Label): void;
}

export async function openMembers(count: number, blockBytes = 512): Promise<MemberBench> {
  const reactor = new SimulatedReactor();
  const devices = Array.from(
    { length: count },
    (_, slot) =>
      new RamDevice(`/dev/ram${slot}`, {
        blockCount: 2 ** 20 / blockBytes + DATA_BLOCKS,
        blockBytes,
      }),
  );
  for (const device of devices) await device.open(reactor);
  const assemble: MemberBench['assemble'] = async (options = {}, used = devices) => {
    const examinations = [];
    for (const device of used) {
      examinations.push(await reactor.drive(examineDevice(reactor, device)));
    }
    return assembleArray(examinations, options);
  };
  return {
    reactor,
    devices,
    assemble,
    async refusal(options, used) {
      try {
        await assemble(options, used);
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        return `${error.code}: ${error.message}${error.hint === null ? '' : ` (${error.hint})`}`;
      }
      throw new Error('the array was assembled');
    },
    put(slot, change) {
      const plan = plannedSuperblock(PLANS.get(devices)!);
      devices[slot]!.bytes.set(encodeSuperblock(change(plan)), 0);
    },
    label(slot, change) {
      const plan = plannedSuperblock(PLANS.get(devices)!);
      const label = change({
        sequence: 2,
        memberUuid: plan.members[slot]!.uuid,
        arrayUuid: plan.uuid,
        superblockSeq: plan.seq,
        slot,
        role: 'member',
        state: 'clean',
        ftl: false,
        nvCache: false,
        eventCount: 0,
        bitmap: null,
        process: NO_PROCESS,
        missedSince: 0,
      });
      devices[slot]!.bytes.set(encodeLabel(label), LABEL_OFFSETS[labelCopy(label.sequence)]);
    },
  };
}

const PLANS = new WeakMap<RamDevice[], ReturnType<typeof planArray>>();

export async function createdArray(
  level: LevelName,
  count: number,
  blockBytes = 512,
): Promise<MemberBench> {
  const bench = await openMembers(count, blockBytes);
  const plan = planArray({
    name: 'tank',
    level,
    stripBytes: level === 'raid1' ? null : 8 * blockBytes,
    superblock: true,
    members: bench.devices,
    uuid: ARRAY,
    memberUuids: MEMBERS,
  });
  PLANS.set(bench.devices, plan);
  await bench.reactor.drive(createArray(bench.reactor, plan, bench.devices));
  return bench;
}

/** Writes all of an array, in whole write units. */
export async function writeWhole(array: RaidArray, reactor: SimulatedReactor, content: Uint8Array) {
  const { blockBytes, writeUnitBlocks } = array.geometry;
  const step = writeUnitBlocks * blockBytes * Math.max(1, Math.floor(64 / writeUnitBlocks));
  for (let at = 0; at < content.length; at += step) {
    await writeBlocks(reactor, array, at / blockBytes, content.subarray(at, at + step));
  }
}

/** The metadata of an assembled array, as its manager keeps it, with this start counted. */
export function metadataOf(
  reactor: Reactor,
  assembly: Assembly,
  byName: ReadonlyMap<string, BlockDevice>,
): ArrayMetadata {
  const { superblock, slots, missedSince } = assembly;
  const eventCount = newestEventCount(slots.map(({ label }) => label)) + 1;
  const facts = { state: 'clean', bitmap: null, process: NO_PROCESS, missedSince } as const;
  const { ftl, nvCache } = assembly;
  const metadata = new ArrayMetadata(reactor, superblock, { ...facts, ftl, nvCache, eventCount });
  for (const { slot, uuid, device, labelSequence: sequence } of slots) {
    if (device === null) continue;
    metadata.add({ device: byName.get(device)!, uuid, slot, role: 'member', sequence });
  }
  return metadata;
}
