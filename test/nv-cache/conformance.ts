import { Arena } from '../../src/block/arena.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import { createCache } from '../../src/nv-cache/create-cache.ts';
import { NvCache } from '../../src/nv-cache/nv-cache.ts';
import type { NvCacheOptions } from '../../src/nv-cache/nv-cache-options.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { conformance } from '../_helpers/conformance.ts';
import { RamDevice, type RamOptions } from '../_helpers/ram-device.ts';
import { SettlingBacking } from '../_helpers/settling-backing.ts';

const OWNER = '0f71f71f-0000-4000-8000-000000000001';
const UUID = '0ca40ca4-0000-4000-8000-000000000001';

interface Case {
  readonly name: string;
  readonly cache: RamOptions;
  readonly options?: Partial<NvCacheOptions>;
  readonly unitBlocks: number;
}

const CASES: readonly Case[] = [
  {
    name: 'a large ring of 4096-byte blocks',
    cache: { blockCount: 8192, blockBytes: 4096, geometry: { volatileCache: true } },
    unitBlocks: 64,
  },
  {
    name: 'a small ring of 512-byte blocks, without FUA',
    cache: { blockCount: 520 * 8, geometry: { volatileCache: true, features: 0 } },
    unitBlocks: 50,
  },
  {
    name: 'a ring that is drained at once, without a volatile cache',
    cache: { blockCount: 600, blockBytes: 4096 },
    options: { highMark: 0, lowMark: 0, drainBlocks: 128 },
    unitBlocks: 30,
  },
];

for (const { name, cache: ram, options, unitBlocks } of CASES) {
  conformance(
    `NV cache, ${name}`,
    async () => {
      const arena = new Arena(new ArrayBuffer(32 * 2 ** 20), 0);
      const reactor = new SimulatedReactor({ seed: 3, arena });
      const cache = new RamDevice('cache', { delayUsMax: 40, ...ram });
      const backing = new SettlingBacking({ blockCount: 2048, unitBlocks, delayUsMax: 60 });
      const create = async (): Promise<void> => {
        await cache.open(reactor);
        await createCache(reactor, cache, { uuid: UUID, owner: OWNER });
        await cache.close();
      };
      await reactor.drive(create());
      return { reactor, device: new NvCache(cache, backing, { owner: OWNER, ...options }) };
    },
    { operations: 1200 },
  );
}

conformance(
  'NV cache, in front of an FTL',
  async () => {
    const arena = new Arena(new ArrayBuffer(48 * 2 ** 20), 0);
    const reactor = new SimulatedReactor({ seed: 4, arena });
    const volatileCache = true;
    const geometry = { volatileCache, features: 0 };
    const cache = new RamDevice('cache', { blockCount: 700, blockBytes: 4096, geometry });
    const disk = new RamDevice('disk', { blockCount: 2048, blockBytes: 4096, geometry });
    const shape = { unitBytes: 32 * 1024, bandBytes: 256 * 1024, overProvisioning: 40 };
    const create = async (): Promise<void> => {
      await cache.open(reactor);
      await createCache(reactor, cache, { uuid: UUID, owner: OWNER });
      await cache.close();
      await disk.open(reactor);
      await createFtl(reactor, disk, { uuid: OWNER, ...shape });
      await disk.close();
    };
    await reactor.drive(create());
    const ftl = new Ftl(disk, { isCached: true });
    return { reactor, device: new NvCache(cache, ftl, { owner: OWNER, highMark: 0.3 }) };
  },
  { operations: 1200 },
);
