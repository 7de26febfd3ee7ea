import test from 'ava';
import { eventOf } from '../../src/cli/stack-events.ts';
import { ftlWords } from '../../src/stack/ftl-words.ts';

test('an FTL that works leaves the words to its array', (t) => {
  const array = { health: 'degraded', reason: 'one is missing', action: 'add one' } as const;
  t.deepEqual(ftlWords('tank', null, array), array);
});

test('an FTL that has stopped is a failed stack, however well its array is', (t) => {
  const words = ftlWords('tank', 'a flush has failed', {
    health: 'healthy',
    reason: null,
    action: null,
  });
  t.is(words.health, 'failed');
  t.is(words.reason, 'nothing can be written any more, only read: a flush has failed');
  t.true(words.action!.includes('bandstand stop tank, bandstand export tank'), words.action!);
});

test('what the array has to say is not lost', (t) => {
  const array = { health: 'degraded', reason: 'one is missing', action: 'add one' } as const;
  const { reason } = ftlWords('tank', 'no band can be made free', array);
  t.true(reason!.endsWith('no band can be made free; one is missing'), reason!);
});

test('its event is not that of an array which has lost its members', (t) => {
  t.like(eventOf({ event: 'ftl-failed', errno: 'ENOSPC', why: 'no band is free' }, 'tank'), {
    kind: 'ftl-failed',
    severity: 'error',
    message: 'the FTL writes nothing any more (ENOSPC)',
    reason: 'nothing can be written any more, only read: no band is free',
  });
});
