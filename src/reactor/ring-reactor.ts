/**
 * RingReactor: the event loop of one thread over one io_uring.                        (data plane)
 *
 * A turn: one native call tells the kernel what was prepared and fetches what has completed; then
 * the completions run, in the kernel's order, then the completion queue as it stood, then due
 * timers, then turn-end hooks. When a turn leaves nothing to do, the next native call sleeps in the
 * kernel until a completion, a wake-up or the next timer: an idle reactor uses no processor time.
 *
 * Two ways to live with Node's own event loop
 *   - while control-plane work is pending (`hold` … `release`: drive, message handlers that return
 *     promises) the loop returns to Node after each turn and never sleeps longer than a
 *     millisecond, so that promises, files and sockets of Node make progress;
 *   - otherwise it never returns to Node, and neither promises nor signals nor Node's timers of
 *     this thread run. That is the data path at full speed, on a thread of its own.
 * Whoever starts asynchronous work inside a turn therefore holds until it is done.
 *
 * A throwing completion is a broken invariant: `run` and every `drive` reject with it and the
 * reactor does not turn again (fail-stop).
 *
 * Not here: filling entries (ring-operations.ts), the queues (ring-queues.ts), set-up
 * (ring-memory.ts), control messages (mailbox.ts).
 */

import { performance } from 'node:perf_hooks';
import type { MessagePort } from 'node:worker_threads';
import { assert } from '../block/assert.ts';
import type { BlockIo } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import type { Kernels } from '../block/kernels.ts';
import type { TableMemory, Timer, TurnHook } from '../block/reactor.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';
import type { NativeAddon, NativeRing } from '../native/addon.ts';
import { ALARM_MIN_US, Alarm } from './alarm.ts';
import { FileTable } from './file-table.ts';
import { Mailbox, type MessageHandler } from './mailbox.ts';
import { NativeKernels } from './native-kernels.ts';
import { PollPolicy } from './poll-policy.ts';
import type { Ring } from './ring.ts';
import { createArena, createRing, type RingMemory } from './ring-memory.ts';
import { RingOperations } from './ring-operations.ts';
import { RingQueues } from './ring-queues.ts';
import { SurvivingFile, type SurvivingFileOptions } from './surviving-file.ts';
import { TimerQueue } from './timer-queue.ts';

const ARENA_BYTES_DEFAULT = 32 * 2 ** 20;
const ENTRIES_DEFAULT = 256;
const CQ_ENTRIES_DEFAULT = 4096;
const FILE_SLOTS_DEFAULT = 512;
/** The most that one mapping can have. */
const TABLE_BYTES_MAX = 2 ** 32;
/** Longest sleep while control-plane work is pending. */
const HELD_SLEEP_US = 1000;
/** How long `close` waits for what is still in flight. */
const CLOSE_WAIT_US = 2_000_000;

export interface RingReactorOptions {
  readonly native: NativeAddon;
  /** Buffer memory; pinned when it can be registered, so it counts as resident. */
  readonly arenaBytes?: number;
  /** Submission queue entries, a power of two: the most that one native call submits. */
  readonly entries?: number;
  /** Completion queue entries, a power of two: the most that is in flight in the kernel. */
  readonly cqEntries?: number;
  readonly fileSlots?: number;
  readonly hugePages?: boolean;
  /** A part of the arena, besides `arenaBytes`, that outlives the process. */
  readonly surviving?: SurvivingFileOptions;
  /** Longest adaptive spin before a sleep, in microseconds; 0 = never spin. */
  readonly pollUs?: number;
  /** Seed of `random`; from the clock when absent. */
  readonly seed?: number;
}

export interface RingReactorStats {
  readonly arena_bytes: number;
  readonly arena_registered: boolean;
  readonly huge_pages: boolean;
  readonly files_registered: boolean;
  readonly setup_flags: number;
  readonly turns: number;
  readonly sleeps: number;
}

export class RingReactor extends RingOperations implements Ring {
  readonly kernels: Kernels;
  readonly surviving: SurvivingMemory | null;
  readonly #ring: NativeRing;
  readonly #memory: RingMemory;
  readonly #completions = new BlockIoQueue();
  readonly #timers = new TimerQueue();
  readonly #poll: PollPolicy;
  readonly #mailbox: Mailbox;
  readonly #alarm: Alarm;
  /**
   * Two lists that change places each turn. They never shrink, so that nothing is allocated per
   * turn; `#hookCount` are in the first.
   */
  #hooks: (TurnHook | null)[] = [];
  #hooksNext: (TurnHook | null)[] = [];
  #hookCount = 0;
  /** The clock as read first in this turn; negative = not read yet. */
  #nowUs = -1;
  #randomState: number;
  #turns = 0;
  #sleeps = 0;
  #holds = 0;
  #serving = false;
  #pumping: Promise<void> | null = null;
  #failure: unknown = null;
  #closed = false;

  /** Call it on the thread that will turn the reactor. Throws BANDSTAND_URING_UNAVAILABLE. */
  static create(options: RingReactorOptions): RingReactor {
    const { native } = options;
    const ring = createRing(
      native,
      options.entries ?? ENTRIES_DEFAULT,
      options.cqEntries ?? CQ_ENTRIES_DEFAULT,
    );
    let file: SurvivingFile | null = null;
    let memory: RingMemory | null = null;
    try {
      const bytes = options.arenaBytes ?? ARENA_BYTES_DEFAULT;
      if (options.surviving !== undefined) file = SurvivingFile.open(native, options.surviving);
      memory = createArena(native, ring.handle, bytes, options.hugePages ?? true, file);
      return new RingReactor(options, ring, memory);
    } catch (error) {
      native.ringClose(ring.handle);
      if (memory !== null) native.memoryUnmap(memory.memory);
      file?.close();
      throw error;
    }
  }

  private constructor(options: RingReactorOptions, ring: NativeRing, memory: RingMemory) {
    const { native } = options;
    const files = new FileTable(native, ring.handle, options.fileSlots ?? FILE_SLOTS_DEFAULT);
    super(native, memory, new RingQueues(ring), files);
    this.#ring = ring;
    this.#memory = memory;
    this.surviving = memory.surviving;
    this.#poll = new PollPolicy(options.pollUs ?? 0);
    this.#randomState = (options.seed ?? performance.now() * 1000) >>> 0;
    this.kernels = new NativeKernels(native, memory.arena);
    this.#mailbox = new Mailbox(this);
    this.#alarm = new Alarm(this);
  }

  /** Another thread posts to a port attached here, then calls `eventfdWrite(wakeFd)`. */
  get wakeFd(): number {
    return this.#mailbox.wakeFd;
  }

  get stats(): RingReactorStats {
    return {
      arena_bytes: this.arena.bytes,
      arena_registered: this.#memory.registered,
      huge_pages: this.#memory.hugePages,
      files_registered: this.files.registered,
      setup_flags: this.#ring.setupFlags,
      turns: this.#turns,
      sleeps: this.#sleeps,
    };
  }

  nowUs(): number {
    if (this.#nowUs < 0) this.#nowUs = performance.now() * 1000;
    return this.#nowUs;
  }

  /** mulberry32, as in the simulator. */
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
    this.#timers.insert(timer, this.nowUs() + delayUs);
  }

  cancel(timer: Timer): void {
    this.#timers.remove(timer);
  }

  atTurnEnd(hook: TurnHook): void {
    if (hook.queued) return;
    hook.queued = true;
    this.#hooks[this.#hookCount] = hook;
    this.#hookCount += 1;
  }

  /** Messages to `port` go to `onMessage` between batches. */
  attachPort(port: MessagePort, onMessage: MessageHandler): void {
    this.#mailbox.attach(port, onMessage);
  }

  detachPort(port: MessagePort): void {
    this.#mailbox.detach(port);
  }

  /** Control-plane work is pending: promises need Node's event loop until `release`. */
  hold(): void {
    this.#holds += 1;
  }

  release(): void {
    assert(this.#holds > 0, 'a hold is released once');
    this.#holds -= 1;
  }

  /** Serves until `stop`. Rejects when an invariant breaks. */
  async run(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    assert(!this.#serving, 'a reactor is run once at a time');
    this.#serving = true;
    await this.#pump();
  }

  /** Ends `run` after the current turn; call it from a turn (a message, a completion, a timer). */
  stop(): void {
    this.#serving = false;
  }

  async drive<T>(promise: Promise<T>): Promise<T> {
    if (this.#failure !== null) {
      promise.catch(() => {});
      throw this.#failure;
    }
    this.hold();
    try {
      const pump = this.#pump();
      return await new Promise<T>((resolve, reject) => {
        promise.then(resolve, reject);
        pump.catch(reject);
      });
    } finally {
      this.release();
    }
  }

  /** One turn without sleeping; returns how many completions, timers and hooks ran. */
  turn(): number {
    return this.#turn(0);
  }

  /**
   * Releases the ring and the arena, after `run` and every `drive` have ended and devices and
   * exporters are closed. Waits a moment for what is still in flight; memory that the kernel may
   * yet write to is left mapped.
   */
  async close(waitUs = CLOSE_WAIT_US): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#serving = false;
    while (this.#pumping !== null) await this.#pumping.catch(() => {});
    this.#mailbox.stop();
    this.#alarm.cancel();
    const deadlineUs = performance.now() * 1000 + waitUs;
    while (this.queues.inFlight > 0 || this.queues.unsubmitted) {
      if (performance.now() * 1000 > deadlineUs) break;
      this.queues.enter(1, HELD_SLEEP_US);
      while (this.queues.ready > 0) this.#takeOne();
    }
    const idle = this.queues.inFlight === 0;
    if (!this.#mailbox.listening) this.#mailbox.dispose();
    this.native.ringClose(this.#ring.handle);
    if (!idle) return;
    this.native.memoryUnmap(this.#memory.memory);
    // Only now may another server have what lies in it.
    this.#memory.surviving?.close();
  }

  /** The one loop that turns this reactor, whoever needs it. */
  #pump(): Promise<void> {
    this.#pumping ??= this.#turnWhileNeeded().finally(() => {
      this.#pumping = null;
    });
    return this.#pumping;
  }

  async #turnWhileNeeded(): Promise<void> {
    // First let the caller note that the loop exists: what runs in a turn may ask for it.
    await null;
    try {
      while (this.#serving || this.#holds > 0) {
        if (this.#holds > 0) {
          this.#turn(HELD_SLEEP_US);
          await new Promise<void>((resolve) => setImmediate(resolve));
        } else {
          this.#turn(-1);
        }
        if (this.#failure !== null) throw this.#failure;
      }
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** `sleepUs`: how long the turn may wait for something to do; < 0 = for ever. */
  #turn(sleepUs: number): number {
    this.#nowUs = -1;
    this.#turns += 1;
    const queues = this.queues;
    if (sleepUs === 0 || this.#busy()) queues.enter(0, 0);
    else this.#wait(sleepUs);
    let ran = queues.ready;
    for (let left = ran; left > 0; left -= 1) this.#takeOne();
    ran += this.#runCompletions();
    if (this.#mailbox.pending) this.#deliver();
    if (this.#timers.nextDueUs() < this.#alarm.dueUs) ran += this.#runTimers();
    if (this.#hookCount > 0) ran += this.#runHooks();
    return ran;
  }

  #busy(): boolean {
    return this.#completions.length > 0 || this.#hookCount > 0 || this.#mailbox.pending;
  }

  /** Spins if that has paid off lately, then sleeps until a completion or the next timer. */
  #wait(sleepUs: number): void {
    const queues = this.queues;
    let limitUs = sleepUs;
    const dueUs = this.#timers.nextDueUs();
    if (dueUs < this.#alarm.dueUs) {
      const untilUs = Math.max(0, Math.ceil(dueUs - this.nowUs()));
      if (untilUs >= ALARM_MIN_US && queues.roomy) this.#alarm.set(dueUs, untilUs);
      else limitUs = limitUs < 0 ? untilUs : Math.min(limitUs, untilUs);
      this.#nowUs = -1;
    }
    if (limitUs === 0 || this.#spin(limitUs)) {
      queues.enter(0, 0);
      return;
    }
    this.#sleeps += 1;
    queues.enter(1, limitUs);
  }

  /** True when a completion came within the time that the policy allows. */
  #spin(limitUs: number): boolean {
    const policy = this.#poll;
    if (!policy.worthwhile()) return false;
    const queues = this.queues;
    const budgetUs = limitUs < 0 ? policy.pollUs : Math.min(limitUs, policy.pollUs);
    const endUs = performance.now() * 1000 + budgetUs;
    do {
      queues.enter(0, 0);
    } while (queues.ready === 0 && performance.now() * 1000 < endUs);
    policy.learn(queues.ready > 0);
    return queues.ready > 0;
  }

  #takeOne(): void {
    const queues = this.queues;
    queues.take();
    this.handlers[queues.handlerId]!.ringComplete(queues.token, queues.result, queues.flags);
  }

  #runCompletions(): number {
    const completions = this.#completions;
    const count = completions.length;
    for (let left = count; left > 0; left -= 1) {
      const io = completions.shift()!;
      io.completer.complete(io);
    }
    return count;
  }

  #runTimers(): number {
    const nowUs = this.nowUs();
    const orderMax = this.#timers.order;
    let ran = 0;
    for (;;) {
      const timer = this.#timers.shiftDue(nowUs, orderMax);
      if (timer === null) return ran;
      timer.expire();
      ran += 1;
    }
  }

  #runHooks(): number {
    const hooks = this.#hooks;
    this.#hooks = this.#hooksNext;
    this.#hooksNext = hooks;
    const count = this.#hookCount;
    this.#hookCount = 0;
    for (let index = 0; index < count; index += 1) {
      const hook = hooks[index]!;
      hooks[index] = null;
      hook.queued = false;
      hook.endOfTurn();
    }
    return count;
  }

  table(bytes: number): TableMemory {
    // What one mapping cannot hold comes on small pages.
    if (bytes > TABLE_BYTES_MAX) return { memory: new ArrayBuffer(bytes), release: () => {} };
    const { memory } = this.native.memoryMap(Math.max(1, bytes), true);
    return { memory, release: () => this.native.memoryUnmap(memory) };
  }

  keep(work: Promise<void>): void {
    this.hold();
    work
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => this.release());
  }

  #deliver(): void {
    this.#mailbox.deliver((work) => this.keep(work));
  }
}
