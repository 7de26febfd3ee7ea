/**
 * Defects that the simulator has found, each with the shortest history that showed it.
 */

import test, { type ExecutionContext } from 'ava';
import { configOf, Script } from '../_sim/scenario.ts';
import type { History } from '../_sim/step.ts';
import { PLAIN } from '../_sim/subjects.ts';
import { trySubsets } from '../_sim/subsets.ts';

interface Walk {
  /** Member I/Os at which power was cut: all of the history, from the first on. */
  readonly cuts: number;
  /** Outcomes of these cuts that were tried. */
  readonly outcomes: number;
  /** Most outcomes of one cut. */
  readonly most: number;
}

/** Cuts the power at each member I/O of a history in turn, until it ends before the cut. */
async function cutEverywhere(t: ExecutionContext, history: History): Promise<Walk> {
  let outcomes = 0;
  let most = 0;
  for (let at = 0; ; at += 1) {
    const result = await trySubsets(history, { subject: PLAIN }, at);
    if (!result.cut) return { cuts: at, outcomes, most };
    if (result.violation !== null || result.tried === 0) {
      t.fail(`member I/O ${at}: ${result.violation ?? 'no outcome of the cut was tried'}`);
      return { cuts: at, outcomes, most };
    }
    outcomes += result.tried;
    most = Math.max(most, result.tried);
  }
}

test('a superblock on two sectors survives a power cut in its rewriting', async (t) => {
  const config = configOf({ level: 'raid5f', members: 5, unitBytes: 512 });
  const { steps } = new Script(config).write(0, 1).flush().unplug(4).restart();
  const { cuts, outcomes, most } = await cutEverywhere(t, { seed: 1, config, steps });
  t.true(cuts >= 250, `power was cut at ${cuts} member I/Os`);
  // Two sectors on each of the four that are left, and more that is under way.
  t.is(most, 1024, 'every combination of the sectors of all superblocks was tried');
  t.true(outcomes >= 15_000, `${outcomes} outcomes were tried`);
});
