/**
 * Plays a history of an FTL: carries out its steps, recovers after crashes, and reads everything
 * at the end, before and after a clean restart.
 */

import {
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../src/block/block-io.ts';
import { Crashed } from './driver.ts';
import { type FtlHistory, type FtlStep, ftlStepText } from './ftl-step.ts';
import { type FtlTrigger, FtlWorld } from './ftl-world.ts';
import { takeStray, watchStrays } from './guard.ts';
import { inTurn } from './player.ts';
import { mixSeed, Random } from './random.ts';
import type { CrashKind } from './step.ts';
import { Trace } from './trace.ts';

export interface FtlOutcome {
  readonly violation: string | null;
  readonly step: number;
  readonly hash: number;
  readonly ios: number;
  readonly operations: number;
  readonly crashes: number;
  readonly triggered: boolean;
  readonly lines: readonly string[];
}

export interface FtlPlayOptions {
  readonly trigger?: FtlTrigger | null;
  readonly verbose?: boolean;
}

const STARTS_MAX = 20;

const OPS: Readonly<Record<string, Op>> = {
  read: OP_READ,
  write: OP_WRITE,
  trim: OP_TRIM,
  zeroes: OP_WRITE_ZEROES,
};

export function playFtl(history: FtlHistory, options: FtlPlayOptions = {}): Promise<FtlOutcome> {
  return inTurn(async () => {
    watchStrays();
    const outcome = await new FtlPlayer(history, options).run();
    const stray = await takeStray();
    return { ...outcome, violation: outcome.violation ?? stray };
  });
}

class FtlPlayer {
  readonly #history: FtlHistory;
  readonly #world: FtlWorld;
  readonly #trace: Trace;
  #position = 0;
  #again: { readonly how: CrashKind; readonly ios: number }[] = [];

  constructor(history: FtlHistory, options: FtlPlayOptions) {
    this.#history = history;
    this.#trace = new Trace(options.verbose ?? false);
    const trigger = options.trigger ?? null;
    const random = new Random(mixSeed(history.seed, 1, trigger?.at ?? 0));
    this.#world = new FtlWorld(history.config, random, this.#trace, trigger);
  }

  async run(): Promise<FtlOutcome> {
    const { steps } = this.#history;
    const world = this.#world;
    let violation: string | null = null;
    try {
      await this.#startAgain();
      for (; this.#position < steps.length; this.#position += 1) {
        const step = steps[this.#position]!;
        this.#trace.say(`step ${this.#position}: ${ftlStepText(step)}`);
        await this.#survive(() => this.#step(step));
      }
      await this.#finish();
    } catch (error) {
      violation = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#trace.say(world.describe());
    }
    return {
      violation: world.violation ?? violation,
      step: this.#position,
      hash: this.#trace.hash,
      ios: world.ios,
      operations: world.user.operations,
      crashes: world.crashes,
      triggered: world.triggered,
      lines: this.#trace.lines ?? [],
    };
  }

  async #survive(work: () => Promise<void>): Promise<boolean> {
    const world = this.#world;
    const { crashes } = world;
    try {
      await work();
      if (world.crashes !== crashes && !world.running) throw new Crashed('in passing');
    } catch (error) {
      if (!(error instanceof Crashed) || world.violation !== null) throw error;
      await this.#startAgain();
      return false;
    }
    if (world.violation !== null) throw new Error(world.violation);
    return true;
  }

  async #startAgain(): Promise<void> {
    const world = this.#world;
    for (let tries = 0; tries < STARTS_MAX; tries += 1) {
      const again = this.#again.shift();
      if (again !== undefined) world.armed = { ...again };
      try {
        if (!(await world.start())) continue;
        await world.user.readAll();
        return;
      } catch (error) {
        if (!(error instanceof Crashed) || world.violation !== null) throw error;
      }
    }
    throw new Error('it does not start');
  }

  async #finish(): Promise<void> {
    const world = this.#world;
    for (let pass = 0; pass < 2; pass += 1) {
      world.armed = null;
      this.#again = [];
      for (;;) {
        const done = await this.#survive(async () => {
          await world.user.verify();
          await world.check();
          if (world.mustCut) world.crash('power');
          else await world.stop();
        });
        if (done) break;
      }
      await this.#startAgain();
    }
    await this.#survive(async () => {
      await world.user.verify();
      await world.check();
      await world.stop();
    });
  }

  async #step(step: FtlStep): Promise<void> {
    const world = this.#world;
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
      case 'crash':
        this.#again = [...step.again];
        world.armed = { ios: step.ios, how: step.how };
        return;
      case 'fail-write':
        return this.#fault('write', step.disk, step.skip);
      case 'fail-flush':
        return this.#fault('flush', step.disk, step.skip);
    }
  }

  async #fault(op: 'write' | 'flush', disk: number, skip: number): Promise<void> {
    const list = this.#world.faults[disk % this.#world.media.length]!;
    list.push({ kind: 'fail', op, skip, dataOnly: true });
  }

  /** Positions are parts of the device: its size is known only when it runs. */
  async #submit(op: Op, block: number, count: number, fua: boolean): Promise<void> {
    const world = this.#world;
    const { concurrency } = this.#history.config;
    await world.life.until(() => world.user.inFlight < concurrency, 'an operation');
    const first = block % world.blockCount;
    world.user.submit(op, first, Math.min(count, world.blockCount - first), fua);
  }

  async #restart(): Promise<void> {
    const world = this.#world;
    await world.user.drain();
    if (world.mustCut) world.crash('power');
    else await world.stop();
    if (world.violation === null) await this.#startAgain();
  }
}
