/**
 * The machine that a program runs on, as far as it outlives the program: memory that a killed one
 * leaves to the next, and the boot that this memory is of.
 */

import type { SimulatedMemory } from '../../src/reactor/simulated-memory.ts';

export class Machine {
  /** Null: nothing outlives a program. */
  readonly memory: SimulatedMemory | null;
  #boot: number;

  /** `other`: the machine that the disks were in before. */
  constructor(memory: SimulatedMemory | null, other?: Machine) {
    this.memory = memory;
    this.#boot = other === undefined ? 1 : other.#boot + 1;
  }

  get bootId(): string {
    return `b0070000-0000-4000-8000-${this.#boot.toString(16).padStart(12, '0')}`;
  }

  /** The program is gone, killed or closed. */
  kill(): void {
    this.memory?.kill();
  }

  powerCut(): void {
    this.memory?.powerCut();
    this.#boot += 1;
  }
}
