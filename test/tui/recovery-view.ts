import test from 'ava';
import { type CacheState, IDLE } from '../../src/control/schema.ts';
import { recoveryView } from '../../src/tui/recovery-view.ts';
import { cacheOf, recoveryOf } from '../_helpers/cache-status.ts';
import { statusOf } from '../_helpers/fake-stack.ts';
import { recoveryStatus } from '../_helpers/monitor-states.ts';

const states = (view: ReturnType<typeof recoveryView>): string =>
  view!.steps.map(({ state, step }) => `${step}:${state}`).join(' ');

test('a scan has its header behind it, and the rest before it', (t) => {
  const view = recoveryView(recoveryStatus('scan'))!;
  t.is(states(view), 'header:done scan:now recover:next scrub:next drain:next');
  t.is(view.progress.share, 0.5);
  t.false(view.isOnline);
  t.true(view.isLossy);
  t.is(view.loss, 'what was in 2 blocks of the ring that cannot be read, perhaps');
  t.deepEqual(view.ranges, [
    'phase 1  blocks 12 290 to 16 385: 812 records, 3 old',
    'phase 2  blocks 2 to 4 097: 700 records, 1 torn',
  ]);
});

test('each step of a start is the one that status tells', (t) => {
  const at = (state: CacheState): string => {
    const change = { state, used_bytes: null, undrained_bytes: null, recovery: recoveryOf() };
    const status = { health: 'stopped' as const, cache: cacheOf(change) };
    return states(recoveryView(statusOf('tank', status)));
  };
  t.is(at('header'), 'header:now scan:next recover:next scrub:next drain:next');
  t.is(at('recover'), 'header:done scan:done recover:now scrub:next drain:next');
  t.is(at('scrub'), 'header:done scan:done recover:done scrub:now drain:next');
});

test('once it is online, what was found is drained, by phase', (t) => {
  const view = recoveryView(recoveryStatus('drain'))!;
  t.is(states(view), 'header:done scan:done recover:done scrub:done drain:now');
  t.true(view.isOnline);
  t.false(view.isLossy);
  t.is(
    view.ranges[1],
    'phase 2  blocks 2 to 4 097: 700 records, 1 torn; 655 of 4 096 blocks drained',
  );
  t.is(view.steps[2]!.words, '1 512 records and 12 trims count');
});

test('what is lost is told first, whenever it is known', (t) => {
  const recovery = recoveryOf({ lost_blocks: 3 });
  const view = recoveryView(statusOf('tank', { cache: cacheOf({ state: 'recover', recovery }) }))!;
  t.is(view.loss, '3 blocks of the stack: nobody has their newest content');
  t.true(view.isLossy);
});

test('without a cache there is the step of the start; afterwards there is no recovery', (t) => {
  const activity = {
    ...IDLE,
    kind: 'recovery',
    step: 'Start the FTL',
    pace: 'estimating',
  } as const;
  const view = recoveryView(statusOf('tank', { health: 'stopped', activity }))!;
  t.is(states(view), 'start:now');
  t.is(view.title, 'Start the FTL');
  t.is(recoveryView(statusOf('tank')), null);
  const over = cacheOf({ recovery: recoveryOf({ over: true }) });
  t.is(recoveryView(statusOf('tank', { cache: over })), null);
});
