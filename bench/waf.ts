/**
 * The table of bench:waf: loads, geometries, goals.
 */

import { parseArgs } from 'node:util';
import { Victims } from '../src/ftl/victims.ts';
import type { LoadSpec } from './waf-load.ts';
import { type Geometry, measure, type Run, theoreticalWaf, WafModel } from './waf-model.ts';

const USER_BLOCKS = 524_288;
/** Blocks of a band: with 20 % of spare space there are 2458, 614 and 77 of them. */
const SMALL_BAND = 256;
const MEDIUM_BAND = 1024;
const LARGE_BAND = 8192;

const UNIFORM: LoadSpec = { kind: 'uniform' };
const HOT_80: LoadSpec = { kind: 'hot-cold', hotWrites: 0.8, hotBlocks: 0.2 };
const HOT_90: LoadSpec = { kind: 'hot-cold', hotWrites: 0.9, hotBlocks: 0.1 };
const ZIPF_09: LoadSpec = { kind: 'zipf', exponent: 0.9 };
const ZIPF_10: LoadSpec = { kind: 'zipf', exponent: 1 };

/** A fixed goal, or a factor of what theory or the greedy policy gives. */
type Goal =
  | { readonly most: number }
  | { readonly ofTheory: number }
  | { readonly ofGreedy: number };

interface Case {
  readonly name: string;
  readonly load: LoadSpec;
  readonly bandBlocks: number;
  readonly overProvisioning: number;
  readonly goal: Goal;
}

const row = (
  name: string,
  load: LoadSpec,
  bandBlocks: number,
  goal: Goal,
  overProvisioning = 0.2,
): Case => ({ name, load, bandBlocks, overProvisioning, goal });

const CASES: readonly Case[] = [
  row('uniform', UNIFORM, SMALL_BAND, { ofTheory: 1.03 }, 0.1),
  row('uniform', UNIFORM, SMALL_BAND, { ofTheory: 1.03 }),
  row('uniform', UNIFORM, SMALL_BAND, { ofTheory: 1.03 }, 0.28),
  ...[SMALL_BAND, MEDIUM_BAND].flatMap((bandBlocks) => [
    row('80/20', HOT_80, bandBlocks, { most: 2.6 }),
    row('90/10', HOT_90, bandBlocks, { most: 1.8 }),
    row('zipf 1.0', ZIPF_10, bandBlocks, { most: 2.0 }),
    row('zipf 0.9', ZIPF_09, bandBlocks, { most: 2.3 }),
  ]),
  row('uniform', UNIFORM, MEDIUM_BAND, { ofGreedy: 1.05 }),
  row('moving 90/10', { ...HOT_90, kind: 'moving' }, MEDIUM_BAND, { ofGreedy: 1 }),
  row('files, trimmed', { kind: 'files' }, MEDIUM_BAND, { ofGreedy: 1 }),
  row('sequential', { kind: 'sequential' }, MEDIUM_BAND, { most: 1 }),
  row('uniform', UNIFORM, LARGE_BAND, { ofGreedy: 1.05 }),
  row('80/20', HOT_80, LARGE_BAND, { ofGreedy: 1.05 }),
  row('90/10', HOT_90, LARGE_BAND, { ofGreedy: 1.05 }),
  row('zipf 1.0', ZIPF_10, LARGE_BAND, { ofGreedy: 1.05 }),
  row('zipf 0.9', ZIPF_09, LARGE_BAND, { ofGreedy: 1.05 }),
  row('uniform', UNIFORM, LARGE_BAND, { ofGreedy: 1.05 }, 0.1),
];

interface Outcome {
  readonly load: string;
  readonly over_provisioning: number;
  readonly bands: number;
  readonly classes: number;
  readonly waf: number;
  readonly goal: number;
  /** Where the goal comes from. */
  readonly from: string;
  readonly pass: boolean;
}

function describeGoal(goal: Goal): string {
  if ('most' in goal) return 'fixed';
  if ('ofTheory' in goal) return `theory × ${goal.ofTheory}`;
  return `greedy × ${goal.ofGreedy}`;
}

function goalOf(goal: Goal, run: Run): number {
  if ('most' in goal) return goal.most;
  if ('ofTheory' in goal) return theoreticalWaf(run.overProvisioning) * goal.ofTheory;
  return measure({ ...run, policy: 'greedy' }) * goal.ofGreedy;
}

function runCase(entry: Case, seed: number, warmUp: number, measured: number): Outcome {
  const { load, bandBlocks, overProvisioning } = entry;
  const geometry: Geometry = { userBlocks: USER_BLOCKS, bandBlocks, overProvisioning };
  const run: Run = { ...geometry, load, policy: 'bandstand', seed, warmUp, measured };
  const { bandCount, placement } = new WafModel(geometry, 'bandstand');
  const waf = measure(run);
  const goal = goalOf(entry.goal, run);
  return {
    load: entry.name,
    over_provisioning: overProvisioning,
    bands: bandCount,
    classes: placement.classCount,
    waf,
    goal,
    from: describeGoal(entry.goal),
    pass: waf <= goal,
  };
}

/** Microseconds for one choice among so many closed bands. */
function choiceUs(bandCount: number): number {
  const valid = Uint32Array.from({ length: bandCount }, (_, band) => 1 + ((band * 7919) % 1000));
  const victims = new Victims(valid, 1024);
  for (let band = 0; band < bandCount; band += 1) victims.closed(band, band);
  const rounds = 2000;
  let sum = 0;
  for (let round = 0; round < rounds / 4; round += 1) sum += victims.choose(bandCount + round);
  const begin = process.hrtime.bigint();
  for (let round = 0; round < rounds; round += 1) sum += victims.choose(bandCount + round);
  const elapsedNs = Number(process.hrtime.bigint() - begin);
  if (sum < 0) throw new Error('a band is chosen');
  return elapsedNs / rounds / 1000;
}

function line(cells: readonly string[]): string {
  const widths = [14, 5, 6, 8, 7, 7, 15, 4];
  const text = cells.map((cell, index) =>
    index === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[index]!),
  );
  return `${text.join('  ')}\n`;
}

export function main(args: readonly string[]): number {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: process.env['BANDSTAND_SEED'] ?? '1' },
      only: { type: 'string', default: '' },
      'warm-up': { type: 'string', default: '6' },
      measured: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
    },
  });
  const seed = Number(values.seed);
  const warmUp = Number(values['warm-up']);
  const measured = Number(values.measured);
  if (!values.json) {
    process.stdout.write(`seed ${seed}; blocks written per block that a user writes\n\n`);
    process.stdout.write(line(['load', 'OP', 'bands', 'classes', 'WAF', 'goal', '', '']));
  }
  const outcomes: Outcome[] = [];
  for (const entry of CASES.filter(({ name }) => name.includes(values.only))) {
    const outcome = runCase(entry, seed, warmUp, measured);
    outcomes.push(outcome);
    if (values.json) continue;
    const { load, over_provisioning, bands, classes, waf, goal, from, pass } = outcome;
    const op = `${Math.round(over_provisioning * 100)} %`;
    const shown = [op, bands, classes, waf.toFixed(3), goal.toFixed(3), from].map(String);
    process.stdout.write(line([load, ...shown, pass ? 'pass' : 'FAIL']));
  }
  const choice = choiceUs(10_000);
  if (values.json) {
    const report = { seed, choice_us_of_10000_bands: choice, outcomes };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } else {
    process.stdout.write(`\none choice among 10000 closed bands: ${choice.toFixed(0)} us\n`);
  }
  return outcomes.every(({ pass }) => pass) ? 0 : 1;
}
