/**
 * A thousand random histories of arrays on every change. `npm run test:sim` plays more of them.
 */

import test from 'ava';
import { playSeed, runCampaign } from '../_sim/campaign.ts';
import { replayCommand } from '../_sim/report.ts';
import { MANAGED, PLAIN } from '../_sim/subjects.ts';

/** A plain array is what is under a managed one, whose histories show the same and more. */
const SEEDS = new Map([
  [PLAIN, 200],
  [MANAGED, 1000],
]);

for (const [subject, count] of SEEDS) {
  test.serial(
    `a ${subject.name} array keeps its promises in ${count} random histories`,
    async (t) => {
      // On a machine with much else to do it takes minutes.
      t.timeout(300_000);
      const firstSeed = Number(process.env['BANDSTAND_SEED'] ?? 1);
      const result = await runCampaign({ subject, firstSeed, count, failuresMax: 1 });
      const failures = result.failures.map(
        ({ seed, outcome }) =>
          `seed ${seed}: ${outcome.violation}\n${replayCommand(subject, seed)}`,
      );
      t.deepEqual(failures, []);
      t.true(result.crashes > count / 2, 'the histories contain crashes');
      t.true(result.ios > count * 100, 'the histories do something');
    },
  );

  test.serial(`a history of a ${subject.name} array is the same each time`, async (t) => {
    for (const seed of [2, 3, 5, 7, 11]) {
      const first = await playSeed(seed, subject);
      const second = await playSeed(seed, subject);
      t.deepEqual(second, first);
      t.not(first.hash, (await playSeed(seed + 100, subject)).hash);
    }
  });
}

test.serial('histories that have shown something keep showing nothing', async (t) => {
  // A member that came while its chunk was computed; a resync, and a record, that trusted what a
  // disk showed.
  const product = [9124, 14278, 33837];
  // What the simulator itself had wrong.
  const own = [
    71, 699, 1984, 2222, 3461, 4236, 4283, 6953, 10859, 12023, 14519, 14583, 16722, 38867, 212625,
    300501,
  ];
  for (const seed of [...product, ...own]) {
    const { violation } = await playSeed(seed, MANAGED);
    t.is(violation, null, replayCommand(MANAGED, seed));
  }
});
