/**
 * NvHistory: random lives of an NV cache, each of which ends in a crash or a stop.
 *
 * The cache device is a simulated disk with a volatile cache; behind the cache is a device that
 * loses what was not settled. Power is cut, or the process killed, when a chosen operation of
 * either device is on its way; then the devices are opened again, which may be interrupted in turn,
 * and all blocks are compared with what the model allows.
 */

import { Arena } from '../../src/block/arena.ts';
import {
  FEATURE_FUA,
  FEATURE_TRIM,
  FEATURE_TRIM_ZEROES,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import {
  BlockIo,
  type Completer,
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../src/block/block-io.ts';
import { createCache } from '../../src/nv-cache/create-cache.ts';
import { NvCache } from '../../src/nv-cache/nv-cache.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { type Decide, SimMedium, type SimWrite } from '../_sim/medium.ts';
import { Random } from '../_sim/random.ts';
import { SimDisk } from '../_sim/sim-disk.ts';
import { type Change, NvModel } from './nv-model.ts';
import { BackingContent, SettlingBacking } from './settling-backing.ts';

const OWNER = '0f71f71f-0000-4000-8000-000000000001';
const UUID = '0ca40ca4-0000-4000-8000-000000000001';
const BLOCK = 4096;
/** Of all histories, which therefore run one after the other. */
const MEMORY = new ArrayBuffer(26 * 2 ** 20);
/** The simulated disk takes 256 KiB at once, a description among them. */
const ATOMIC_BLOCKS = 63;
const LATENCY = { leastUs: 5, mostUs: 60, slowChance: 0 };

export interface HistoryOptions {
  readonly seed: number;
  readonly lives: number;
  readonly operations: number;
  readonly depth: number;
  /** Blocks of the device. */
  readonly blockCount: number;
  readonly cacheBlocks: number;
  readonly volatileCache: boolean;
  readonly nativeFua: boolean;
  readonly blocksMax: number;
  readonly unitBlocks: number;
  /** Share of the ring above which it is drained. */
  readonly highMark: number;
  /** Of 100 operations, so many are flushes. */
  readonly flushes: number;
  /** The operation, counted over both devices, at which each life ends; chance where not given. */
  readonly crashAt?: readonly number[];
}

export interface HistoryResult {
  readonly violations: readonly string[];
  readonly crashes: number;
  readonly cleanStops: number;
  /** Operations of the devices, over all lives. */
  readonly deviceOperations: number;
  readonly drainedBlocks: number;
  /** How often a life ended in another phase than it had begun in. */
  readonly wraps: number;
}

class Slot extends BlockIo {
  change: Change | null = null;
  since = 0;
  isBusy = false;
}

/** Runs a life's operations, some at a time. */
class Load implements Completer {
  readonly #world: NvHistory;
  readonly #slots: Slot[] = [];
  readonly #random: Random;
  #left: number;
  #done: () => void = () => {};

  constructor(world: NvHistory, random: Random, operations: number, depth: number) {
    this.#world = world;
    this.#random = random;
    this.#left = operations;
    for (let index = 0; index < depth; index += 1) {
      const slot = new Slot();
      slot.completer = this;
      slot.cookie = world.reactor.arena.allocate(world.options.blocksMax * BLOCK);
      this.#slots.push(slot);
    }
  }

  run(): Promise<void> {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#fill();
    });
  }

  #fill(): void {
    for (const slot of this.#slots) {
      if (slot.isBusy || this.#left === 0) continue;
      this.#left -= 1;
      this.#prepare(slot);
      slot.isBusy = true;
      this.#world.device.submit(slot);
    }
    if (this.#slots.every(({ isBusy }) => !isBusy)) this.#done();
  }

  #prepare(slot: Slot): void {
    const { options, model, reactor } = this.#world;
    const random = this.#random;
    const kind = random.below(100);
    const most = random.chance(0.1) ? options.blocksMax : Math.min(12, options.blocksMax);
    slot.blockCount = random.between(1, most);
    slot.block = random.below(options.blockCount - slot.blockCount + 1);
    slot.buffer = slot.cookie;
    slot.flags = 0;
    slot.change = null;
    if (kind < options.flushes) {
      slot.op = OP_FLUSH;
      slot.blockCount = 0;
    } else if (kind < options.flushes + 15) {
      slot.op = OP_READ;
    } else {
      const isZero = kind < options.flushes + 25;
      slot.op = isZero ? random.pick([OP_TRIM, OP_WRITE_ZEROES]) : OP_WRITE;
      if (random.chance(0.05)) slot.flags = FLAG_FUA;
      slot.change = model.begin(slot.block, slot.blockCount, isZero);
      const words = (slot.blockCount * BLOCK) / 4;
      reactor.arena.u32.fill(slot.change.value, slot.buffer / 4, slot.buffer / 4 + words);
    }
    slot.since = model.now();
  }

  complete(io: BlockIo): void {
    const slot = io as Slot;
    const { model } = this.#world;
    slot.isBusy = false;
    if (slot.status !== 0) {
      model.violations.push(`operation ${slot.op} failed with status ${slot.status}`);
    } else if (slot.op === OP_FLUSH) {
      model.flushed(slot.since);
    } else if (slot.op === OP_READ) {
      for (let index = 0; index < slot.blockCount; index += 1) {
        const value = this.#world.valueAt(slot.buffer + index * BLOCK);
        model.read(slot.block + index, value, slot.since);
      }
    } else {
      model.answered(slot.change!, (slot.flags & FLAG_FUA) !== 0);
    }
    this.#fill();
  }
}

export class NvHistory {
  readonly options: HistoryOptions;
  readonly model: NvModel;
  reactor!: SimulatedReactor;
  device!: NvCache;
  readonly #random: Random;
  readonly #content = new BackingContent();
  readonly #medium: SimMedium;
  #disk!: SimDisk;
  #backing!: SettlingBacking;
  #count = 0;
  #crashAt = Number.POSITIVE_INFINITY;
  #flying: SimWrite[] = [];
  #crash: () => void = () => {};
  #isDead = false;
  #crashes = 0;
  #cleanStops = 0;
  #operations = 0;
  #drained = 0;
  #wraps = 0;

  private constructor(options: HistoryOptions, medium: SimMedium) {
    this.options = options;
    this.#medium = medium;
    this.model = new NvModel(options.blockCount, options.volatileCache, ATOMIC_BLOCKS);
    this.#random = new Random(options.seed);
  }

  static async run(options: HistoryOptions): Promise<HistoryResult> {
    const { cacheBlocks, nativeFua, volatileCache } = options;
    const features =
      (nativeFua ? FEATURE_FUA : 0) | FEATURE_TRIM | FEATURE_TRIM_ZEROES | FEATURE_WRITE_ZEROES;
    const medium = new SimMedium({
      name: 'cache',
      blockBytes: 512,
      blockCount: cacheBlocks * 8,
      unitBytes: 512,
      volatileCache,
      features,
    });
    const history = new NvHistory(options, medium);
    await history.#create();
    for (let life = 0; life < options.lives; life += 1) await history.#live(life);
    await history.#inspect(false, false);
    return {
      violations: history.model.violations,
      crashes: history.#crashes,
      cleanStops: history.#cleanStops,
      deviceOperations: history.#operations,
      drainedBlocks: history.#drained,
      wraps: history.#wraps,
    };
  }

  /** The word that a block in the arena is filled with; -1: it is torn. */
  valueAt(at: number): number {
    const { u32 } = this.reactor.arena;
    const word = at / 4;
    const value = u32[word]!;
    for (let index = 0; index < BLOCK / 4; index += 64) {
      if (u32[word + index] !== value) return -1;
    }
    return u32[word + BLOCK / 4 - 1] === value ? value : -1;
  }

  #boot(): void {
    const seed = this.#random.u32();
    const { blockCount, unitBlocks } = this.options;
    this.reactor = new SimulatedReactor({ seed, arena: new Arena(MEMORY, 0) });
    this.#isDead = false;
    this.#count = 0;
    this.#crashAt = Number.POSITIVE_INFINITY;
    const host = {
      ioSubmitted: () => null,
      ioStarted: () => this.#step(),
      ioDone: () => {},
    };
    this.#disk = new SimDisk(this.#medium, host, this.#random.fork(), LATENCY);
    this.#backing = new SettlingBacking({ blockCount, unitBlocks, delayUsMax: 80 }, this.#content);
    this.#backing.submitted = () => this.#step();
    this.device = new NvCache(this.#disk, this.#backing, {
      owner: OWNER,
      uuid: UUID,
      highMark: this.options.highMark,
      lowMark: this.options.highMark / 2,
      drainBlocks: 128,
    });
  }

  async #create(): Promise<void> {
    this.#boot();
    const work = async (): Promise<void> => {
      await this.#disk.open(this.reactor);
      await createCache(this.reactor, this.#disk, { uuid: UUID, owner: OWNER });
      await this.#disk.close();
    };
    await this.reactor.drive(work());
  }

  #step(): void {
    this.#count += 1;
    this.#operations += 1;
    if (this.#count < this.#crashAt || this.#isDead) return;
    this.#isDead = true;
    this.#flying = this.#disk.die();
    this.#backing.die();
    this.#crash();
  }

  async #live(life: number): Promise<void> {
    const { crashAt, depth, operations } = this.options;
    this.#boot();
    const random = this.#random.fork();
    const drawn = random.chance(0.15) ? random.below(30) : random.below(6 * operations);
    this.#crashAt = crashAt?.[life] ?? (random.chance(0.12) ? Number.POSITIVE_INFINITY : drawn);
    const crashed = new Promise<void>((resolve) => {
      this.#crash = resolve;
    });
    const work = async (): Promise<void> => {
      await this.device.open(this.reactor);
      const phase = this.device.status()?.phase;
      await new Load(this, random, operations, depth).run();
      if (this.device.status()?.phase !== phase) this.#wraps += 1;
      this.#drained += this.device.status()?.drained_blocks ?? 0;
      await this.device.close();
    };
    await this.reactor.drive(Promise.race([work(), crashed]));
    if (!this.#isDead) {
      this.#cleanStops += 1;
      await this.#inspect(false, true);
      return;
    }
    this.#crashes += 1;
    await this.#inspect(this.#fall(random), true);
  }

  /** The devices after the crash; true: the power was cut. */
  #fall(random: Random): boolean {
    const share = random.pick([0, 0.2, 0.5, 0.8, 1]);
    const torn = random.chance(0.3);
    const fates = new Map<SimWrite, boolean>();
    const decide: Decide = (write) => {
      if (torn) return random.chance(share);
      const fate = fates.get(write) ?? random.chance(share);
      fates.set(write, fate);
      return fate;
    };
    const isCut = random.chance(0.7);
    if (isCut) this.#medium.cutPower(decide, this.#flying);
    else this.#medium.kill(decide, this.#flying);
    this.#content.crash(() => random.chance(0.5));
    return isCut;
  }

  /** Starts, perhaps several times, reads everything, and stops in some way. */
  async #inspect(isCut: boolean, mayCrash: boolean): Promise<void> {
    let wasCut = isCut;
    for (;;) {
      this.#boot();
      const random = this.#random.fork();
      if (mayCrash && random.chance(0.3)) this.#crashAt = random.between(1, 14);
      const crashed = new Promise<void>((resolve) => {
        this.#crash = resolve;
      });
      const values: number[] = [];
      const work = async (): Promise<void> => {
        await this.device.open(this.reactor);
        this.#crashAt = Number.POSITIVE_INFINITY;
        await this.#readAll(values);
      };
      await this.reactor.drive(Promise.race([work(), crashed]));
      if (this.#isDead) {
        this.#crashes += 1;
        wasCut = this.#fall(random) || wasCut;
        continue;
      }
      this.model.crashed(values, wasCut);
      // The next life begins after a clean stop, or after a kill.
      if (random.chance(0.5)) await this.reactor.drive(this.device.close());
      else {
        this.#flying = this.#disk.die();
        this.#backing.die();
        this.#medium.kill(() => true, this.#flying);
        this.#content.crash(() => random.chance(0.5));
      }
      return;
    }
  }

  async #readAll(values: number[]): Promise<void> {
    const { blockCount } = this.options;
    const at = this.reactor.arena.allocate(BLOCK);
    for (let block = 0; block < blockCount; block += 1) {
      const status = await new Promise<number>((resolve) => {
        const io = new BlockIo();
        io.op = OP_READ;
        io.block = block;
        io.blockCount = 1;
        io.buffer = at;
        io.completer = { complete: (done) => resolve(done.status) };
        this.device.submit(io);
      });
      if (status !== 0) this.model.violations.push(`block ${block}: status ${status}`);
      values.push(this.valueAt(at));
    }
    this.reactor.arena.release(at, BLOCK);
  }
}
