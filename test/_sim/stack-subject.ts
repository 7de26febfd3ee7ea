/**
 * An FTL over a managed array as a subject, put together and taken apart as src/stack/stack.ts does
 * it: the array waits for the FTL, and copies and compares no more than the FTL uses. The write
 * buffer lies in the reactor's surviving memory, where there is any.
 */

import type { DeviceObserver } from '../../src/block/block-device.ts';
import type { LiveRanges } from '../../src/block/live-ranges.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { EIO } from '../../src/block/status.ts';
import { StepRun } from '../../src/block/steps.ts';
import type { Finding } from '../../src/ftl/finding.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import { redundancyOf } from '../../src/raid/array-copies.ts';
import { MANAGED_PROMISES, ManagedSubject } from './managed-subject.ts';
import { SimDisk } from './sim-disk.ts';
import type {
  OpenOptions,
  Promises,
  SimArray,
  Subject,
  SubjectAdmin,
  SubjectHealth,
} from './subject.ts';

export const STACK_PROMISES: Promises = { ...MANAGED_PROMISES, log: true };

/** Units between two flushes that nobody has asked for; the number of slots chooses. */
const FLUSH_UNITS = [2, 7, 1000];
const NOTHING: LiveRanges = { nextLive: () => -1, nextDead: (from) => from };

export class StackSubject implements Subject, DeviceObserver {
  readonly promises = STACK_PROMISES;
  readonly #reactor: Reactor;
  readonly #array: ManagedSubject;
  readonly #options: SimArray;
  readonly #steps = new StepRun<StackSubject>(this);
  #ftl: Ftl | null = null;
  #readOnly = false;

  constructor(reactor: Reactor, disks: readonly SimDisk[], options: SimArray) {
    this.#reactor = reactor;
    this.#array = new ManagedSubject(reactor, disks, options, true);
    this.#options = options;
  }

  async open(options: OpenOptions): Promise<void> {
    const surviving = this.#reactor.surviving;
    try {
      await this.#steps.run([
        {
          name: 'Start the array',
          run: (stack) => stack.#array.open(options),
          undo: (stack) => stack.#array.close(),
        },
        {
          name: 'Start the FTL',
          run: (stack) => stack.#startFtl(options),
          undo: (stack) => stack.device.close(),
        },
      ]);
    } catch (error) {
      // Who makes an array after that is the same process here.
      const isNamed = this.#ftl?.namesBuffer === true;
      if (surviving?.isAdopted === false && !isNamed && !options.mayCreate) surviving.discard();
      throw error;
    }
  }

  async #startFtl({ bootId }: OpenOptions): Promise<void> {
    const { slotCount, checkpointUnits } = this.#options.ftl!;
    const array = this.#array.device;
    this.#ftl = new Ftl(array, {
      baseKept: true,
      redundancy: redundancyOf(array),
      buffer: this.#reactor.surviving,
      bootId,
      slotCount,
      checkpointUnits,
      flushUnits: FLUSH_UNITS[slotCount % FLUSH_UNITS.length]!,
      firstUnit: this.#reactor.random() >>> 1,
    });
    await this.#ftl.open(this.#reactor);
    this.#ftl.observer = this;
    await this.#array.attachSpace(this.#ftl.space!);
  }

  get device(): Ftl {
    return this.#ftl!;
  }

  get arrayBlocks(): number {
    return this.#array.arrayBlocks;
  }

  get admin(): SubjectAdmin {
    return this.#array.admin;
  }

  async check(): Promise<string | null> {
    const report = await this.device.check();
    // What has ended all changes may have been the write of a superblock.
    const { readOnly } = this.health();
    const wrong = report.wrong
      .filter(({ part }) => part !== 'superblock' || !readOnly)
      .filter((finding) => !this.#isLatent(finding));
    return wrong.length === 0 ? null : `wrong blocks: ${JSON.stringify(wrong.slice(0, 3))}`;
  }

  /** A member cannot read it, as it may: another one can, which is all that redundancy promises. */
  #isLatent({ outcome, slots, status }: Finding): boolean {
    const { members } = this.#array.device;
    return (
      status === EIO &&
      outcome === 'repairable' &&
      slots.every((slot) => {
        const { device } = members[slot]!;
        return device instanceof SimDisk && device.medium.bad.size > 0;
      })
    );
  }

  async compared(): Promise<LiveRanges | null> {
    return (await this.#ftl?.space?.writtenRanges()) ?? NOTHING;
  }

  health(): SubjectHealth {
    return { ...this.#array.health(), readOnly: this.#readOnly };
  }

  deviceFailed(): void {
    this.#readOnly = true;
  }

  deviceResized(): void {}

  deviceOverdue(): boolean {
    return false;
  }

  close(): Promise<void> {
    return this.#steps.undo();
  }
}
