import type { BlockDevice } from '../../src/block/block-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { conformance } from '../_helpers/conformance.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

/** An array whose members are opened by it; `missing` slots are left empty. */
function arrayOver(
  level: string,
  stripBytes: number | null,
  members: readonly BlockDevice[],
  missing: readonly number[] = [],
): RaidArray {
  const plan = planArray({ name: 'tank', level, stripBytes, members, superblock: false });
  const spec = planSpec(plan, members);
  return new RaidArray({
    ...spec,
    members: spec.members.map((member, slot) =>
      missing.includes(slot) ? { ...member, device: null } : member,
    ),
  });
}

const rams = (count: number, blockBytes: number, blocks = 300): RamDevice[] =>
  Array.from(
    { length: count },
    (_, slot) =>
      new RamDevice(`ram${slot}`, {
        blockCount: blocks + 7 * slot,
        blockBytes,
        delayUsMax: 40,
        geometry: {
          requestBlocksMax: 24,
          volatileCache: slot === 1,
          features: slot === 1 ? 0 : 30,
        },
      }),
  );

/** The size of an array is not known before it is open, so this one is put together by hand. */
function mirrorPairs(blockBytes: number): RaidArray {
  const pairs = [0, 1].map(() => arrayOver('raid1', null, rams(2, blockBytes)));
  return new RaidArray({
    name: 'pairs',
    uuid: null,
    level: 'raid0',
    blockBytes,
    stripBlocks: 8,
    blockCount: 592,
    members: pairs.map((device) => ({ uuid: null, device, dataOffset: 4, dataSize: 296 })),
  });
}

for (const blockBytes of [512, 4096]) {
  const strip = 8 * blockBytes;
  const arrays: readonly (readonly [string, () => RaidArray])[] = [
    ['raid0', () => arrayOver('raid0', strip, rams(3, blockBytes))],
    ['raid1', () => arrayOver('raid1', null, rams(2, blockBytes))],
    ['degraded raid1', () => arrayOver('raid1', null, rams(3, blockBytes), [0])],
    ['raid5f', () => arrayOver('raid5f', strip, rams(4, blockBytes))],
    ['degraded raid5f', () => arrayOver('raid5f', strip, rams(4, blockBytes), [2])],
    ['concat', () => arrayOver('concat', strip, rams(3, blockBytes))],
    ['raid0 of raid1', () => mirrorPairs(blockBytes)],
  ];
  for (const [name, make] of arrays) {
    conformance(
      `${name} of ${blockBytes}-byte blocks, simulated`,
      () => ({ reactor: new SimulatedReactor({ seed: 9 }), device: make() }),
      { operations: 600, burst: 1500 },
    );
  }
}

const memories = (count: number): MemoryDevice[] =>
  Array.from(
    { length: count },
    (_, slot) => new MemoryDevice(`mem${slot}`, { sizeBytes: 2 ** 21 }),
  );

for (const [level, count, missing] of [
  ['raid0', 3, []],
  ['raid1', 2, []],
  ['raid5f', 4, []],
  ['raid5f', 4, [1]],
  ['concat', 2, []],
] as const) {
  conformance(
    `${missing.length > 0 ? 'degraded ' : ''}${level} over memory, on the ring`,
    () => {
      const reactor = openRingReactor();
      const strip = level === 'raid1' ? null : 16384;
      const device = arrayOver(level, strip, memories(count), missing);
      return { reactor, device, dispose: () => reactor.close() };
    },
    { persistent: false, operations: 800 },
  );
}
