import test from 'ava';
import { BlockIo, FLAG_FUA } from '../../src/block/block-io.ts';
import { BlockIoPool, BlockIoQueue } from '../../src/block/block-io-pool.ts';

const nobody = { complete(): void {} };

test('a queue is first in, first out, and unshift puts back at the head', (t) => {
  const queue = new BlockIoQueue();
  const [a, b, c] = [new BlockIo(), new BlockIo(), new BlockIo()];
  t.is(queue.shift(), null);
  queue.push(a);
  queue.push(b);
  queue.unshift(c);
  t.is(queue.length, 3);
  t.is(queue.peek(), c);
  t.deepEqual([queue.shift(), queue.shift(), queue.shift(), queue.shift()], [c, a, b, null]);
  t.is(queue.length, 0);
  queue.unshift(a);
  queue.push(b);
  t.deepEqual([queue.shift(), queue.shift()], [a, b]);
});

test('a pool has a fixed size and clears what an operation left behind', (t) => {
  const pool = new BlockIoPool(2, nobody);
  const first = pool.take()!;
  const second = pool.take()!;
  t.not(first, second);
  t.is(pool.take(), null);
  first.flags = FLAG_FUA;
  first.status = 5;
  first.pending = 3;
  first.parent = second;
  pool.give(first);
  t.is(pool.available, 1);
  const again = pool.take()!;
  t.is(again, first);
  t.deepEqual(
    [again.flags, again.status, again.pending, again.parent, again.next],
    [0, 0, 0, null, null],
  );
});

test('completing an operation that nobody owns breaks loudly', (t) => {
  const io = new BlockIo();
  t.throws(() => io.completer.complete(io), { message: /has a completer/ });
});
