/**
 * ProcessRun: one run of the background process on an array, with pace and progress.  (data plane)
 *
 * Wraps Process (process.ts) with what a person wants to know of it: what it is for, how far it has
 * come, how fast it is. What follows from its end is decided by the manager.
 */

import { ProgressMeter } from '../block/progress.ts';
import type { Reactor } from '../block/reactor.ts';
import type { ArrayProcessHost } from './array-process-host.ts';
import { Pacer } from './pacer.ts';
import { Process, type ProcessObserver } from './process.ts';
import type { ProcessKind, ProcessOutcome, ProcessTuning } from './process-host.ts';
import type { WorkRanges } from './work-ranges.ts';

export interface ProcessStatus {
  readonly kind: ProcessKind;
  /** The slot that is being rebuilt, otherwise null. */
  readonly slot: number | null;
  readonly replace: boolean;
  /** A check that writes what differs. */
  readonly repair: boolean;
  readonly paused: boolean;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Over the last 60 s; null while that cannot be said. */
  readonly rateBytesPerSecond: number | null;
  readonly etaSeconds: number | null;
  /** Null: automatic. */
  readonly limitBytesPerSecond: number | null;
  readonly mismatches: number;
  readonly repaired: number;
  readonly lostBlocks: number;
}

export interface RunPlan {
  readonly kind: ProcessKind;
  readonly slot: number | null;
  readonly replace: boolean;
  /** Of a rebuild: only missed regions are copied. */
  readonly delta: boolean;
  /** Of a check: differences are written. */
  readonly repair: boolean;
  /** Member blocks below which an earlier run has done everything but what was missed since. */
  readonly resumeBlock: number;
  /** Where this run begins to look. */
  readonly startBlock: number;
  /** How many member blocks below that were to be done; they count as done. */
  readonly blocksBefore: number;
  readonly ranges: WorkRanges;
  /** Of a resync: what is written even where it agrees; null: nothing. */
  readonly unflushed: WorkRanges | null;
}

export interface RunObserver {
  runAdvanced(run: ProcessRun): void;
  runEnded(run: ProcessRun, outcome: ProcessOutcome): void;
  runMismatch(run: ProcessRun, memberBlock: number, count: number, repaired: boolean): void;
  runLost(run: ProcessRun, memberBlock: number, count: number): void;
}

export class ProcessRun implements ProcessObserver {
  readonly plan: RunPlan;
  readonly pacer: Pacer;
  /** Null once it has ended; resolves what waits for that. */
  readonly ended: Promise<void>;
  #resolveEnded: () => void = () => {};
  readonly #process: Process;
  readonly #reactor: Reactor;
  readonly #observer: RunObserver;
  readonly #blockBytes: number;
  readonly #meter = new ProgressMeter();

  /** Throws BANDSTAND_ARENA_FULL; then nothing has begun. */
  constructor(host: ArrayProcessHost, plan: RunPlan, tuning: ProcessTuning, observer: RunObserver) {
    this.plan = plan;
    this.#reactor = host.reactor;
    this.#observer = observer;
    this.#blockBytes = host.blockBytes;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.pacer = new Pacer(host.reactor, tuning);
    this.#process = new Process(host, {
      kind: plan.kind,
      repair: plan.repair,
      replaceSlot: plan.replace ? plan.slot! : -1,
      startBlock: plan.startBlock,
      ranges: plan.ranges,
      unflushed: plan.unflushed,
      tuning,
      pacer: this.pacer,
      observer: this,
    });
    this.#process.start();
    this.#meter.start(host.reactor.nowUs(), this.#doneBytes, this.#totalBytes);
  }

  /** Member blocks below which everything is done, this time or in an earlier run. */
  get watermark(): number {
    return Math.max(this.plan.resumeBlock, this.#process.watermark);
  }

  /** Member blocks below which this run has seen everything. */
  get passed(): number {
    return this.#process.watermark;
  }

  get paused(): boolean {
    return this.#process.paused;
  }

  get mismatches(): number {
    return this.#process.mismatchBlocks;
  }

  get repaired(): number {
    return this.#process.repairedBlocks;
  }

  get lostBlocks(): number {
    return this.#process.lostBlocks;
  }

  pause(): void {
    this.#process.pause();
    this.#meter.pause();
  }

  resume(): void {
    this.#process.resume();
    this.#meter.resume(this.#reactor.nowUs());
  }

  stop(): void {
    this.#process.stop();
  }

  targetGone(status: number): void {
    this.#process.targetGone(status);
  }

  status(): ProcessStatus {
    const nowUs = this.#reactor.nowUs();
    const { kind, slot, replace, repair } = this.plan;
    this.#meter.revise(this.#totalBytes);
    return {
      kind,
      slot,
      replace,
      repair: kind === 'check' && repair,
      paused: this.paused,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      rateBytesPerSecond: this.#meter.rateBytesPerSecond(nowUs),
      etaSeconds: this.#meter.etaSeconds(nowUs),
      limitBytesPerSecond: this.pacer.limitBytesPerSecond,
      mismatches: this.mismatches,
      repaired: this.repaired,
      lostBlocks: this.lostBlocks,
    };
  }

  get #doneBytes(): number {
    return (this.plan.blocksBefore + this.#process.doneBlocks) * this.#blockBytes;
  }

  get #totalBytes(): number {
    return (this.plan.blocksBefore + this.#process.totalBlocks) * this.#blockBytes;
  }

  processAdvanced(): void {
    this.#meter.advance(this.#reactor.nowUs(), this.#doneBytes);
    this.#observer.runAdvanced(this);
  }

  processEnded(_process: Process, outcome: ProcessOutcome): void {
    this.#resolveEnded();
    this.#observer.runEnded(this, outcome);
  }

  processMismatch(memberBlock: number, count: number, repaired: boolean): void {
    this.#observer.runMismatch(this, memberBlock, count, repaired);
  }

  processLost(memberBlock: number, count: number): void {
    this.#observer.runLost(this, memberBlock, count);
  }
}
