/**
 * Canaries: subjects that break one law each. A simulator that does not find them proves nothing.
 */

import type {
  BlockDevice,
  DeviceDescription,
  DeviceObserver,
  Geometry,
} from '../../src/block/block-device.ts';
import { BlockIo, FLAG_FUA, OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import type { LiveRanges } from '../../src/block/live-ranges.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { OK } from '../../src/block/status.ts';
import type { SubjectKind } from './player.ts';
import type { OpenOptions, Promises, Subject, SubjectHealth } from './subject.ts';

export type Sin =
  | 'loses a flush'
  | 'drops FUA'
  | 'acknowledges a failed write'
  | 'fails a good read'
  | 'writes one block less';

export const SINS: readonly Sin[] = [
  'loses a flush',
  'drops FUA',
  'acknowledges a failed write',
  'fails a good read',
  'writes one block less',
];

/** How many sound operations pass between two sins. */
const EVERY = 5;

class CanaryDevice implements BlockDevice {
  observer: DeviceObserver | null = null;
  readonly #lower: BlockDevice;
  readonly #reactor: Reactor;
  readonly #sin: Sin;
  #count = 0;

  constructor(lower: BlockDevice, reactor: Reactor, sin: Sin) {
    this.#lower = lower;
    this.#reactor = reactor;
    this.#sin = sin;
  }

  get name(): string {
    return this.#lower.name;
  }

  get geometry(): Geometry {
    return this.#lower.geometry;
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  describe(): DeviceDescription {
    return this.#lower.describe();
  }

  submit(io: BlockIo): void {
    const child = new BlockIo();
    child.op = io.op;
    child.flags = io.flags;
    child.block = io.block;
    child.blockCount = io.blockCount;
    child.buffer = io.buffer;
    child.completer = {
      complete: () => {
        const forgives = this.#sin === 'acknowledges a failed write' && io.op !== OP_READ;
        const blames = this.#sin === 'fails a good read' && io.op === OP_READ && this.#now();
        io.status = forgives ? OK : blames ? 5 : child.status;
        io.completer.complete(io);
      },
    };
    if (this.#sin === 'drops FUA') child.flags &= ~FLAG_FUA;
    if (this.#sin === 'loses a flush' && io.op === OP_FLUSH && this.#now()) {
      this.#reactor.finish(child, OK);
      return;
    }
    const shortens = this.#sin === 'writes one block less' && io.op === OP_WRITE;
    if (shortens && child.blockCount > this.geometry.writeUnitBlocks && this.#now()) {
      child.blockCount -= this.geometry.writeUnitBlocks;
    }
    this.#lower.submit(child);
  }

  #now(): boolean {
    this.#count += 1;
    return this.#count % EVERY === 0;
  }
}

class CanarySubject implements Subject {
  readonly #subject: Subject;
  readonly #reactor: Reactor;
  readonly #sin: Sin;
  #device: CanaryDevice | null = null;

  constructor(subject: Subject, reactor: Reactor, sin: Sin) {
    this.#subject = subject;
    this.#reactor = reactor;
    this.#sin = sin;
  }

  get promises(): Promises {
    return this.#subject.promises;
  }

  get admin() {
    return this.#subject.admin;
  }

  get cache() {
    return this.#subject.cache;
  }

  get device(): BlockDevice {
    this.#device ??= new CanaryDevice(this.#subject.device, this.#reactor, this.#sin);
    return this.#device;
  }

  get arrayBlocks(): number {
    return this.#subject.arrayBlocks;
  }

  open(options: OpenOptions): Promise<void> {
    return this.#subject.open(options);
  }

  check(): Promise<string | null> {
    return this.#subject.check();
  }

  compared(): Promise<LiveRanges | null> {
    return this.#subject.compared();
  }

  health(): SubjectHealth {
    return this.#subject.health();
  }

  close(): Promise<void> {
    return this.#subject.close();
  }
}

export function canaryOf(kind: SubjectKind, sin: Sin): SubjectKind {
  return {
    name: `${kind.name} that ${sin}`,
    promises: kind.promises,
    factory: (reactor, disks, array) =>
      new CanarySubject(kind.factory(reactor, disks, array), reactor, sin),
  };
}
