import test from 'ava';
import { Random } from '../_helpers/array-fixture.ts';
import { SurvivalModel, type Tally } from '../_helpers/survival-model.ts';

const SEEDS = 40;
const RUNS = 40;

test('after any losses, rebuilds and crashes only what is complete is trusted', async (t) => {
  const tally: Tally = {
    starts: 0,
    crashes: 0,
    refused: 0,
    apart: 0,
    deltas: 0,
    resumed: 0,
    promoted: 0,
    recycled: 0,
  };
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const model = new SurvivalModel(new Random(seed), tally);
    await model.create();
    for (let run = 0; run < RUNS; run += 1) {
      try {
        if (!(await model.run())) break;
      } catch (error) {
        throw new Error(`seed ${seed}, run ${run}: ${String(error)}`, { cause: error });
      }
    }
  }
  t.log(JSON.stringify(tally));
  t.true(tally.crashes > 100, 'crashes happen');
  t.true(tally.deltas > 100, 'members return by delta');
  t.true(tally.resumed > 50, 'rebuilds go on');
  t.true(tally.promoted > 50, 'rebuilds end');
  t.true(tally.apart > 0, 'halves go on apart');
});
