/**
 * NV caches on a mirror: which seeds have one, and that what drills are for comes to pass in them.
 */

import test from 'ava';
import { playSeed } from '../_sim/campaign.ts';
import { generate } from '../_sim/generator.ts';
import { replayCommand } from '../_sim/report.ts';
import { CACHED, STACK } from '../_sim/subjects.ts';

const DRILLS = 14;

const halvesOf = (seed: number): number =>
  generate(seed, CACHED.promises).config.cache!.halves.length;

test('two seeds of five have a mirror, of two disks, or with a third one for either place', (t) => {
  for (let seed = 1; seed <= 100; seed += 1) {
    t.is(halvesOf(seed) > 0, seed % 5 >= 3, `seed ${seed}`);
    t.true([0, 2, 3].includes(halvesOf(seed)));
    t.is(generate(seed, STACK.promises).config.cache, null);
  }
});

test.serial('halves leave, return and are replaced, and the program dies meanwhile', async (t) => {
  t.timeout(300_000);
  const wanted = {
    'a half is failed': /^fail half \d: done/m,
    'one is pulled out': /^unplug \/dev\/simcache\d/m,
    'one is added': /^add half \S+: done/m,
    'another disk takes a place': /^half \d is \S+ now/m,
    'another mirror is made': /^attach the NV cache/m,
    'what was left behind is refused': /^refused: .* it is an old copy/m,
    'a program is killed': /^crash: kill/m,
    'power fails': /^crash: power/m,
  };
  const counts = new Map(Object.keys(wanted).map((what) => [what, 0]));
  for (let seed = 3; seed < 10 * DRILLS; seed += 10) {
    const { violation, lines } = await playSeed(seed, CACHED, true);
    t.is(violation, null, replayCommand(CACHED, seed));
    const said = lines.join('\n');
    for (const [what, text] of Object.entries(wanted)) {
      if (text.test(said)) counts.set(what, counts.get(what)! + 1);
    }
  }
  for (const [what, count] of counts) t.true(count > 0, `${what} in ${count} of ${DRILLS} drills`);
});
