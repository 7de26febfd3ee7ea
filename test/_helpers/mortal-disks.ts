/**
 * Disks in memory whose power goes after so many steps, and a data path in eight numbers.
 *
 * Every metadata write and every copy of a data write is a step. The write that the power takes is
 * torn at a sector, and nothing works from then on. Data is a version number for each region, kept
 * in the first block of the region on each disk.
 */

import { OP_WRITE } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import type { Random } from './array-fixture.ts';
import { RamDevice } from './ram-device.ts';

const BLOCK_BYTES = 4096;
const DATA_OFFSET = 256;
export const REGION_BLOCKS = 16;
export const REGIONS = 8;
export const ALL_REGIONS = Array.from({ length: REGIONS }, (_, region) => region);

export class Crash extends Error {}

export class MortalDisks {
  readonly reactor = new SimulatedReactor({ arenaBytes: 4 * 2 ** 20 });
  readonly all: RamDevice[] = [];
  readonly #random: Random;
  #stepsLeft = Number.POSITIVE_INFINITY;

  constructor(random: Random) {
    this.#random = random;
  }

  async open(count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const blockCount = DATA_OFFSET + REGIONS * REGION_BLOCKS;
      const disk = new RamDevice(`ram${index}`, { blockCount, blockBytes: BLOCK_BYTES });
      await disk.open(this.reactor);
      this.all.push(disk);
    }
  }

  named(name: string): RamDevice {
    return this.all.find((disk) => disk.name === name)!;
  }

  get dead(): boolean {
    return this.#stepsLeft < 0;
  }

  powerOn(): void {
    for (const disk of this.all) disk.fault = () => OK;
    this.#stepsLeft = Number.POSITIVE_INFINITY;
  }

  /** The power goes at the step after so many. */
  cutAfter(steps: number): void {
    this.#stepsLeft = steps;
    for (const disk of this.all) this.#inject(disk);
  }

  #inject(disk: RamDevice): void {
    disk.fault = (io) => {
      if (io.op === OP_WRITE && this.#stepsLeft > 0) this.#stepsLeft -= 1;
      else if (io.op === OP_WRITE && this.#stepsLeft === 0) {
        this.#stepsLeft = -1;
        const torn = this.#random.below(io.blockCount * BLOCK_BYTES) & ~511;
        const { u8 } = this.reactor.arena;
        disk.bytes.set(u8.subarray(io.buffer, io.buffer + torn), io.block * BLOCK_BYTES);
      }
      return this.dead ? EIO : OK;
    };
  }

  /** A step that is no write of metadata. Throws Crash when the power goes. */
  step(): void {
    if (this.#stepsLeft <= 0) {
      this.#stepsLeft = -1;
      throw new Crash();
    }
    this.#stepsLeft -= 1;
  }

  /** Drives metadata work; what it throws after the power has gone is a Crash. */
  async drive<Value>(work: Promise<Value>): Promise<Value> {
    try {
      const value = await this.reactor.drive(work);
      if (this.dead) throw new Crash();
      return value;
    } catch (error) {
      if (error instanceof BandstandError && this.dead) throw new Crash();
      throw error;
    }
  }

  version(disk: RamDevice, region: number): number {
    return view(disk).getUint32(position(region), true);
  }

  put(disk: RamDevice, region: number, version: number): void {
    view(disk).setUint32(position(region), version, true);
  }

  copy(from: RamDevice, to: RamDevice, region: number): void {
    this.put(to, region, this.version(from, region));
  }

  shuffle(list: RamDevice[]): void {
    for (let index = list.length - 1; index > 0; index -= 1) {
      const other = this.#random.below(index + 1);
      [list[index], list[other]] = [list[other]!, list[index]!];
    }
  }
}

function view({ bytes }: RamDevice): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function position(region: number): number {
  return (DATA_OFFSET + region * REGION_BLOCKS) * BLOCK_BYTES;
}
