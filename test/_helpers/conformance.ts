/**
 * The ten laws of BlockDevice as one suite, for any device or composed stack, on any reactor.
 *
 *     conformance('memory, 4096-byte blocks', async () => {
 *       const reactor = new SimulatedReactor({ seed: 1 });
 *       return { reactor, device: new MemoryDevice('mem', { sizeBytes: 8 * 2 ** 20 }) };
 *     });
 *
 * The subject is not opened; the suite opens it. Law 9 (a failed device is reported once) needs a
 * fault and is tested with the devices that can have one.
 *
 * Seeds: BANDSTAND_SEED replaces the default; a failure prints the seed that it came from.
 */

import test, { type ExecutionContext } from 'ava';
import { InvariantError } from '../../src/block/assert.ts';
import {
  type BlockDevice,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import {
  BlockIo,
  type Completer,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../src/block/block-io.ts';
import { submitOrThrow, submitStatus } from '../../src/block/control-io.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import { EOPNOTSUPP } from '../../src/block/status.ts';
import { fillBlock, History, holdsBlock } from './conformance-history.ts';

export interface ConformanceSubject {
  readonly reactor: Reactor;
  readonly device: BlockDevice;
  /** Called after the device was closed. */
  readonly dispose?: () => Promise<void> | void;
}

export interface ConformanceOptions {
  /** Operations of the random history. Default 2000. */
  readonly operations?: number;
  /** Operations submitted at once to make the device queue. Default 3000. */
  readonly burst?: number;
  readonly seed?: number;
  /** True when the content survives close and open of the same object. Default true. */
  readonly persistent?: boolean;
}

type Register = (title: string, implementation: (t: ExecutionContext) => Promise<void>) => void;

export function conformance(
  name: string,
  setUp: () => ConformanceSubject | Promise<ConformanceSubject>,
  options: ConformanceOptions = {},
  register: Register = test.serial,
): void {
  const law = (title: string, body: Body, opened = true): void =>
    register(`${name}: ${title}`, (t) => withSubject(t, setUp, body, opened));
  const seed = Number(process.env['BANDSTAND_SEED'] ?? options.seed ?? 1);

  law('the geometry is sane and the description is plain data', geometryIsSane);
  law('the first and the last write unit hold what was written', endsHoldData);
  law(`a random history matches the model (seed ${seed})`, (t, subject) =>
    randomHistory(t, subject, seed, options.operations ?? 2000, 16),
  );
  law(`a history with one operation at a time matches the model (seed ${seed})`, (t, subject) =>
    randomHistory(t, subject, seed + 1, Math.ceil((options.operations ?? 2000) / 8), 1),
  );
  law('more operations than it can hold wait, and each completes once', (t, subject) =>
    burstCompletes(t, subject, options.burst ?? 3000),
  );
  law('breaking a precondition is an assertion', preconditionsAreAsserted);
  law('trims and write-zeroes do what the features say', zeroingWorks);
  law('close waits for what is in flight, and a second close does nothing', closeWaits);
  law('closing a device that was never opened does nothing', closeUnopened, false);
  if (options.persistent !== false) law('the content survives close and open', contentSurvives);
}

type Body = (t: ExecutionContext, subject: ConformanceSubject) => Promise<void>;

async function withSubject(
  t: ExecutionContext,
  setUp: () => ConformanceSubject | Promise<ConformanceSubject>,
  body: Body,
  opened: boolean,
): Promise<void> {
  const subject = await setUp();
  const { reactor, device } = subject;
  try {
    if (opened) await reactor.drive(device.open(reactor));
    await body(t, subject);
  } finally {
    await reactor.drive(device.close());
    await subject.dispose?.();
  }
}

async function geometryIsSane(t: ExecutionContext, { device }: ConformanceSubject): Promise<void> {
  const { geometry } = device;
  t.true(geometry.blockBytes === 512 || geometry.blockBytes === 4096);
  t.true(Number.isSafeInteger(geometry.blockCount) && geometry.blockCount > 0);
  t.true(geometry.writeUnitBlocks >= 1);
  t.is(geometry.blockCount % geometry.writeUnitBlocks, 0);
  t.true(geometry.requestBlocksMax >= geometry.writeUnitBlocks);
  t.true(geometry.physicalBlockBytes >= geometry.blockBytes);
  t.true(geometry.trimGranularityBlocks >= 1);
  const description = device.describe();
  t.deepEqual(JSON.parse(JSON.stringify(description)), description);
}

/** Writes whole write units at `block` with `version`, then reads them back. */
async function writeAndCheck(
  t: ExecutionContext,
  { reactor, device }: ConformanceSubject,
  block: number,
  version: number,
): Promise<void> {
  const { blockBytes, writeUnitBlocks } = device.geometry;
  const bytes = writeUnitBlocks * blockBytes;
  const words = blockBytes / 4;
  const at = reactor.arena.allocate(bytes);
  const { u32 } = reactor.arena;
  for (let index = 0; index < writeUnitBlocks; index += 1) {
    fillBlock(u32, at / 4 + index * words, words, block + index, version);
  }
  await reactor.drive(submitOrThrow(device, OP_WRITE, block, writeUnitBlocks, at));
  reactor.arena.release(at, bytes);
  t.true(await holds(reactor, device, block, version), `block ${block}`);
}

async function holds(
  reactor: Reactor,
  device: BlockDevice,
  block: number,
  version: number,
): Promise<boolean> {
  const { blockBytes, writeUnitBlocks } = device.geometry;
  const bytes = writeUnitBlocks * blockBytes;
  const words = blockBytes / 4;
  const at = reactor.arena.allocate(bytes);
  reactor.arena.u8.fill(0x5a, at, at + bytes);
  await reactor.drive(submitOrThrow(device, OP_READ, block, writeUnitBlocks, at));
  let same = true;
  for (let index = 0; index < writeUnitBlocks; index += 1) {
    const word = at / 4 + index * words;
    same &&= holdsBlock(reactor.arena.u32, word, words, block + index, version);
  }
  reactor.arena.release(at, bytes);
  return same;
}

async function endsHoldData(t: ExecutionContext, subject: ConformanceSubject): Promise<void> {
  const { blockCount, writeUnitBlocks } = subject.device.geometry;
  await writeAndCheck(t, subject, 0, 1);
  await writeAndCheck(t, subject, blockCount - writeUnitBlocks, 2);
}

async function randomHistory(
  t: ExecutionContext,
  { reactor, device }: ConformanceSubject,
  seed: number,
  operations: number,
  depth: number,
): Promise<void> {
  const history = new History(reactor, device, { seed, operations, depth });
  await reactor.drive(history.run());
  history.dispose();
  t.deepEqual(history.violations, [], `replay with BANDSTAND_SEED=${seed}`);
  t.is(
    history.completed.reduce((sum, count) => sum + count, 0),
    operations,
  );
  t.true(history.completed[OP_READ]! > 0 && history.completed[OP_WRITE]! > 0);
}

/** Counts completions per operation, and notices those that come during `submit`. */
class Counter implements Completer {
  submitting = false;
  inline = 0;
  failed = 0;
  completed = 0;
  readonly ios: BlockIo[] = [];
  done: (() => void) | null = null;

  complete(io: BlockIo): void {
    if (this.submitting) this.inline += 1;
    if (io.status !== 0) this.failed += 1;
    io.cookie += 1;
    this.completed += 1;
    if (this.completed === this.ios.length) this.done?.();
  }

  submit(device: BlockDevice, op: Op, block: number, blockCount: number, buffer: number): void {
    const io = new BlockIo();
    io.op = op;
    io.block = block;
    io.blockCount = blockCount;
    io.buffer = buffer;
    io.completer = this;
    this.ios.push(io);
    this.submitting = true;
    device.submit(io);
    this.submitting = false;
  }

  finished(): Promise<void> {
    return new Promise((resolve) => {
      this.done = resolve;
      if (this.completed === this.ios.length) resolve();
    });
  }
}

async function burstCompletes(
  t: ExecutionContext,
  { reactor, device }: ConformanceSubject,
  burst: number,
): Promise<void> {
  const { blockBytes, blockCount, writeUnitBlocks } = device.geometry;
  const bytes = writeUnitBlocks * blockBytes;
  const at = reactor.arena.allocate(bytes);
  reactor.arena.u8.fill(0x3c, at, at + bytes);
  const counter = new Counter();
  const units = Math.floor(blockCount / writeUnitBlocks);
  for (let index = 0; index < burst; index += 1) {
    const block = (index % units) * writeUnitBlocks;
    if (index % 50 === 49) counter.submit(device, OP_FLUSH, 0, 0, 0);
    else counter.submit(device, OP_WRITE, block, writeUnitBlocks, at);
  }
  await reactor.drive(counter.finished());
  // A second completion of any of them would come by now.
  await reactor.drive(submitOrThrow(device, OP_FLUSH, 0, 0, 0));
  t.is(counter.inline, 0, 'law 2: no completion inside submit');
  t.is(counter.failed, 0, 'law 8: back-pressure fails nothing');
  t.true(
    counter.ios.every((io) => io.cookie === 1),
    'law 1: exactly once',
  );
  t.true(
    reactor.arena.u8.subarray(at, at + bytes).every((byte) => byte === 0x3c),
    'law 7: a write does not change its payload',
  );
  reactor.arena.release(at, bytes);
}

/** How an operation that is not offered ends; null when submitting it is an assertion. */
async function statusOfLacking(device: BlockDevice, op: Op, count: number): Promise<number | null> {
  try {
    return await submitStatus(device, op, 0, count, 0);
  } catch (error) {
    if (error instanceof InvariantError) return null;
    throw error;
  }
}

async function preconditionsAreAsserted(
  t: ExecutionContext,
  { reactor, device }: ConformanceSubject,
): Promise<void> {
  const { blockCount, writeUnitBlocks, requestBlocksMax, features } = device.geometry;
  const at = reactor.arena.allocate(4096);
  const refused = (op: Op, block: number, count: number, why: string): void => {
    const io = new BlockIo();
    io.op = op;
    io.block = block;
    io.blockCount = count;
    io.buffer = at;
    io.completer = new Counter();
    t.throws(() => device.submit(io), { name: 'InvariantError' }, why);
  };
  refused(OP_READ, blockCount, 1, 'beyond the end');
  refused(OP_WRITE, blockCount, writeUnitBlocks, 'a write beyond the end');
  refused(OP_READ, 0, requestBlocksMax + 1, 'too long');
  refused(OP_READ, Number.NaN, 1, 'not a number');
  if (writeUnitBlocks > 1) refused(OP_WRITE, 1, writeUnitBlocks, 'not at a write unit');
  if ((features & FEATURE_READ_ONLY) === 0 && (features & FEATURE_TRIM) === 0) {
    const status = await reactor.drive(statusOfLacking(device, OP_TRIM, writeUnitBlocks));
    t.true(status === null || status === EOPNOTSUPP, 'law 3: a feature that it lacks');
  }
  reactor.arena.release(at, 4096);
}

async function zeroingWorks(t: ExecutionContext, subject: ConformanceSubject): Promise<void> {
  const { reactor, device } = subject;
  const { features, writeUnitBlocks } = device.geometry;
  await writeAndCheck(t, subject, 0, 7);
  await writeAndCheck(t, subject, writeUnitBlocks, 8);
  if ((features & FEATURE_WRITE_ZEROES) !== 0) {
    await reactor.drive(submitOrThrow(device, OP_WRITE_ZEROES, 0, writeUnitBlocks, 0));
    t.true(await holds(reactor, device, 0, 0), 'law 6: zeroes after write-zeroes');
    t.true(await holds(reactor, device, writeUnitBlocks, 8), 'and not beyond');
  }
  if ((features & FEATURE_TRIM) !== 0) {
    await reactor.drive(submitOrThrow(device, OP_TRIM, writeUnitBlocks, writeUnitBlocks, 0));
    if ((features & FEATURE_TRIM_ZEROES) !== 0) {
      t.true(await holds(reactor, device, writeUnitBlocks, 0), 'law 6: zeroes after a trim');
    }
  }
  await writeAndCheck(t, subject, writeUnitBlocks, 9);
}

async function closeWaits(
  t: ExecutionContext,
  { reactor, device }: ConformanceSubject,
): Promise<void> {
  const { blockBytes, blockCount, writeUnitBlocks } = device.geometry;
  const bytes = writeUnitBlocks * blockBytes;
  const at = reactor.arena.allocate(bytes);
  reactor.arena.u8.fill(0, at, at + bytes);
  const counter = new Counter();
  const units = Math.min(40, Math.floor(blockCount / writeUnitBlocks));
  for (let index = 0; index < units; index += 1) {
    counter.submit(device, OP_WRITE, index * writeUnitBlocks, writeUnitBlocks, at);
  }
  await reactor.drive(device.close());
  t.is(counter.completed, units);
  t.is(counter.failed, 0);
  await reactor.drive(device.close());
  reactor.arena.release(at, bytes);
}

async function closeUnopened(
  t: ExecutionContext,
  { reactor, device }: ConformanceSubject,
): Promise<void> {
  await t.notThrowsAsync(reactor.drive(device.close()));
}

async function contentSurvives(t: ExecutionContext, subject: ConformanceSubject): Promise<void> {
  const { reactor, device } = subject;
  await writeAndCheck(t, subject, 0, 3);
  await reactor.drive(submitOrThrow(device, OP_FLUSH, 0, 0, 0));
  await reactor.drive(device.close());
  await reactor.drive(device.open(reactor));
  t.true(await holds(reactor, device, 0, 3));
}
