/** Which parts of the ring are in use, and what the tail says of them. */

import test from 'ava';
import { RingSpace } from '../../src/nv-cache/ring-space.ts';

test('a tail behind what was written in vain has left that behind', (t) => {
  const ring = new RingSpace(600);
  ring.place(0, 1);
  ring.commit(ring.reserve(10), 10, 5);
  // Both are there perhaps, and come again under greater numbers: 8 and 9.
  for (const sequence of [6, 7]) ring.abandon(ring.reserve(10), 10, sequence);
  ring.closeSegment();
  ring.drained = ring.committed;
  t.is(ring.releasable(0), 30);
  ring.release();
  t.deepEqual([ring.tail, ring.tailSequence], [30, 8]);
  ring.commit(ring.reserve(10), 10, 8);
  ring.closeSegment();
  ring.drained = ring.committed;
  ring.release();
  t.deepEqual([ring.tail, ring.tailSequence], [40, 9]);
});
