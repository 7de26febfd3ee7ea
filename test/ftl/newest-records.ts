import test from 'ava';
import { NewestRecords } from '../../src/ftl/newest-records.ts';
import { generator } from '../_helpers/acknowledged-writes.ts';

test('the newest record of each block counts, as in a map', (t) => {
  const random = generator(7);
  const records = new NewestRecords();
  const expected = new Map<number, readonly [number, number]>();
  for (let round = 0; round < 60_000; round += 1) {
    // Some far above 2^32, and many more than once.
    const far = Math.floor(random() * 2) * 2 ** 38;
    const block = far + Math.floor(random() * 20_000) * 3;
    const sequence = Math.floor(random() * 50);
    const unit = Math.floor(random() * 4);
    const known = expected.get(block) ?? [-1, -1];
    const isNewer = sequence > known[0] || (sequence === known[0] && unit >= known[1]);
    if (records.supersedes(block, sequence, unit) !== isNewer) {
      return t.fail(`round ${round}: block ${block}, sequence ${sequence}, unit ${unit}`);
    }
    if (isNewer) expected.set(block, [sequence, unit]);
  }
  t.is(records.count, expected.size);
  return undefined;
});
