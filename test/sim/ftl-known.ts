/**
 * Histories of an FTL that have shown something once. The generator decides what a seed means: who
 * changes it, plays the defects of these seeds again and lists others.
 */

import test from 'ava';
import { playSeed } from '../_sim/campaign.ts';
import { replayCommand } from '../_sim/report.ts';
import { STACK } from '../_sim/subjects.ts';

const KNOWN: readonly (readonly [seed: number, what: string])[] = [
  [283, 'a unit that a crash had left on one mirror was lost with that member'],
  [101_077, 'a free band was resumed below a head that one mirror had lost'],
  [302_837, 'a target came back with the record that calls it a member, which no member had'],
  [614_102, 'what a creation was clearing away when the power went was in the way of the next'],
  [637_888, 'the same, where only one member was cleared'],
  [620_141, 'a superblock that could not be read was written again while a check went on'],
  [641_437, 'a start that was cut had written a flushed unit again with other padding and parity'],
  [727_137, 'what ran degraded of an array that was then made anew was expected to be out of it'],
  [752_876, 'the same, where nobody was lost before'],
  [731_618, 'what a device gained just before it became a member was never used'],
];

for (const [seed, what] of KNOWN) {
  test.serial(`seed ${seed} shows nothing any more: ${what}`, async (t) => {
    const { violation } = await playSeed(seed, STACK);
    t.is(violation, null, replayCommand(STACK, seed));
  });
}
