import test from 'ava';
import { ArraySize } from '../_sim/array-size.ts';

const MIRROR = { level: 'raid1', strip: 1, sizes: [32, 40] } as const;

test('an array has the size that its least member gives it, and keeps it', (t) => {
  const size = new ArraySize(MIRROR, true);
  t.is(size.blocks, 32);
  t.is(size.found(32, true), null);
  t.is(size.found(40, false), 'the array has 40 blocks instead of 32');
});

test('an array that nothing has kept from growing has grown', (t) => {
  const size = new ArraySize(MIRROR, true);
  size.diskGrew(1, 24);
  t.is(size.found(32, true), null, 'the least member is what it was');
  size.diskGrew(0, 24);
  t.is(size.clone().found(32, true), 'the array has 32 blocks instead of 56');
  t.is(size.found(56, true), null);
  t.is(size.blocks, 56);
  t.is(size.found(32, false), 'the array has 32 blocks instead of 56', 'it never shrinks');
});

test('after a failure an array may have grown or not, and then stays so', (t) => {
  const grown = new ArraySize(MIRROR, true);
  grown.diskGrew(0, 24);
  const same = grown.clone();
  t.is(grown.clone().found(36, false), 'the array has 36 blocks instead of 32 or 40');
  t.is(grown.found(40, false), null);
  t.is(grown.found(32, false), 'the array has 32 blocks instead of 40');
  t.is(same.found(32, false), null);
  t.is(same.found(40, false), null, 'the next occasion will do');
});

test('an array that does not grow has the same size whatever its disks do', (t) => {
  const parity = { level: 'raid5f', strip: 4, sizes: [32, 32, 32] } as const;
  for (const size of [new ArraySize(MIRROR, false), new ArraySize(parity, true)]) {
    const before = size.blocks;
    for (const slot of [0, 1]) size.diskGrew(slot, 24);
    t.is(size.found(before, true), null);
    t.not(size.found(before + 24, false), null);
  }
});
