/**
 * Sweeps: a scenario is played again and again, each time with something else happening at one of
 * its member I/Os, until it has run through without that I/O being reached.
 */

import { type Outcome, play, type SubjectKind } from './player.ts';
import type { Scenario } from './scenario.ts';
import { trySubsets } from './subsets.ts';
import type { Trigger } from './world-options.ts';

export type SweepKind = 'calm' | Trigger['kind'] | 'subsets';
export const SWEEP_KINDS: readonly SweepKind[] = [
  'calm',
  'fail',
  'power',
  'kill',
  'tear',
  'subsets',
];

export interface SweepFailure {
  readonly scenario: string;
  readonly kind: SweepKind;
  /** The member I/O, counted from 0. */
  readonly at: number;
  readonly violation: string;
}

export interface SweepOptions {
  readonly subject: SubjectKind;
  /** Member I/Os that are tried at most, evenly spread; Infinity tries every one. */
  readonly placesMax: number;
  readonly over?: () => boolean;
}

export interface SweepResult {
  readonly plays: number;
  /** Null when it was passed over because the time was up. */
  readonly places: number | null;
  /** Power cuts with too many outcomes to try them all: some were drawn. */
  readonly sampled: number;
  readonly failure: SweepFailure | null;
}

/** Plays one place once more, for a person to read. */
export async function replayPlace(
  scenario: Scenario,
  kind: SweepKind,
  at: number,
  subject: SubjectKind,
): Promise<{ violation: string | null; lines: readonly string[] }> {
  const options = { subject, verbose: true };
  if (kind === 'subsets') {
    const { violation } = await trySubsets(scenario.history, options, at);
    const trigger = { kind: 'power' as const, at };
    const { lines } = await play(scenario.history, { ...options, trigger });
    return { violation, lines };
  }
  const trigger = kind === 'calm' ? null : { kind, at };
  return await play(scenario.history, { ...options, trigger });
}

/** Plays the scenario with `kind` happening at member I/O `at`; null ends the sweep. */
async function playPlace(
  scenario: Scenario,
  kind: SweepKind,
  at: number,
  subject: SubjectKind,
): Promise<{ violation: string | null; plays: number; reached: boolean; sampled: boolean }> {
  const options = { subject };
  if (kind === 'subsets') {
    const { tried, cut, sampled, ...rest } = await trySubsets(scenario.history, options, at);
    // A power cut after which nothing is tried proves nothing.
    const idle = cut && tried === 0 ? 'no outcome of the power cut was tried' : null;
    const violation = rest.violation ?? idle;
    return { violation, plays: tried + 1, reached: cut, sampled };
  }
  const trigger = kind === 'calm' ? null : { kind, at };
  const { violation, triggered } = await play(scenario.history, { ...options, trigger });
  return { violation, plays: 1, reached: triggered, sampled: false };
}

/** A history that is left in peace is the same each time: it is played once for all kinds. */
const calmPlays = new WeakMap<Scenario, Map<SubjectKind, Outcome>>();

async function playCalm(
  scenario: Scenario,
  subject: SubjectKind,
): Promise<{ calm: Outcome; plays: number }> {
  const known = calmPlays.get(scenario) ?? new Map<SubjectKind, Outcome>();
  calmPlays.set(scenario, known);
  const before = known.get(subject);
  if (before !== undefined) return { calm: before, plays: 0 };
  const calm = await play(scenario.history, { subject });
  known.set(subject, calm);
  return { calm, plays: 1 };
}

export async function sweep(
  scenario: Scenario,
  kind: SweepKind,
  { subject, placesMax, over }: SweepOptions,
): Promise<SweepResult> {
  const { calm, plays: calmly } = await playCalm(scenario, subject);
  const failed = (at: number, violation: string): SweepFailure => ({
    scenario: scenario.name,
    kind,
    at,
    violation,
  });
  if (calm.violation !== null) {
    return { plays: calmly, places: 0, sampled: 0, failure: failed(-1, calm.violation) };
  }
  if (kind === 'calm') return { plays: calmly, places: 1, sampled: 0, failure: null };
  const step = Math.max(1, Math.ceil(calm.ios / placesMax));
  let plays = calmly;
  let places = 0;
  let sampled = 0;
  // Spread over different places for each kind, so that together they meet more of them.
  for (let at = SWEEP_KINDS.indexOf(kind) % step; ; at += step) {
    if (over?.() === true) return { plays, places: null, sampled, failure: null };
    const result = await playPlace(scenario, kind, at, subject);
    plays += result.plays;
    if (result.violation !== null) {
      return { plays, places, sampled, failure: failed(at, result.violation) };
    }
    if (!result.reached) return { plays, places, sampled, failure: null };
    places += 1;
    if (result.sampled) sampled += 1;
  }
}
