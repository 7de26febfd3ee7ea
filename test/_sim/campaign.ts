/**
 * Many seeds, one after another, until one fails or the time is over.
 */

import { generate } from './generator.ts';
import { type Outcome, play, type SubjectKind } from './player.ts';
import type { History } from './step.ts';

export interface CampaignOptions {
  readonly subject: SubjectKind;
  readonly firstSeed: number;
  readonly count: number;
  /** Steps of each history that are played; default all. Its end comes behind them. */
  readonly stepsMax?: number;
  /** Failures after which it ends. */
  readonly failuresMax: number;
  /** True when it has to end now. */
  readonly over?: () => boolean;
}

export interface CampaignFailure {
  readonly seed: number;
  readonly outcome: Outcome;
}

export interface CampaignResult {
  readonly seeds: number;
  readonly ios: number;
  readonly crashes: number;
  readonly failures: readonly CampaignFailure[];
}

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { subject, firstSeed, count, failuresMax, stepsMax } = options;
  const failures: CampaignFailure[] = [];
  let seeds = 0;
  let ios = 0;
  let crashes = 0;
  while (seeds < count && failures.length < failuresMax && options.over?.() !== true) {
    const seed = firstSeed + seeds;
    const outcome = await play(historyOf(seed, subject, stepsMax), { subject, verbose: false });
    seeds += 1;
    ios += outcome.ios;
    crashes += outcome.crashes;
    if (outcome.violation !== null) failures.push({ seed, outcome });
  }
  return { seeds, ios, crashes, failures };
}

/** Of a seed, with so many of its steps. */
export function historyOf(
  seed: number,
  subject: SubjectKind,
  stepsMax = Number.POSITIVE_INFINITY,
): History {
  const history = generate(seed, subject.promises);
  return { ...history, steps: history.steps.slice(0, stepsMax) };
}

export function playSeed(seed: number, subject: SubjectKind, verbose = false): Promise<Outcome> {
  return play(historyOf(seed, subject), { subject, verbose });
}
