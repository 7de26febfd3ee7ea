/**
 * Makes a failing history short: leaves out steps (delta debugging, halves first) and simplifies
 * its configuration, for as long as something still fails.
 */

import { type Outcome, type PlayOptions, play } from './player.ts';
import type { Config, History, Step } from './step.ts';

const PLAYS_MAX = 600;

export interface Shrunk {
  readonly history: History;
  readonly outcome: Outcome;
  /** How many histories were played on the way. */
  readonly plays: number;
}

export async function shrink(history: History, options: PlayOptions): Promise<Shrunk> {
  const shrinker = new Shrinker(history, options);
  return await shrinker.run();
}

class Shrinker {
  #best: History;
  #outcome: Outcome | null = null;
  #plays = 0;
  readonly #options: PlayOptions;

  constructor(history: History, options: PlayOptions) {
    this.#best = history;
    this.#options = { ...options, verbose: false };
  }

  async run(): Promise<Shrunk> {
    if (!(await this.#fails(this.#best))) throw new Error('the history does not fail');
    for (let before = -1; before !== this.#best.steps.length; ) {
      before = this.#best.steps.length;
      await this.#dropSteps();
      await this.#simplify();
    }
    return { history: this.#best, outcome: this.#outcome!, plays: this.#plays };
  }

  async #fails(history: History): Promise<boolean> {
    if (this.#plays >= PLAYS_MAX) return false;
    this.#plays += 1;
    const outcome = await play(history, this.#options);
    if (outcome.violation === null) return false;
    this.#best = history;
    this.#outcome = outcome;
    return true;
  }

  async #dropSteps(): Promise<void> {
    for (let size = Math.ceil(this.#best.steps.length / 2); size >= 1; ) {
      for (let at = this.#best.steps.length - size; at > -size; at -= size) {
        const { steps } = this.#best;
        const left = [...steps.slice(0, Math.max(0, at)), ...steps.slice(at + size)];
        if (left.length < steps.length) await this.#fails({ ...this.#best, steps: left });
      }
      size = size === 1 ? 0 : Math.ceil(size / 2);
    }
  }

  async #simplify(): Promise<void> {
    const simpler: Partial<Config>[] = [
      { blank: false },
      { earlyCuts: [] },
      { concurrency: 1 },
      { latency: { leastUs: 10, mostUs: 10, slowChance: 0 } },
      { latency: { leastUs: 10, mostUs: 200, slowChance: 0 } },
      { unitBytes: 4096 },
      { volatileCache: false },
      { nativeFua: true },
    ];
    for (const change of simpler) {
      const config = { ...this.#best.config, ...change };
      if (JSON.stringify(config) === JSON.stringify(this.#best.config)) continue;
      await this.#fails({ ...this.#best, config });
    }
    for (let index = 0; index < this.#best.steps.length; index += 1) {
      const step = simplerStep(this.#best.steps[index]!);
      if (step === null) continue;
      const steps = this.#best.steps.with(index, step);
      await this.#fails({ ...this.#best, steps });
    }
  }
}

function simplerStep(step: Step): Step | null {
  if (step.do === 'crash' && step.again.length > 0) return { ...step, again: [] };
  if (step.do === 'crash' && step.loses !== null) return { ...step, loses: null };
  if ((step.do === 'write' || step.do === 'read') && step.count > 1) return null;
  return 'fua' in step && step.fua ? { ...step, fua: false } : null;
}
