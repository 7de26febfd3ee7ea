/**
 * An ArrayManager over RamDevices on a simulated reactor: created, assembled, started.
 */

import { Arena } from '../../src/block/arena.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import type { ArrayEvent } from '../../src/raid/array-events.ts';
import { ArrayManager } from '../../src/raid/array-manager.ts';
import { type AssembleOptions, assembleArray } from '../../src/raid/assemble.ts';
import { createArray } from '../../src/raid/create.ts';
import { type Examination, examineDevice } from '../../src/raid/examine.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import type { ManagerOptions } from '../../src/raid/metadata-keeper.ts';
import { planArray } from '../../src/raid/plan.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { Alarm } from './alarm.ts';
import { RamDevice } from './ram-device.ts';

export const BLOCK = 512;
/** Where data begins on a member. */
export const OFFSET = 2 ** 20 / BLOCK;

export interface ManagedOptions {
  readonly level: LevelName;
  readonly members: number;
  /** Blocks of data on each member. */
  readonly blocks?: number;
  readonly strip?: number;
  readonly spares?: number;
  readonly ftl?: boolean;
  /** Disks that the array does not know yet; the last ones. */
  readonly blanks?: number;
  readonly delayUsMax?: number;
  readonly seed?: number;
}

const ARENA_BYTES = 2 ** 20;

export const FAST: ManagerOptions = {
  regionBlocks: 16,
  intentIdleUs: 1000,
  checkpointUs: 200,
  process: { chunkBytes: 4096, depth: 2 },
};

export class ManagedBench {
  readonly reactor: SimulatedReactor;
  readonly disks: RamDevice[];
  readonly options: ManagedOptions;
  readonly events: ArrayEvent[] = [];
  manager: ArrayManager | null = null;

  /** With `disks`: what a bench before this one has left on them. */
  constructor(options: ManagedOptions, disks: RamDevice[] | null = null) {
    this.options = options;
    // Benches are made by the hundred: the usual arena would cost more than the test.
    const arena = new Arena(new ArrayBuffer(ARENA_BYTES), 0);
    this.reactor = new SimulatedReactor({ seed: options.seed ?? 1, arena });
    const count = options.members + (options.spares ?? 0) + (options.blanks ?? 0);
    this.disks = disks ?? Array.from({ length: count }, (_, index) => this.disk(`ram${index}`));
  }

  disk(name: string, bytes?: Uint8Array): RamDevice {
    return new RamDevice(name, {
      ...(bytes === undefined ? {} : { bytes }),
      blockCount: OFFSET + (this.options.blocks ?? 256),
      blockBytes: BLOCK,
      delayUsMax: this.options.delayUsMax ?? 0,
    });
  }

  drive<T>(work: Promise<T>): Promise<T> {
    return this.reactor.drive(work);
  }

  async create(): Promise<void> {
    const { level, members, strip = 8 } = this.options;
    await this.drive(
      (async () => {
        const used = this.disks.slice(0, this.disks.length - (this.options.blanks ?? 0));
        for (const disk of used) await disk.open(this.reactor);
        const named = used.map(({ name, geometry }) => ({ name, geometry }));
        const plan = planArray({
          name: 'tank',
          level,
          stripBytes: level === 'raid1' ? null : strip * BLOCK,
          members: named.slice(0, members),
          spares: named.slice(members),
          superblock: true,
        });
        const spares = used.slice(members);
        const { ftl = false } = this.options;
        await createArray(this.reactor, plan, used.slice(0, members), { spares, ftl });
        for (const disk of used) await disk.close();
      })(),
    );
  }

  /** Assembles from `disks` and starts; opens what the manager needs. */
  async start(
    disks: readonly RamDevice[] = this.disks,
    assemble: AssembleOptions = {},
    options: ManagerOptions = {},
  ): Promise<ArrayManager> {
    const manager = await this.drive(
      (async () => {
        const examinations: Examination[] = [];
        for (const disk of disks) {
          await disk.open(this.reactor);
          examinations.push(await examineDevice(this.reactor, disk));
        }
        const assembly = assembleArray(examinations, assemble);
        const devices = new Map<string, BlockDevice>(disks.map((disk) => [disk.name, disk]));
        return await ArrayManager.start(
          this.reactor,
          assembly,
          devices,
          { ...FAST, ...options },
          { arrayEvent: (event) => this.events.push(event) },
        );
      })(),
    );
    this.manager = manager;
    return manager;
  }

  async stop(): Promise<void> {
    const { manager } = this;
    this.manager = null;
    try {
      await this.drive(manager!.close());
    } finally {
      for (const disk of this.disks) if (disk.isOpen) await disk.close();
    }
  }

  /** The process dies: what is on the disks stays, in `memory` as far as there is any. */
  crash(memory: Uint8Array[] = []): RamDevice[] {
    return this.disks.map(({ name, bytes }, index) => {
      memory[index] ??= new Uint8Array(bytes.length);
      memory[index].set(bytes);
      return this.disk(name, memory[index]);
    });
  }

  /** Lets virtual time pass until no process runs, at most `us`. */
  async settle(us = 10_000_000): Promise<void> {
    const end = this.reactor.nowUs() + us;
    await this.drive(
      (async () => {
        let quiet = 0;
        while (this.reactor.nowUs() < end && quiet < 5) {
          await this.sleep(500);
          quiet = this.manager!.status().process === null ? quiet + 1 : 0;
        }
      })(),
    );
  }

  async sleep(us: number): Promise<void> {
    await new Promise<void>((resolve) => this.reactor.schedule(new Alarm(resolve), us));
  }

  async write(block: number, bytes: Uint8Array, flags = 0): Promise<number> {
    const { arena } = this.reactor;
    const buffer = arena.allocate(bytes.length);
    arena.u8.set(bytes, buffer);
    const device = this.manager!.array;
    const status = await submitStatus(device, OP_WRITE, block, bytes.length / BLOCK, buffer, flags);
    arena.release(buffer, bytes.length);
    return status;
  }

  async read(block: number, blockCount: number): Promise<Uint8Array> {
    const { arena } = this.reactor;
    const length = blockCount * BLOCK;
    const buffer = arena.allocate(length);
    const status = await submitStatus(this.manager!.array, OP_READ, block, blockCount, buffer);
    const bytes = arena.u8.slice(buffer, buffer + length);
    arena.release(buffer, length);
    if (status !== 0) throw new Error(`read failed with ${status}`);
    return bytes;
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  health(): string[] {
    return this.manager!.status().members.map(({ health }) => health);
  }

  data(disk: RamDevice): Uint8Array {
    return disk.bytes.subarray(OFFSET * BLOCK);
  }
}
