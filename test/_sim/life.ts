/**
 * One life of the program under test: its reactor, its handles on the disks, and the subject. A
 * crash leaves a life behind as it is; nothing in it is ever turned again.
 */

import { Arena } from '../../src/block/arena.ts';
import { loadAddon } from '../../src/native/load.ts';
import { NativeKernels } from '../../src/reactor/native-kernels.ts';
import type { SimulatedMemory } from '../../src/reactor/simulated-memory.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { drive, driveUntil, type Mortal, PATIENCE } from './driver.ts';
import type { SimDisk } from './sim-disk.ts';
import type { Subject } from './subject.ts';

/**
 * What an arena is made of; one life after the other has it. It is mapped, so that the kernels of
 * the addon work on it: a third of the time of a history is checksums and parity.
 */
class LifeMemory {
  readonly buffer: ArrayBuffer;
  readonly address: number;
  /** Bytes from 0 on that lives have had since the memory was last made unknown. */
  usedBytes: number;

  constructor(bytes: number) {
    const { memory, address } = loadAddon().memoryMap(bytes, false, false);
    this.buffer = memory;
    this.address = address;
    this.usedBytes = bytes;
  }

  /** What an earlier life left there must not decide anything. */
  arena(): LifeArena {
    const arena = new LifeArena(this);
    arena.u8.fill(0xa5, 0, this.usedBytes);
    this.usedBytes = 0;
    return arena;
  }
}

class LifeArena extends Arena {
  readonly #memory: LifeMemory;

  constructor(memory: LifeMemory) {
    super(memory.buffer, memory.address);
    this.#memory = memory;
  }

  override reserve(at: number, bytes: number): void {
    super.reserve(at, bytes);
    this.#noteUse(at + bytes);
  }

  override allocate(bytes: number, alignment?: number): number {
    const at = super.allocate(bytes, alignment);
    this.#noteUse(at + Math.ceil(bytes / 64) * 64);
    return at;
  }

  #noteUse(end: number): void {
    this.#memory.usedBytes = Math.max(this.#memory.usedBytes, end);
  }
}

/** One life is alive at a time, in any world, so that all of them use the same memory. */
const MEMORY = new LifeMemory(4 * 2 ** 20);
/** An NV cache has memory for the records that it makes, and for what it drains. */
const CACHED_MEMORY = new LifeMemory(16 * 2 ** 20);

export class Life implements Mortal {
  dead = false;
  readonly reactor: SimulatedReactor;
  disks: readonly SimDisk[] = [];
  #subject: Subject | null = null;

  /** `surviving` is what a killed program leaves to the next one. */
  constructor(seed: number, surviving: SimulatedMemory | null, isCached: boolean) {
    const arena = (isCached ? CACHED_MEMORY : MEMORY).arena();
    const kernels = new NativeKernels(loadAddon(), arena);
    this.reactor = new SimulatedReactor({ seed, arena, kernels, ...(surviving && { surviving }) });
  }

  get subject(): Subject {
    return this.#subject!;
  }

  begin(disks: readonly SimDisk[], subject: Subject): void {
    this.disks = disks;
    this.#subject = subject;
  }

  /** Nothing is in flight. */
  get isStill(): boolean {
    return !this.reactor.busy && this.disks.every(({ inFlight }) => inFlight === 0);
  }

  /** Waits until nothing is in flight, and nothing is about to be. */
  stillness(): Promise<void> {
    let rounds = 0;
    const done = (): boolean => {
      rounds = this.isStill ? rounds + 1 : 0;
      return rounds >= PATIENCE;
    };
    return this.until(done, 'the last operation of a disk');
  }

  drive<Result>(promise: Promise<Result>, what: string): Promise<Result> {
    return drive(this.reactor, this, promise, what);
  }

  until(done: () => boolean, what: string): Promise<void> {
    return driveUntil(this.reactor, this, done, what);
  }
}
