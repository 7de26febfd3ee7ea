/**
 * An array under its manager as a subject: examine, assemble, ArrayManager, in the order of
 * src/stack/stack.ts. Its times are short, so that bits are cleared, checkpoints written and
 * rebuilds finished within a history.
 */

import type { SpaceUser } from '../../src/block/live-ranges.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import type { ArrayEvent } from '../../src/raid/array-events.ts';
import { ArrayManager } from '../../src/raid/array-manager.ts';
import { assembleArray } from '../../src/raid/assemble.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import type { ManagerOptions } from '../../src/raid/metadata-keeper.ts';
import type { RaidArray } from '../../src/raid/raid-array.ts';
import type { SimDisk } from './sim-disk.ts';
import type {
  OpenOptions,
  Promises,
  SimArray,
  Subject,
  SubjectAdmin,
  SubjectHealth,
} from './subject.ts';

export const MANAGED_PROMISES: Promises = {
  overlap: true,
  settles: true,
  ejects: true,
  rebuilds: true,
  grows: true,
  log: false,
  cached: false,
};

export type ArrayStart = Pick<OpenOptions, 'arrayRuns' | 'degraded' | 'scan'>;

export interface ManagedRole {
  /** Something above the array says what it needs. */
  readonly isBelow?: boolean;
  /** Told what happens to the array. */
  readonly hear?: (event: ArrayEvent) => void;
}

export class ManagedSubject implements Subject {
  readonly #role: ManagedRole;
  readonly promises = MANAGED_PROMISES;
  readonly admin: SubjectAdmin;
  readonly cache = null;
  readonly #reactor: Reactor;
  readonly #disks: readonly SimDisk[];
  readonly #options: SimArray;
  #manager: ArrayManager | null = null;
  #mismatches: number | null = null;

  constructor(
    reactor: Reactor,
    disks: readonly SimDisk[],
    options: SimArray,
    role: ManagedRole = {},
  ) {
    this.#role = role;
    this.#reactor = reactor;
    this.#disks = disks;
    this.#options = options;
    const manager = (): ArrayManager => this.#manager!;
    this.admin = {
      deviceIn: (slot) => manager().array.members[slot]!.device?.name ?? null,
      process: null,
      addMember: (disk) => this.#give(disk, () => manager().addMember(disk)),
      failMember: (slot) => manager().failMember(slot),
      removeMember: (slot) => manager().removeMember(slot),
      replaceMember: (slot, disk) => this.#give(disk, () => manager().replaceMember(slot, disk)),
      startCheck: (repair) => {
        this.#mismatches = null;
        return manager().startCheck({ repair });
      },
      pauseProcess: () => manager().pauseProcess(),
      resumeProcess: () => manager().resumeProcess(),
      cancelProcess: () => manager().cancelProcess(),
      mismatches: null,
    };
    Object.defineProperty(this.admin, 'mismatches', { get: () => this.#mismatches });
    Object.defineProperty(this.admin, 'process', { get: () => manager().process });
  }

  /** Opens a disk for the array, which may refuse it. */
  async #give(disk: SimDisk, work: () => Promise<unknown>): Promise<void> {
    await disk.open(this.#reactor);
    try {
      await work();
    } catch (error) {
      await disk.close();
      throw error;
    }
  }

  get device(): RaidArray {
    return this.#manager!.array;
  }

  get arrayBlocks(): number {
    return this.device.geometry.blockCount;
  }

  attachSpace(space: SpaceUser): Promise<void> {
    return this.#manager!.attachSpace(space);
  }

  async check(): Promise<null> {
    return null;
  }

  async compared(): Promise<null> {
    return null;
  }

  async open({ degraded, scan, arrayRuns }: ArrayStart): Promise<void> {
    const reactor = this.#reactor;
    const devices = new Map<string, SimDisk>();
    try {
      const examinations = [];
      for (const disk of this.#disks) {
        await disk.open(reactor);
        devices.set(disk.name, disk);
        examinations.push(await examineDevice(reactor, disk));
      }
      const assembly = assembleArray(examinations, { uuid: this.#options.uuid, degraded, scan });
      const options: ManagerOptions = {
        depth: this.#options.depth,
        regionBlocks: this.#options.regionBlocks,
        intentIdleUs: 20_000,
        checkpointUs: 5_000,
        process: { chunkBytes: this.#options.chunkBytes, depth: 2 },
        expectsSpace: this.#role.isBelow ?? false,
      };
      this.#manager = await ArrayManager.start(reactor, assembly, devices, options, {
        arrayEvent: (event) => {
          this.#role.hear?.(event);
          if (event.kind !== 'check-finished') return;
          this.#mismatches = Number(event.details['mismatched_blocks']);
        },
      });
      const used = new Set(this.#manager.devices());
      for (const disk of this.#disks) if (!used.has(disk)) await disk.close();
      arrayRuns();
    } catch (error) {
      for (const disk of this.#disks) await disk.close();
      throw error;
    }
  }

  health(): SubjectHealth {
    const manager = this.#manager!;
    const { members, target, hasFailed } = manager.array;
    return {
      slots: members.map(({ slot, device, failedStatus }) => {
        if (device !== null && failedStatus === 0) return 'in-service';
        return target?.slot === slot ? 'target' : 'out';
      }),
      settling: manager.isSettling,
      failed: hasFailed,
      readOnly: false,
    };
  }

  async close(): Promise<void> {
    try {
      await this.#manager!.close();
    } finally {
      for (const disk of this.#disks) await disk.close();
    }
  }
}
