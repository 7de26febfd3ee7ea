/**
 * The canonical scenarios, each with something happening at one of its member I/Os. All of them
 * are tried by `npm run test:sim -- --scenario '' --places 1000`.
 */

import test from 'ava';
import { replayPlaceCommand } from '../_sim/report.ts';
import { ALL_SCENARIOS, MANAGED, PLAIN, scenariosOf } from '../_sim/subjects.ts';
import { SWEEP_KINDS, sweep } from '../_sim/sweep.ts';

const PLACES = 1;
/** Every outcome of a power cut takes too long here, too. */
const KINDS = SWEEP_KINDS.filter((kind) => kind !== 'subsets');

for (const subject of [PLAIN, MANAGED]) {
  for (const scenario of scenariosOf(subject)) {
    test.serial(`${subject.name}, ${scenario.name}`, async (t) => {
      for (const kind of KINDS) {
        const { failure, places } = await sweep(scenario, kind, { subject, placesMax: PLACES });
        if (failure !== null) {
          const { at, violation } = failure;
          t.log(replayPlaceCommand(subject, scenario.name, kind, at));
          t.fail(`${kind} at member I/O ${at}: ${violation}`);
        } else t.true(places !== null && places > 0, `${kind} happens somewhere`);
      }
    });
  }
}

test('scenarios have names of their own', (t) => {
  t.is(new Set(ALL_SCENARIOS.map(({ name }) => name)).size, ALL_SCENARIOS.length);
});
