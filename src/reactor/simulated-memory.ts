/**
 * SimulatedMemory: surviving memory in the simulator.                                 (data plane)
 *
 * It belongs to the simulated machine, as disks do, and is given to one SimulatedReactor after the
 * other. The reactor in possession has its bytes at the end of its arena. `kill` is what SIGKILL
 * leaves: the bytes as they are at that moment. `powerCut` leaves nothing.
 */

import type { Arena } from '../block/arena.ts';
import { assert } from '../block/assert.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';

const PAGE_BYTES = 4096;

export class SimulatedMemory {
  readonly bytes: number;
  /** What was left by the last process; null: nothing, or it has been discarded. */
  #left: Uint8Array | null = null;
  #owner: Attached | null = null;

  constructor(bytes: number) {
    assert(bytes > 0 && bytes % PAGE_BYTES === 0, 'surviving memory has whole pages');
    this.bytes = bytes;
  }

  /** True when the next process will find something. */
  get isLeft(): boolean {
    return this.#left !== null;
  }

  /** Called by a reactor when it is made: takes the end of the arena and fills it. */
  attach(arena: Arena): SurvivingMemory {
    assert(this.#owner === null, 'one process at a time has surviving memory');
    const at = Math.floor((arena.bytes - this.bytes) / PAGE_BYTES) * PAGE_BYTES;
    arena.reserve(at, this.bytes);
    const isAdopted = this.#left !== null;
    if (this.#left === null) arena.u8.fill(0, at, at + this.bytes);
    else arena.u8.set(this.#left, at);
    this.#owner = new Attached(arena, at, this.bytes, isAdopted);
    return this.#owner;
  }

  /**
   * The process is gone, killed or closed: what it had written stays, unless it discarded that. To
   * be called before anything else uses its arena.
   */
  kill(): void {
    const owner = this.#owner;
    assert(owner !== null, 'the process that dies has the memory');
    this.#left = owner.isDiscarded ? null : owner.copy();
    this.#owner = null;
  }

  /** The machine is gone, with the process that had the memory, if any. */
  powerCut(): void {
    this.#left = null;
    this.#owner = null;
  }
}

class Attached implements SurvivingMemory {
  readonly at: number;
  readonly bytes: number;
  readonly path = 'simulated memory';
  readonly isAdopted: boolean;
  isDiscarded = false;
  readonly #arena: Arena;

  constructor(arena: Arena, at: number, bytes: number, isAdopted: boolean) {
    this.#arena = arena;
    this.at = at;
    this.bytes = bytes;
    this.isAdopted = isAdopted;
  }

  copy(): Uint8Array {
    return this.#arena.u8.slice(this.at, this.at + this.bytes);
  }

  discard(): void {
    this.isDiscarded = true;
  }
}
