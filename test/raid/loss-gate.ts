import test from 'ava';
import {
  BlockIo,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../src/block/block-io.ts';
import { EIO, ENOSPC, OK } from '../../src/block/status.ts';
import { LossGate } from '../../src/raid/loss-gate.ts';

class Asker {
  readonly answers: [Op, number][] = [];
  onAnswer: () => void = () => {};

  io(op: Op): BlockIo {
    const io = new BlockIo();
    io.op = op;
    io.completer = this;
    return io;
  }

  complete(io: BlockIo): void {
    this.answers.push([io.op, io.status]);
    this.onAnswer();
  }
}

const ALL: readonly Op[] = [OP_READ, OP_WRITE, OP_TRIM, OP_WRITE_ZEROES, OP_FLUSH];
const CHANGES: readonly Op[] = [OP_WRITE, OP_TRIM, OP_WRITE_ZEROES, OP_FLUSH];

test('an open gate answers everything at once', (t) => {
  const gate = new LossGate();
  const asker = new Asker();
  for (const op of ALL) gate.answer(asker.io(op), OK);
  gate.answer(asker.io(OP_WRITE), EIO);
  t.deepEqual(asker.answers, [...ALL.map((op) => [op, OK] as [Op, number]), [OP_WRITE, EIO]]);
  t.is(gate.parked, 0);
});

test('while it is closed, what changed something or made it durable waits, in order', (t) => {
  const gate = new LossGate();
  const asker = new Asker();
  gate.close();
  t.true(gate.isClosed);
  for (const op of CHANGES) gate.answer(asker.io(op), OK);
  t.deepEqual(asker.answers, []);
  t.is(gate.parked, 4);
  gate.open(OK);
  t.deepEqual(
    asker.answers,
    CHANGES.map((op) => [op, OK]),
  );
  t.false(gate.isClosed);
});

test('reads, and what has failed, never wait', (t) => {
  const gate = new LossGate();
  const asker = new Asker();
  gate.close();
  gate.answer(asker.io(OP_READ), OK);
  gate.answer(asker.io(OP_READ), EIO);
  gate.answer(asker.io(OP_WRITE), ENOSPC);
  gate.answer(asker.io(OP_FLUSH), EIO);
  t.deepEqual(asker.answers, [
    [OP_READ, OK],
    [OP_READ, EIO],
    [OP_WRITE, ENOSPC],
    [OP_FLUSH, EIO],
  ]);
});

test('when the loss is never recorded, no change succeeds any more, and reads go on', (t) => {
  const gate = new LossGate();
  const asker = new Asker();
  gate.close();
  gate.answer(asker.io(OP_WRITE), OK);
  gate.open(EIO);
  for (const op of CHANGES) gate.answer(asker.io(op), OK);
  gate.answer(asker.io(OP_READ), OK);
  gate.answer(asker.io(OP_WRITE), ENOSPC);
  t.deepEqual(asker.answers, [
    [OP_WRITE, EIO],
    ...CHANGES.map((op) => [op, EIO] as [Op, number]),
    [OP_READ, OK],
    [OP_WRITE, ENOSPC],
  ]);
});

test('an answer that leads to another loss leaves what comes after it for the next record', (t) => {
  const gate = new LossGate();
  const asker = new Asker();
  gate.close();
  gate.answer(asker.io(OP_WRITE), OK);
  asker.onAnswer = () => {
    asker.onAnswer = () => {};
    gate.close();
    gate.answer(asker.io(OP_FLUSH), OK);
  };
  gate.open(OK);
  t.deepEqual(asker.answers, [[OP_WRITE, OK]]);
  t.is(gate.parked, 1);
  gate.open(OK);
  t.deepEqual(asker.answers, [
    [OP_WRITE, OK],
    [OP_FLUSH, OK],
  ]);
});

test('a gate that was not closed is not opened', (t) => {
  t.throws(() => new LossGate().open(OK), { message: /a gate that opens was closed/ });
});
