/**
 * `npm run test:sim:ftl [-- OPTIONS]`: log-structured devices on simulated disks, from seeds.
 *
 *   --seeds N        random histories; default 20 000, or BANDSTAND_SIM_SEEDS
 *   --seed S         the first seed, default 1; without --seeds only that one is played
 *   --seconds N      no new history after so long; default 240, or BANDSTAND_SIM_SECONDS
 *   --scenario TEXT  instead of random histories, sweeps over the scenarios with TEXT in their name
 *   --places N       member I/Os of each scenario at which something happens; default 8
 *   --first-failure  stops at the first failure
 *   --verbose        prints what happens, operation by operation
 *
 * One process. Failures come with the command that replays them. The last line counts.
 */

import { parseArgs } from 'node:util';
import { generateFtl } from '../test/_sim/ftl-generator.ts';
import { playFtl } from '../test/_sim/ftl-player.ts';
import { FTL_SCENARIOS } from '../test/_sim/ftl-scenario.ts';
import { FTL_SWEEPS, sweepFtl } from '../test/_sim/ftl-sweep.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    seconds: { type: 'string', default: process.env.BANDSTAND_SIM_SECONDS ?? '240' },
    scenario: { type: 'string' },
    places: { type: 'string', default: '8' },
    'first-failure': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const end = Date.now() + 1000 * Number(values.seconds);
const failuresMax = values['first-failure'] ? 1 : 5;
let passed = 0;
let failed = 0;

function fail(title, violation, replay) {
  failed += 1;
  console.log(`✘ ${title}\n  ${violation.split('\n')[0]}\n  replay: ${replay}`);
}

async function playSeeds(first, count) {
  for (let seed = first; seed < first + count; seed += 1) {
    if (Date.now() > end || failed >= failuresMax) return;
    const { violation, lines } = await playFtl(generateFtl(seed), { verbose: values.verbose });
    if (values.verbose) console.log(lines.join('\n'));
    if (violation === null) passed += 1;
    else fail(`seed ${seed}`, violation, `npm run test:sim:ftl -- --seed ${seed} --verbose`);
  }
}

async function sweepScenarios(text, places) {
  for (const scenario of FTL_SCENARIOS.filter(({ name }) => name.includes(text))) {
    for (const kind of FTL_SWEEPS) {
      if (Date.now() > end || failed >= failuresMax) return;
      const { failure } = await sweepFtl(scenario, kind, places);
      const replay = `npm run test:sim:ftl -- --scenario '${scenario.name}' --places ${places}`;
      if (failure === null) passed += 1;
      else fail(`${scenario.name}: ${kind} at ${failure.at}`, failure.violation, replay);
    }
  }
}

if (values.scenario !== undefined) {
  await sweepScenarios(values.scenario, Number(values.places));
} else {
  const only = values.seed === undefined ? (process.env.BANDSTAND_SIM_SEEDS ?? '20000') : '1';
  await playSeeds(Number(values.seed ?? 1), Number(values.seeds ?? only));
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed === 0 ? 0 : 1;
