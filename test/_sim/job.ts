/**
 * A job is what one process of the simulator does at a time: a batch of seeds, or one sweep of one
 * scenario. Jobs and their results are plain data, so that they can be sent between processes.
 */

import { runCampaign } from './campaign.ts';
import { replayCommand, replayPlaceCommand } from './report.ts';
import { ALL_SCENARIOS, subjectByName } from './subjects.ts';
import { type SweepKind, sweep } from './sweep.ts';

export type Job =
  | {
      readonly kind: 'seeds';
      readonly subject: string;
      readonly first: number;
      readonly count: number;
      /** Steps of each history that are played; null: all. */
      readonly stepsMax: number | null;
    }
  | {
      readonly kind: 'sweep';
      readonly subject: string;
      readonly scenario: string;
      readonly what: SweepKind;
      readonly placesMax: number;
    };

export interface JobFailure {
  readonly title: string;
  readonly violation: string;
  readonly replay: string;
}

export interface JobResult {
  /** Histories played. */
  readonly plays: number;
  readonly ios: number;
  readonly crashes: number;
  /** Power cuts with too many outcomes to try them all: some were drawn. */
  readonly sampled: number;
  readonly failures: readonly JobFailure[];
}

export async function runJob(job: Job): Promise<JobResult> {
  const subject = subjectByName(job.subject);
  if (job.kind === 'seeds') {
    const { first, count, stepsMax } = job;
    const result = await runCampaign({
      subject,
      firstSeed: first,
      count,
      failuresMax: 1,
      ...(stepsMax === null ? {} : { stepsMax }),
    });
    const failures = result.failures.map(({ seed, outcome }) => ({
      title: `seed ${seed}`,
      violation: outcome.violation!,
      replay: replayCommand(subject, seed, stepsMax),
    }));
    return { ...result, plays: result.seeds, sampled: 0, failures };
  }
  const { what, placesMax } = job;
  const scenario = ALL_SCENARIOS.find(({ name }) => name === job.scenario)!;
  const { plays, sampled, failure } = await sweep(scenario, what, { subject, placesMax });
  const rest = { plays, sampled, ios: 0, crashes: 0 };
  if (failure === null) return { ...rest, failures: [] };
  const { at, violation } = failure;
  const title = `${scenario.name}: ${what} at member I/O ${at}`;
  const replay = replayPlaceCommand(subject, scenario.name, what, at);
  return { ...rest, failures: [{ title, violation, replay }] };
}
