/**
 * FtlArrayBench: a log-structured device over an array of disks in memory, for tests of what its
 * checksums and the array's redundancy do together.
 */

import { Arena } from '../../src/block/arena.ts';
import { OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import type { Finding } from '../../src/ftl/finding.ts';
import { Ftl, type FtlOptions } from '../../src/ftl/ftl.ts';
import { deriveGeometry, type FtlGeometry } from '../../src/ftl/geometry.ts';
import type { LostBlocks } from '../../src/ftl/lost-blocks.ts';
import { redundancyOf } from '../../src/raid/array-copies.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { BENCH_UUID, BLOCK } from './ftl-bench.ts';
import { RamDevice } from './ram-device.ts';

export type BenchLevel = 'raid0' | 'raid1' | 'raid5f';

const MEMBERS = { raid0: 2, raid1: 2, raid5f: 3 } as const;
/** Units of 4 blocks at raid0 and raid1, of 8 at raid5f; strips of 4. */
const STRIP = 4;

export class FtlArrayBench {
  readonly reactor = new SimulatedReactor({
    seed: 5,
    arena: new Arena(new ArrayBuffer(16 * 2 ** 20), 0),
  });
  readonly level: BenchLevel;
  readonly disks: RamDevice[];
  readonly findings: Finding[] = [];
  readonly lost: LostBlocks[] = [];
  readonly geometry: FtlGeometry;
  /** Slots whose members are not there the next time it is opened. */
  readonly lostSlots = new Set<number>();
  #array: RaidArray;
  #ftl: Ftl | null = null;

  private constructor(level: BenchLevel, disks: RamDevice[], geometry: FtlGeometry) {
    this.level = level;
    this.disks = disks;
    this.geometry = geometry;
    this.#array = arrayOf(level, disks);
  }

  static async make(level: BenchLevel): Promise<FtlArrayBench> {
    const disks = Array.from(
      { length: MEMBERS[level] },
      (_, slot) =>
        new RamDevice(`ram${slot}`, {
          blockBytes: BLOCK,
          blockCount: 1024,
          delayUsMax: 20,
          geometry: { features: 0, volatileCache: true },
        }),
    );
    const reactor = new SimulatedReactor({ arena: new Arena(new ArrayBuffer(8 * 2 ** 20), 0) });
    const array = arrayOf(level, disks);
    const unitBytes = STRIP * BLOCK * (level === 'raid5f' ? 2 : 1);
    const work = async (): Promise<FtlGeometry> => {
      await array.open(reactor);
      const sizes = { unitBytes, bandBytes: 8 * unitBytes, overProvisioning: 50 };
      const { shape } = await createFtl(reactor, array, { uuid: BENCH_UUID, ...sizes });
      await array.close();
      return deriveGeometry(shape);
    };
    return new FtlArrayBench(level, disks, await reactor.drive(work()));
  }

  get ftl(): Ftl {
    return this.#ftl!;
  }

  async open(options: FtlOptions = {}): Promise<Ftl> {
    const left = this.disks.map((disk, slot) => (this.lostSlots.has(slot) ? null : disk));
    this.#array = arrayOf(this.level, left);
    const ftl = new Ftl(this.#array, {
      redundancy: redundancyOf(this.#array),
      found: (finding) => this.findings.push(finding),
      blocksLost: (lost) => this.lost.push(lost),
      ...options,
    });
    await this.reactor.drive(ftl.open(this.reactor));
    this.#ftl = ftl;
    return ftl;
  }

  close(): Promise<void> {
    return this.reactor.drive(this.ftl.close());
  }

  /** The process dies. */
  kill(): void {
    for (const disk of this.disks) disk.isOpen = false;
    this.#ftl = null;
  }

  /** Each block is filled with the byte. */
  async write(block: number, byte: number): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(BLOCK);
    arena.u8.fill(byte, at, at + BLOCK);
    const status = await this.reactor.drive(submitStatus(this.ftl, OP_WRITE, block, 1, at));
    arena.release(at, BLOCK);
    return status;
  }

  /** The byte that a block is filled with; -1 when it is not one byte throughout. */
  async read(block: number): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(BLOCK);
    const status = await this.reactor.drive(submitStatus(this.ftl, OP_READ, block, 1, at));
    if (status !== 0) throw new Error(`a read failed with status ${status}`);
    const bytes = arena.u8.slice(at, at + BLOCK);
    arena.release(at, BLOCK);
    return bytes.every((byte) => byte === bytes[0]) ? bytes[0]! : -1;
  }

  flush(): Promise<number> {
    return this.reactor.drive(submitStatus(this.ftl, OP_FLUSH, 0, 0, 0));
  }

  /** Slot and block of the member that has block `block` of the base; of raid1, slot 0. */
  member(block: number): { slot: number; at: number } {
    if (this.level === 'raid1') return { slot: 0, at: block };
    const chunks = this.level === 'raid5f' ? 2 : MEMBERS.raid0;
    const stripe = Math.floor(block / (chunks * STRIP));
    const chunk = Math.floor(block / STRIP) % chunks;
    const parity = this.level === 'raid5f' ? 2 - (stripe % 3) : chunks;
    return { slot: chunk < parity ? chunk : chunk + 1, at: stripe * STRIP + (block % STRIP) };
  }

  /** Rots a block of the base: on one member, of raid1 on each of `slots`. */
  rot(block: number, slots: readonly number[] = [0]): void {
    const { slot, at } = this.member(block);
    for (const one of this.level === 'raid1' ? slots : [slot]) {
      this.disks[one]!.bytes[at * BLOCK + 77]! ^= 1;
    }
  }

  /** The block of the base that is filled with this byte, in the bands. */
  find(byte: number): number {
    const first = this.geometry.firstBandUnit * this.geometry.unitBlocks;
    const end = this.geometry.units * this.geometry.unitBlocks;
    for (let block = end - 1; block >= first; block -= 1) {
      const { slot, at } = this.member(block);
      const bytes = this.disks[slot]!.bytes.subarray(at * BLOCK, (at + 1) * BLOCK);
      if (bytes.every((value) => value === byte)) return block;
    }
    throw new Error('the content is nowhere');
  }

  /** First block of the unit that a block of the base is in. */
  unitOf(block: number): number {
    return Math.floor(block / this.geometry.unitBlocks) * this.geometry.unitBlocks;
  }

  /** True when all mirrors are equal, or the parity is right, in what the FTL uses. */
  get agrees(): boolean {
    const bytes = this.disks.map((disk) => Buffer.from(disk.bytes));
    if (this.level === 'raid1') return bytes[0]!.equals(bytes[1]!);
    if (this.level === 'raid0') return true;
    return bytes[0]!.every((byte, at) => (byte ^ bytes[1]![at]! ^ bytes[2]![at]!) === 0);
  }
}

function arrayOf(level: BenchLevel, disks: readonly (RamDevice | null)[]): RaidArray {
  const blockCount = 1024 * { raid0: 2, raid1: 1, raid5f: 2 }[level];
  const members = disks.map((device) => ({ uuid: null, device, dataOffset: 0, dataSize: 1024 }));
  const stripBlocks = level === 'raid1' ? 0 : STRIP;
  const shape = { name: 'tank', uuid: null, level, stripBlocks, blockBytes: BLOCK };
  return new RaidArray({ ...shape, blockCount, members });
}
