/**
 * An NV cache in front of an FTL on simulated disks, on every change: some random histories, and a
 * few places of each scenario. `npm run test:sim:cache` plays more of them.
 */

import test from 'ava';
import { playSeed, runCampaign } from '../_sim/campaign.ts';
import { replayCommand, replayPlaceCommand } from '../_sim/report.ts';
import { CACHED, scenariosOf } from '../_sim/subjects.ts';
import { sweep } from '../_sim/sweep.ts';

const SEEDS = 10;
/** Of these the first steps only, with a crash each on average. */
const SHORT_SEEDS = 1000;
const SHORT_STEPS = 32;
const PLACES = 1;
/** A write that is torn, and every outcome of a power cut, are in `npm run test:sim:cache`. */
const KINDS = ['fail', 'power', 'kill'] as const;

test.serial(`an NV cache keeps its promises in ${SEEDS} random histories`, async (t) => {
  // On a machine with much else to do it takes minutes.
  t.timeout(600_000);
  const firstSeed = Number(process.env['BANDSTAND_SEED'] ?? 1);
  const result = await runCampaign({ subject: CACHED, firstSeed, count: SEEDS, failuresMax: 1 });
  const failures = result.failures.map(
    ({ seed, outcome }) => `seed ${seed}: ${outcome.violation}\n${replayCommand(CACHED, seed)}`,
  );
  t.deepEqual(failures, []);
  t.true(result.crashes > SEEDS, 'the histories contain crashes');
  t.true(result.ios > SEEDS * 200, 'the histories do something');
});

test.serial(`an NV cache keeps its promises in ${SHORT_SEEDS} short histories`, async (t) => {
  t.timeout(600_000);
  const firstSeed = Number(process.env['BANDSTAND_SEED'] ?? 1);
  const result = await runCampaign({
    subject: CACHED,
    firstSeed,
    count: SHORT_SEEDS,
    stepsMax: SHORT_STEPS,
    failuresMax: 1,
  });
  const failures = result.failures.map(({ seed, outcome }) => {
    return `seed ${seed}: ${outcome.violation}\n${replayCommand(CACHED, seed, SHORT_STEPS)}`;
  });
  t.deepEqual(failures, []);
  t.true(result.crashes > SHORT_SEEDS / 2, 'the histories contain crashes');
  t.true(result.ios > SHORT_SEEDS * 200, 'the histories do something');
});

test.serial('a history of an NV cache is the same each time', async (t) => {
  const first = await playSeed(12, CACHED);
  t.deepEqual(await playSeed(12, CACHED), first);
  t.not(first.hash, (await playSeed(15, CACHED)).hash);
});

for (const scenario of scenariosOf(CACHED)) {
  test.serial(`something happens at I/Os of ${scenario.name}`, async (t) => {
    t.timeout(300_000);
    for (const kind of KINDS) {
      const { failure, places } = await sweep(scenario, kind, {
        subject: CACHED,
        placesMax: PLACES,
      });
      if (failure !== null) {
        const { at, violation } = failure;
        t.log(replayPlaceCommand(CACHED, scenario.name, kind, at));
        t.fail(`${kind} at I/O ${at}: ${violation}`);
      } else t.true(places !== null && places > 0, `${kind} happens somewhere`);
    }
  });
}
