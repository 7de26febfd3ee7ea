/**
 * The target of a replacement that was interrupted: whatever it did not get, it is given when the
 * replacement goes on. The array is whole meanwhile, so nothing else remembers what it misses.
 */

import test, { type ExecutionContext } from 'ava';
import { OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { EIO, ETIMEDOUT, OK } from '../../src/block/status.ts';
import type { ManagerOptions } from '../../src/raid/metadata-keeper.ts';
import { Random } from '../_helpers/array-fixture.ts';
import {
  BLOCK,
  FAST,
  ManagedBench,
  type ManagedOptions,
  OFFSET,
} from '../_helpers/managed-array.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const OPTIONS: ManagedOptions = { level: 'raid1', members: 2, blocks: 1024, blanks: 1 };
/** A region takes a tenth of a second. */
const SLOW: ManagerOptions = { process: { ...FAST.process, limitBytesPerSecond: 80 * 1024 } };
const UNPACED: ManagerOptions = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 40 } };

/** An array of two, whose slot 0 is half copied to the third disk; the copying is paused. */
async function halfReplaced(): Promise<{ bench: ManagedBench; content: Uint8Array }> {
  const bench = new ManagedBench(OPTIONS);
  await bench.create();
  await bench.start(bench.disks.slice(0, 2), {}, UNPACED);
  const content = new Random(1).bytes(1024 * BLOCK);
  if ((await bench.drive(bench.write(0, content))) !== OK) throw new Error('an array takes data');
  await bench.settle();
  const { manager } = bench;
  manager!.setRate(80 * 1024);
  const target = bench.disks[2]!;
  await bench.drive(target.open(bench.reactor));
  await bench.drive(manager!.replaceMember(0, target));
  await bench.drive(bench.sleep(3_000_000));
  await bench.drive(manager!.pauseProcess());
  await bench.drive(bench.sleep(200_000));
  return { bench, content };
}

/** Lets the replacement end, and looks at what the target has then. */
async function goesOn(
  t: ExecutionContext,
  bench: ManagedBench,
  content: Uint8Array,
): Promise<void> {
  const { manager } = bench;
  if (manager!.status().process?.paused === true) await bench.drive(manager!.resumeProcess());
  await bench.settle();
  const target = bench.disks[2]!;
  const serves = manager!.array.members.some(({ device }) => device === target);
  if (serves) sameBytes(t, bench.data(target), content);
  sameBytes(t, await bench.drive(bench.read(0, 1024)), content);
  await bench.stop();
}

function put(content: Uint8Array, block: number, bytes: Uint8Array): void {
  content.set(bytes, block * BLOCK);
}

test('what is written before a replacement goes on after a crash reaches its target', async (t) => {
  const { bench, content } = await halfReplaced();
  // Its region may differ after the crash: a resync goes first.
  const last = new Random(2).bytes(BLOCK);
  t.is(await bench.drive(bench.write(1023, last)), OK);
  put(content, 1023, last);
  const after = new ManagedBench(OPTIONS, bench.crash());
  await after.start(after.disks, {}, SLOW);
  await after.drive(after.sleep(1000));
  t.is(after.manager!.status().process?.kind, 'resync');
  const part = new Random(3).bytes(BLOCK);
  t.is(await after.drive(after.write(0, part)), OK);
  put(content, 0, part);
  await after.drive(after.sleep(20_000));
  t.is(after.manager!.status().process?.kind, 'resync', 'the intent was cleared meanwhile');
  await after.settle();
  t.like(after.manager!.status().process, { kind: 'rebuild', replace: true });
  await goesOn(t, after, content);
});

test('a target that was given up is not taken for one that has everything', async (t) => {
  const { bench, content } = await halfReplaced();
  const target = bench.disks[2]!;
  const submit = target.submit.bind(target);
  // It does not answer in time, so the write is given back, and closing it takes for ever.
  target.submit = (io) => {
    if (io.op !== OP_WRITE || io.block !== OFFSET) return submit(io);
    target.inFlight += 1;
    bench.reactor.finish(io, ETIMEDOUT);
  };
  const part = new Random(4).bytes(BLOCK);
  t.is(await bench.drive(bench.write(0, part)), OK);
  put(content, 0, part);
  t.is(bench.manager!.array.target, null);
  await bench.drive(bench.sleep(20_000));
  const after = new ManagedBench(OPTIONS, bench.crash());
  await after.start(after.disks, {}, UNPACED);
  await after.settle();
  await goesOn(t, after, content);
});

test('a target that fails at the stop is given what its cache has lost', async (t) => {
  const { bench, content } = await halfReplaced();
  const target = bench.disks[2]!;
  const old = content.slice(0, BLOCK);
  const part = new Random(5).bytes(BLOCK);
  t.is(await bench.drive(bench.write(0, part)), OK);
  put(content, 0, part);
  target.fault = ({ op }) => (op === OP_FLUSH ? EIO : OK);
  await bench.stop().catch(() => {});
  bench.data(target).set(old);
  const after = new ManagedBench(OPTIONS, bench.crash());
  await after.start(after.disks, {}, UNPACED);
  await after.settle();
  await goesOn(t, after, content);
});
