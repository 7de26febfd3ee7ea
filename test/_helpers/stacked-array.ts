/**
 * StackedArray: an FTL over a managed array over disks in memory, as src/stack puts them together.
 *
 * Every block holds a version number, and the bench knows which one it may show. A crash leaves on
 * the disks what had arrived there, member by member; the next life begins with copies of them.
 */

import { Arena } from '../../src/block/arena.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { OP_FLUSH, OP_READ, OP_TRIM, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { OK } from '../../src/block/status.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import { redundancyOf } from '../../src/raid/array-copies.ts';
import type { ArrayEvent } from '../../src/raid/array-events.ts';
import { ArrayManager } from '../../src/raid/array-manager.ts';
import { assembleArray } from '../../src/raid/assemble.ts';
import { createArray } from '../../src/raid/create.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import type { ManagerOptions } from '../../src/raid/metadata-keeper.ts';
import { planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { Alarm } from './alarm.ts';
import { RamDevice } from './ram-device.ts';

export const BLOCK = 4096;
/** Where data begins on a member, in blocks. */
export const OFFSET = 2 ** 20 / BLOCK;
const UUID = '0f71f71f-0000-4000-8000-0000000057ac';
const UNIT_BYTES = 4 * BLOCK;

export interface StackedOptions {
  readonly level: 'raid1' | 'raid5f';
  readonly bands: number;
  readonly bandUnits: number;
  readonly seed: number;
  readonly manager?: ManagerOptions;
}

const MANAGER: ManagerOptions = {
  regionBlocks: 16,
  intentIdleUs: 2000,
  checkpointUs: 500,
  process: { chunkBytes: 4 * BLOCK, depth: 2 },
};

export class StackedArray {
  readonly options: StackedOptions;
  reactor: SimulatedReactor;
  disks: RamDevice[] = [];
  manager: ArrayManager | null = null;
  readonly events: ArrayEvent[] = [];
  #ftl: Ftl | null = null;
  #made = 0;
  /** What each block shows: a version, 0 for zeroes. */
  readonly shows = new Map<number, number>();
  /** What it may show instead, since a crash. */
  readonly #perhaps = new Map<number, number>();
  #version = 0;

  constructor(options: StackedOptions) {
    this.options = options;
    this.reactor = this.#makeReactor(options.seed);
  }

  #makeReactor(seed: number): SimulatedReactor {
    return new SimulatedReactor({ seed, arena: new Arena(new ArrayBuffer(3 * 2 ** 20), 0) });
  }

  get ftl(): Ftl {
    return this.#ftl!;
  }

  get members(): number {
    return this.options.level === 'raid1' ? 2 : 3;
  }

  /** Data blocks of a member. */
  get memberBlocks(): number {
    const { bands, bandUnits, level } = this.options;
    const units = bands * bandUnits + 12;
    return (units * (UNIT_BYTES / BLOCK)) / (level === 'raid1' ? 1 : 2);
  }

  drive<T>(work: Promise<T>): Promise<T> {
    return this.reactor.drive(work);
  }

  async sleep(us: number): Promise<void> {
    await new Promise<void>((resolve) => this.reactor.schedule(new Alarm(resolve), us));
  }

  /** A device that no array knows; it may hold anything. */
  disk(bytes?: Uint8Array, name?: string): RamDevice {
    if (name === undefined) this.#made += 1;
    return new RamDevice(name ?? `ram${this.#made - 1}`, {
      ...(bytes === undefined ? {} : { bytes }),
      blockCount: OFFSET + this.memberBlocks,
      blockBytes: BLOCK,
      delayUsMax: 200,
      geometry: { volatileCache: this.options.seed % 2 === 0 },
    });
  }

  async create(): Promise<void> {
    const { level, bandUnits } = this.options;
    this.disks = Array.from({ length: this.members }, () => this.disk());
    const { disks, reactor } = this;
    const work = async (): Promise<void> => {
      for (const disk of disks) await disk.open(reactor);
      const plan = planArray({
        name: 'tank',
        level,
        stripBytes: level === 'raid1' ? null : UNIT_BYTES / 2,
        members: disks.map(({ name, geometry }) => ({ name, geometry })),
        superblock: true,
      });
      await createArray(reactor, plan, disks, { ftl: true });
      const array = new RaidArray(planSpec(plan, disks), { membersOpened: true });
      await array.open(reactor);
      await createFtl(reactor, array, {
        uuid: UUID,
        unitBytes: UNIT_BYTES,
        bandBytes: bandUnits * UNIT_BYTES,
        overProvisioning: 40,
        pageEntries: 64,
      });
      await array.close();
    };
    await this.drive(work());
  }

  /** Assembles from what is there, starts the array and then the FTL, and lets them know. */
  async start(firstUnit = 0): Promise<void> {
    const { disks, reactor } = this;
    const work = async (): Promise<void> => {
      const examinations = [];
      for (const disk of disks) {
        await disk.open(reactor);
        examinations.push(await examineDevice(reactor, disk));
      }
      const assembly = assembleArray(examinations, { degraded: true, scan: true });
      const devices = new Map<string, BlockDevice>(disks.map((disk) => [disk.name, disk]));
      this.manager = await ArrayManager.start(
        reactor,
        assembly,
        devices,
        { ...MANAGER, ...this.options.manager, expectsSpace: true },
        { arrayEvent: (event) => this.events.push(event) },
      );
      const { array } = this.manager;
      const ftl = new Ftl(array, {
        baseKept: true,
        slotCount: 12,
        firstUnit,
        redundancy: redundancyOf(array),
      });
      await ftl.open(reactor);
      this.#ftl = ftl;
      await this.manager.attachSpace(ftl.space!);
    };
    await this.drive(work());
  }

  async stop(): Promise<void> {
    await this.drive(this.ftl.close());
    await this.drive(this.manager!.close());
    for (const disk of this.disks) if (disk.isOpen) await disk.close();
    this.manager = null;
  }

  /** The process dies. */
  crash(): void {
    this.reactor = this.#makeReactor(this.reactor.random());
    this.disks = this.disks.map(({ bytes, name }) => this.disk(bytes.slice(), name));
    this.manager = null;
  }

  /** The same disks and what may be expected of them, for another future. */
  fork(disks: readonly RamDevice[] = this.disks): StackedArray {
    const other = new StackedArray({ ...this.options, seed: this.reactor.random() });
    other.disks = disks.map(({ bytes, name }) => other.disk(bytes.slice(), name));
    for (const [block, version] of this.shows) other.shows.set(block, version);
    for (const [block, version] of this.#perhaps) other.#perhaps.set(block, version);
    other.#version = this.#version + 2 ** 30;
    return other;
  }

  /** Lets time pass until nothing goes on. */
  async settle(): Promise<void> {
    const work = async (): Promise<void> => {
      for (let left = 4000; this.manager!.isSettling && left > 0; left -= 1) await this.sleep(2000);
    };
    await this.drive(work());
  }

  // --- what a user does -------------------------------------------------------------------------

  /** Until its answer, and behind a crash, the block may show either. */
  async write(block: number): Promise<void> {
    this.#version += 1;
    await this.#change(block, this.#version, async () => {
      const { arena } = this.reactor;
      const buffer = arena.allocate(BLOCK);
      arena.u32.fill(this.#perhaps.get(block)!, buffer >>> 2, (buffer + BLOCK) >>> 2);
      const status = await submitStatus(this.ftl, OP_WRITE, block, 1, buffer);
      arena.release(buffer, BLOCK);
      return status;
    });
  }

  async trim(block: number): Promise<void> {
    await this.#change(block, 0, () => submitStatus(this.ftl, OP_TRIM, block, 1, 0));
  }

  async #change(block: number, version: number, work: () => Promise<number>): Promise<void> {
    const { reactor } = this;
    this.#perhaps.set(block, version);
    const status = await work();
    if (status !== OK) throw new Error(`a change of block ${block} ended with ${status}`);
    if (reactor !== this.reactor) return;
    this.#perhaps.delete(block);
    this.shows.set(block, version);
  }

  flush(): Promise<number> {
    return submitStatus(this.ftl, OP_FLUSH, 0, 0, 0);
  }

  /** True while the block waits for an answer, or it is open what a crash has left in it. */
  isOpen(block: number): boolean {
    return this.#perhaps.has(block);
  }

  /** What is wrong with what blocks show, or null; settles what a crash has left open. */
  async verify(): Promise<string | null> {
    const { arena } = this.reactor;
    const { blockCount } = this.ftl.geometry;
    const buffer = arena.allocate(BLOCK);
    try {
      for (let block = 0; block < blockCount; block += 1) {
        const status = await submitStatus(this.ftl, OP_READ, block, 1, buffer);
        if (status !== OK) return `block ${block} cannot be read: ${status}`;
        const words = arena.u32.subarray(buffer >>> 2, (buffer + BLOCK) >>> 2);
        const found = words.every((word) => word === words[0]) ? words[0]! : -1;
        const wanted = this.shows.get(block) ?? 0;
        const other = this.#perhaps.get(block) ?? wanted;
        this.#perhaps.delete(block);
        if (found !== wanted && found !== other) return `block ${block}: ${found}, not ${wanted}`;
        this.shows.set(block, found);
      }
    } finally {
      arena.release(buffer, BLOCK);
    }
    const { wrong } = await this.ftl.check();
    return wrong.length === 0 ? null : `the FTL's check: ${JSON.stringify(wrong.slice(0, 3))}`;
  }
}
