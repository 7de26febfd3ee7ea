/**
 * Random histories of an FTL on simulated disks, on every change.
 */

import test from 'ava';
import { generateFtl } from '../_sim/ftl-generator.ts';
import { playFtl } from '../_sim/ftl-player.ts';
import { FTL_SCENARIOS } from '../_sim/ftl-scenario.ts';
import { FTL_SWEEPS, sweepFtl } from '../_sim/ftl-sweep.ts';

const SEEDS = 120;

test.serial(`an FTL keeps its promises in ${SEEDS} random histories`, async (t) => {
  t.timeout(110_000);
  const first = Number(process.env['BANDSTAND_SEED'] ?? 1);
  let ios = 0;
  let crashes = 0;
  for (let seed = first; seed < first + SEEDS; seed += 1) {
    const outcome = await playFtl(generateFtl(seed));
    ios += outcome.ios;
    crashes += outcome.crashes;
    if (outcome.violation !== null) {
      t.fail(`npm run test:sim:ftl -- --seed ${seed} --verbose: ${outcome.violation}`);
      return;
    }
  }
  t.true(crashes > SEEDS, 'the histories contain crashes');
  t.true(ios > SEEDS * 100, 'the histories do something');
});

test.serial('a history of an FTL is the same each time', async (t) => {
  for (const seed of [2, 3, 5, 7]) {
    const first = await playFtl(generateFtl(seed));
    t.deepEqual(await playFtl(generateFtl(seed)), first);
    t.not(first.hash, (await playFtl(generateFtl(seed + 100))).hash);
  }
});

const PLACES = 6;

for (const scenario of FTL_SCENARIOS) {
  test.serial(`something happens at member I/Os of ${scenario.name}`, async (t) => {
    for (const kind of FTL_SWEEPS) {
      const { failure, places } = await sweepFtl(scenario, kind, PLACES);
      if (failure !== null) t.fail(`${kind} at member I/O ${failure.at}: ${failure.violation}`);
      else t.true(places > 0, `${kind} happens somewhere`);
    }
  });
}
