/**
 * The model: what it allows, and above all what it does not.
 */

import test from 'ava';
import { Model, type Value } from '../_sim/model.ts';
import { fillPayload, UNIT_BYTES } from '../_sim/payload.ts';

const words = new Uint32Array(4096 / 4);

function model(changes: { atomicBlocks?: boolean; volatileCache?: boolean } = {}): Model {
  return new Model({
    blockCount: 4,
    blockBytes: 4096,
    atomicBlocks: true,
    volatileCache: true,
    ...changes,
  });
}

/** Puts into `words` what block 0 would hold; 0 is zeroes. */
function put(version: number, from = 0, to = 4096): void {
  const whole = words.slice();
  if (version === 0) whole.fill(0);
  else fillPayload(whole, 0, 4096, 0, version);
  words.set(whole.subarray(from / 4, to / 4), from / 4);
}

/** The versions that block 0 may show now, of those written so far. */
function shows(subject: Model, versions: readonly number[]): number[] {
  return versions.filter((version) => {
    put(version);
    return subject.checkCopy(0, words, 0) === null;
  });
}

function written(subject: Model, ok = true, fua = false): Value {
  const value = subject.writeSubmitted(0, 1, 'data');
  subject.writeDone(value, ok, fua);
  return value;
}

test('an acknowledged write is what is read, one in flight or failed may be', (t) => {
  const subject = model();
  t.deepEqual(shows(subject, [0, 1, 2, 3]), [0]);
  const flying = subject.writeSubmitted(0, 1, 'data');
  t.deepEqual(shows(subject, [0, 1, 2, 3]), [0, 1]);
  subject.writeDone(flying, true, false);
  t.deepEqual(shows(subject, [0, 1, 2, 3]), [1]);
  written(subject, false);
  t.deepEqual(shows(subject, [0, 1, 2, 3]), [1, 2]);
  written(subject);
  t.deepEqual(shows(subject, [0, 1, 2, 3]), [3]);
});

test('of writes that overlap in time either may be the last', (t) => {
  const subject = model();
  const first = subject.writeSubmitted(0, 1, 'data');
  const second = subject.writeSubmitted(0, 1, 'data');
  subject.writeDone(second, true, false);
  subject.writeDone(first, true, false);
  t.deepEqual(shows(subject, [0, 1, 2]), [1, 2]);
});

test('a power cut may bring back whatever is not older than the last flush', (t) => {
  const subject = model();
  written(subject);
  written(subject);
  const flush = subject.flushSubmitted();
  written(subject);
  subject.flushDone(flush);
  written(subject);
  const killed = subject.clone();
  subject.powerCut();
  t.deepEqual(shows(subject, [0, 1, 2, 3, 4]), [2, 3, 4]);
  killed.killed();
  t.deepEqual(shows(killed, [0, 1, 2, 3, 4]), [4]);
});

test('FUA, and a stack without volatile caches, leave a power cut nothing to take', (t) => {
  const subject = model();
  written(subject);
  written(subject, true, true);
  subject.powerCut();
  t.deepEqual(shows(subject, [0, 1, 2]), [2]);
  const steady = model({ volatileCache: false });
  written(steady);
  steady.powerCut();
  t.deepEqual(shows(steady, [0, 1]), [1]);
});

test('a write in flight at a kill may have happened; the next flush decides nothing', (t) => {
  const subject = model();
  written(subject);
  subject.writeSubmitted(0, 1, 'data');
  subject.killed();
  subject.flushDone(subject.flushSubmitted());
  t.deepEqual(shows(subject, [0, 1, 2]), [1, 2]);
});

test('what was seen with nothing in flight stays, and after a flush for good', (t) => {
  const subject = model();
  written(subject, true, true);
  subject.writeSubmitted(0, 1, 'data');
  subject.killed();
  put(1);
  t.is(subject.readDone(subject.readSubmitted(0, 1), words, 0, true), null);
  t.deepEqual(shows(subject, [1, 2]), [1]);
  const cut = subject.clone();
  cut.powerCut();
  t.deepEqual(shows(cut, [1, 2]), [1, 2]);
  subject.flushDone(subject.flushSubmitted());
  subject.powerCut();
  t.deepEqual(shows(subject, [1, 2]), [1]);
});

test('a flush that failed is not made up for by a later one', (t) => {
  const subject = model();
  written(subject);
  subject.flushFailed();
  subject.flushDone(subject.flushSubmitted());
  subject.powerCut();
  t.deepEqual(shows(subject, [0, 1]), [0, 1]);
});

test('a read may show what was in flight while it was, and nothing that was over before', (t) => {
  const subject = model();
  written(subject);
  const read = subject.readSubmitted(0, 1);
  written(subject);
  const later = subject.readSubmitted(0, 1);
  put(1);
  t.is(subject.readDone(read, words, 0, true), null);
  t.regex(subject.readDone(later, words, 0, true)!, /block 0 holds version 1 of block 0/);
});

test('a block is torn only where blocks are not atomic, and never mixed with garbage', (t) => {
  for (const atomicBlocks of [true, false]) {
    const subject = model({ atomicBlocks });
    written(subject);
    written(subject, false);
    put(1);
    put(2, UNIT_BYTES, 3 * UNIT_BYTES);
    t.is(subject.checkCopy(0, words, 0) === null, !atomicBlocks);
    words[200] ^= 1;
    t.not(subject.checkCopy(0, words, 0), null);
  }
});

test('after a trim that promises nothing anything may be read, until the next write', (t) => {
  const subject = model();
  subject.writeDone(subject.writeSubmitted(0, 1, 'any'), true, false);
  t.deepEqual(shows(subject, [0, 1, 7]), [0, 1, 7]);
  t.false(subject.isCertain(0));
  written(subject);
  t.deepEqual(shows(subject, [0, 1, 2, 7]), [2]);
  t.true(subject.isCertain(0));
});
