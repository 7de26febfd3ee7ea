/**
 * NvBench: an NV cache over a disk in memory, for tests of single behaviours.
 *
 * Each block is filled with one byte. The cache device keeps its content over `kill`, which is what
 * happens to the process; the device behind loses what was not settled.
 */

import { Arena } from '../../src/block/arena.ts';
import type {
  BlockDevice,
  DeviceDescription,
  DeviceObserver,
} from '../../src/block/block-device.ts';
import {
  type BlockIo,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  type Op,
} from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { blockCrc, writeEntryCrc, writeName, writeTrim } from '../../src/block/log-entry.ts';
import { uuidBytes } from '../../src/block/uuid.ts';
import { FilterDevice } from '../../src/device/filter-device.ts';
import {
  RecordHeader,
  recordDataAt,
  recordEntryAt,
  recordTrimAt,
  uuidWords,
  writeRecord,
} from '../../src/nv-cache/cache-format.ts';
import { type CacheHeader, encodeCacheHeader } from '../../src/nv-cache/cache-header.ts';
import { createCache } from '../../src/nv-cache/create-cache.ts';
import { NvCache } from '../../src/nv-cache/nv-cache.ts';
import type { NvCacheOptions } from '../../src/nv-cache/nv-cache-options.ts';
import type { NvCacheStatus } from '../../src/nv-cache/nv-cache-status.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice, type RamOptions } from './ram-device.ts';
import { BackingContent, SettlingBacking, type SettlingOptions } from './settling-backing.ts';

export const NV_OWNER = '0f71f71f-0000-4000-8000-000000000001';
export const NV_UUID = '0ca40ca4-0000-4000-8000-000000000001';
export const BLOCK = 4096;
const CACHE_BLOCKS = 602;

export interface NvBenchOptions {
  readonly cache?: Partial<RamOptions>;
  readonly backing?: Partial<SettlingOptions>;
}

/** A record for an image. */
export interface ImageRecord {
  readonly address: number;
  readonly sequence: number;
  readonly phase: number;
  readonly tail?: number;
  /** Block and byte of each data block. */
  readonly data?: readonly (readonly [block: number, byte: number])[];
  readonly trims?: readonly (readonly [block: number, blockCount: number])[];
  readonly uuid?: string;
  /** What its description says, where it lies elsewhere. */
  readonly claims?: number;
}

/** The disk as one process has it: what that sends after its death does not arrive. */
class DiskOfLife extends FilterDevice {
  isDead = false;

  submit(io: BlockIo): void {
    if (!this.isDead) this.lower.submit(io);
  }

  protected async drain(): Promise<void> {}

  describe(): DeviceDescription {
    return this.lower.describe();
  }
}

export class NvBench {
  readonly reactor = new SimulatedReactor({
    seed: 11,
    arena: new Arena(new ArrayBuffer(96 * 2 ** 20), 0),
  });
  readonly disk: RamDevice;
  readonly content = new BackingContent();
  readonly failures: string[] = [];
  backing!: SettlingBacking;
  readonly #backingOptions: Partial<SettlingOptions>;
  #cache: NvCache | null = null;
  #ofLife: DiskOfLife | null = null;

  private constructor({ backing = {}, cache = {} }: NvBenchOptions) {
    this.#backingOptions = backing;
    this.disk = new RamDevice('nvme', {
      blockBytes: BLOCK,
      blockCount: CACHE_BLOCKS,
      ...cache,
      geometry: { volatileCache: true, ...cache.geometry },
    });
  }

  static async make(options: NvBenchOptions = {}): Promise<NvBench> {
    const bench = new NvBench(options);
    await bench.create();
    return bench;
  }

  /** The cache is created, again perhaps. */
  async create(uuid = NV_UUID): Promise<void> {
    const { disk, reactor } = this;
    const work = async (): Promise<void> => {
      await disk.open(reactor);
      await createCache(reactor, disk, { uuid, owner: NV_OWNER });
      await disk.close();
    };
    await reactor.drive(work());
  }

  /** While `open` has not ended as well. */
  get opening(): NvCache | null {
    return this.#cache;
  }

  get cache(): NvCache {
    return this.#cache!;
  }

  get status(): NvCacheStatus {
    return this.cache.status()!;
  }

  async open(options: Partial<NvCacheOptions> = {}): Promise<NvCache> {
    this.backing = new SettlingBacking({ blockCount: 1024, ...this.#backingOptions }, this.content);
    this.#ofLife = new DiskOfLife(this.disk);
    const cache = new NvCache(this.#ofLife, this.backing, { owner: NV_OWNER, ...options });
    this.#cache = cache;
    await this.reactor.drive(cache.open(this.reactor));
    cache.observer = this.#observer;
    this.disk.log.length = 0;
    return cache;
  }

  readonly #observer: DeviceObserver = {
    deviceFailed: (device: BlockDevice, status: number): void => {
      this.failures.push(`${device.name} ${status}`);
    },
    deviceResized: () => {},
    deviceOverdue: () => false,
  };

  /** The error with which a start is refused. */
  async refusal(options: Partial<NvCacheOptions> = {}): Promise<BandstandError> {
    try {
      await this.open(options);
    } catch (error) {
      if (error instanceof BandstandError) return error;
      throw error;
    }
    throw new Error('the start was not refused');
  }

  close(): Promise<void> {
    return this.reactor.drive(this.cache.close());
  }

  /** A cache whose process was killed after so many writes: records of two ring blocks each. */
  static async killed(writes: number): Promise<NvBench> {
    const bench = await NvBench.make();
    await bench.open();
    for (let block = 0; block < writes; block += 1) await bench.write(block, 1, block + 1);
    bench.kill();
    return bench;
  }

  /** The process dies. */
  kill(isThere: () => boolean = () => false): void {
    this.#ofLife!.isDead = true;
    this.disk.isOpen = false;
    this.backing.die();
    this.content.crash(isThere);
    this.#cache = null;
  }

  /** Submits and gives the status. */
  submit(op: Op, block: number, count: number, buffer = 0, flags = 0): Promise<number> {
    return this.reactor.drive(submitStatus(this.cache, op, block, count, buffer, flags));
  }

  /** A write that is not waited for. */
  begin(block: number, count: number, byte: number, flags = 0): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(count * BLOCK);
    arena.u8.fill(byte, at, at + count * BLOCK);
    return submitStatus(this.cache, OP_WRITE, block, count, at, flags).finally(() => {
      arena.release(at, count * BLOCK);
    });
  }

  write(block: number, count: number, byte: number, flags = 0): Promise<number> {
    return this.reactor.drive(this.begin(block, count, byte, flags));
  }

  trimBegin(block: number, count: number): Promise<number> {
    return submitStatus(this.cache, OP_TRIM, block, count, 0);
  }

  /** A read into the arena that is not waited for. */
  cacheRead(block: number, at: number): Promise<number> {
    return submitStatus(this.cache, OP_READ, block, 1, at);
  }

  trim(block: number, count: number): Promise<number> {
    return this.submit(OP_TRIM, block, count);
  }

  flush(): Promise<number> {
    return this.submit(OP_FLUSH, 0, 0);
  }

  /** The byte that a block is filled with; -1: it is not one byte. A failed read gives -status. */
  async read(block: number): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(BLOCK);
    const status = await this.submit(OP_READ, block, 1, at);
    const bytes = arena.u8.subarray(at, at + BLOCK);
    const isSame = bytes.every((byte) => byte === bytes[0]);
    const result = isSame ? bytes[0]! : -1;
    arena.release(at, BLOCK);
    return status === 0 ? result : -status;
  }

  async readAll(blocks: readonly number[]): Promise<number[]> {
    const values: number[] = [];
    for (const block of blocks) values.push(await this.read(block));
    return values;
  }

  /** Lets the reactor work until nothing is to be done. */
  async rest(): Promise<void> {
    for (let idle = 0; idle < 4; ) {
      if (this.reactor.busy) {
        this.reactor.turn();
        idle = 0;
      } else if (this.reactor.advance()) {
        idle = 0;
      } else {
        idle += 1;
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  // --- images -----------------------------------------------------------------------------------

  /** Both copies of a header; not stopped cleanly where nothing else is said. */
  putHeader(changes: Partial<CacheHeader> = {}): void {
    const header: CacheHeader = {
      uuid: NV_UUID,
      owner: NV_OWNER,
      sizeBlocks: CACHE_BLOCKS,
      sequence: 10,
      epoch: 0,
      phase: 1,
      currentAddress: null,
      headSequence: 0,
      tailSequence: 0,
      tailAddress: 2,
      tailPhase: 1,
      lost: [],
      lostSequence: 0,
      ...changes,
    };
    for (const sequence of [header.sequence - 1, header.sequence]) {
      this.disk.bytes.set(encodeCacheHeader({ ...header, sequence }), (sequence & 1) * BLOCK);
    }
  }

  putRecord(record: ImageRecord): void {
    const { arena, kernels } = this.reactor;
    const { address, data = [], phase, sequence, tail = 0, trims = [] } = record;
    const bytes = (1 + data.length) * BLOCK;
    const at = arena.allocate(bytes);
    kernels.zero(at, bytes);
    data.forEach(([block, byte], index) => {
      const from = recordDataAt(at, index);
      arena.u8.fill(byte, from, from + BLOCK);
      const entry = recordEntryAt(at, index);
      writeName(arena.u32, entry, block, sequence);
      writeEntryCrc(arena.u32, entry, blockCrc(arena, kernels, entry, from));
    });
    trims.forEach(([block, blockCount], index) => {
      writeTrim(arena.u32, kernels, recordTrimAt(at, index), block, blockCount, sequence);
    });
    const header = Object.assign(new RecordHeader(), {
      phase,
      sequence,
      tailSequence: tail,
      address: record.claims ?? address,
      dataCount: data.length,
      trimCount: trims.length,
    });
    const uuid = uuidWords(uuidBytes(record.uuid ?? NV_UUID));
    writeRecord(arena.u32, kernels, at, uuid, header);
    this.disk.bytes.set(arena.u8.subarray(at, at + bytes), address * BLOCK);
    arena.release(at, bytes);
  }
}
