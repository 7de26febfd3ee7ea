/**
 * Defects that the simulator has found, each with the shortest history that showed it.
 */

import test from 'ava';
import { configOf, Script } from '../_sim/scenario.ts';
import { PLAIN } from '../_sim/subjects.ts';
import { trySubsets } from '../_sim/subsets.ts';

test('a superblock on two sectors survives a power cut in its rewriting', async (t) => {
  const config = configOf({ level: 'raid5f', members: 5, unitBytes: 512 });
  const { steps } = new Script(config).write(0, 1).flush().unplug(4).restart();
  for (let at = 0; ; at += 1) {
    const { cut, violation } = await trySubsets({ seed: 1, config, steps }, { subject: PLAIN }, at);
    if (cut && violation === null) continue;
    t.is(violation, null);
    return;
  }
});
