import test from 'ava';
import { EILSEQ, EIO } from '../../src/block/status.ts';
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

test('a finding says what is wrong, on which member, and what became of it', (t) => {
  const block = { part: 'block', block: 7, band: 3, number: 2, status: EILSEQ } as const;
  const repaired = { ...block, slots: [1], outcome: 'repaired' } as const;
  t.like(eventOf({ event: 'ftl-found', finding: repaired }, 'tank'), {
    kind: 'checksum-repaired',
    severity: 'warning',
    message: 'block 7 (unit 2 of band 3) is wrong on the member in slot 1: it was written again',
    action: null,
    slot: 1,
    details: { part: 'block', block: 7, band: 3, outcome: 'repaired', slots: '1' },
  });
  const left = { ...block, part: 'summary', slots: [0, 2], outcome: 'repairable' } as const;
  t.like(eventOf({ event: 'ftl-found', finding: left }, 'tank'), {
    kind: 'checksum-wrong',
    message:
      'the summary of unit 2 of band 3 is wrong on the member in slots 0, 2: nothing was changed',
    action: 'mend it: bandstand check tank --repair',
    slot: null,
  });
  const lost = { ...block, status: EIO, slots: [], outcome: 'lost' } as const;
  t.like(eventOf({ event: 'ftl-found', finding: lost }, 'tank'), {
    severity: 'error',
    message: 'block 7 (unit 2 of band 3) is wrong: nothing says what is right',
    reason: 'found by a check, by relocation or at a start: input/output error',
  });
});

test('blocks that nothing verifies any more are counted and named', (t) => {
  const lost = { band: 4, count: 3, blocks: [7, 8] };
  t.like(eventOf({ event: 'ftl-lost', lost }, 'tank'), {
    kind: 'blocks-lost',
    severity: 'error',
    message: '3 blocks of band 4 cannot be verified any more (7, 8 and others)',
    details: { band: 4, blocks: 3 },
  });
});

test('a write buffer that was given up, and a growth, are told', (t) => {
  t.like(eventOf({ event: 'ftl-buffer-lost' }, 'tank'), {
    kind: 'buffer-lost',
    severity: 'warning',
    message:
      'the write buffer of the server that was killed was given up: writes since the last flush may be lost',
    reason: 'it is gone or cannot be used, and --discard-buffer was given',
  });
  t.like(eventOf({ event: 'ftl-grown', bytesBefore: 2 ** 30, bytes: 3 * 2 ** 30 }, 'tank'), {
    kind: 'ftl-grown',
    severity: 'info',
    message: 'the stack has grown from 1 GiB to 3 GiB',
    details: { bytes_before: 2 ** 30, bytes: 3 * 2 ** 30 },
  });
});
