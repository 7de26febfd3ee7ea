/**
 * What the simulator has found, or had wrong itself, each with the history that showed it.
 */

import test, { type ExecutionContext } from 'ava';
import { configOf, SCENARIOS, Script } from '../_sim/scenario.ts';
import type { History } from '../_sim/step.ts';
import { MANAGED, PLAIN } from '../_sim/subjects.ts';
import { trySubsets } from '../_sim/subsets.ts';
import { replayPlace } from '../_sim/sweep.ts';

interface Walk {
  /** Member I/Os at which power was cut: all of the history, from the first on. */
  readonly cuts: number;
  /** Combinations of lost and kept writes, and different outcomes of them. */
  readonly tried: number;
  readonly outcomes: number;
  /** Most combinations of one cut. */
  readonly most: number;
}

/** Cuts the power at each member I/O of a history in turn, until it ends before the cut. */
async function cutEverywhere(t: ExecutionContext, history: History): Promise<Walk> {
  let tried = 0;
  let outcomes = 0;
  let most = 0;
  for (let at = 0; ; at += 1) {
    const result = await trySubsets(history, { subject: PLAIN }, at);
    if (!result.cut) return { cuts: at, tried, outcomes, most };
    if (result.violation !== null || result.tried === 0) {
      t.fail(`member I/O ${at}: ${result.violation ?? 'no outcome of the cut was tried'}`);
      return { cuts: at, tried, outcomes, most };
    }
    tried += result.tried;
    outcomes += result.outcomes;
    most = Math.max(most, result.tried);
  }
}

test('a superblock on two sectors survives a power cut in its rewriting', async (t) => {
  const config = configOf({ level: 'raid5f', members: 5, unitBytes: 512 });
  const { steps } = new Script(config).write(0, 1).flush().unplug(4).restart();
  const { cuts, tried, outcomes, most } = await cutEverywhere(t, { seed: 1, config, steps });
  t.true(cuts >= 250, `power was cut at ${cuts} member I/Os`);
  // Two sectors on each of the four that are left, and more that is under way.
  t.is(most, 1024, 'every combination of the sectors of all superblocks was tried');
  t.true(tried >= 15_000, `${tried} combinations were tried`);
  t.true(outcomes >= 2500, `they had ${outcomes} different outcomes`);
});

test('a member that fails right before a stop may leave in it', async (t) => {
  const name = 'raid1 of 3, 4096 B: one member after another is lost (R6, R10)';
  const scenario = SCENARIOS.find((one) => one.name === name)!;
  // A label on the second member, which has the loss of the first on record by then.
  const { violation } = await replayPlace(scenario, 'fail', 43, MANAGED);
  t.is(violation, null);
});

test('a read that waited for the end of a rebuild asks the member that came', async (t) => {
  const start = 'raid5f of 3, 512 B: a spare takes a place, is stopped half-way';
  const scenario = SCENARIOS.find(({ name }) => name.startsWith(start))!;
  // A read of another member, from which a block of the slot that was out is computed.
  const { violation } = await replayPlace(scenario, 'fail', 295, MANAGED);
  t.is(violation, null);
});
