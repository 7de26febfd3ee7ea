/**
 * Walks through a scenario again and again, and lets each of its metadata writes fail in turn, or
 * the power go before it. What was acknowledged must be there afterwards, whatever the moment.
 */

import type { ExecutionContext } from 'ava';
import { OP_FLUSH, OP_WRITE } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import type { ArrayManager } from '../../src/raid/array-manager.ts';
import { drive } from '../_sim/driver.ts';
import { Random } from './array-fixture.ts';
import { BLOCK, FAST, ManagedBench, type ManagedOptions, OFFSET } from './managed-array.ts';
import type { RamDevice } from './ram-device.ts';

/** What an array was told to hold, by block; what is not known is what a failed write has left. */
export class Expectation {
  content: Uint8Array;
  unknown: Set<number>;

  constructor(content: Uint8Array, unknown: Iterable<number> = []) {
    this.content = content;
    this.unknown = new Set(unknown);
  }

  copy(): Expectation {
    return new Expectation(this.content.slice(), this.unknown);
  }

  /** The first block that is known and differs, or -1. */
  differsAt(found: Uint8Array): number {
    for (let block = 0; block * BLOCK < this.content.length; block += 1) {
      if (this.unknown.has(block)) continue;
      const wanted = this.content.subarray(block * BLOCK, (block + 1) * BLOCK);
      const actual = found.subarray(block * BLOCK, (block + 1) * BLOCK);
      if (Buffer.compare(wanted, actual) !== 0) return block;
    }
    return -1;
  }
}

export class Walk {
  readonly bench: ManagedBench;
  readonly expected: Expectation;
  readonly #random: Random;

  constructor(bench: ManagedBench, expected: Expectation, seed: number) {
    this.bench = bench;
    this.expected = expected;
    this.#random = new Random(seed);
  }

  /** Writes `count` units at random places, one after another. */
  async write(count: number): Promise<void> {
    const { bench, expected } = this;
    const { blockCount, writeUnitBlocks } = bench.manager!.array.geometry;
    for (let index = 0; index < count; index += 1) {
      const at = this.#random.below(blockCount / writeUnitBlocks) * writeUnitBlocks;
      const bytes = this.#random.bytes(writeUnitBlocks * BLOCK);
      const blocks = Array.from({ length: writeUnitBlocks }, (_, offset) => at + offset);
      for (const block of blocks) expected.unknown.add(block);
      const status = await bench.write(at, bytes);
      if (status !== OK) continue;
      expected.content.set(bytes, at * BLOCK);
      for (const block of blocks) expected.unknown.delete(block);
    }
  }

  /** What a person asks for may be refused: the array has its reasons by then. */
  async ask(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
    }
  }

  /** Opens a disk for the array, which may refuse it. */
  async give(disk: RamDevice, work: (manager: ArrayManager) => Promise<unknown>): Promise<void> {
    await disk.open(this.bench.reactor);
    try {
      await work(this.bench.manager!);
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      await disk.close();
    }
  }

  /** Waits for the process that runs, writing meanwhile. */
  async quiet(): Promise<void> {
    const { bench } = this;
    let idle = 0;
    for (let round = 0; round < 200 && idle < 6; round += 1) {
      if (round < 4) await this.write(1);
      await bench.sleep(300);
      idle = bench.manager!.status().process === null ? idle + 1 : 0;
    }
  }
}

export interface Scenario {
  readonly options: ManagedOptions;
  readonly seed: number;
  /** Runs on an array that is whole and quiet; without faults it is whole again at the end. */
  run(walk: Walk): Promise<void>;
}

const IMMORTAL = { dead: false };

/** User I/O is not given way to: what is tested is the order of things, not their pace. */
const UNPACED = { process: { ...FAST.process, limitBytesPerSecond: 2 ** 40 } };

export type FaultKind = 'once' | 'for ever' | 'power';

/** Metadata: what is written before the data area, and flushes. */
function isMetadata(op: number, block: number): boolean {
  return op === OP_FLUSH || (op === OP_WRITE && block < OFFSET);
}

/** Goes through the event loop of Node only once per walk, not once per turn. */
class WalkBench extends ManagedBench {
  override drive<Result>(work: Promise<Result>): Promise<Result> {
    return drive(this.reactor, IMMORTAL, work, 'a walk');
  }
}

/** What creation has written for each scenario: every walk of it begins with a copy. */
const created = new Map<Scenario, ManagedBench>();

async function withNewArray(scenario: Scenario, memory: Uint8Array[]): Promise<ManagedBench> {
  const { options } = scenario;
  let creator = created.get(scenario);
  if (creator === undefined) {
    creator = new WalkBench(options);
    await creator.create();
    created.set(scenario, creator);
  }
  return new WalkBench(options, creator.crash(memory));
}

async function prepared(scenario: Scenario, memory: Uint8Array[]): Promise<Walk> {
  const { options, seed } = scenario;
  const bench = await withNewArray(scenario, memory);
  await bench.start(bench.disks.slice(0, bench.disks.length - (options.blanks ?? 0)), {}, UNPACED);
  const { blockCount } = bench.manager!.array.geometry;
  const content = new Random(seed).bytes(blockCount * BLOCK);
  if ((await bench.drive(bench.write(0, content))) !== OK) throw new Error('an array takes data');
  await bench.settle();
  return new Walk(bench, new Expectation(content), seed + 1);
}

/** Gives the number of metadata writes that the scenario makes. */
export async function walkFaults(
  t: ExecutionContext,
  scenario: Scenario,
  kind: FaultKind,
): Promise<number> {
  // Each walk takes the disks of the one before: new memory costs more than what fills it.
  const [before, afterwards]: [Uint8Array[], Uint8Array[]] = [[], []];
  for (let last = 0; ; last += 1) {
    const walk = await prepared(scenario, before);
    const { bench } = walk;
    const label = `seed ${scenario.seed}, ${kind} at metadata write ${last}`;
    let seen = -1;
    let victim: RamDevice | null = null;
    let after: { disks: RamDevice[]; expected: Expectation } | null = null;
    for (const disk of bench.disks) {
      disk.fault = (io) => {
        if (disk === victim && kind === 'for ever') return io.op === OP_WRITE ? EIO : OK;
        if (!isMetadata(io.op, io.block)) return OK;
        seen += 1;
        if (seen !== last) return OK;
        victim = disk;
        if (kind === 'power') {
          after = { disks: bench.crash(afterwards), expected: walk.expected.copy() };
        }
        return kind === 'power' ? OK : EIO;
      };
    }
    await bench.drive(scenario.run(walk));
    if (victim === null)
      t.true(
        bench.health().every((health) => health === 'ok'),
        label,
      );
    await bench.stop().catch((error: unknown) => {
      if (!(error instanceof BandstandError)) throw error;
    });
    after ??= { disks: bench.crash(afterwards), expected: walk.expected };
    await verify(t, scenario, after.disks, after.expected, label);
    if (seen < last) return seen + 1;
  }
}

/** Starts from what is on the disks: nothing acknowledged is lost, now or when all is whole. */
async function verify(
  t: ExecutionContext,
  { options }: Scenario,
  disks: RamDevice[],
  expected: Expectation,
  label: string,
): Promise<void> {
  const bench = new WalkBench(options, disks);
  await bench.start(disks, { degraded: true, scan: true }, UNPACED);
  const { blockCount } = bench.manager!.array.geometry;
  const whole = async (when: string): Promise<void> => {
    const found = await bench.drive(bench.read(0, blockCount));
    t.is(expected.differsAt(found), -1, `${label}: ${when}`);
  };
  await whole('at once');
  await bench.settle();
  await whole('when it is quiet');
  // Every single member of a mirror, and every stripe without one of its members, says the same.
  const { members } = bench.manager!.array;
  for (const { slot, device } of members) {
    if (device === null || !bench.manager!.array.mayEject(slot)) continue;
    await bench.drive(bench.manager!.failMember(slot));
    await whole(`without slot ${slot}`);
    break;
  }
  await bench.stop();
}
