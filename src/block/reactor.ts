/**
 * Reactor: what every layer above the ring may see of the event loop.                 (data plane)
 *
 * One reactor = one thread = one io_uring. It runs each operation to completion, single-threaded,
 * so the data path has no locks. Two implementations: `reactor/ring-reactor.ts` (real) and
 * `reactor/simulated-reactor.ts` (virtual time, one seed, deterministic). No layer may reach for
 * Date.now, performance.now, setTimeout, Math.random or fs behind this interface: that is what lets
 * the simulator run ten thousand power cuts in a minute.
 *
 * A turn runs, in this order: kernel completions, the completion queue as it stood at the start of
 * the turn, due timers, turn-end hooks; then the thread sleeps in the kernel until there is more.
 */

import type { Arena } from './arena.ts';
import type { BlockIo } from './block-io.ts';
import type { Kernels } from './kernels.ts';
import type { SurvivingMemory } from './surviving-memory.ts';

/** An intrusive timer: subclass or embed it; `schedule` it again from `expire` to repeat. */
export abstract class Timer {
  /** Expiry in microseconds of the reactor's clock; -1 when not scheduled. The reactor's. */
  dueUs = -1;
  /** Tie breaker that keeps timers of one instant in the order of scheduling. The reactor's. */
  order = 0;
  abstract expire(): void;
}

/** Work to be done once at the end of the current turn, for example one send for many replies. */
export abstract class TurnHook {
  /** True while queued; the reactor's. */
  queued = false;
  abstract endOfTurn(): void;
}

/** Memory for a large table, outside the arena. */
export interface TableMemory {
  readonly memory: ArrayBuffer;
  /** Gives it back: nobody may use it any more. */
  release(): void;
}

export interface Reactor {
  readonly arena: Arena;
  readonly kernels: Kernels;
  /** The part of the arena that outlives this process, if it was made with one. */
  readonly surviving: SurvivingMemory | null;
  /** Microseconds of a monotonic clock, constant within one turn. */
  nowUs(): number;
  /** A uint32 from the reactor's generator (seeded in the simulator). */
  random(): number;
  /** Completes `io` with `status` in a later turn: for devices that have no kernel completion. */
  finish(io: BlockIo, status: number): void;
  /** (Re)schedules `timer` to expire `delayUs` (≥ 0) from now; never before the next turn. */
  schedule(timer: Timer, delayUs: number): void;
  /** Does nothing when the timer is not scheduled. */
  cancel(timer: Timer): void;
  /** Queues `hook` for the end of this turn; does nothing when it is queued already. */
  atTurnEnd(hook: TurnHook): void;
  /**
   * Control plane: zeroed memory for a table of so many bytes, on huge pages where there are any.
   * With small ones the first touch of each takes longer than all else that the start of a large
   * device does. Throws when there is no memory.
   */
  table(bytes: number): TableMemory;
  /**
   * Control plane: work that was begun in a turn and goes on as promises. The reactor lets promises
   * run until it settles; a rejection is a defect and stops the reactor.
   */
  keep(work: Promise<void>): void;
  /**
   * Control plane: turns until `promise` settles and gives its outcome. Only for code that runs
   * outside a turn (create, examine, assembly, tests); never from a completion.
   */
  drive<T>(promise: Promise<T>): Promise<T>;
}
