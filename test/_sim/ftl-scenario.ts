/**
 * Canonical histories of an FTL, each of which goes through one part of it. Sweeps play them again
 * with something happening at every member I/O.
 */

import { ftlDisks } from './ftl-config.ts';
import type { Scenario } from './scenario.ts';
import type { Config, CrashKind, FtlConfig, LevelName, Step } from './step.ts';

export const SCENARIO_FTL: FtlConfig = {
  unitBytes: 16_384,
  bandUnits: 4,
  overProvisioning: 60,
  pageEntries: 32,
  checkpointUnits: 1000,
  survives: true,
  slotCount: 8,
};

export interface FtlScenarioShape {
  readonly level?: LevelName;
  readonly members?: number;
  readonly bandCount?: number;
  readonly ftl?: Partial<FtlConfig>;
  readonly rest?: Partial<Config>;
}

export function ftlConfigOf({
  level = 'raid0',
  members = 1,
  bandCount = 16,
  ftl,
  rest,
}: FtlScenarioShape): Config {
  const shape = { level, members, stripBytes: 8192, blockBytes: 4096, bandCount };
  return {
    ...ftlDisks({ ...shape, ftl: { ...SCENARIO_FTL, ...ftl } }, 0),
    unitBytes: 512,
    volatileCache: true,
    nativeFua: false,
    trim: 'none',
    latency: { leastUs: 10, mostUs: 60, slowChance: 0 },
    concurrency: 4,
    depth: 32,
    blank: false,
    earlyCuts: [],
    spares: 0,
    cache: null,
    ...rest,
  };
}

function crash(how: CrashKind, ios: number, loses: number | null = null): Step {
  return { do: 'crash', how, ios, loses, again: [] };
}

function write(block: number, count: number, fua = false): Step {
  return { do: 'write', block, count, fua };
}

/** Overwrites a few blocks again and again, with a cold block here and there. */
function churn(rounds: number, flushEvery: number): Step[] {
  const steps: Step[] = [];
  for (let round = 0; round < rounds; round += 1) {
    steps.push(write((round * 7) % 40, 3));
    if (round % 5 === 0) steps.push(write(60 + round, 1));
    if (round % flushEvery === flushEvery - 1) steps.push({ do: 'flush' });
  }
  return steps;
}

function scenario(name: string, steps: readonly Step[], shape: FtlScenarioShape = {}): Scenario {
  return { name, history: { seed: 5, config: ftlConfigOf(shape), steps } };
}

/** Some units fail, and are there in part, while others go on. */
function failing(rounds: number): Step[] {
  const steps: Step[] = [];
  for (let round = 0; round < rounds; round += 1) {
    steps.push({ do: 'fault', disk: 0, kind: 'fail', op: 'write', skip: 0 });
    for (let part = 0; part < 5; part += 1) steps.push(write(round * 3 + part * 12, 3, true));
  }
  return steps;
}

/** Fills everything; then overwrites, and dies before long, in turns. */
function crashing(rounds: number): Step[] {
  const steps: Step[] = [];
  for (let block = 0; block < 300; block += 12) steps.push(write(block, 12));
  for (let round = 0; round < rounds; round += 1) {
    const how = round % 3 === 0 ? 'power' : 'kill';
    steps.push(crash(how, 5 + 7 * (round % 4)));
    for (let part = 0; part < 9; part += 1) {
      steps.push(write((round * 53 + part * 31) % 290, 2, part === 4));
    }
  }
  return steps;
}

/** Cold blocks, some of them trimmed; then others are overwritten until bands come round. */
function trimming(rounds: number): Step[] {
  const steps: Step[] = [write(0, 60), { do: 'flush' }];
  steps.push({ do: 'trim', block: 7, count: 3, fua: false }, write(100, 2, true));
  for (let round = 0; round < rounds; round += 1) {
    steps.push(write(70 + ((round * 7) % 30), 3, round % 4 === 0));
  }
  steps.push({ do: 'flush' }, { do: 'drain' });
  return [...steps, crash('power', 1), write(70, 1)];
}

/**
 * Disks go with a crash, or fail a flush in the start that follows it, and come back: then the
 * first one, from which mirrors are read that may differ.
 */
function losing(rounds: number): Step[] {
  const steps: Step[] = [write(0, 40)];
  for (let round = 0; round < rounds; round += 1) {
    const atOnce = round % 3 === 0;
    const disk = atOnce ? round % 2 : 0;
    const skip = 3 + (round % 4);
    if (!atOnce) steps.push({ do: 'fault', disk, kind: 'fail', op: 'flush', skip });
    steps.push(crash(round % 2 === 0 ? 'power' : 'kill', 2 + round, atOnce ? disk : null));
    for (let part = 0; part < 8; part += 1) steps.push(write((round * 7 + part * 9) % 60, 5));
    steps.push({ do: 'verify' }, { do: 'plug', disk }, write(round, 4), { do: 'restart' });
    steps.push({ do: 'member', what: 'remove', slot: disk, disk: 0 });
    steps.push({ do: 'member', what: 'add', slot: disk, disk: 0 });
    steps.push({ do: 'wait', us: 10_000_000 });
  }
  return steps;
}

function rebuilding(): Step[] {
  const slot = 1;
  return [
    ...churn(20, 7),
    { do: 'member', what: 'fail', slot, disk: 0 },
    { do: 'member', what: 'remove', slot, disk: 0 },
    ...churn(10, 7),
    { do: 'member', what: 'add', slot, disk: 1 },
    ...churn(30, 9),
    { do: 'wait', us: 10_000_000 },
    { do: 'unplug', disk: 0, power: true },
    ...churn(10, 4),
    { do: 'verify' },
  ];
}

/** Each disk grows by so many bands. */
function grown(members: number, bands: number): Step[] {
  const blocks = (bands * SCENARIO_FTL.bandUnits * SCENARIO_FTL.unitBytes) / 4096;
  return Array.from({ length: members }, (_, disk) => ({ do: 'grow', disk, blocks }));
}

function growing(members: number): Step[] {
  return [
    ...churn(20, 6),
    ...grown(members, 5),
    ...churn(5, 3),
    RESTART,
    write(100, 24),
    write(124, 24, true),
    ...churn(20, 7),
    ...grown(members, 6),
    crash('kill', 1),
    ...churn(40, 9),
    write(140, 20),
    FLUSH,
    DRAIN,
  ];
}

const FLUSH: Step = { do: 'flush' };
const RESTART: Step = { do: 'restart' };
const KILL = crash('kill', 1);
const POWER = crash('power', 1);
const DRAIN: Step = { do: 'drain' };

export const FTL_SCENARIOS: readonly Scenario[] = [
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
  scenario('F5 checkpoints while writing', churn(40, 6), {
    ftl: { checkpointUnits: 4 },
  }),
  scenario('F6 clean restarts', [...churn(9, 4), RESTART, write(3, 3), RESTART, ...churn(9, 4)]),
  scenario('F7 a start with a write buffer', [write(0, 30), KILL, write(8, 1), FLUSH, write(1, 9)]),
  scenario('F8 a start after a power cut', [write(0, 30), FLUSH, write(2, 9), POWER, write(1, 9)]),
  scenario('F9 no write buffer that survives', [...churn(20, 5), DRAIN], {
    ftl: { survives: false },
  }),
  scenario('F10 a flush that fails, and another one', [
    write(0, 20),
    FLUSH,
    { do: 'fault', disk: 0, kind: 'fail', op: 'flush', skip: 0 },
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
    ftl: { survives: false },
    rest: { concurrency: 8, latency: { leastUs: 10, mostUs: 200, slowChance: 0.1 } },
  }),
  scenario('F12 a full device, crash after crash', crashing(12), {
    bandCount: 20,
    ftl: { overProvisioning: 20, checkpointUnits: 20 },
  }),
  scenario('F13 trims of blocks that lie still, while bands are reused', trimming(60)),
  scenario('F14 over raid5f', [...churn(20, 5), FLUSH, RESTART, write(9, 9)], {
    level: 'raid5f',
    members: 3,
  }),
  scenario('F15 mirrors: one is lost with the power, and one after a kill', losing(6), {
    level: 'raid1',
    members: 3,
    ftl: { survives: false },
  }),
  scenario('F16 parity: a member is lost with the power, and after a kill', losing(6), {
    level: 'raid5f',
    members: 3,
  }),
  scenario('F17 a member is rebuilt while bands are moved', rebuilding(), {
    level: 'raid5f',
    members: 3,
    rest: { spares: 1 },
  }),
  scenario('F18 a device grows, is filled, and grows again after a kill', growing(1)),
  scenario('F19 mirrors grow, and one is lost afterwards', [...growing(2), ...losing(2)], {
    level: 'raid1',
    members: 2,
  }),
];
