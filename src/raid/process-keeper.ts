/**
 * ProcessKeeper: gets the redundancy of an array back, one process at a time.       (control plane)
 *
 * What to do next is decided from the state alone, whenever something has ended: first a resync,
 * because everything else reads what it makes equal; then an interrupted rebuild, members that
 * return, spares; then a check that was asked for. A check that runs when a rebuild could begin
 * makes way for it, and goes on behind it from where it was.
 *
 *   a rebuild begins   label on a new target → superblock + 1 names it (state missing), on members
 *                      and target → labels with the process → it gets every write → copying
 *   a checkpoint       target flushed → missed bits below it cleared → labels
 *   a rebuild ends     whole array locked → target flushed → bitmap copied to it → superblock + 1
 *                      calls it configured → in service → labels → unlocked
 *
 * The steps are in rebuild-steps.ts, the copying and comparing in process.ts.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { SpaceUser } from '../block/live-ranges.ts';
import { type Reactor, Timer } from '../block/reactor.ts';
import { ArrayProcessHost } from './array-process-host.ts';
import { GrowthKeeper } from './growth-keeper.ts';
import { type LabelProcess, NO_PROCESS } from './label.ts';
import type { Target } from './member.ts';
import type { ManagerObserver, ManagerOptions } from './metadata-keeper.ts';
import { Process } from './process.ts';
import {
  cannotRun,
  checkEnded,
  checkStarted,
  mismatchFound,
  rangeLost,
  rebuildFinished,
  rebuildRefused,
  rebuildStarted,
  rebuildStopped,
  resyncEnded,
  resyncStarted,
} from './process-events.ts';
import { PROCESS_TUNING, type ProcessOutcome, type ProcessTuning } from './process-host.ts';
import { ProcessRun, type RunObserver, type RunPlan } from './process-run.ts';
import type { RaidArray } from './raid-array.ts';
import { RebuildRanges, UnsyncedRanges } from './rebuild-ranges.ts';
import { beginRebuild, type Candidate, checkpointRebuild, finishRebuild } from './rebuild-steps.ts';
import { REGIONS_UNFLUSHED } from './region-kind.ts';
import { blocksBelow, SpaceInUse } from './space-in-use.ts';
import type { WorkRanges } from './work-ranges.ts';

const CHECKPOINT_US = 5_000_000;

export interface CheckWanted {
  readonly repair: boolean;
  /** Member blocks below which it has looked at everything. */
  readonly block: number;
  readonly paused: boolean;
}

class Checkpoint extends Timer {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  expire(): void {
    this.#run();
  }
}

export abstract class ProcessKeeper extends GrowthKeeper implements RunObserver {
  protected run: ProcessRun | null = null;
  /** What may fill a slot, in the order in which it is taken; spares are those without a slot. */
  protected readonly candidates: Candidate[] = [];
  /** Why the rebuild onto a device could not begin; the device is closed then. */
  protected readonly refusals = new WeakMap<BlockDevice, BandstandError>();
  /** Set by cancel: no rebuild begins by itself until somebody asks for one. */
  protected held = false;
  protected tuning: ProcessTuning;
  protected checkWanted: CheckWanted | null = null;
  /** A rebuild that is found paused at assembly begins paused. */
  protected beginPaused = false;
  /** The check that runs has been stopped to make way. */
  #makesWay = false;
  /** A resync has failed: it is not tried again before the next start. */
  #resyncFailed = false;
  readonly #checkpoint: Checkpoint;
  #checkpointed = -1;
  readonly #space: SpaceInUse;
  /** Array blocks that a resync has made equal so far, in whole regions. */
  #syncedTo = 0;

  protected constructor(
    reactor: Reactor,
    array: RaidArray,
    options: ManagerOptions,
    observer: ManagerObserver,
  ) {
    super(reactor, array, options, observer);
    this.tuning = { ...PROCESS_TUNING, ...options.process };
    this.#space = new SpaceInUse(options.expectsSpace === true);
    this.#checkpoint = new Checkpoint(() => this.#checkpointDue());
  }

  get wantsLatency(): boolean {
    return this.run !== null && !this.run.paused;
  }

  foregroundDone(latencyUs: number): void {
    this.run?.pacer.foreground(latencyUs);
  }

  protected override targetGone(_target: Target, status: number): void {
    this.run?.targetGone(status);
  }

  protected override get hasSpare(): boolean {
    return this.spares.length > 0;
  }

  protected get spares(): Candidate[] {
    return this.candidates.filter(({ slot }) => slot === null);
  }

  /** The layer above says what it needs. What waited for that has begun when it resolves. */
  attachSpace(user: SpaceUser): Promise<void> {
    this.#space.attach(user);
    return this.serial(() => this.next());
  }

  /** A rebuild of everything is one of every block. */
  protected get copiesAll(): boolean {
    return this.#space.isAll;
  }

  /** Finds what a check would look at; nothing else waits for it. */
  protected async prepareCheck(): Promise<void> {
    await this.#space.prepareCheck();
  }

  // --- what to do next --------------------------------------------------------------------------

  protected override async next(): Promise<void> {
    const { array, metadata } = this;
    if (this.closing || metadata === null || array.hasFailed) return;
    if (this.run !== null) {
      this.#makeWay(this.run);
      return;
    }
    await this.growWithMembers();
    const { intent } = this;
    if (intent === null || this.#space.isAwaited) return;
    const host = new ArrayProcessHost(array);
    if (intent.unsyncedCount > 0 && !this.#resyncFailed) {
      if (Process.canCheck(host)) {
        this.#startResync(host);
        return;
      }
      // Nothing is left to compare with.
      intent.resyncBegins();
      intent.synced(0, array.spec.blockCount, array.spec.blockCount);
    }
    if (this.#mayRebuild && (await this.#startNextRebuild(host))) return;
    if (this.checkWanted !== null && Process.canCheck(host)) this.#startCheck(host);
  }

  get #mayRebuild(): boolean {
    return !this.held && this.options.autoRebuild !== false;
  }

  /** A check can wait, even one that is paused; what an array has lost cannot. */
  #makeWay(run: ProcessRun): void {
    if (run.plan.kind !== 'check' || this.#makesWay) return;
    if (!this.#mayRebuild || this.#choose() === null) return;
    this.#makesWay = true;
    run.stop();
  }

  #startResync(host: ArrayProcessHost): void {
    const { intent, array } = this;
    const end = array.spec.blockCount;
    const regions = intent!.unsyncedCount;
    const plan: RunPlan = {
      kind: 'resync',
      slot: null,
      replace: false,
      delta: false,
      repair: true,
      resumeBlock: 0,
      startBlock: 0,
      blocksBefore: 0,
      ranges: this.#space.copyWork(host, new UnsyncedRanges(intent!, end)),
      unflushed: this.#unflushed(host),
    };
    intent!.resyncBegins();
    this.#syncedTo = 0;
    if (!this.#begin(host, plan)) return;
    this.emit(resyncStarted(regions, intent!.regionCount, this.copiesAll));
  }

  #unflushed(host: ArrayProcessHost): WorkRanges | null {
    const { intent, array } = this;
    if (intent!.nextRegion(0, REGIONS_UNFLUSHED) === -1) return null;
    const unflushed = new UnsyncedRanges(intent!, array.spec.blockCount, REGIONS_UNFLUSHED);
    return this.#space.copyWork(host, unflushed);
  }

  async #startNextRebuild(host: ArrayProcessHost): Promise<boolean> {
    const { array, metadata } = this;
    for (;;) {
      const choice = this.#choose();
      if (choice === null || array.hasFailed) return false;
      const { one: first, slot } = choice;
      // Only while the array has kept what its target misses can a replacement go on.
      const trusted = !first.replace || array.keepsMissed;
      const one = trusted ? first : { ...first, block: 0 };
      const process: LabelProcess = {
        kind: 'rebuild',
        slot,
        block: one.block,
        repair: false,
        replace: one.replace,
        paused: this.beginPaused,
        delta: one.delta,
        uuid: one.uuid,
      };
      let began = false;
      try {
        began = await beginRebuild(this.context, slot, one, process);
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        this.refusals.set(one.device, error);
        this.emit(rebuildRefused(slot, one.device.name, error));
      }
      this.candidates.splice(this.candidates.indexOf(first), 1);
      if (began && array.absent <= 1) this.#voidDeltas();
      if (began && this.#runRebuild(host, slot, one)) return true;
      if (array.target !== null) array.detachTarget();
      metadata!.drop(one.device);
      await this.#forgetTarget();
      this.letGo(one.device);
    }
  }

  /**
   * A rebuild of the only slot that is out clears what was missed as it goes on: from now on that
   * is not all that another candidate lacks.
   */
  #voidDeltas(): void {
    for (const [at, one] of this.candidates.entries()) {
      if (one.delta) this.candidates[at] = { ...one, delta: false };
    }
  }

  #runRebuild(host: ArrayProcessHost, slot: number, one: Candidate): boolean {
    const { array, intent } = this;
    const end = array.spec.blockCount;
    const fullFrom = one.delta ? end : host.arrayBlock(one.block);
    const plan: RunPlan = {
      kind: 'rebuild',
      slot,
      replace: one.replace,
      delta: one.delta,
      repair: false,
      resumeBlock: one.block,
      startBlock: 0,
      blocksBefore: one.delta ? 0 : this.#space.copiedBelow(host, one.block),
      ranges: this.#space.copyWork(host, new RebuildRanges(intent!, fullFrom, end)),
      unflushed: null,
    };
    if (!this.#begin(host, plan)) return false;
    this.emit(rebuildStarted(this.run!, one, this.copiesAll));
    return true;
  }

  /** The first candidate that a slot waits for. */
  #choose(): { one: Candidate; slot: number } | null {
    const { members, spec } = this.array;
    for (const one of this.candidates) {
      if (one.replace) {
        if (members[one.slot!]!.device !== null) return { one, slot: one.slot! };
        continue;
      }
      const free = members.find(
        ({ slot, device }) => device === null && (one.slot === null || one.slot === slot),
      );
      if (free !== undefined) return { one, slot: free.slot };
    }
    assert(spec.members.length === members.length, 'slots do not change');
    return null;
  }

  #startCheck(host: ArrayProcessHost): void {
    const { repair, block, paused } = this.checkWanted!;
    const ranges = this.#space.checkWork(host);
    if (ranges === null) {
      this.reactor.keep(this.#checkWhenPrepared());
      return;
    }
    const plan: RunPlan = {
      kind: 'check',
      slot: null,
      replace: false,
      delta: false,
      repair,
      resumeBlock: 0,
      startBlock: block,
      blocksBefore: blocksBelow(ranges, block),
      ranges,
      unflushed: null,
    };
    if (!this.#begin(host, plan)) return;
    if (paused) this.run!.pause();
    this.emit(checkStarted(plan));
  }

  async #checkWhenPrepared(): Promise<void> {
    if (await this.#space.prepareCheck()) this.kick();
  }

  /** False when there is no memory for it: it is told, and tried again with the next occasion. */
  #begin(host: ArrayProcessHost, plan: RunPlan): boolean {
    if (plan.kind !== 'check') this.#space.copyBegins();
    try {
      this.run = new ProcessRun(host, plan, this.tuning, this);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      this.emit(cannotRun(plan, error));
      return false;
    }
    this.#checkpointed = -1;
    if (plan.kind !== 'rebuild') return true;
    if (this.beginPaused) this.run.pause();
    this.beginPaused = false;
    return true;
  }

  // --- the run ----------------------------------------------------------------------------------

  runAdvanced(run: ProcessRun): void {
    const { intent, array } = this;
    if (run.plan.kind === 'resync') {
      const to = new ArrayProcessHost(array).arrayBlock(run.passed);
      intent!.synced(this.#syncedTo, to, array.spec.blockCount);
      // A region counts when all of it is equal.
      this.#syncedTo = Math.floor(to / intent!.regionBlocks) * intent!.regionBlocks;
      return;
    }
    if (this.#checkpoint.dueUs !== -1 || this.closing) return;
    this.reactor.schedule(this.#checkpoint, this.options.checkpointUs ?? CHECKPOINT_US);
  }

  #checkpointDue(): void {
    const { run } = this;
    if (run === null || this.closing) return;
    this.reactor.keep(
      this.serial(async () => {
        if (this.run === run) await this.writeCheckpoint(run);
      }),
    );
  }

  protected async writeCheckpoint(run: ProcessRun): Promise<void> {
    const { metadata, array } = this;
    const { plan, watermark, passed } = run;
    if (plan.kind === 'resync' || watermark === this.#checkpointed) return;
    this.#checkpointed = watermark;
    const process: LabelProcess = {
      kind: plan.kind,
      slot: plan.slot ?? 0,
      block: watermark,
      repair: plan.repair,
      replace: plan.replace,
      paused: run.paused,
      delta: plan.delta,
      uuid: array.target?.uuid ?? null,
    };
    if (plan.kind === 'check') {
      this.placesFailed(await metadata!.writeLabels({ process }));
      return;
    }
    const end = new ArrayProcessHost(array).arrayBlock(passed);
    await checkpointRebuild(this.context, process, end);
  }

  /** Writes what a person has changed about the run. */
  protected async recordRun(): Promise<void> {
    this.#checkpointed = -1;
    if (this.run !== null) await this.writeCheckpoint(this.run);
  }

  runEnded(run: ProcessRun, outcome: ProcessOutcome): void {
    this.reactor.cancel(this.#checkpoint);
    if (this.closing) return;
    this.reactor.keep(this.serial(() => this.#conclude(run, outcome)));
  }

  async #conclude(run: ProcessRun, outcome: ProcessOutcome): Promise<void> {
    if (this.closing) return;
    const { kind } = run.plan;
    if (kind === 'resync') this.#concludeResync(run, outcome);
    else if (kind === 'check') await this.#concludeCheck(run, outcome);
    else await this.#concludeRebuild(run, outcome);
    if (this.run === run) this.run = null;
    await this.next();
  }

  #concludeResync(run: ProcessRun, outcome: ProcessOutcome): void {
    const { array, intent } = this;
    const end = array.spec.blockCount;
    if (outcome.kind === 'done') intent!.synced(0, end, end);
    this.emit(resyncEnded(array, run, outcome));
    if (outcome.kind === 'failed') this.#resyncFailed = true;
  }

  async #concludeCheck(run: ProcessRun, outcome: ProcessOutcome): Promise<void> {
    const waits = this.#makesWay && outcome.kind === 'stopped';
    this.#makesWay = false;
    const { repair } = run.plan;
    this.checkWanted = waits ? { repair, block: run.passed, paused: run.paused } : null;
    this.placesFailed(await this.metadata!.writeLabels({ process: NO_PROCESS }));
    this.emit(checkEnded(this.array, run, outcome, waits));
  }

  async #concludeRebuild(run: ProcessRun, outcome: ProcessOutcome): Promise<void> {
    const { array, metadata } = this;
    const slot = run.plan.slot!;
    const { target } = array;
    if (outcome.kind === 'done' && target !== null) {
      const old = await finishRebuild(this.context);
      if (old !== false) {
        if (old !== null) this.letGo(old);
        for (const event of rebuildFinished(array, slot, target)) this.emit(event);
        return;
      }
    }
    if (array.target !== null) {
      const { device } = array.detachTarget();
      metadata!.drop(device);
      this.letGo(device);
    }
    await this.#forgetTarget();
    this.emit(rebuildStopped(array, run, outcome, target?.device.name ?? null));
  }

  /** The labels name no target any more, so that none is taken for what it is not. */
  async #forgetTarget(): Promise<void> {
    const { array, metadata } = this;
    if (array.hasFailed) return;
    const failed = await metadata!.writeLabels({ process: NO_PROCESS });
    if (this.placesFailed(failed)) array.targetForgotten();
  }

  runMismatch(run: ProcessRun, memberBlock: number, count: number, repaired: boolean): void {
    const event = mismatchFound(run, memberBlock, count, repaired);
    if (event !== null) this.emit(event);
  }

  runLost(run: ProcessRun, memberBlock: number, count: number): void {
    this.emit(rangeLost(run, memberBlock, count));
  }
}
