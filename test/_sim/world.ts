/**
 * World: disks, a program over them, and a model that knows what it may answer.
 *
 * The disks outlive the program: `start` opens it over whatever disks are there, `crash` ends it
 * between two instructions. The first thing that contradicts the model is kept as the violation and
 * ends everything. A world can be forked while no program runs in it.
 */

import { checkIo, FEATURE_TRIM_ZEROES } from '../../src/block/block-device.ts';
import {
  type BlockIo,
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  type Op,
  opName,
} from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { Timer } from '../../src/block/reactor.ts';
import { OK, statusName } from '../../src/block/status.ts';
import { referencePlaces, referenceSize } from '../_helpers/raid-reference.ts';
import { Atlas } from './atlas.ts';
import { type DiskFault, type FaultOp, faultOp, strike } from './disk-fault.ts';
import { Life } from './life.ts';
import type { Decide, SimMedium } from './medium.ts';
import { checkMembers } from './member-check.ts';
import { Model } from './model.ts';
import { fillPayload } from './payload.ts';
import { drawDecision } from './power-cut.ts';
import type { Random } from './random.ts';
import { type DiskHost, SimDisk } from './sim-disk.ts';
import type { Config, CrashKind } from './step.ts';
import type { Promises, SimArray, Subject, SubjectFactory } from './subject.ts';
import type { Trace } from './trace.ts';
import { UserIo } from './user-io.ts';

/** Something that happens at one member I/O of the whole history, counted from 0. */
export interface Trigger {
  readonly kind: 'fail' | 'tear' | CrashKind;
  readonly at: number;
}

export interface WorldOptions {
  readonly config: Config;
  readonly array: SimArray;
  readonly promises: Promises;
  readonly factory: SubjectFactory;
  readonly random: Random;
  readonly trace: Trace;
  readonly trigger: Trigger | null;
}

const VERIFY_BLOCKS = 32;

class Wait extends Timer {
  over = false;

  expire(): void {
    this.over = true;
  }
}

export class World implements DiskHost {
  readonly options: WorldOptions;
  readonly media: readonly SimMedium[];
  readonly model: Model;
  readonly atlas: Atlas;
  readonly blockCount: number;
  violation: string | null = null;
  /** True when the trigger has struck. */
  triggered = false;
  /** Member I/Os submitted and done, user operations and crashes so far. */
  ios = 0;
  iosDone = 0;
  operations = 0;
  crashes = 0;
  /** Do something when so many more member I/Os have been done. */
  armed: { ios: number; readonly strike: () => void } | null = null;
  #life: Life | null = null;
  #pending = new Set<UserIo>();
  #strikes = 0;
  /** In this life an operation may fail at any time: a member is gone or no longer flushes. */
  #crippled = false;

  constructor(options: WorldOptions, media: readonly SimMedium[], model?: Model, atlas?: Atlas) {
    const { config, array, promises } = options;
    this.options = options;
    this.media = media;
    this.blockCount = referenceSize(array.layout);
    this.atlas = atlas ?? new Atlas(config.level, media, promises);
    this.model =
      model ??
      new Model({
        blockCount: this.blockCount,
        blockBytes: config.blockBytes,
        atomicBlocks: config.unitBytes >= config.blockBytes && config.level !== 'raid5f',
        volatileCache: config.volatileCache,
      });
  }

  get running(): boolean {
    return this.#life !== null;
  }

  get life(): Life {
    return this.#life!;
  }

  get subject(): Subject {
    return this.life.subject;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  violate(text: string): void {
    this.violation ??= text;
    if (this.#life !== null) this.#life.dead = true;
  }

  // --- lives ------------------------------------------------------------------------------------

  /** False when it was refused because a disk failed meanwhile. */
  async start(): Promise<boolean> {
    const { array, factory, random, trace } = this.options;
    const life = new Life(random.u32());
    const present = this.media.filter(({ away }) => !away);
    const disks = present.map(
      (medium) => new SimDisk(medium, this, random.fork(), this.options.config.latency),
    );
    life.begin(disks, factory(life.reactor, disks, array));
    this.#life = life;
    this.#crippled = false;
    const missing = this.atlas.missing();
    trace.say(`start with ${disks.map(({ name }) => name).join(', ')}`);
    for (const slot of missing) this.atlas.unsure[slot] = true;
    const degraded = missing.length > 0 || this.atlas.unsure.includes(true);
    const strikes = this.#strikes;
    try {
      await life.drive(life.subject.open({ degraded }), 'starting');
    } catch (error) {
      if (life.dead) throw error;
      this.#life = null;
      if (this.#strikes === strikes || !(error instanceof BandstandError)) throw error;
      trace.say(`refused: ${error.message}`);
      this.model.flushFailed();
      return false;
    }
    this.#checkStart();
    return true;
  }

  #checkStart(): void {
    const { slots } = this.subject.health();
    slots.forEach((state, slot) => {
      const expected = this.atlas.expected(slot);
      const found = state === 'in-service';
      if (expected !== null && expected !== found) {
        this.violate(`slot ${slot} is ${state}, its member is ${expected ? 'current' : 'not'}`);
      }
      if (this.atlas.current[slot] && !found) this.#forgetHoles([slot]);
      this.atlas.current[slot] = found;
      this.atlas.unsure[slot] = false;
    });
    const { blockCount } = this.subject.device.geometry;
    if (blockCount !== this.blockCount) {
      this.violate(`the array has ${blockCount} blocks instead of ${this.blockCount}`);
    }
  }

  /** A clean stop. */
  async stop(): Promise<void> {
    const life = this.life;
    this.options.trace.say('stop');
    const strikes = this.#strikes;
    try {
      await life.drive(life.subject.close(), 'stopping');
    } catch (error) {
      // It has to say so when a last flush or a mark did not reach every member.
      const excused = this.#crippled || this.#strikes > strikes;
      if (life.dead || !excused || !(error instanceof BandstandError)) throw error;
      this.options.trace.say(`stopped: ${error.message}`);
    }
    const open = life.disks.filter(({ isOpen }) => isOpen);
    if (open.length > 0) this.violate(`after a stop ${open[0]!.name} is still open`);
    this.#life = null;
  }

  /** The program dies at once; with `power` the caches of the disks too. */
  crash(how: CrashKind): void {
    const life = this.life;
    if (life.dead) return;
    const { random, trace } = this.options;
    life.dead = true;
    this.crashes += 1;
    trace.add(0xdead, how.length);
    trace.say(`crash: ${how} after ${this.iosDone} member I/Os, at ${life.reactor.nowUs()} us`);
    for (const disk of life.disks) {
      const left = disk.die();
      if (disk.gone) continue;
      if (disk.medium.hasDropped) this.atlas.unsure[this.media.indexOf(disk.medium)] = true;
      const decide = this.#decision(disk.medium, random);
      if (how === 'power') disk.medium.cutPower(decide, left);
      else disk.medium.kill(decide, left);
    }
    if (how === 'power') this.model.powerCut();
    else this.model.killed();
    this.#pending.clear();
    this.#life = null;
    this.#forgetHoles(this.slotsOut());
    if (!this.options.promises.settles && this.options.config.level === 'raid5f') {
      this.#dropReadFaults();
    }
  }

  /** False while parity cannot be trusted that a crash or a failed write has left behind. */
  get #bearsReadFaults(): boolean {
    const { config, promises } = this.options;
    if (config.level !== 'raid5f' || promises.settles) return true;
    for (let block = 0; block < this.blockCount; block += 1) {
      if (this.model.isDoubtful(block)) return false;
    }
    return true;
  }

  #decision(_medium: SimMedium, random: Random): Decide {
    return drawDecision(random);
  }

  /** Parity that a crash may have left wrong is no help for reads that fail. */
  #dropReadFaults(): void {
    this.media.forEach(({ bad }, slot) => {
      bad.clear();
      const faults = this.atlas.faults[slot]!;
      this.atlas.faults[slot] = faults.filter(({ op }) => op !== 'read');
    });
  }

  /**
   * What raid5f cannot know without a member: its blocks in stripes that were being written when
   * something went wrong, because data and parity of such a stripe need not match (the write hole).
   */
  #forgetHoles(slots: readonly number[]): void {
    const { array, config } = this.options;
    if (config.level !== 'raid5f' || slots.length === 0) return;
    const stripe = config.stripBlocks * (config.members - 1);
    for (let first = 0; first < this.blockCount; first += stripe) {
      let doubtful = false;
      for (let block = first; block < first + stripe; block += 1) {
        doubtful ||= this.model.isDoubtful(block);
      }
      if (!doubtful) continue;
      for (let block = first; block < first + stripe; block += 1) {
        const { member } = referencePlaces(array.layout, block)[0]!;
        if (slots.includes(member)) this.model.forget(block);
      }
    }
  }

  /** The disk in `slot` is pulled out. */
  unplug(slot: number, power: boolean): void {
    const medium = this.media[slot]!;
    const decide = power ? this.#decision(medium, this.options.random) : null;
    const disk = this.#life?.disks.find((candidate) => candidate.medium === medium);
    this.options.trace.say(`unplug ${medium.name}${power ? ', its cache is lost' : ''}`);
    this.#forgetHoles([slot]);
    if (disk !== undefined) {
      disk.vanish(decide);
      this.#crippled = true;
      this.#strikes += 1;
    } else {
      if (decide !== null) medium.cutPower(decide, []);
      medium.away = true;
    }
  }

  /** The same disks without a running program, to try something out. */
  fork(random: Random): World {
    const media = this.media.map((medium) => medium.clone());
    const { config, promises } = this.options;
    const atlas = new Atlas(config.level, media, promises);
    this.atlas.current.forEach((current, slot) => {
      atlas.current[slot] = current;
      atlas.unsure[slot] = this.atlas.unsure[slot]!;
    });
    const options = { ...this.options, random, trigger: null };
    return new World(options, media, this.model.clone(), atlas);
  }

  // --- disks ------------------------------------------------------------------------------------

  ioSubmitted(disk: SimDisk, io: BlockIo): DiskFault | null {
    const { array, trace, trigger } = this.options;
    const slot = this.media.indexOf(disk.medium);
    const index = this.ios;
    this.ios += 1;
    trace.add(slot, io.op, io.flags, io.block, io.blockCount);
    let fault = strike(this.atlas.faults[slot]!, io, array.dataOffset);
    if (trigger?.kind === 'fail' && trigger.at === index) fault ??= this.#triggerFault(slot, io);
    if (fault !== null) this.#noteStrike(disk, io, fault);
    if (trace.verbose) {
      const what = fault === null ? '' : `: ${fault.kind}`;
      trace.say(`  ${index} ${disk.name} ${ioText(io)}${what}`);
    }
    return fault;
  }

  #triggerFault(slot: number, io: BlockIo): DiskFault | null {
    this.triggered = true;
    const op = faultOp(io);
    return this.mayFail(op, slot) ? { kind: 'fail', op, skip: 0, dataOnly: false } : null;
  }

  /** Whether something may go wrong with such an operation on the disk in `slot`. */
  mayFail(op: FaultOp, slot: number): boolean {
    this.atlas.oldestPending = Math.min(...[...this.#pending].map(({ number }) => number));
    return this.atlas.allows(op, slot) && (op !== 'read' || this.#bearsReadFaults);
  }

  mayUnplug(slot: number): boolean {
    return this.mayFail('flush', slot) && this.atlas.allowsUnplug(slot);
  }

  #noteStrike(disk: SimDisk, io: BlockIo, fault: DiskFault): void {
    if (fault.kind !== 'fail') return;
    this.#strikes += 1;
    this.atlas.struckAt[this.media.indexOf(disk.medium)] = this.operations;
    if (io.op === OP_FLUSH) {
      this.#crippled = true;
      if (!this.options.promises.ejects || this.atlas.tolerates === 0) this.model.flushFailed();
    }
    this.options.trace.say(`  fault: ${disk.name} ${ioText(io)} fails`);
  }

  ioStarted(_disk: SimDisk, io: BlockIo): void {
    const { trigger } = this.options;
    if (trigger?.kind !== 'tear' || this.triggered || trigger.at !== this.ios - 1) return;
    this.triggered = true;
    if (io.op !== OP_READ && io.op !== OP_FLUSH) this.crash('power');
  }

  ioDone(disk: SimDisk, io: BlockIo, status: number): void {
    const { trace, trigger } = this.options;
    const index = this.iosDone;
    this.iosDone += 1;
    trace.add(status, this.life.reactor.nowUs());
    if (status !== OK) {
      this.#strikes += 1;
      if (trace.verbose) trace.say(`  ${disk.name} ${ioText(io)} ends: ${statusName(status)}`);
    }
    if ((trigger?.kind === 'power' || trigger?.kind === 'kill') && trigger.at === index) {
      this.triggered = true;
      this.crash(trigger.kind);
      return;
    }
    const armed = this.armed;
    if (armed === null) return;
    armed.ios -= 1;
    if (armed.ios > 0) return;
    this.armed = null;
    armed.strike();
  }

  // --- the user ---------------------------------------------------------------------------------

  /** True when the operation has to wait for one in flight. */
  mustWait(op: Op, block: number, blockCount: number): boolean {
    if (op === OP_FLUSH || this.options.promises.overlap) return false;
    const reads = op === OP_READ;
    if (reads && this.options.config.level !== 'raid5f') return false;
    const unit = this.options.config.level === 'raid5f' ? this.#stripeBlocks : 1;
    const first = Math.floor(block / unit) * unit;
    const end = Math.ceil((block + blockCount) / unit) * unit;
    for (const io of this.#pending) {
      if (io.op === OP_FLUSH || (reads && !io.mutates)) continue;
      if (!reads && !io.mutates && unit === 1) continue;
      if (io.overlaps(first, end - first)) return true;
    }
    return false;
  }

  get #stripeBlocks(): number {
    return this.options.config.stripBlocks * (this.options.config.members - 1);
  }

  /** False when the device does not take such an operation. */
  submit(op: Op, block: number, blockCount: number, fua: boolean): boolean {
    const { device } = this.subject;
    const { blockBytes, features } = device.geometry;
    const io = new UserIo(this.operations, this);
    io.op = op;
    io.flags = fua ? FLAG_FUA : 0;
    io.block = block;
    io.blockCount = blockCount;
    if (checkIo(device.geometry, io) !== OK) return false;
    this.operations += 1;
    io.strikes = this.#strikes;
    if (op === OP_READ || op === OP_WRITE) {
      io.bufferBytes = blockCount * blockBytes;
      io.buffer = this.life.reactor.arena.allocate(io.bufferBytes);
    }
    if (op === OP_READ) io.ticket = this.model.readSubmitted(block, blockCount);
    else if (op === OP_FLUSH) io.flushStamp = this.model.flushSubmitted();
    else {
      const undefinedTrim = op === OP_TRIM && (features & FEATURE_TRIM_ZEROES) === 0;
      const content = op === OP_WRITE ? 'data' : undefinedTrim ? 'any' : 'zeroes';
      io.value = this.model.writeSubmitted(block, blockCount, content);
    }
    if (op === OP_WRITE) this.#fill(io, blockBytes);
    this.#pending.add(io);
    const { trace } = this.options;
    if (trace.verbose) {
      const version = io.value === null ? '' : `, version ${io.value.version}`;
      trace.say(`#${io.number} ${ioText(io)}${version}`);
    }
    device.submit(io);
    return true;
  }

  #fill(io: UserIo, blockBytes: number): void {
    const { u32 } = this.life.reactor.arena;
    for (let index = 0; index < io.blockCount; index += 1) {
      const at = io.buffer + index * blockBytes;
      fillPayload(u32, at, blockBytes, io.block + index, io.value!.version);
    }
  }

  userIoDone(io: UserIo): void {
    if (!this.#pending.has(io)) {
      if (io.done) this.violate(`#${io.number} ${ioText(io)} completed twice`);
      return;
    }
    const { trace } = this.options;
    this.#pending.delete(io);
    io.done = true;
    trace.add(io.number, io.status);
    if (trace.verbose) {
      trace.say(`#${io.number} ends: ${statusName(io.status)} at ${this.life.reactor.nowUs()} us`);
    }
    if (io.status !== OK) this.#checkFailure(io);
    if (io.ticket !== null) this.#readDone(io);
    else if (io.value === null) {
      if (io.status === OK) this.model.flushDone(io.flushStamp);
    } else {
      this.model.writeDone(io.value, io.status === OK, (io.flags & FLAG_FUA) !== 0);
      if (io.status !== OK) this.#forgetHoles(this.slotsOut());
    }
    if (io.bufferBytes > 0) this.life.reactor.arena.release(io.buffer, io.bufferBytes);
  }

  /** Slots whose member is not there or lacks something. */
  slotsOut(): number[] {
    return this.media.flatMap(({ away }, slot) =>
      away || !this.atlas.current[slot] ? [slot] : [],
    );
  }

  #readDone(io: UserIo): void {
    if (io.status !== OK) {
      this.model.readDropped(io.ticket!);
      return;
    }
    const pin = this.options.promises.settles || this.atlas.tolerates === 0;
    const { u32 } = this.life.reactor.arena;
    const wrong = this.model.readDone(io.ticket!, u32, io.buffer, pin);
    if (wrong !== null) this.violate(`#${io.number} ${ioText(io)}: ${wrong}`);
  }

  /** An operation may fail when a member I/O has failed since, and the level has no answer. */
  #checkFailure(io: UserIo): void {
    const struck = this.#strikes > io.strikes || this.#crippled;
    const redundant = this.atlas.tolerates > 0;
    const borne = redundant && (io.op === OP_READ || this.options.promises.ejects);
    if (struck && !borne) return;
    const why = borne ? 'although the level bears what has happened' : 'without a reason';
    this.violate(`#${io.number} ${ioText(io)} failed with ${statusName(io.status)} ${why}`);
  }

  drain(): Promise<void> {
    return this.life.until(() => this.#pending.size === 0, 'an operation');
  }

  /** Lets virtual time pass. */
  async pass(us: number): Promise<void> {
    const timer = new Wait();
    this.life.reactor.schedule(timer, us);
    await this.life.until(() => timer.over, 'waiting');
  }

  /** Reads everything twice, the second time in other pieces. */
  async verify(): Promise<void> {
    await this.readAll(VERIFY_BLOCKS);
    await this.readAll(VERIFY_BLOCKS / 2 + 1);
  }

  async readAll(step = VERIFY_BLOCKS): Promise<void> {
    await this.drain();
    this.options.trace.say('read everything');
    for (let block = 0; block < this.blockCount; block += step) {
      await this.life.until(() => this.#pending.size < 4, 'a read');
      this.submit(OP_READ, block, Math.min(step, this.blockCount - block), false);
    }
    await this.drain();
  }

  checkMembers(): void {
    const { array } = this.options;
    const inService = this.media.map(({ away }, slot) => !away && this.atlas.current[slot]!);
    const wrong = checkMembers(array, this.media, inService, this.model);
    if (wrong !== null) this.violate(`members: ${wrong}`);
  }
}

function ioText({ op, flags, block, blockCount }: BlockIo): string {
  const where = op === OP_FLUSH ? '' : ` ${block}+${blockCount}`;
  return `${opName(op)}${where}${(flags & FLAG_FUA) !== 0 ? ' fua' : ''}`;
}
