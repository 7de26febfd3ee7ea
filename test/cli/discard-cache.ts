/** The list of what is lost with an NV cache that is given up: exact, from what was found. */

import test from 'ava';
import { lossJson, lossLines } from '../../src/cli/discard-cache.ts';
import type { CacheLoss } from '../../src/stack/cache-loss.ts';

const UUID = '0ca40ca4-0000-4000-8000-000000000001';
const LOSS: CacheLoss = {
  uuid: UUID,
  epoch: 7,
  device: '/dev/nvme0n1',
  unknown: null,
  blocks: 3,
  rangeCount: 2,
  ranges: [
    { block: 5, blockCount: 1 },
    { block: 90, blockCount: 2 },
  ],
  trimmedBlocks: 0,
  lostBlocks: 0,
};
const WITH = `with the NV cache of tank on /dev/nvme0n1 (${UUID}, epoch 7)`;

test('blocks and bytes are counted, and ranges named', (t) => {
  t.deepEqual(lossLines('tank', LOSS), [
    `3 blocks (12 KiB) that are newer there are lost ${WITH}`,
    '  block 5',
    '  blocks 90 to 91',
  ]);
  const ranges = Array.from({ length: 64 }, (_, index) => ({ block: 2 * index, blockCount: 1 }));
  const many = lossLines('tank', { ...LOSS, blocks: 5000, rangeCount: 5000, ranges });
  t.is(many.length, 1 + 16 + 1);
  t.is(many.at(-1), '  and 4 984 more ranges');
  const one = lossLines('tank', { ...LOSS, rangeCount: 17, ranges: ranges.slice(0, 17) });
  t.is(one.at(-1), '  and 1 more range');
});

test('what would show again is told apart from what is lost', (t) => {
  t.deepEqual(lossLines('tank', { ...LOSS, trimmedBlocks: 9, lostBlocks: 1 }).slice(3), [
    '  9 blocks with trims would show again what was there before',
    '  1 block that cannot be read would show what was there before',
  ]);
});

test('nothing lost, no cache, and a cache that is not there are said in words', (t) => {
  const none = { ...LOSS, blocks: 0, rangeCount: 0, ranges: [] };
  t.deepEqual(lossLines('tank', none), [`nothing is lost ${WITH}`]);
  t.deepEqual(lossLines('tank', null), ['tank has no NV cache that could be given up']);
  const gone = { ...none, unknown: 'it is not there', blocks: null, rangeCount: null };
  t.deepEqual(lossLines('tank', gone), [
    `what is lost with the NV cache of tank (${UUID}, epoch 7) is not known: it is not there`,
    '  writes that were answered since it was last drained are lost, flushed or not',
  ]);
  t.like(lossJson(gone), { known: false, reason: 'it is not there', blocks: null, bytes: null });
});

test('JSON has bytes, and every range that was kept', (t) => {
  t.deepEqual(lossJson(LOSS), {
    uuid: UUID,
    epoch: 7,
    device: '/dev/nvme0n1',
    known: true,
    reason: null,
    blocks: 3,
    bytes: 12_288,
    range_count: 2,
    ranges: [
      { block: 5, block_count: 1 },
      { block: 90, block_count: 2 },
    ],
    trimmed_blocks: 0,
    lost_blocks: 0,
  });
});
