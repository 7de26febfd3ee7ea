/**
 * The simulator finds what it is there to find: each canary within a few hundred seeds, and the
 * history that shows it can be made short.
 */

import test from 'ava';
import { runCampaign } from '../_sim/campaign.ts';
import { canaryOf, SINS } from '../_sim/canary.ts';
import { generate } from '../_sim/generator.ts';
import { play } from '../_sim/player.ts';
import { historyText } from '../_sim/report.ts';
import { shrink } from '../_sim/shrink.ts';
import { PLAIN } from '../_sim/subjects.ts';

for (const sin of SINS) {
  test.serial(`an array that ${sin} is found`, async (t) => {
    const subject = canaryOf(PLAIN, sin);
    const result = await runCampaign({ subject, firstSeed: 1, count: 500, failuresMax: 1 });
    t.is(result.failures.length, 1, `no history of ${result.seeds} shows it`);
    t.log(`seed ${result.failures[0]!.seed}: ${result.failures[0]!.outcome.violation}`);
  });
}

test.serial('a failing history is made short, and still fails', async (t) => {
  const subject = canaryOf(PLAIN, 'loses a flush');
  const { failures } = await runCampaign({ subject, firstSeed: 1, count: 500, failuresMax: 1 });
  const history = generate(failures[0]!.seed, subject.promises);
  const shrunk = await shrink(history, { subject });
  t.true(shrunk.history.steps.length < history.steps.length / 2);
  const again = await play(shrunk.history, { subject });
  t.is(again.violation, shrunk.outcome.violation);
  t.not(again.violation, null);
  t.is((await play(shrunk.history, { subject: PLAIN })).violation, null);
  t.log(historyText(shrunk.history));
});
