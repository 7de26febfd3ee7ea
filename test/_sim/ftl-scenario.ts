/**
 * Canonical histories of an FTL, each of which goes through one part of it. Sweeps play them again
 * with something happening at every member I/O.
 */

import type { FtlConfig, FtlHistory, FtlStep } from './ftl-step.ts';

const CONFIG: FtlConfig = {
  base: 'disk',
  blockBytes: 4096,
  unitBytes: 16384,
  bandUnits: 4,
  bandCount: 16,
  overProvisioning: 60,
  pageEntries: 32,
  checkpointUnits: 1000,
  survives: true,
  slotCount: 8,
  atomicBytes: 512,
  volatileCache: true,
  latency: { leastUs: 10, mostUs: 60, slowChance: 0 },
  concurrency: 4,
};

export interface FtlScenario {
  readonly name: string;
  readonly history: FtlHistory;
}

function write(block: number, count: number, fua = false): FtlStep {
  return { do: 'write', block, count, fua };
}

/** Overwrites a few blocks again and again, with a cold block here and there. */
function churn(rounds: number, flushEvery: number): FtlStep[] {
  const steps: FtlStep[] = [];
  for (let round = 0; round < rounds; round += 1) {
    steps.push(write((round * 7) % 40, 3));
    if (round % 5 === 0) steps.push(write(60 + round, 1));
    if (round % flushEvery === flushEvery - 1) steps.push({ do: 'flush' });
  }
  return steps;
}

function scenario(
  name: string,
  steps: readonly FtlStep[],
  config: Partial<FtlConfig> = {},
): FtlScenario {
  return { name, history: { seed: 5, config: { ...CONFIG, ...config }, steps } };
}

/** Some units fail, and are there in part, while others go on. */
function failing(rounds: number): FtlStep[] {
  const steps: FtlStep[] = [];
  for (let round = 0; round < rounds; round += 1) {
    steps.push({ do: 'fail-write', disk: 0, skip: 0 });
    for (let part = 0; part < 5; part += 1) steps.push(write(round * 3 + part * 12, 3, true));
  }
  return steps;
}

/** Fills everything; then overwrites, and dies before long, in turns. */
function crashing(rounds: number): FtlStep[] {
  const steps: FtlStep[] = [];
  for (let block = 0; block < 300; block += 12) steps.push(write(block, 12));
  for (let round = 0; round < rounds; round += 1) {
    const how = round % 3 === 0 ? 'power' : 'kill';
    steps.push({ do: 'crash', how, ios: 5 + 7 * (round % 4), again: [] });
    for (let part = 0; part < 9; part += 1) {
      steps.push(write((round * 53 + part * 31) % 290, 2, part === 4));
    }
  }
  return steps;
}

/** Cold blocks, some of them trimmed; then others are overwritten until bands come round. */
function trimming(rounds: number): FtlStep[] {
  const steps: FtlStep[] = [write(0, 60), { do: 'flush' }];
  steps.push({ do: 'trim', block: 7, count: 3, fua: false }, write(100, 2, true));
  for (let round = 0; round < rounds; round += 1) {
    steps.push(write(70 + ((round * 7) % 30), 3, round % 4 === 0));
  }
  steps.push({ do: 'flush' }, { do: 'drain' });
  return [...steps, { do: 'crash', how: 'power', ios: 1, again: [] }, write(70, 1)];
}

const FLUSH: FtlStep = { do: 'flush' };
const RESTART: FtlStep = { do: 'restart' };
const KILL: FtlStep = { do: 'crash', how: 'kill', ios: 1, again: [] };
const POWER: FtlStep = { do: 'crash', how: 'power', ios: 1, again: [] };
const DRAIN: FtlStep = { do: 'drain' };

export const FTL_SCENARIOS: readonly FtlScenario[] = [
  scenario('F1 writes, a flush, and overwriting', [
    write(0, 24),
    FLUSH,
    write(4, 9, true),
    write(0, 2),
    DRAIN,
    FLUSH,
  ]),
  scenario('F2 trims and write-zeroes between writes', [
    write(0, 24),
    FLUSH,
    { do: 'trim', block: 3, count: 9, fua: false },
    write(5, 1),
    FLUSH,
    { do: 'zeroes', block: 0, count: 20, fua: true },
    write(2, 3),
    { do: 'trim', block: 0, count: 100, fua: false },
    FLUSH,
    write(7, 2),
  ]),
  scenario('F3 relocation under way, bands reused', [...churn(70, 9), DRAIN, FLUSH]),
  scenario('F4 relocation of bands with trims, which need checkpoints', [
    ...churn(30, 7),
    { do: 'trim', block: 0, count: 25, fua: false },
    ...churn(40, 11),
    DRAIN,
  ]),
  scenario('F5 checkpoints while writing', churn(40, 6), { checkpointUnits: 4 }),
  scenario('F6 clean restarts', [...churn(9, 4), RESTART, write(3, 3), RESTART, ...churn(9, 4)]),
  scenario('F7 a start with a write buffer', [write(0, 30), KILL, write(8, 1), FLUSH, write(1, 9)]),
  scenario('F8 a start after a power cut', [write(0, 30), FLUSH, write(2, 9), POWER, write(1, 9)]),
  scenario('F9 no write buffer that survives', [...churn(20, 5), DRAIN], { survives: false }),
  scenario('F10 a flush that fails, and another one', [
    write(0, 20),
    FLUSH,
    { do: 'fail-flush', disk: 0, skip: 0 },
    write(0, 20),
    DRAIN,
    FLUSH,
    write(3, 1),
    DRAIN,
    FLUSH,
    DRAIN,
    POWER,
    write(4, 1),
    FLUSH,
    DRAIN,
  ]),
  scenario('F11 units that fail and are there in part', failing(4), {
    survives: false,
    concurrency: 8,
    latency: { leastUs: 10, mostUs: 200, slowChance: 0.1 },
  }),
  scenario('F12 a full device, crash after crash', crashing(12), {
    overProvisioning: 20,
    bandCount: 20,
    checkpointUnits: 20,
  }),
  scenario('F13 trims of blocks that lie still, while bands are reused', trimming(60)),
  scenario('F14 over raid5f', [...churn(20, 5), FLUSH, RESTART, write(9, 9)], { base: 'raid5f' }),
];
