/**
 * SimulatedReactor: the deterministic twin of the ring reactor.                       (data plane)
 *
 * Virtual time, one seed, no kernel. The layers above run unchanged; time passes only when nothing
 * else is left to do, and then jumps to the next timer, so that a simulated hour costs what its
 * events cost. The same seed and the same calls give the same history.
 *
 * Not here: simulated disks with faults and power cuts (test/_sim).
 */

import { Arena } from '../block/arena.ts';
import { assert } from '../block/assert.ts';
import type { BlockIo } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import type { Kernels } from '../block/kernels.ts';
import { PortableKernels } from '../block/portable-kernels.ts';
import type { Reactor, TableMemory, Timer, TurnHook } from '../block/reactor.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';
import type { SimulatedMemory } from './simulated-memory.ts';
import { TimerQueue } from './timer-queue.ts';

const ARENA_BYTES_DEFAULT = 16 * 2 ** 20;
/** Microtask rounds without any event after which a promise is taken to wait for nothing. */
const IDLE_ROUNDS_MAX = 100;

export interface SimulatedReactorOptions {
  readonly seed?: number;
  readonly arena?: Arena;
  /** Of an arena of its own; 16 MiB when not given. Memory is zeroed, which takes its time. */
  readonly arenaBytes?: number;
  readonly kernels?: Kernels;
  /** Of the simulated machine; this reactor has it until that one is killed or loses power. */
  readonly surviving?: SimulatedMemory;
}

export class SimulatedReactor implements Reactor {
  readonly arena: Arena;
  readonly kernels: Kernels;
  readonly surviving: SurvivingMemory | null;
  readonly seed: number;
  #nowUs = 0;
  #randomState: number;
  readonly #completions = new BlockIoQueue();
  readonly #timers = new TimerQueue();
  #hooks: TurnHook[] = [];
  #failure: unknown = null;

  constructor(options: SimulatedReactorOptions = {}) {
    this.seed = (options.seed ?? 1) >>> 0;
    this.#randomState = this.seed;
    this.arena =
      options.arena ?? new Arena(new ArrayBuffer(options.arenaBytes ?? ARENA_BYTES_DEFAULT), 0);
    this.surviving = options.surviving?.attach(this.arena) ?? null;
    this.kernels = options.kernels ?? new PortableKernels(this.arena);
  }

  nowUs(): number {
    return this.#nowUs;
  }

  /** mulberry32: small, fast, and good enough to choose faults with. */
  random(): number {
    this.#randomState = (this.#randomState + 0x6d2b79f5) >>> 0;
    let value = this.#randomState;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  finish(io: BlockIo, status: number): void {
    io.status = status;
    this.#completions.push(io);
  }

  schedule(timer: Timer, delayUs: number): void {
    assert(delayUs >= 0, 'a delay is not negative');
    this.#timers.insert(timer, this.#nowUs + delayUs);
  }

  cancel(timer: Timer): void {
    this.#timers.remove(timer);
  }

  atTurnEnd(hook: TurnHook): void {
    if (hook.queued) return;
    hook.queued = true;
    this.#hooks.push(hook);
  }

  /** True when a turn would do something without time passing. */
  get busy(): boolean {
    return (
      this.#completions.length > 0 ||
      this.#hooks.length > 0 ||
      this.#timers.nextDueUs() <= this.#nowUs
    );
  }

  /** Runs one turn; returns the number of completions, timers and hooks that ran. */
  turn(): number {
    if (this.#failure !== null) throw this.#failure;
    let ran = 0;
    for (let left = this.#completions.length; left > 0; left -= 1) {
      const io = this.#completions.shift()!;
      io.completer.complete(io);
      ran += 1;
    }
    const orderMax = this.#timers.order;
    for (;;) {
      const timer = this.#timers.shiftDue(this.#nowUs, orderMax);
      if (timer === null) break;
      timer.expire();
      ran += 1;
    }
    const hooks = this.#hooks;
    this.#hooks = [];
    for (const hook of hooks) {
      hook.queued = false;
      hook.endOfTurn();
      ran += 1;
    }
    return ran;
  }

  /** Jumps to the next timer; false when there is none. */
  advance(): boolean {
    const dueUs = this.#timers.nextDueUs();
    if (dueUs === Number.POSITIVE_INFINITY) return false;
    this.#nowUs = Math.max(this.#nowUs, dueUs);
    return true;
  }

  /** Promises run whenever the driver lets them; a rejection shows in the next turn. */
  table(bytes: number): TableMemory {
    return { memory: new ArrayBuffer(bytes), release: () => {} };
  }

  keep(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  async drive<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = promise.finally(() => {
      settled = true;
    });
    done.catch(() => {});
    let idleRounds = 0;
    while (!settled) {
      if (this.#failure !== null) throw this.#failure;
      if (this.busy) {
        this.turn();
        idleRounds = 0;
      } else if (idleRounds > 2 && this.advance()) {
        idleRounds = 0;
      } else {
        idleRounds += 1;
        assert(idleRounds < IDLE_ROUNDS_MAX, 'a driven promise waits for something');
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return done;
  }
}
