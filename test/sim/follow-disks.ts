import test from 'ava';
import { followDisks } from '../_sim/follow-disks.ts';
import { SimMedium } from '../_sim/medium.ts';

function disk(name: string): SimMedium {
  const options = { blockBytes: 512, blockCount: 8, unitBytes: 512, features: 0 };
  return new SimMedium({ ...options, name, volatileCache: false });
}

test('disks that change places are followed, and none is lost', (t) => {
  const media = ['a', 'b', 'c'].map(disk);
  const extras = ['d', 'e'].map(disk);
  const names = (disks: readonly SimMedium[]): string => disks.map(({ name }) => name).join('');
  const follow = (...now: (string | null)[]): number[] => followDisks(now, media, extras);
  t.deepEqual(follow('a', null, 'c'), []);
  t.deepEqual(follow('a', 'd', 'c'), [1]);
  t.is(`${names(media)} ${names(extras)}`, 'adc be');
  // Two changes at once: the disk that had left slot 1 is in slot 0, and slot 1 has another one.
  t.deepEqual(follow('b', 'e', 'c'), [0, 1]);
  t.is(`${names(media)} ${names(extras)}`, 'bec ad');
  // A slot whose disk serves elsewhere gets one that nobody has; the others keep theirs.
  t.deepEqual(follow(null, null, 'e'), [1, 2]);
  t.is(names(media), 'bce');
  t.is(names(extras), 'ad');
});
