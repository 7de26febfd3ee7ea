/**
 * The simulated user: submits operations to the device under test, keeps the model informed, and
 * compares every answer with it.
 */

import { checkIo, FEATURE_TRIM_ZEROES } from '../../src/block/block-device.ts';
import {
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  type Op,
} from '../../src/block/block-io.ts';
import { Timer } from '../../src/block/reactor.ts';
import { OK, statusName } from '../../src/block/status.ts';
import { fillPayload, unitVersion } from './payload.ts';
import { ioText, UserIo } from './user-io.ts';
import type { World } from './world.ts';

const VERIFY_BLOCKS = 32;
const VERIFY_DEPTH = 4;

class Wait extends Timer {
  over = false;

  expire(): void {
    this.over = true;
  }
}

export class User {
  operations = 0;
  readonly #world: World;
  readonly #pending = new Set<UserIo>();
  /** Reads that have failed, as they may: for one of their blocks at least. */
  #excused: UserIo[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** The number of the oldest operation that is under way, or Infinity. */
  get oldestPending(): number {
    return Math.min(...[...this.#pending].map(({ number }) => number));
  }

  /** The program is dead: nothing will be answered any more. */
  vanish(): void {
    this.#pending.clear();
  }

  /** True when the operation has to wait for one in flight. */
  mustWait(op: Op, block: number, blockCount: number): boolean {
    if (op === OP_FLUSH || this.#world.options.promises.overlap) return false;
    const reads = op === OP_READ;
    if (reads && this.#world.options.config.level !== 'raid5f') return false;
    const unit = this.#world.options.config.level === 'raid5f' ? this.#stripeBlocks : 1;
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
    return this.#world.options.config.stripBlocks * (this.#world.options.config.members - 1);
  }

  /** False when the device does not take such an operation. */
  submit(op: Op, block: number, blockCount: number, fua: boolean): boolean {
    const { device } = this.#world.subject;
    const { blockBytes, features } = device.geometry;
    const io = new UserIo(this.operations, this);
    io.op = op;
    io.flags = fua ? FLAG_FUA : 0;
    io.block = block;
    io.blockCount = blockCount;
    if (checkIo(device.geometry, io) !== OK) return false;
    this.#world.syncHealth();
    this.operations += 1;
    io.strikes = this.#world.ios.strikes;
    io.hurts = this.#world.cacheFaults.hurts;
    io.wasLost = this.#world.cacheFaults.mayBeLost(io);
    if (op === OP_READ || op === OP_WRITE) {
      io.bufferBytes = blockCount * blockBytes;
      io.buffer = this.#world.life.reactor.arena.allocate(io.bufferBytes);
    }
    if (op === OP_READ) io.ticket = this.#world.model.readSubmitted(block, blockCount);
    else if (op === OP_FLUSH) io.flushStamp = this.#world.model.flushSubmitted();
    else {
      const undefinedTrim = op === OP_TRIM && (features & FEATURE_TRIM_ZEROES) === 0;
      const content = op === OP_WRITE ? 'data' : undefinedTrim ? 'any' : 'zeroes';
      io.value = this.#world.model.writeSubmitted(block, blockCount, content);
    }
    if (op === OP_WRITE) this.#fill(io, blockBytes);
    this.#pending.add(io);
    const { trace } = this.#world.options;
    if (trace.verbose) {
      const version = io.value === null ? '' : `, version ${io.value.version}`;
      trace.say(`#${io.number} ${ioText(io)}${version}`);
    }
    device.submit(io);
    return true;
  }

  #fill(io: UserIo, blockBytes: number): void {
    const { u32 } = this.#world.life.reactor.arena;
    for (let index = 0; index < io.blockCount; index += 1) {
      const at = io.buffer + index * blockBytes;
      fillPayload(u32, at, blockBytes, io.block + index, io.value!.version);
    }
  }

  userIoDone(io: UserIo): void {
    if (!this.#pending.has(io)) {
      if (io.done) this.#world.violate(`#${io.number} ${ioText(io)} completed twice`);
      return;
    }
    const { trace } = this.#world.options;
    this.#world.syncHealth();
    this.#pending.delete(io);
    io.done = true;
    trace.add(io.number, io.status);
    if (trace.verbose) {
      trace.say(
        `#${io.number} ends: ${statusName(io.status)} at ${this.#world.life.reactor.nowUs()} us`,
      );
    }
    if (io.status !== OK) this.#checkFailure(io);
    if (io.ticket !== null) this.#readDone(io);
    else if (io.value === null) {
      if (io.status === OK) this.#world.model.flushDone(io.flushStamp);
    } else {
      this.#world.model.writeDone(io.value, io.status === OK, (io.flags & FLAG_FUA) !== 0);
      if (io.status === OK) this.#world.cacheFaults.succeeded(io, io.hurts);
      if (io.status !== OK) this.#world.forgetHoles(this.#world.slotsOut());
    }
    if (io.bufferBytes > 0) this.#world.life.reactor.arena.release(io.buffer, io.bufferBytes);
  }

  #readDone(io: UserIo): void {
    if (io.status !== OK) {
      this.#world.model.readDropped(io.ticket!);
      return;
    }
    const { atlas, halves, ios, options, retiring, settling } = this.#world;
    const { cached, settles, log } = options.promises;
    // A member that is lost before a resync has made it equal takes its version with it.
    const stays = log || (settles && !settling) || atlas.tolerates === 0;
    // A write that has failed for its user, because what is in front or behind had, may be in the
    // ring all the same, and the next start finds it there; or it shows from the write buffer of an
    // FTL that has failed, and the next start knows nothing of it. What a crash has left on one
    // half of a mirror shows with that one only: until both are equal.
    const isFragile = (cached || log) && ios.crippled;
    const returns = retiring || isFragile || halves?.settling === true;
    const pin = stays && !returns;
    const { u32 } = this.#world.life.reactor.arena;
    const wrong = this.#world.model.readDone(io.ticket!, u32, io.buffer, pin);
    if (wrong !== null) this.#world.violate(`#${io.number} ${ioText(io)}: ${wrong}`);
    this.#noteVersions(io);
  }

  #noteVersions({ block, blockCount, buffer, bufferBytes }: UserIo): void {
    const { life, whole } = this.#world;
    if (whole.isIdle) return;
    const { u32 } = life.reactor.arena;
    for (let index = 0; index < blockCount; index += 1) {
      const at = buffer + (index * bufferBytes) / blockCount;
      whole.saw(block + index, unitVersion(u32, at, 0, block + index));
    }
  }

  /** An operation may fail when a member I/O has failed since, and the level has no answer. */
  #checkFailure(io: UserIo): void {
    const struck = this.#world.ios.strikes > io.strikes || this.#world.ios.crippled;
    const redundant = this.#world.atlas.tolerates > 0;
    const { ejects, log } = this.#world.options.promises;
    // A trim is a hint: it fails rather than cost a member its place.
    const makesUp = (redundant || (log && !this.#world.ios.crippled)) && ejects;
    const borne = io.op === OP_READ ? redundant : makesUp && (log || io.op !== OP_TRIM);
    if (struck && !borne) return;
    if (this.#world.cacheFaults.excuses(io)) {
      this.#excused.push(io);
      return;
    }
    const why = borne ? 'although the level bears what has happened' : 'without a reason';
    this.#world.violate(`#${io.number} ${ioText(io)} failed with ${statusName(io.status)} ${why}`);
  }

  drain(): Promise<void> {
    return this.#world.life.until(() => this.#pending.size === 0, 'an operation');
  }

  /** Lets virtual time pass. */
  async pass(us: number): Promise<void> {
    const timer = new Wait();
    this.#world.life.reactor.schedule(timer, us);
    await this.#world.life.until(() => timer.over, 'waiting');
  }

  /** Reads everything twice, the second time in other pieces. */
  async verify(): Promise<void> {
    await this.readAll(VERIFY_BLOCKS);
    await this.readAll(VERIFY_BLOCKS / 2 + 1);
  }

  /** Which of the blocks it is shows when each is read by itself. */
  async #readSingly(): Promise<void> {
    const failed = this.#excused.filter(({ op, blockCount }) => op === OP_READ && blockCount > 1);
    this.#excused = [];
    for (const { block, blockCount } of failed) {
      for (let index = 0; index < blockCount; index += 1) {
        await this.#world.life.until(() => this.#pending.size < VERIFY_DEPTH, 'a read');
        this.submit(OP_READ, block + index, 1, false);
      }
    }
    await this.drain();
    this.#excused = [];
  }

  async readAll(step = VERIFY_BLOCKS): Promise<void> {
    await this.drain();
    this.#excused = [];
    this.#world.options.trace.say('read everything');
    for (let block = 0; block < this.#world.blockCount; block += step) {
      await this.#world.life.until(() => this.#pending.size < VERIFY_DEPTH, 'a read');
      this.submit(OP_READ, block, Math.min(step, this.#world.blockCount - block), false);
    }
    await this.drain();
    await this.#readSingly();
    const torn = this.#world.whole.judge();
    if (torn !== null) this.#world.violate(`a write was torn: ${torn}`);
  }
}
