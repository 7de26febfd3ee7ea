/**
 * Plays a history: sets up its world, carries out its steps one after another, recovers after
 * crashes, and looks at everything once more at the end.
 *
 * A step is passed over where it makes no sense, so that every sub-list of a history is a history.
 */

import {
  FEATURE_ATOMIC_BLOCK,
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import {
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { Administrator } from './administrator.ts';
import { changeCache, disturbCache } from './change-cache.ts';
import { creatingKind } from './creating-subject.ts';
import { Crashed } from './driver.ts';
import { growDisk, userBlocksMax } from './grow.ts';
import { takeStray, watchStrays } from './guard.ts';
import { halfStep, settleHalves } from './half-steps.ts';
import { SimMedium } from './medium.ts';
import { mixSeed, Random } from './random.ts';
import { type Config, type Crash, type History, powerCut, type Step, stepText } from './step.ts';
import type { Promises, SubjectFactory } from './subject.ts';
import { cacheMedia, created, diskName, simArray } from './template.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';
import type { Trigger } from './world-options.ts';

export interface SubjectKind {
  readonly name: string;
  readonly promises: Promises;
  readonly factory: SubjectFactory;
}

export interface PlayOptions {
  readonly subject: SubjectKind;
  readonly trigger?: Trigger | null;
  readonly verbose?: boolean;
  readonly keepsCut?: boolean;
}

export interface Outcome {
  /** What contradicts the model, or null. */
  readonly violation: string | null;
  /** The step during which it showed; `steps.length` for the checks at the end. */
  readonly step: number;
  readonly hash: number;
  /** Member I/Os, user operations and crashes. */
  readonly ios: number;
  readonly operations: number;
  readonly crashes: number;
  /** False when the history ended before the trigger's turn. */
  readonly triggered: boolean;
  readonly lines: readonly string[];
}

const STARTS_MAX = 20;

const OPS: Readonly<Record<string, Op>> = {
  read: OP_READ,
  write: OP_WRITE,
  trim: OP_TRIM,
  zeroes: OP_WRITE_ZEROES,
};

/** Worlds share one arena (life.ts): they are played one after another. */
let last: Promise<unknown> = Promise.resolve();

export function play(history: History, options: PlayOptions): Promise<Outcome> {
  return inTurn(() => playNow(history, options));
}

/** Plays up to the trigger's power cut and leaves it open; the world is null if there was none. */
export function playUntilCut(
  history: History,
  options: PlayOptions,
): Promise<{ outcome: Outcome; world: World | null }> {
  return inTurn(async () => {
    const player = new Player(history, { ...options, keepsCut: true });
    const outcome = await player.run();
    return { outcome, world: player.cutWorld };
  });
}

/** Runs `work` when every world before it is done. */
export function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  const result = last.then(work, work);
  last = result;
  return result;
}

async function playNow(history: History, options: PlayOptions): Promise<Outcome> {
  watchStrays();
  const outcome = await new Player(history, options).run();
  const stray = await takeStray();
  return { ...outcome, violation: outcome.violation ?? stray };
}

/** The power cut that was asked for has come, and is left open. */
class CutKept extends Error {
  override readonly name = 'CutKept';
}

export function diskFeatures(config: Config): number {
  const { trim, nativeFua, unitBytes, blockBytes } = config;
  return (
    FEATURE_WRITE_ZEROES |
    (nativeFua ? FEATURE_FUA : 0) |
    (trim === 'none' ? 0 : FEATURE_TRIM) |
    (trim === 'zeroes' ? FEATURE_TRIM_ZEROES : 0) |
    (unitBytes >= blockBytes ? FEATURE_ATOMIC_BLOCK : 0)
  );
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

class Player {
  readonly #history: History;
  readonly #options: PlayOptions;
  readonly #trace: Trace;
  readonly #random: Random;
  #world: World | null = null;
  #position = 0;
  /** Crashes that wait for the next recovery. */
  #again: Crash[] = [];

  constructor(history: History, options: PlayOptions) {
    this.#history = history;
    const { config } = history;
    const { subject } = options;
    this.#options = { ...options, subject: config.blank ? creatingKind(subject, config) : subject };
    this.#again = config.earlyCuts.map(powerCut);
    this.#trace = new Trace(options.verbose ?? false);
    const trigger = options.trigger ?? null;
    this.#random = new Random(mixSeed(history.seed, 1, trigger?.at ?? 0));
  }

  get #w(): World {
    return this.#world!;
  }

  async run(): Promise<Outcome> {
    const { steps } = this.#history;
    let violation: string | null = null;
    try {
      this.#world = await this.#makeWorld();
      await this.#startAgain();
      for (; this.#position < steps.length; this.#position += 1) {
        const step = steps[this.#position]!;
        this.#trace.say(`step ${this.#position}: ${stepText(step)}`);
        await this.#survive(async () => {
          this.#administrator?.judge();
          await this.#step(step);
        });
      }
      await this.#finish();
    } catch (error) {
      if (!(error instanceof CutKept)) violation = describeError(error);
    }
    return this.#outcome(violation);
  }

  get cutWorld(): World | null {
    return this.#world?.cut == null ? null : this.#world;
  }

  #outcome(violation: string | null): Outcome {
    const world = this.#world;
    return {
      violation: world?.violation ?? violation,
      step: this.#position,
      hash: this.#trace.hash,
      ios: world?.ios.begun ?? 0,
      operations: world?.user.operations ?? 0,
      crashes: world?.crashes ?? 0,
      triggered: world?.ios.triggered ?? false,
      lines: this.#trace.lines ?? [],
    };
  }

  async #makeWorld(): Promise<World> {
    const { config } = this.#history;
    const array = simArray(config);
    const { contents, cacheContents, blocks } = await created(config);
    const most = Math.max(...config.dataBlocks);
    const sizes = [...config.dataBlocks, ...new Array<number>(config.spares).fill(most)];
    const media = sizes.map(
      (blocks, index) =>
        new SimMedium(
          {
            name: diskName(index),
            blockBytes: config.blockBytes,
            blockCount: array.dataOffset + blocks,
            unitBytes: config.unitBytes,
            volatileCache: config.volatileCache,
            features: diskFeatures(config),
          },
          config.blank ? undefined : contents[index],
        ),
    );
    media.push(...cacheMedia(config.cache, config.blank ? [] : cacheContents));
    const { subject, trigger } = this.#options;
    return new World(
      {
        config,
        array,
        promises: subject.promises,
        factory: subject.factory,
        random: this.#random.fork(),
        trace: this.#trace,
        trigger: trigger ?? null,
        blocksMax: userBlocksMax(this.#history),
        ftlBlocks: config.ftl === null ? null : blocks,
        keepsCut: this.#options.keepsCut ?? false,
      },
      media,
    );
  }

  /** Does something; when the program dies meanwhile, starts it again. */
  async #survive(work: () => Promise<void>): Promise<boolean> {
    const { crashes } = this.#w;
    try {
      await work();
      // A write that was torn as it was submitted has ended its program before it could be driven.
      if (this.#w.crashes !== crashes && !this.#w.running) throw new Crashed('in passing');
    } catch (error) {
      this.#mustBeCrash(error);
      await this.#startAgain();
      return false;
    }
    if (this.#w.violation !== null) throw new Error(this.#w.violation);
    return true;
  }

  #mustBeCrash(error: unknown): void {
    if (!(error instanceof Crashed) || this.#w.violation !== null) throw error;
    if (this.#w.cut !== null) throw new CutKept('the power cut is left open');
  }

  /** Starts until it runs, through crashes and refusals, and reads everything. */
  async #startAgain(): Promise<void> {
    const world = this.#w;
    for (let tries = 0; tries < STARTS_MAX; tries += 1) {
      const again = this.#again.shift();
      if (again !== undefined) this.#arm(again);
      try {
        if (!(await world.start())) continue;
        await world.user.readAll();
        return;
      } catch (error) {
        this.#mustBeCrash(error);
      }
    }
    throw new Error('it does not start');
  }

  #arm({ how, ios, loses, losesHalf }: Crash): void {
    const world = this.#w;
    const { halves } = world;
    const strike = (): void => {
      world.crash(how);
      const isHalfLost = losesHalf !== undefined && halves?.mayUnplug(losesHalf) === true;
      if (isHalfLost) halves.unplug(losesHalf, false);
      if (loses !== null && world.leeway.mayUnplug(loses)) world.unplug(loses, false);
    };
    world.ios.armed = { ios, strike };
  }

  async #finish(): Promise<void> {
    const world = this.#w;
    world.ios.armed = null;
    this.#again = [];
    for (;;) {
      const done = await this.#survive(async () => {
        await world.user.verify();
        await settleHalves(world);
        if (world.options.promises.rebuilds) {
          await this.#administrator?.settle();
          await world.user.verify();
        }
        await world.check();
        await world.stop();
      });
      if (done) break;
    }
    world.checkMembers();
    if (world.violation === null) await this.#tryForks();
  }

  /** Opens copies of the disks: all of them, and without as many as the level bears. */
  async #tryForks(): Promise<void> {
    const world = this.#w;
    const { atlas } = world;
    // A member that failed while it was stopped may be out by now.
    const out = world.media.filter((_, slot) => atlas.unsure[slot]! || world.isOut(slot));
    const left = atlas.tolerates - out.length;
    if (this.#options.keepsCut) return;
    const counts = left > 0 ? [0, this.#random.between(1, left)] : [0];
    const half = world.halves?.spareSlot(this.#random) ?? null;
    if (half !== null && left <= 0) counts.push(0);
    for (const [index, count] of counts.entries()) {
      const fork = world.fork(this.#random.fork());
      fork.cacheFaults.mend();
      fork.media.forEach(({ bad }) => {
        bad.clear();
      });
      for (let pulled = 0; pulled < count; ) {
        const slot = this.#random.below(atlas.members);
        if (!fork.atlas.current[slot] || fork.media[slot]!.away) continue;
        fork.unplug(slot, false);
        pulled += 1;
      }
      if (index > 0 && half !== null) fork.halves!.unplug(half, false);
      this.#trace.say(`fork without ${count} members`);
      try {
        await fork.start();
        await fork.user.readAll();
        await fork.check();
        await fork.stop();
        fork.checkMembers();
      } catch (error) {
        if (!(error instanceof Crashed)) throw error;
      }
      world.violation ??= fork.violation;
      if (world.violation !== null) return;
    }
    await this.#tryStaleHalf();
  }

  /** A half that others have gone on without is refused, also where degraded starts are meant. */
  async #tryStaleHalf(): Promise<void> {
    const world = this.#w;
    const slot = world.halves?.staleSlot ?? null;
    if (slot === null) return;
    const fork = world.fork(this.#random.fork());
    fork.halves!.leaveOnly(slot);
    this.#trace.say(`fork with the old half ${slot} alone`);
    try {
      await fork.start();
      world.violate(`half ${slot} of the NV cache was left behind, and is taken for all of it`);
    } catch (error) {
      if (!(error instanceof BandstandError || error instanceof Crashed)) throw error;
      this.#trace.say(`refused: ${error.message}`);
    }
    world.violation ??= fork.violation;
  }

  // --- steps ------------------------------------------------------------------------------------

  async #step(step: Step): Promise<void> {
    const world = this.#w;
    switch (step.do) {
      case 'write':
      case 'zeroes':
      case 'trim':
        return this.#submit(OPS[step.do]!, step.block, step.count, step.fua);
      case 'read':
        return this.#submit(OP_READ, step.block, step.count, false);
      case 'flush':
        return this.#submit(OP_FLUSH, 0, 0, false);
      case 'wait':
        return world.user.pass(step.us);
      case 'drain':
        return world.user.drain();
      case 'verify':
        return world.user.verify();
      case 'restart':
        return this.#restart();
      case 'recreate':
        return this.#recreate();
      case 'grow':
        return growDisk(world, step.disk, step.blocks);
      case 'crash':
        this.#again = [...step.again];
        return this.#arm(step);
      case 'cache':
        return changeCache(world, step.what);
      case 'member':
      case 'process':
      case 'check':
      case 'corrupt':
        return this.#administrator?.carryOut(step);
      case 'half':
      case 'half-fault':
      case 'half-latent':
      case 'half-unplug':
      case 'half-plug':
        return halfStep(world, step);
      default:
        return this.#disturb(step);
    }
  }

  async #submit(op: Op, block: number, count: number, fua: boolean): Promise<void> {
    const world = this.#w;
    const { concurrency } = this.#history.config;
    const free = (): boolean =>
      world.user.inFlight < concurrency && !world.user.mustWait(op, block, count);
    await world.life.until(free, 'an operation');
    if (this.#history.config.ftl === null) {
      world.user.submit(op, block, count, fua);
      return;
    }
    // How large an FTL is, a history does not know.
    const first = block % world.blockCount;
    world.user.submit(op, first, Math.min(count, world.blockCount - first), fua);
  }

  async #restart(): Promise<void> {
    const world = this.#w;
    await world.user.drain();
    await world.stop();
    world.checkMembers();
    if (world.violation === null) await this.#startAgain();
  }

  async #recreate(): Promise<void> {
    const world = this.#w;
    if (!this.#history.config.blank || world.media.some(({ away }) => away)) return;
    await world.user.drain();
    await world.stop();
    world.checkMembers();
    for (let tries = 0; world.violation === null && !world.erased; tries += 1) {
      if (tries === STARTS_MAX) throw new Error('it cannot be erased');
      try {
        await world.erase();
      } catch (error) {
        this.#mustBeCrash(error);
      }
    }
    if (world.violation === null) await this.#startAgain();
  }

  /** Null where there is nothing to administer. */
  get #administrator(): Administrator | null {
    const world = this.#w;
    const { admin } = world.subject;
    return admin === null || world.atlas.tolerates === 0 ? null : new Administrator(world, admin);
  }

  async #disturb(step: Step): Promise<void> {
    const world = this.#w;
    const { atlas, media } = world;
    if (step.do === 'fault') {
      const { kind, op, skip, disk } = step;
      if (world.leeway.mayFail(op, disk))
        atlas.faults[disk]!.push({ kind, op, skip, dataOnly: true });
    } else if (step.do === 'latent') {
      if (!world.leeway.mayBeUnreadable(step.disk)) return;
      const first = world.options.array.dataOffset + step.block;
      for (let index = 0; index < step.count; index += 1) media[step.disk]!.bad.add(first + index);
    } else if (step.do === 'unplug') {
      if (world.leeway.mayUnplug(step.disk)) world.unplug(step.disk, step.power);
    } else if (step.do === 'plug') {
      const lost = world.extras.find(({ away }) => away);
      if (atlas.allowsPlug(step.disk)) media[step.disk]!.away = false;
      else if (lost !== undefined) lost.away = false;
    } else {
      disturbCache(world, step);
    }
  }
}
