import type { BlockDevice } from '../../src/block/block-device.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { type CreateFtlOptions, createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl, type FtlOptions } from '../../src/ftl/ftl.ts';
import { planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { conformance } from '../_helpers/conformance.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

const UUID = '0f71f71f-0000-4000-8000-000000000001';
const SMALL = { uuid: UUID, unitBytes: 32 * 1024, bandBytes: 256 * 1024, overProvisioning: 40 };

async function create(
  reactor: Reactor,
  base: BlockDevice,
  options: CreateFtlOptions,
): Promise<void> {
  const work = async (): Promise<void> => {
    await base.open(reactor);
    await createFtl(reactor, base, options);
    await base.close();
  };
  await reactor.drive(work());
}

function ram(blockBytes: number, volatileCache: boolean): RamDevice {
  return new RamDevice('ram', {
    blockBytes,
    blockCount: (8 * 2 ** 20) / blockBytes,
    delayUsMax: 40,
    geometry: { volatileCache, features: 0 },
  });
}

function raid5f(): RaidArray {
  const members = Array.from(
    { length: 4 },
    (_, slot) =>
      new RamDevice(`ram${slot}`, {
        blockBytes: 512,
        blockCount: 5000 + slot,
        delayUsMax: 40,
        geometry: { features: 0, volatileCache: true },
      }),
  );
  const plan = planArray({
    name: 'tank',
    level: 'raid5f',
    stripBytes: 16384,
    members,
    superblock: false,
  });
  return new RaidArray(planSpec(plan, members));
}

interface Case {
  readonly name: string;
  readonly base: () => BlockDevice;
  readonly buffer: boolean;
}

const CASES: readonly Case[] = [
  { name: 'a disk of 512-byte blocks', base: () => ram(512, true), buffer: false },
  { name: 'a disk of 4096-byte blocks', base: () => ram(4096, false), buffer: false },
  { name: 'a disk, with a write buffer that survives', base: () => ram(4096, true), buffer: true },
  { name: 'raid5f, with a write buffer that survives', base: raid5f, buffer: true },
];

const BUFFER_BYTES = 2 ** 20;

for (const { name, base, buffer } of CASES) {
  conformance(
    `ftl over ${name}`,
    async () => {
      const reactor = new SimulatedReactor({ seed: 3, arenaBytes: 32 * 2 ** 20 });
      const lower = base();
      await create(reactor, lower, SMALL);
      const options: FtlOptions = buffer
        ? {
            buffer: {
              at: reactor.arena.allocate(BUFFER_BYTES),
              bytes: BUFFER_BYTES,
              path: 'memory',
              isAdopted: false,
              discard: () => {},
            },
          }
        : {};
      return { reactor, device: new Ftl(lower, options) };
    },
    { operations: 1500, burst: 1500 },
  );
}
