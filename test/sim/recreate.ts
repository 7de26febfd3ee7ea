/**
 * Arrays that are erased and made again, and those that grow: what is wrong with them shows.
 */

import test from 'ava';
import { play, type SubjectKind } from '../_sim/player.ts';
import { configOf, Script } from '../_sim/scenario.ts';
import type { SimDisk } from '../_sim/sim-disk.ts';
import { MANAGED } from '../_sim/subjects.ts';

const BLANK = configOf({ level: 'raid1', members: 2 }, { blank: true });
const GROWING = configOf({ level: 'raid1', members: 2 });

/** MANAGED, with something done to its disks before each start. */
function before(start: (disks: readonly SimDisk[], starts: number) => void): SubjectKind {
  let starts = 0;
  return {
    ...MANAGED,
    factory: (reactor, disks, array) => {
      starts += 1;
      start(disks, starts);
      return MANAGED.factory(reactor, disks, array);
    },
  };
}

test('an array is made anew on disks that hold nothing of the one before', async (t) => {
  const { steps } = new Script(BLANK).write(0, 2).flush().add({ do: 'recreate' }).write(1, 2);
  const history = { seed: 1, config: BLANK, steps };
  const { violation, lines } = await play(history, { subject: MANAGED, verbose: true });
  t.is(violation, null);
  t.is(lines.filter((line) => line === 'erase the array').length, 1);
  // The third time is the start behind the erasing.
  const left = before(([first], starts) => {
    if (starts !== 3) return;
    const { medium } = first!;
    const write = medium.makeWrite(0, 1, new Uint8Array(512).fill(0x53));
    write.bytes!.set(Buffer.from('SPDKRAID'));
    medium.apply(write);
  });
  t.regex((await play(history, { subject: left })).violation!, /holds .* superblock/);
});

test('a history that has not made its array does not erase it', async (t) => {
  const { steps } = new Script(GROWING).write(0, 2).add({ do: 'recreate' }).verify();
  const history = { seed: 1, config: GROWING, steps };
  const { violation, lines } = await play(history, { subject: MANAGED, verbose: true });
  t.is(violation, null);
  t.false(lines.includes('erase the array'));
});

test('an array that does not grow with its last member is found', async (t) => {
  const { steps } = new Script(GROWING).grow(2, 24).writeNew(4).flush().restart();
  const history = { seed: 1, config: GROWING, steps };
  const { violation, lines } = await play(history, { subject: MANAGED, verbose: true });
  t.is(violation, null);
  t.true(
    lines.some((line) => /^#\d+ write 32\+4, version \d+$/.test(line)),
    'what is new is used',
  );
  const deaf: SubjectKind = {
    ...MANAGED,
    factory: (reactor, disks, array) => {
      const subject = MANAGED.factory(reactor, disks, array);
      for (const disk of disks) disk.grew = () => {};
      return subject;
    },
  };
  t.is((await play(history, { subject: deaf })).violation, 'the array has 32 blocks instead of 40');
});
