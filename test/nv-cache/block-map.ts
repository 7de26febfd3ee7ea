import test from 'ava';
import { BlockMap, NOT_CACHED } from '../../src/nv-cache/block-map.ts';
import { Random } from '../_sim/random.ts';

const RING_END = 200;

test('a random history matches a plain map', (t) => {
  const random = new Random(5);
  const map = new BlockMap(RING_END);
  const plain = new Map<number, number>();
  const free = Array.from({ length: RING_END - 2 }, (_, index) => index + 2);
  // Blocks beyond 32 bits too.
  const blockOf = (index: number): number => index * (index % 3 === 0 ? 2 ** 31 + 7 : 1);
  const forget = (block: number): void => {
    const ringBlock = plain.get(block);
    if (ringBlock === undefined) return;
    free.push(ringBlock);
    plain.delete(block);
  };
  for (let step = 0; step < 20_000; step += 1) {
    const block = blockOf(random.below(300));
    if (random.chance(0.55) && free.length > 0) {
      const ringBlock = free.splice(random.below(free.length), 1)[0]!;
      forget(block);
      map.name(ringBlock, block);
      map.set(ringBlock);
      plain.set(block, ringBlock);
      t.true(map.isNewest(ringBlock) && map.blockAt(ringBlock) === block);
    } else if (random.chance(0.9)) {
      t.is(map.delete(block), plain.has(block));
      forget(block);
    } else {
      const count = random.pick([3, 40, 2 ** 40]);
      const gone = [...plain.keys()].filter((held) => held >= block && held < block + count);
      t.is(map.deleteRange(block, count), gone.length);
      for (const held of gone) forget(held);
    }
    t.is(map.count, plain.size);
    if (step % 500 !== 0) continue;
    for (let index = 0; index < 300; index += 1) {
      t.is(map.get(blockOf(index)), plain.get(blockOf(index)) ?? NOT_CACHED);
    }
  }
});

test('what a ring block is: a record, a block of the device, or nothing', (t) => {
  const map = new BlockMap(RING_END);
  t.true(map.isNothing(7));
  map.nameRecord(7, 3);
  t.is(map.recordAt(7), 3);
  map.name(8, 2 ** 39 + 5);
  t.is(map.recordAt(8), -1);
  t.is(map.blockAt(8), 2 ** 39 + 5);
  t.false(map.isNewest(8));
  map.nameSkipped(7);
  t.is(map.recordAt(7), -1);
  t.true(map.isNothing(7));
});
