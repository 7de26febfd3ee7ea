/**
 * What a person is told about a failure: seed, step, what is wrong, how to replay it, and the
 * shortest history that was found for it, as a script.
 */

import type { SubjectKind } from './player.ts';
import type { Shrunk } from './shrink.ts';
import { type Config, type History, stepText } from './step.ts';

export function configText(config: Config): string {
  const { cache, latency, dataBlocks, ftl, ...rest } = config;
  const words = Object.entries(rest).map(([key, value]) => `${key} ${value}`);
  const us = `${latency.leastUs} to ${latency.mostUs} us`;
  const slow = latency.slowChance > 0 ? `, slow ${latency.slowChance}` : '';
  if (cache !== null) words.push(`NV cache ${JSON.stringify(cache)}`);
  if (ftl !== null) words.push(`FTL ${JSON.stringify(ftl)}`);
  return [...words, `data blocks ${dataBlocks.join(' ')}`, `latency ${us}${slow}`].join(', ');
}

export function historyText({ config, steps }: History): string {
  const lines = steps.map((step, index) => `  ${String(index).padStart(3)}  ${stepText(step)}`);
  return [`  ${configText(config)}`, ...lines].join('\n');
}

/** `stepsMax`: steps of the history that were played; null: all. */
export function replayCommand(
  subject: SubjectKind,
  seed: number,
  stepsMax: number | null = null,
): string {
  const steps = stepsMax === null ? '' : ` --steps ${stepsMax}`;
  return `npm run test:sim -- --subject ${subject.name} --seed ${seed}${steps} --verbose`;
}

export function replayPlaceCommand(
  subject: SubjectKind,
  scenario: string,
  kind: string,
  at: number,
): string {
  const place = `--kind ${kind} --at ${at} --verbose`;
  return `npm run test:sim -- --subject ${subject.name} --scenario '${scenario}' ${place}`;
}

export function failureText(title: string, violation: string, replay: string): string {
  return `✘ ${title}\n  ${violation.replaceAll('\n', '\n  ')}\n  replay: ${replay}`;
}

export function shrunkText({ history, outcome, plays }: Shrunk): string {
  const count = history.steps.length;
  return [
    `shortest history found (${count} steps, after ${plays} attempts):`,
    historyText(history),
    `  fails in step ${outcome.step}: ${outcome.violation}`,
  ].join('\n');
}
