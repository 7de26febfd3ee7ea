/**
 * The plain array as a subject: examine, assemble, record the loss of members, RaidArray, labels.
 * It does what src/stack/stack.ts does between its devices and its exporter, in the same order.
 */

import { flushDevice } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { ArrayMetadata } from '../../src/raid/array-metadata.ts';
import { type Assembly, assembleArray, assemblySpec } from '../../src/raid/assemble.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { NO_PROCESS } from '../../src/raid/label.ts';
import { levelRules } from '../../src/raid/level-rules.ts';
import { newestEventCount } from '../../src/raid/own-label.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { recordLoss } from '../../src/raid/record-loss.ts';
import type { SimDisk } from './sim-disk.ts';
import type { OpenOptions, Promises, SimArray, Subject, SubjectHealth } from './subject.ts';

export const PLAIN_PROMISES: Promises = {
  overlap: false,
  settles: false,
  ejects: false,
  rebuilds: false,
  grows: false,
  log: false,
  cached: false,
};

export class PlainSubject implements Subject {
  readonly promises = PLAIN_PROMISES;
  readonly admin = null;
  readonly cache = null;
  readonly #reactor: Reactor;
  readonly #disks: readonly SimDisk[];
  readonly #options: SimArray;
  #assembly: Assembly | null = null;
  #array: RaidArray | null = null;
  #metadata: ArrayMetadata | null = null;

  constructor(reactor: Reactor, disks: readonly SimDisk[], options: SimArray) {
    this.#reactor = reactor;
    this.#disks = disks;
    this.#options = options;
  }

  get device(): RaidArray {
    return this.#array!;
  }

  get arrayBlocks(): number {
    return this.device.geometry.blockCount;
  }

  async check(): Promise<null> {
    return null;
  }

  async compared(): Promise<null> {
    return null;
  }

  async open({ degraded, arrayRuns }: OpenOptions): Promise<void> {
    const reactor = this.#reactor;
    try {
      const devices = new Map<string, SimDisk>();
      const examinations = [];
      for (const disk of this.#disks) {
        await disk.open(reactor);
        devices.set(disk.name, disk);
        examinations.push(await examineDevice(reactor, disk));
      }
      const found = assembleArray(examinations, { uuid: this.#options.uuid, degraded });
      const assembly = await recordLoss(reactor, found, devices);
      const array = new RaidArray(assemblySpec(assembly, devices), {
        depth: this.#options.depth,
        membersOpened: true,
        steadyReads: assembly.clean === false,
      });
      await array.open(reactor);
      this.#assembly = assembly;
      this.#array = array;
      const { superblock, slots } = assembly;
      const metadata = new ArrayMetadata(reactor, superblock, {
        state: 'dirty',
        ftl: false,
        nvCache: false,
        bitmap: null,
        process: NO_PROCESS,
        missedSince: 0,
        eventCount: newestEventCount(slots.map(({ label }) => label)) + 1,
      });
      for (const { slot, uuid, device, labelSequence } of slots) {
        if (device === null) continue;
        const disk = devices.get(device)!;
        metadata.add({ device: disk, uuid, slot, role: 'member', sequence: labelSequence });
      }
      this.#metadata = metadata;
      await this.#mark('dirty');
      arrayRuns();
    } catch (error) {
      await this.#closeAll();
      throw error;
    }
  }

  health(): SubjectHealth {
    const members = this.#array!.memberStatus();
    return {
      slots: members.map(({ device }) => (device === null ? 'out' : 'in-service')),
      settling: this.#differ,
      failed: false,
      readOnly: false,
    };
  }

  /** Members may differ since a crash or a failed write, and nothing makes them equal. */
  get #differ(): boolean {
    const { superblock, slots, clean } = this.#assembly!;
    const differ = clean === false || this.#array!.steadyReads;
    return differ && levelRules(superblock.level).tolerates(slots.length) > 0;
  }

  async close(): Promise<void> {
    try {
      await flushDevice(this.#array!);
      if (!this.#differ) await this.#mark('clean');
    } finally {
      await this.#closeAll();
    }
  }

  async #mark(state: 'clean' | 'dirty'): Promise<void> {
    const [failed] = await this.#metadata!.writeLabels({ state });
    if (failed === undefined) return;
    throw new BandstandError('BANDSTAND_DEVICE_IO', { message: 'a label could not be written' });
  }

  async #closeAll(): Promise<void> {
    await this.#array?.close();
    for (const disk of this.#disks) await disk.close();
  }
}
