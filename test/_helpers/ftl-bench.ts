/**
 * FtlBench: a log-structured device over a disk in memory, for tests of single behaviours.
 */

import { Arena } from '../../src/block/arena.ts';
import { type BlockIo, OP_FLUSH, OP_READ, OP_WRITE, type Op } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import type { SurvivingMemory } from '../../src/block/surviving-memory.ts';
import { type CreateFtlOptions, createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl, type FtlOptions } from '../../src/ftl/ftl.ts';
import { deriveGeometry, type FtlGeometry } from '../../src/ftl/geometry.ts';
import { readSuperblock, writeSuperblock } from '../../src/ftl/superblock-io.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { RamDevice } from './ram-device.ts';

export const BENCH_UUID = '0f71f71f-0000-4000-8000-00000000be9c';
export const BLOCK = 4096;
export const BUFFER_BYTES = 4096 + 10 * 16384;

/** Units of 4 blocks, bands of 8 units. */
const SHAPE: CreateFtlOptions = {
  uuid: BENCH_UUID,
  unitBytes: 16384,
  bandBytes: 8 * 16384,
  overProvisioning: 50,
};

export interface BenchOptions {
  readonly bands?: number;
  readonly shape?: Partial<CreateFtlOptions>;
  readonly delayUsMax?: number;
  readonly volatileCache?: boolean;
}

export class FtlBench {
  readonly reactor = new SimulatedReactor({
    seed: 11,
    arena: new Arena(new ArrayBuffer(8 * 2 ** 20), 0),
  });
  readonly disk: RamDevice;
  readonly geometry: FtlGeometry;
  #ftl: Ftl | null = null;

  private constructor(disk: RamDevice, geometry: FtlGeometry) {
    this.disk = disk;
    this.geometry = geometry;
  }

  static async make(options: BenchOptions = {}): Promise<FtlBench> {
    const disk = new RamDevice('ram', {
      blockBytes: BLOCK,
      blockCount: (options.bands ?? 24) * 32 + 32,
      delayUsMax: options.delayUsMax ?? 0,
      geometry: { features: 0, volatileCache: options.volatileCache ?? true },
    });
    const reactor = new SimulatedReactor({ arena: new Arena(new ArrayBuffer(2 ** 20), 0) });
    const work = async (): Promise<FtlGeometry> => {
      await disk.open(reactor);
      const { shape } = await createFtl(reactor, disk, { ...SHAPE, ...options.shape });
      await disk.close();
      return deriveGeometry(shape);
    };
    return new FtlBench(disk, await reactor.drive(work()));
  }

  get ftl(): Ftl {
    return this.#ftl!;
  }

  async open(options: FtlOptions = {}): Promise<Ftl> {
    const ftl = new Ftl(this.disk, options);
    await this.reactor.drive(ftl.open(this.reactor));
    this.#ftl = ftl;
    return ftl;
  }

  /** The error with which a start is refused. */
  async refusal(options: FtlOptions = {}): Promise<BandstandError> {
    try {
      await this.open(options);
    } catch (error) {
      if (error instanceof BandstandError) return error;
      throw error;
    }
    throw new Error('the start was not refused');
  }

  close(): Promise<void> {
    return this.reactor.drive(this.ftl.close());
  }

  /** The process dies: its device is never turned again, and the disk can be opened anew. */
  async kill(): Promise<void> {
    this.disk.isOpen = false;
    this.#ftl = null;
  }

  /** Writes superblocks as a device has them that was started so often; it is closed. */
  async age(epoch: number): Promise<void> {
    const { reactor, disk } = this;
    const work = async (): Promise<void> => {
      await disk.open(reactor);
      const below = { base: disk, redundancy: null, readOnly: false };
      const { superblock } = await readSuperblock(reactor, below);
      for (const step of [1, 2]) {
        const sequence = superblock.sequence + step;
        await writeSuperblock(reactor, disk, { ...superblock, sequence, epoch });
      }
      await disk.close();
    };
    await reactor.drive(work());
  }

  /** Memory that outlives a kill, as far as the test hands it on. */
  memory(isAdopted = false, at = this.reactor.arena.allocate(BUFFER_BYTES)): SurvivingMemory {
    return { at, bytes: BUFFER_BYTES, path: 'memory', isAdopted, discard: () => {} };
  }

  /** Submits and gives the status. */
  status(op: Op, block: number, count: number, buffer = 0, flags = 0): Promise<number> {
    return this.reactor.drive(submitStatus(this.ftl, op, block, count, buffer, flags));
  }

  /** Each block is filled with the byte. */
  async write(block: number, count: number, byte: number, flags = 0): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(count * BLOCK);
    arena.u8.fill(byte, at, at + count * BLOCK);
    const status = await this.status(OP_WRITE, block, count, at, flags);
    arena.release(at, count * BLOCK);
    return status;
  }

  /** The byte that a block is filled with; -1 when it is not one byte throughout. */
  async read(block: number): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(BLOCK);
    const status = await this.status(OP_READ, block, 1, at);
    if (status !== 0) throw new Error(`a read failed with status ${status}`);
    const bytes = arena.u8.subarray(at, at + BLOCK);
    const same = bytes.every((byte) => byte === bytes[0]);
    const result = same ? bytes[0]! : -1;
    arena.release(at, BLOCK);
    return result;
  }

  flush(): Promise<number> {
    return this.status(OP_FLUSH, 0, 0);
  }

  /** Disk block of a unit of a band. */
  unitBlock(band: number, unit: number): number {
    const { bandUnits, firstBandUnit, unitBlocks } = this.geometry;
    return (firstBandUnit + band * bandUnits + unit) * unitBlocks;
  }

  /** True for an operation on a band, not on superblocks or the map. */
  isBandIo(io: BlockIo | { readonly block: number }): boolean {
    return io.block >= this.unitBlock(0, 0);
  }
}
