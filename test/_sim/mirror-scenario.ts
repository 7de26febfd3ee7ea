/**
 * Canonical histories of an NV cache on a mirror of two disks: sweeps play them again with
 * something happening at every I/O, also at those of the halves.
 */

import { CACHE_SCENARIO, cacheScenario, churn } from './cache-scenario.ts';
import type { Scenario } from './scenario.ts';
import type { HalfConfig, Step } from './step.ts';

const HALF: HalfConfig = { unitBytes: 512, volatileCache: true, nativeFua: false };
const ON_MIRROR = { ...CACHE_SCENARIO, blockBytes: 4096, halves: [HALF, HALF] };
const WAIT: Step = { do: 'wait', us: 1_000_000 };

function half(what: Extract<Step, { do: 'half' }>['what'], slot: number): Step {
  return { do: 'half', what, slot, disk: 0 };
}

/** It misses some writes, comes back, and is given those. */
function returning(slot: number): Step[] {
  return [
    half('fail', slot),
    ...churn(3, 20, 2),
    half('remove', slot),
    half('add', slot),
    WAIT,
    ...churn(2, 20, 1),
  ];
}

export const MIRROR_SCENARIOS: readonly Scenario[] = [
  cacheScenario(
    'C19 a mirror: halves leave and return',
    [...churn(3, 30, 2), WAIT, ...returning(0), ...returning(1)],
    { cache: ON_MIRROR },
  ),
  cacheScenario(
    'C20 a mirror: a crash leaves its halves different, and one is lost',
    [
      ...churn(4, 30, 3),
      { do: 'crash', how: 'power', ios: 3, loses: null, again: [] },
      ...churn(3, 20, 2),
      { do: 'half-unplug', slot: 0, power: false },
      ...churn(3, 20, 2),
      { do: 'half-plug', slot: 0 },
      { do: 'restart' },
      half('add', 0),
      WAIT,
    ],
    { cache: ON_MIRROR },
  ),
  cacheScenario(
    'C21 a mirror is taken away, and there is another one',
    [
      ...churn(3, 30, 2),
      { do: 'cache', what: 'detach' },
      ...churn(2, 9, 2),
      { do: 'cache', what: 'attach' },
      ...churn(3, 20, 2),
    ],
    { cache: ON_MIRROR },
  ),
];
