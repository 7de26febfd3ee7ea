import test from 'ava';
import { Complaints } from '../../../src/exporter/nbd/complaints.ts';

test('the first complaint is told, those of a minute are counted', (t) => {
  const told: string[] = [];
  let nowMs = 5;
  const complaints = new Complaints(
    (message) => told.push(message),
    () => nowMs,
  );
  complaints.add('one');
  nowMs = 60_004;
  for (let count = 0; count < 10_000; count += 1) complaints.add('flood');
  t.deepEqual(told, ['one']);
  nowMs = 60_005;
  complaints.add('two');
  complaints.add('three');
  t.deepEqual(told, ['one', 'two (and 10000 more since the last report)']);
  nowMs = 1e6;
  complaints.add('four');
  t.is(told[2], 'four (and 1 more since the last report)');
});
