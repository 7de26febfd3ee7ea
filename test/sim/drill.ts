/**
 * Drills: which seeds they are, and that their manoeuvres come to pass.
 */

import test from 'ava';
import { playSeed } from '../_sim/campaign.ts';
import { isDrill } from '../_sim/drill.ts';
import { generate } from '../_sim/generator.ts';
import { MANAGED, PLAIN } from '../_sim/subjects.ts';

const asks = (seed: number): number =>
  generate(seed, MANAGED.promises).steps.filter((step) => step.do === 'member').length;

test('one seed of ten is a drill, where members come and go', (t) => {
  for (let seed = 1; seed <= 200; seed += 1) {
    t.is(isDrill(seed), seed % 10 === 7);
    if (isDrill(seed)) t.true(asks(seed) > 5, `seed ${seed}`);
    const plain = generate(seed, PLAIN.promises);
    t.false(plain.steps.some(({ do: name }) => name === 'member'));
  }
});

test.serial(
  'drills lose, rebuild, replace and compare, and the program dies meanwhile',
  async (t) => {
    const wanted = {
      'a member is failed': /^fail slot \d: done/m,
      'one is added': /^add \S+: done/m,
      'one is replaced': /^replace slot \d by \S+: done/m,
      'a rebuild is paused': /^pause: done/m,
      'one is given up': /^cancel: done/m,
      'a check begins': /^check: done/m,
      'another disk takes a place': /^slot \d has /m,
      'a program is killed': /^crash: kill/m,
      'power fails': /^crash: power/m,
    };
    const counts = new Map(Object.keys(wanted).map((what) => [what, 0]));
    for (let seed = 7; seed <= 400; seed += 10) {
      const { violation, lines } = await playSeed(seed, MANAGED, true);
      t.is(violation, null, `seed ${seed}`);
      const said = lines.join('\n');
      for (const [what, text] of Object.entries(wanted)) {
        if (text.test(said)) counts.set(what, counts.get(what)! + 1);
      }
    }
    for (const [what, count] of counts) t.true(count >= 4, `${what} in ${count} of 40 drills`);
  },
);
