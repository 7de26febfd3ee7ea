/**
 * An FTL over a managed array on simulated disks, on every change: a thousand random histories, and
 * a place of each scenario. `npm run test:sim:ftl` plays more of them.
 */

import test from 'ava';
import { playSeed, runCampaign } from '../_sim/campaign.ts';
import { replayCommand, replayPlaceCommand } from '../_sim/report.ts';
import { STACK, scenariosOf } from '../_sim/subjects.ts';
import { SWEEP_KINDS, sweep } from '../_sim/sweep.ts';

const SEEDS = 1000;
const PLACES = 1;

test.serial(`an FTL keeps its promises in ${SEEDS} random histories`, async (t) => {
  // On a machine with much else to do it takes minutes.
  t.timeout(600_000);
  const firstSeed = Number(process.env['BANDSTAND_SEED'] ?? 1);
  const result = await runCampaign({ subject: STACK, firstSeed, count: SEEDS, failuresMax: 1 });
  const failures = result.failures.map(
    ({ seed, outcome }) => `seed ${seed}: ${outcome.violation}\n${replayCommand(STACK, seed)}`,
  );
  t.deepEqual(failures, []);
  t.true(result.crashes > SEEDS, 'the histories contain crashes');
  t.true(result.ios > SEEDS * 200, 'the histories do something');
});

test.serial('a history of an FTL is the same each time', async (t) => {
  for (const seed of [2, 3, 5, 7]) {
    const first = await playSeed(seed, STACK);
    t.deepEqual(await playSeed(seed, STACK), first);
    t.not(first.hash, (await playSeed(seed + 100, STACK)).hash);
  }
});

for (const scenario of scenariosOf(STACK)) {
  test.serial(`something happens at member I/Os of ${scenario.name}`, async (t) => {
    // Every outcome of a power cut takes too long here: `npm run test:sim:ftl` has them.
    for (const kind of SWEEP_KINDS.filter((one) => one !== 'subsets')) {
      const { failure, places } = await sweep(scenario, kind, {
        subject: STACK,
        placesMax: PLACES,
      });
      if (failure !== null) {
        const { at, violation } = failure;
        t.log(replayPlaceCommand(STACK, scenario.name, kind, at));
        t.fail(`${kind} at member I/O ${at}: ${violation}`);
      } else t.true(places !== null && places > 0, `${kind} happens somewhere`);
    }
  });
}
