/**
 * Histories of an NV cache that have shown something once. The generator decides what a seed means:
 * who changes it, plays the defects of these seeds again and lists others.
 */

import test from 'ava';
import { playSeed } from '../_sim/campaign.ts';
import { replayCommand } from '../_sim/report.ts';
import { CACHED } from '../_sim/subjects.ts';

const KNOWN: readonly (readonly [seed: number, what: string])[] = [
  [336, 'a torn record counted as damaged, because an older one had been where it lies'],
  [500_233, 'two headers were written at once when half of a mirror was lost'],
  [503_022, 'the newest records were gone, because the first of them could not be read'],
  [
    505_144,
    'a detach waited for ever for a header that was written when half of a mirror was lost',
  ],
  [500_388, 'an array was small again whose FTL had grown into what a failed flush had lost'],
  [900_426, 'a write to the cache that had failed gave data of an earlier lap after a stop'],
  [900_712, 'the simulator expected a check while a spare took the place of a member'],
  [901_619, 'the FTL named a cache again that was detached just when half of its mirror was lost'],
  [913_141, 'the simulator blamed a check for blocks that a member could not read before it left'],
  [930_364, 'the simulator did not see half of a mirror go in a stop that failed'],
  [500_864, 'what was read from a half that was lost then counted, and the other had other data'],
];

for (const [seed, what] of KNOWN) {
  test.serial(`seed ${seed} shows nothing any more: ${what}`, async (t) => {
    t.timeout(120_000);
    const { violation } = await playSeed(seed, CACHED);
    t.is(violation, null, replayCommand(CACHED, seed));
  });
}
