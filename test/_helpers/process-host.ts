/**
 * A ProcessHost over RamDevices: what RaidArray will be to a background process, without the array.
 *
 * It refuses what the contract forbids (I/O to a member that is out of service, or to a target that
 * is gone), ejects on failed writes when redundancy bears it, and lets a test step in before every
 * completion. `Writer` is a user who writes under locks meanwhile.
 */

import { Arena } from '../../src/block/arena.ts';
import { assert } from '../../src/block/assert.ts';
import {
  BlockIo,
  type Completer,
  FLAG_BACKGROUND,
  OP_WRITE,
  type Op,
} from '../../src/block/block-io.ts';
import { Timer } from '../../src/block/reactor.ts';
import { ENODEV, OK } from '../../src/block/status.ts';
import { Pacer } from '../../src/raid/pacer.ts';
import { Process, type ProcessObserver } from '../../src/raid/process.ts';
import {
  PROCESS_TUNING,
  type ProcessHost,
  type ProcessKind,
  type ProcessOutcome,
  type ProcessTuning,
} from '../../src/raid/process-host.ts';
import { type LockOwner, RangeLock, RangeLocks } from '../../src/raid/range-locks.ts';
import { AllRanges, type WorkRanges } from '../../src/raid/work-ranges.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { Random } from './array-fixture.ts';
import { type Layout, referenceImages, referenceParity, referenceSize } from './raid-reference.ts';
import { RamDevice } from './ram-device.ts';

export const BLOCK = 512;
export const DATA_OFFSET = 8;

export interface HostOptions {
  readonly redundancy: 'mirror' | 'parity';
  readonly members: number;
  /** Blocks of data on each member. */
  readonly blocks: number;
  readonly strip?: number;
  readonly targetSlot?: number;
  /** The slots without a member; a target's slot is empty unless it is replaced. */
  readonly missing?: readonly number[];
  readonly delayUsMax?: number;
  /** Slots whose member has a volatile cache. */
  readonly cached?: readonly number[];
  readonly memberBlocksMax?: number;
  readonly seed?: number;
  readonly arenaBytes?: number;
  /** Of each device, which then carries out one operation after another; 0: no limit. */
  readonly bytesPerSecond?: number;
}

class Turn extends Timer {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  expire(): void {
    this.#run();
  }
}

export class FakeHost implements ProcessHost {
  readonly reactor: SimulatedReactor;
  readonly blockBytes = BLOCK;
  readonly redundancy: 'mirror' | 'parity';
  readonly stripBlocks: number;
  readonly memberDataBlocks: number;
  readonly memberBlocksMax: number;
  readonly members: { device: RamDevice | null }[];
  readonly devices: readonly RamDevice[];
  readonly target: RamDevice;
  targetSlot: number;
  readonly locks = new RangeLocks();
  readonly layout: Layout;
  /** What the array holds. */
  readonly content: Uint8Array;
  /** Completions so far, and what a test does before each. */
  completions = 0;
  beforeCompletion: (count: number) => void = () => {};
  readonly failedWrites: string[] = [];
  inFlight = 0;
  inFlightMost = 0;
  readonly #bytesPerSecond: number;
  readonly #freeUs = new Map<RamDevice, number>();

  constructor(options: HostOptions) {
    const { members, redundancy, blocks } = options;
    const seed = options.seed ?? 1;
    const arena = new Arena(new ArrayBuffer(options.arenaBytes ?? 2 ** 18), 0);
    this.reactor = new SimulatedReactor({ seed, arena });
    this.#bytesPerSecond = options.bytesPerSecond ?? 0;
    this.redundancy = redundancy;
    this.stripBlocks = redundancy === 'mirror' ? 0 : (options.strip ?? 4);
    this.memberDataBlocks = blocks;
    this.memberBlocksMax = options.memberBlocksMax ?? 2048;
    this.targetSlot = options.targetSlot ?? -1;
    this.layout = {
      level: redundancy === 'mirror' ? 'raid1' : 'raid5f',
      strip: this.stripBlocks || 1,
      sizes: new Array(members).fill(blocks),
    };
    this.content = new Random(seed + 1000).bytes(referenceSize(this.layout) * BLOCK);
    const blockCount = DATA_OFFSET + blocks;
    const { delayUsMax = 0 } = options;
    const device = (name: string) => {
      const made = new RamDevice(name, { blockCount, blockBytes: BLOCK, delayUsMax });
      made.bytes.fill(0xee);
      void made.open(this.reactor);
      return made;
    };
    this.devices = this.layout.sizes.map((_, slot) => device(`ram${slot}`));
    this.target = device('target');
    for (const [slot, image] of this.images().entries()) {
      this.devices[slot]!.bytes.set(image, DATA_OFFSET * BLOCK);
    }
    for (const slot of options.cached ?? []) {
      const made = this.devices[slot]!;
      Object.assign(made, { geometry: { ...made.geometry, volatileCache: true } });
    }
    this.members = this.devices.map((made, slot) => ({
      device: options.missing?.includes(slot) ? null : made,
    }));
  }

  images(): Uint8Array[] {
    return referenceImages(this.layout, BLOCK, this.content);
  }

  /** The data area of a device. */
  data(device: RamDevice): Uint8Array {
    return device.bytes.subarray(DATA_OFFSET * BLOCK);
  }

  /** True when the data area holds what that slot should. */
  holds(device: RamDevice, slot: number): boolean {
    return Buffer.compare(this.data(device), this.images()[slot]!) === 0;
  }

  memberReadFailed(): void {}

  /** Fails operations on a device that touch a member block for which `bad` is true. */
  breakBlocks(device: RamDevice, op: Op, bad: (memberBlock: number) => boolean, status = 5): void {
    device.fault = (io) => {
      if (io.op !== op) return OK;
      for (let block = io.block; block < io.block + io.blockCount; block += 1) {
        if (bad(block - DATA_OFFSET)) return status;
      }
      return OK;
    };
  }

  /** Fails the k-th operation of that kind. */
  breakNth(device: RamDevice, op: Op, k: number): void {
    let count = 0;
    device.fault = (io) => {
      if (io.op !== op) return OK;
      count += 1;
      return count === k ? 5 : OK;
    };
  }

  eject(slot: number): void {
    this.members[slot]!.device = null;
  }

  bearsLoss(): boolean {
    const present = this.members.filter((member) => member.device !== null).length;
    return this.redundancy === 'mirror' ? present > 1 : present === this.members.length;
  }

  arrayBlock(memberBlock: number): number {
    if (this.redundancy === 'mirror') return memberBlock;
    assert(memberBlock % this.stripBlocks === 0, 'array blocks are asked for whole strips');
    return memberBlock * (this.members.length - 1);
  }

  paritySlot(stripe: number): number {
    return referenceParity(this.layout, stripe);
  }

  sendToMember(
    io: BlockIo,
    slot: number,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const { device } = this.members[slot]!;
    assert(device !== null, 'a member that is sent to is in service');
    this.#send(device, io, op, flags, block, blockCount, buffer);
  }

  sendToTarget(
    io: BlockIo,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    assert(this.targetSlot !== -1, 'a target that is sent to is there');
    assert(op === OP_WRITE, 'a target is written only');
    this.#send(this.target, io, op, flags, block, blockCount, buffer);
  }

  memberWriteFailed(slot: number, status: number): void {
    if (this.members[slot]!.device === null) return;
    this.failedWrites.push(`${slot}:${status}`);
    if (this.bearsLoss()) this.eject(slot);
  }

  #send(
    device: RamDevice,
    io: BlockIo,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    assert(blockCount <= this.memberBlocksMax, 'a request is not too large for a member');
    assert(block + blockCount <= this.memberDataBlocks, 'a request lies in the data area');
    const child = new BlockIo();
    child.op = op;
    child.flags = flags;
    child.block = DATA_OFFSET + block;
    child.blockCount = blockCount;
    child.buffer = buffer;
    this.inFlight += 1;
    this.inFlightMost = Math.max(this.inFlightMost, this.inFlight);
    child.completer = {
      complete: () => {
        this.inFlight -= 1;
        this.completions += 1;
        this.beforeCompletion(this.completions);
        io.status = child.status;
        io.completer.complete(io);
      },
    };
    if (this.#bytesPerSecond === 0) {
      device.submit(child);
      return;
    }
    const nowUs = this.reactor.nowUs();
    const takesUs = (blockCount * BLOCK * 1e6) / this.#bytesPerSecond;
    const freeUs = Math.max(nowUs, this.#freeUs.get(device) ?? 0) + takesUs;
    this.#freeUs.set(device, freeUs);
    this.reactor.schedule(new Turn(() => device.submit(child)), freeUs - nowUs);
  }
}

/** Writes random whole units (blocks, or stripes) under locks, one after another. */
export class Writer implements LockOwner, Completer {
  readonly #host: FakeHost;
  readonly #random: Random;
  readonly #lock = new RangeLock(this);
  readonly #buffer: number;
  readonly #unitBlocks: number;
  #pending = 0;
  writes = 0;
  readonly #writesMax: number;

  constructor(host: FakeHost, seed: number, writesMax: number) {
    this.#host = host;
    this.#random = new Random(seed);
    this.#writesMax = writesMax;
    const data = host.members.length - 1;
    this.#unitBlocks = host.redundancy === 'mirror' ? 3 : host.stripBlocks * data;
    this.#buffer = host.reactor.arena.allocate((this.#unitBlocks + host.stripBlocks) * BLOCK);
  }

  get done(): boolean {
    return this.writes === this.#writesMax && this.#pending === 0;
  }

  next(): void {
    if (this.writes === this.#writesMax) return;
    this.writes += 1;
    this.#pending = -1;
    const units = Math.floor(this.#host.content.length / BLOCK / this.#unitBlocks);
    this.#lock.first = this.#random.below(units) * this.#unitBlocks;
    this.#lock.end = this.#lock.first + this.#unitBlocks;
    if (this.#host.locks.acquire(this.#lock)) this.locked();
  }

  locked(): void {
    const host = this.#host;
    const { first } = this.#lock;
    const strip = host.stripBlocks;
    const bytes = this.#random.bytes(this.#unitBlocks * BLOCK);
    host.content.set(bytes, first * BLOCK);
    const memory = host.reactor.arena.u8;
    memory.set(bytes, this.#buffer);
    const data = host.members.length - 1;
    const stripe = first / (strip * data);
    const parity = strip === 0 ? -1 : host.paritySlot(stripe);
    const memberBlock = strip === 0 ? first : stripe * strip;
    const count = strip === 0 ? this.#unitBlocks : strip;
    const sum = this.#buffer + this.#unitBlocks * BLOCK;
    for (let at = 0; at < strip * BLOCK; at += 1) {
      let value = 0;
      for (let chunk = 0; chunk < data; chunk += 1) value ^= bytes[chunk * strip * BLOCK + at]!;
      memory[sum + at] = value;
    }
    this.#pending = 1;
    for (const [slot, { device }] of host.members.entries()) {
      const chunk = slot < parity ? slot : slot - 1;
      const from =
        parity === -1 ? this.#buffer : slot === parity ? sum : this.#buffer + chunk * strip * BLOCK;
      const io = new BlockIo();
      io.completer = this;
      if (device !== null) {
        this.#pending += 1;
        host.sendToMember(io, slot, OP_WRITE, 0, memberBlock, count, from);
      }
      if (slot !== host.targetSlot) continue;
      const copy = new BlockIo();
      copy.completer = this;
      this.#pending += 1;
      host.sendToTarget(copy, OP_WRITE, 0, memberBlock, count, from);
    }
    this.#sent();
  }

  #sent(): void {
    this.#pending -= 1;
    if (this.#pending !== 0) return;
    this.#host.locks.release(this.#lock);
    this.next();
  }

  complete(io: BlockIo): void {
    assert(io.status === OK, 'a write of a user succeeds here');
    this.#sent();
  }
}

export interface RunOptions {
  readonly kind: ProcessKind;
  readonly repair?: boolean;
  readonly replaceSlot?: number;
  readonly startBlock?: number;
  readonly ranges?: WorkRanges;
  readonly unflushed?: WorkRanges;
  readonly tuning?: Partial<ProcessTuning>;
}

/** A process on a fake host, with everything its observer heard. */
export class Run implements ProcessObserver {
  readonly host: FakeHost;
  readonly process: Process;
  readonly pacer: Pacer;
  readonly outcomes: ProcessOutcome[] = [];
  readonly watermarks: number[] = [];
  readonly mismatches: string[] = [];
  readonly lost: string[] = [];
  advanced: () => void = () => {};

  constructor(host: FakeHost, options: RunOptions) {
    const tuning = { ...PROCESS_TUNING, chunkBytes: 4 * BLOCK, depth: 4, ...options.tuning };
    this.host = host;
    this.pacer = new Pacer(host.reactor, tuning);
    this.process = new Process(host, {
      kind: options.kind,
      repair: options.repair ?? false,
      replaceSlot: options.replaceSlot ?? -1,
      startBlock: options.startBlock ?? 0,
      ranges: options.ranges ?? new AllRanges(host.memberDataBlocks),
      unflushed: options.unflushed ?? null,
      tuning,
      pacer: this.pacer,
      observer: this,
    });
  }

  get ended(): boolean {
    return this.outcomes.length !== 0;
  }

  /** What it came to, in a word. */
  get outcome(): string {
    const outcome = this.outcomes[0];
    if (outcome?.kind !== 'failed') return outcome?.kind ?? 'running';
    return `failed ${outcome.status} slot ${outcome.slot} block ${outcome.memberBlock}`;
  }

  /** Turns until it has ended, or as long as `going` says; checks the invariants in each turn. */
  until(going: () => boolean = () => !this.ended): void {
    const { process } = this;
    while (going()) {
      if (!this.step()) throw new Error('the process waits for nothing');
      assert(process.doneBlocks <= process.totalBlocks, 'done is not more than all');
    }
  }

  step(): boolean {
    const { reactor } = this.host;
    if (!reactor.busy && !reactor.advance()) return false;
    reactor.turn();
    return true;
  }

  finish(): string {
    this.process.start();
    this.until();
    for (let turns = 0; turns < 5; turns += 1) this.host.reactor.turn();
    assert(this.outcomes.length === 1, 'a process ends once');
    assert(this.process.idle && this.host.inFlight === 0, 'a process that ended holds nothing');
    return this.outcome;
  }

  loseTarget(): void {
    this.host.targetSlot = -1;
    this.process.targetGone(ENODEV);
  }

  processAdvanced(): void {
    const last = this.watermarks.at(-1) ?? -1;
    assert(this.process.watermark > last, 'the watermark only grows');
    this.watermarks.push(this.process.watermark);
    this.advanced();
  }

  processEnded(_process: Process, outcome: ProcessOutcome): void {
    this.outcomes.push(outcome);
  }

  processMismatch(memberBlock: number, count: number, repaired: boolean): void {
    this.mismatches.push(`${memberBlock}+${count}${repaired ? ' repaired' : ''}`);
  }

  processLost(memberBlock: number, count: number): void {
    this.lost.push(`${memberBlock}+${count}`);
  }
}

/** True when all that was logged on the device was sent as background I/O. */
export function isBackground(device: RamDevice): boolean {
  return device.log.every(({ flags }) => (flags & FLAG_BACKGROUND) !== 0);
}
