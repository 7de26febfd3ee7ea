/**
 * Histories of an FTL that have shown something once. The generator decides what a seed means: who
 * changes it, plays the defects of these seeds again and lists others.
 */

import test from 'ava';
import { generateFtl } from '../_sim/ftl-generator.ts';
import { playFtl } from '../_sim/ftl-player.ts';

const KNOWN: readonly (readonly [seed: number, what: string])[] = [
  [21517, 'a unit that failed and moved was played over a checkpoint that knew better'],
  [21695, 'a flush was trusted that was under way beside one that failed'],
];

for (const [seed, what] of KNOWN) {
  test.serial(`seed ${seed} shows nothing any more: ${what}`, async (t) => {
    const { violation } = await playFtl(generateFtl(seed));
    t.is(violation, null, `replay with npm run test:sim:ftl -- --seed ${seed} --verbose`);
  });
}
