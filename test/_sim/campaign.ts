/**
 * Many seeds, one after another, until one fails or the time is over.
 */

import { generate } from './generator.ts';
import { type Outcome, play, type SubjectKind } from './player.ts';

export interface CampaignOptions {
  readonly subject: SubjectKind;
  readonly firstSeed: number;
  readonly count: number;
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
  const { subject, firstSeed, count, failuresMax } = options;
  const failures: CampaignFailure[] = [];
  let seeds = 0;
  let ios = 0;
  let crashes = 0;
  while (seeds < count && failures.length < failuresMax && options.over?.() !== true) {
    const seed = firstSeed + seeds;
    const outcome = await playSeed(seed, subject);
    seeds += 1;
    ios += outcome.ios;
    crashes += outcome.crashes;
    if (outcome.violation !== null) failures.push({ seed, outcome });
  }
  return { seeds, ios, crashes, failures };
}

export function playSeed(seed: number, subject: SubjectKind, verbose = false): Promise<Outcome> {
  return play(generate(seed, subject.promises), { subject, verbose });
}
