import test from 'ava';
import { layerWords } from '../../src/stack/layer-words.ts';
import { cacheOf } from '../_helpers/cache-status.ts';

const HEALTHY = { health: 'healthy', reason: null, action: null } as const;
const CACHE = cacheOf();
const LOST = 'its cache has failed, with blocks that nothing else has';

test('a cache that is well adds nothing', (t) => {
  t.deepEqual(layerWords('tank', { cache: CACHE, words: HEALTHY, readOnly: null }), HEALTHY);
});

test('a cache that has left is a degraded stack, to be given another one', (t) => {
  const cache = { ...CACHE, health: 'detached', reason: 'a flush of it has failed' } as const;
  t.deepEqual(layerWords('tank', { cache, words: HEALTHY, readOnly: null }), {
    health: 'degraded',
    reason: 'the NV cache /dev/nvme0n1 is not used any more: a flush of it has failed',
    action: 'let go of it, and attach another one: bandstand cache detach tank',
  });
});

test('a cache that is lost is a failed stack, and detaching it is not what helps', (t) => {
  const cache = { ...CACHE, health: 'failed', reason: LOST, lost_blocks: 2 } as const;
  const words = { health: 'degraded', reason: 'one is missing', action: 'add one' } as const;
  const told = layerWords('tank', { cache, words, readOnly: null });
  t.is(told.health, 'failed');
  t.is(
    told.reason,
    `nothing can be written any more, only read: ${LOST} (/dev/nvme0n1); ` +
      '2 blocks of it cannot be read; one is missing',
  );
  t.regex(told.action!, /bandstand stop tank, bandstand export tank; with --discard-cache/);
});

test('an FTL that has stopped by itself comes before its cache', (t) => {
  const cache = { ...CACHE, health: 'failed', reason: 'a write has failed' } as const;
  const told = layerWords('tank', { cache, words: HEALTHY, readOnly: 'a flush has failed' });
  t.true(told.reason!.startsWith('nothing can be written any more, only read: a flush has failed'));
  t.notRegex(told.action!, /--discard-cache/);
});
