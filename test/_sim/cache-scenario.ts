/**
 * Canonical histories of an NV cache in front of an FTL, each of which goes through one part of it.
 * Sweeps play them again with something happening at every I/O of a member or of the cache.
 *
 * The ring is the smallest that there is, and has 514 blocks; the FTL has about 150.
 */

import { CACHE_BLOCK_BYTES } from '../../src/nv-cache/cache-format.ts';
import { CACHE_BLOCKS_LEAST } from '../../src/nv-cache/cache-header.ts';
import { type FtlScenarioShape, ftlConfigOf } from './ftl-scenario.ts';
import type { Scenario } from './scenario.ts';
import type { CacheConfig, Crash, CrashKind, Step } from './step.ts';

export const CACHE_SCENARIO: CacheConfig = {
  bytes: CACHE_BLOCKS_LEAST * CACHE_BLOCK_BYTES,
  blockBytes: 512,
  unitBytes: 512,
  volatileCache: true,
  nativeFua: false,
  highMark: 0.5,
  lowMark: 0.3,
  drainBlocks: 128,
  halves: [],
};
/** Nothing is drained before there is no room left. */
const LAZY = { highMark: 1, lowMark: 1 } as const;
const EAGER = { highMark: 0.02, lowMark: 0 } as const;

interface Shape extends FtlScenarioShape {
  readonly cache?: Partial<CacheConfig>;
}

const FLUSH: Step = { do: 'flush' };
const DRAIN: Step = { do: 'drain' };
const RESTART: Step = { do: 'restart' };
const DETACH: Step = { do: 'cache', what: 'detach' };
const ATTACH: Step = { do: 'cache', what: 'attach' };
const EMPTY: Step = { do: 'cache', what: 'drain' };

export function cacheScenario(name: string, steps: readonly Step[], shape: Shape = {}): Scenario {
  const config = ftlConfigOf({ ...shape, ftl: { survives: false, ...shape.ftl } });
  return {
    name,
    history: {
      seed: 5,
      config: { ...config, cache: { ...CACHE_SCENARIO, ...shape.cache } },
      steps,
    },
  };
}

function write(block: number, count: number, fua = false): Step {
  return { do: 'write', block, count, fua };
}

function trim(block: number, count: number): Step {
  return { do: 'trim', block, count, fua: false };
}

function crash(how: CrashKind, ios: number, again: readonly Crash[] = []): Step {
  return { do: 'crash', how, ios, loses: null, again };
}

/** Overwrites some blocks in pieces of `count`, with a flush now and then. */
export function churn(rounds: number, count: number, flushEvery: number): Step[] {
  const steps: Step[] = [];
  for (let round = 0; round < rounds; round += 1) {
    steps.push(write((round * 17) % 90, count));
    if (round % flushEvery === flushEvery - 1) steps.push(FLUSH);
  }
  return steps;
}

/** The same with trims between, of what is in the ring and of what has left it. */
function trimming(rounds: number): Step[] {
  const steps: Step[] = [];
  for (let round = 0; round < rounds; round += 1) {
    steps.push(write((round * 23) % 90, 30));
    if (round % 2 === 0) steps.push(trim((round * 31) % 100, 12), write((round * 31) % 100, 3));
    if (round % 5 === 4) steps.push(FLUSH);
  }
  return steps;
}

/** Dies again and again, also in the starts that follow. */
function crashing(rounds: number): Step[] {
  const steps: Step[] = churn(10, 40, 4);
  for (let round = 0; round < rounds; round += 1) {
    const how = round % 2 === 0 ? 'power' : 'kill';
    const again: Crash[] = [
      { how: 'power', ios: 2 + 5 * round, loses: null },
      { how: 'kill', ios: 40 + round, loses: null },
    ];
    steps.push(crash(how, 2 + round, again), ...churn(3, 30, 2), trim(round * 9, 5));
  }
  return steps;
}

/** Members leave, return and are filled again while the ring goes round. */
function losing(): Step[] {
  const slot = 1;
  return [
    ...churn(10, 40, 4),
    { do: 'member', what: 'fail', slot, disk: 0 },
    ...churn(10, 40, 4),
    { do: 'member', what: 'remove', slot, disk: 0 },
    { do: 'member', what: 'add', slot, disk: 1 },
    ...churn(10, 40, 4),
    { do: 'wait', us: 10_000_000 },
    { do: 'unplug', disk: 0, power: true },
    ...churn(8, 40, 3),
    { do: 'verify' },
  ];
}

/** Blocks of a full ring cannot be read; they are written again, or trimmed, and some are not. */
function spoiling(): Step[] {
  return [
    ...churn(8, 40, 4),
    // Blocks 95 to 99.
    { do: 'cache-latent', block: 218, count: 5 },
    ...churn(4, 40, 4),
    { do: 'verify' },
    EMPTY,
    write(95, 3),
    trim(98, 1),
    { do: 'verify' },
    RESTART,
    { do: 'verify' },
    write(40, 70),
    RESTART,
    ...churn(4, 40, 2),
  ];
}

export const CACHE_SCENARIOS: readonly Scenario[] = [
  cacheScenario('C1 twice round the ring', churn(22, 60, 5)),
  cacheScenario(
    'C2 overwriting what is being drained',
    [...churn(40, 9, 7), EMPTY, ...churn(9, 9, 4)],
    {
      cache: EAGER,
    },
  ),
  cacheScenario(
    'C3 trims in the ring',
    [...trimming(22), EMPTY, trim(0, 60), RESTART, write(3, 9)],
    {
      cache: { highMark: 0.3, lowMark: 0.1 },
    },
  ),
  cacheScenario(
    'C4 clean restarts with a full ring',
    [...churn(12, 50, 4), RESTART, ...churn(6, 50, 3), RESTART, write(9, 40), RESTART],
    { cache: LAZY },
  ),
  cacheScenario('C5 crash after crash, in starts too', crashing(6)),
  cacheScenario('C6 a full ring, and a unit that does not fill up', churn(40, 22, 9).slice(0, 44), {
    cache: LAZY,
    ftl: { unitBytes: 65_536, bandUnits: 4 },
    bandCount: 16,
  }),
  cacheScenario(
    'C7 a cache that loses nothing',
    [...churn(14, 50, 30), crash('power', 3), write(0, 9)],
    {
      cache: { volatileCache: false },
    },
  ),
  cacheScenario(
    'C8 FUA',
    [...Array.from({ length: 30 }, (_, at) => write(at * 3, 20, at % 2 === 0))],
    {
      cache: { blockBytes: 4096 },
    },
  ),
  cacheScenario('C9 long writes, and many in one record', [
    ...churn(6, 100, 2),
    ...churn(50, 1, 11),
    crash('kill', 2),
    ...churn(6, 100, 4),
  ]),
  cacheScenario('C10 a cache is taken away, and comes back', [
    ...churn(12, 40, 5),
    trim(10, 20),
    DETACH,
    ...churn(4, 9, 2),
    RESTART,
    ...churn(4, 9, 2),
    ATTACH,
    write(0, 12),
    RESTART,
    ...churn(4, 40, 2),
  ]),
  cacheScenario('C11 everything is created', [...churn(4, 30, 2), RESTART, write(9, 9)], {
    rest: { blank: true },
  }),
  cacheScenario('C12 parity: a member is rebuilt while the ring goes round', losing(), {
    level: 'raid5f',
    members: 3,
    rest: { spares: 1 },
  }),
  cacheScenario(
    'C13 a write buffer that survives',
    [...churn(14, 40, 5), crash('kill', 3), ...churn(9, 40, 3)],
    {
      ftl: { survives: true },
    },
  ),
  cacheScenario(
    'C14 everything that was answered, at the end',
    [...churn(20, 40, 9), DRAIN, crash('kill', 1), write(0, 1)],
    {
      cache: { highMark: 0.2, lowMark: 0.1 },
    },
  ),
  cacheScenario('C15 blocks of the ring cannot be read', spoiling(), { cache: LAZY }),
  cacheScenario('C16 the disk of the cache is lost, and is there again', [
    ...churn(8, 40, 4),
    { do: 'cache-unplug' },
    ...churn(4, 20, 2),
    { do: 'verify' },
    RESTART,
    ...churn(4, 20, 2),
  ]),
  cacheScenario('C17 a flush of the cache fails', [
    ...churn(5, 40, 9),
    { do: 'cache-fault', op: 'flush', skip: 0 },
    ...churn(5, 40, 2),
    FLUSH,
    RESTART,
    ...churn(5, 40, 2),
  ]),
  cacheScenario('C18 writes of the cache fail', [
    ...churn(5, 40, 9),
    { do: 'cache-fault', op: 'write', skip: 0 },
    ...churn(5, 40, 2),
    { do: 'cache-fault', op: 'write', skip: 0 },
    { do: 'cache-fault', op: 'write', skip: 0 },
    ...churn(5, 40, 2),
    RESTART,
    ...churn(5, 40, 2),
  ]),
  cacheScenario(
    'C22 the newest record cannot be read after a crash',
    [
      write(0, 20),
      DRAIN,
      write(20, 20),
      DRAIN,
      { do: 'cache-latent', block: 23, count: 1 },
      crash('kill', 1),
      { do: 'read', block: 0, count: 1 },
      DRAIN,
      { do: 'read', block: 0, count: 1 },
      DRAIN,
      write(60, 5),
    ],
    { cache: { ...LAZY, volatileCache: false } },
  ),
];
