/**
 * FtlWorld: disks, an FTL over them, and a model that knows what it may answer.
 *
 * As World, without members that come and go: what is tested here is the log. A power cut takes the
 * caches of the disks and the write buffer; a kill leaves both. In either case what was in flight
 * happens, does not happen, or happens in part.
 */

import { type BlockIo, OP_FLUSH, OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { OK, statusName } from '../../src/block/status.ts';
import { Atlas } from './atlas.ts';
import { type DiskFault, strike } from './disk-fault.ts';
import type { FtlConfig } from './ftl-step.ts';
import { FTL_PROMISES, FtlSubject } from './ftl-subject.ts';
import { Life } from './life.ts';
import { SimMedium, type SimWrite } from './medium.ts';
import { Model } from './model.ts';
import { drawDecision } from './power-cut.ts';
import type { Random } from './random.ts';
import { type DiskHost, SimDisk } from './sim-disk.ts';
import type { Config, CrashKind } from './step.ts';
import type { Promises, Subject } from './subject.ts';
import type { Trace } from './trace.ts';
import { User } from './user.ts';
import { ioText } from './user-io.ts';

/** Something that happens at one member I/O of the whole history, counted from 0. */
export interface FtlTrigger {
  readonly kind: 'fail' | 'tear' | CrashKind;
  readonly at: number;
}

const MEMBERS = { disk: 1, raid0: 2, raid1: 2, raid5f: 3 } as const;

export class FtlWorld implements DiskHost {
  readonly options: {
    /** What the user asks of a configuration. */
    readonly config: Config;
    readonly promises: Promises;
    readonly trace: Trace;
  };
  readonly media: SimMedium[];
  readonly atlas: Atlas;
  readonly user: User;
  readonly faults: DiskFault[][];
  readonly settling = false;
  violation: string | null = null;
  started = false;
  triggered = false;
  ios = 0;
  iosDone = 0;
  crashes = 0;
  strikes = 0;
  /** A flush has failed in this life, or metadata could not be written. */
  crippled = false;
  armed: { ios: number; readonly how: CrashKind } | null = null;
  readonly #config: FtlConfig;
  readonly #random: Random;
  readonly #trigger: FtlTrigger | null;
  #model: Model | null = null;
  #life: Life | null = null;
  #survivor: Uint8Array | null = null;
  #ftlSubject: FtlSubject | null = null;
  #flushLost = false;

  constructor(config: FtlConfig, random: Random, trace: Trace, trigger: FtlTrigger | null) {
    this.#config = config;
    this.#random = random;
    this.#trigger = trigger;
    const members = MEMBERS[config.base];
    const bandUnits = config.bandUnits * config.bandCount;
    const entries = bandUnits * (config.unitBytes / 4096);
    // Two superblocks, two slots for each page, and the bands.
    const units = bandUnits + 2 * Math.ceil(entries / config.pageEntries) + 8;
    const bytes = (units * config.unitBytes) / this.#dataMembers;
    const blocks = Math.ceil(bytes / config.blockBytes);
    this.media = Array.from({ length: members }, (_, index) => this.#makeMedium(index, blocks));
    this.options = { config: asArrayConfig(config, members), promises: FTL_PROMISES, trace };
    this.faults = this.media.map(() => []);
    // Operations fail only when the device is crippled, whatever single writes do.
    this.atlas = new Atlas('raid1', this.media, FTL_PROMISES);
    Object.defineProperty(this.atlas, 'tolerates', { get: () => (this.crippled ? 0 : 1) });
    this.user = new User(this);
  }

  #makeMedium(index: number, blockCount: number): SimMedium {
    const { atomicBytes, blockBytes, volatileCache } = this.#config;
    return new SimMedium({
      name: `/dev/sim${index}`,
      blockBytes,
      blockCount,
      unitBytes: atomicBytes,
      volatileCache,
      features: 0,
    });
  }

  get model(): Model {
    return this.#model!;
  }

  get blockCount(): number {
    return this.model.options.blockCount;
  }

  get running(): boolean {
    return this.#life !== null;
  }

  get life(): Life {
    return this.#life!;
  }

  get subject(): Subject {
    return this.#ftlSubject!;
  }

  /** What the device says of itself, for a person who looks at a failure. */
  describe(): string {
    const status = this.started ? this.#ftlSubject?.device?.status() : null;
    return `status: ${JSON.stringify(status ?? null)}`;
  }

  violate(text: string): void {
    this.violation ??= text;
    if (this.#life !== null) this.#life.dead = true;
  }

  syncHealth(): void {
    const ftl = this.started ? this.#ftlSubject!.device : null;
    if (this.strikes > 0 && ftl?.status()?.read_only_reason != null) this.crippled = true;
  }

  slotsOut(): number[] {
    return [];
  }

  forgetHoles(): void {}

  // --- lives ------------------------------------------------------------------------------------

  /** False when it was refused because a disk failed meanwhile. */
  async start(): Promise<boolean> {
    const { trace } = this.options;
    const life = new Life(this.#random.u32(), null);
    const { latency } = this.#config;
    const disks = this.media.map(
      (medium) => new SimDisk(medium, this, this.#random.fork(), latency),
    );
    const subject = new FtlSubject(life.reactor, disks, this.#config, this.#survivor);
    life.begin(disks, subject);
    this.#life = life;
    this.#ftlSubject = subject;
    this.crippled = false;
    trace.say(`start${this.#survivor === null ? '' : ' with a write buffer'}`);
    const strikes = this.strikes;
    try {
      const mayCreate = !this.started;
      const options = {
        degraded: false,
        scan: false,
        mayCreate,
        mayOverwrite: mayCreate,
        arrayRuns: () => {},
      };
      await life.drive(subject.open(options), 'starting');
    } catch (error) {
      if (life.dead) throw error;
      if (this.strikes === strikes || !(error instanceof BandstandError)) throw error;
      trace.say(`refused: ${error.message}`);
      this.#leave();
      return false;
    }
    this.started = true;
    this.#survivor = null;
    const { blockCount, volatileCache } = subject.device.geometry;
    this.#model ??= new Model({ blockCount, blockBytes: 4096, atomicBlocks: true, volatileCache });
    const report = subject.device.restoreReport!;
    trace.say(`restored: ${JSON.stringify(report)}`);
    return true;
  }

  /**
   * The device's own check: every checksum, and the map against the units. Here nobody resyncs
   * mirrors after a crash, so what is right on one of them is right.
   */
  async check(): Promise<void> {
    const device = this.#ftlSubject!.device;
    const report = await this.life.drive(device.check(), 'checking');
    const mirrors = this.#config.base === 'raid1';
    // What has ended all changes may have been the write of a superblock.
    const isReadOnly = device.status()!.read_only_reason !== null;
    const wrong = report.wrong.filter(
      ({ outcome, part }) =>
        (outcome === 'lost' || !mirrors) && (part !== 'superblock' || !isReadOnly),
    );
    if (wrong.length > 0) this.violate(`a check finds ${JSON.stringify(wrong.slice(0, 3))}`);
  }

  async stop(): Promise<void> {
    const life = this.life;
    this.options.trace.say(`stop: ${this.describe()}`);
    const strikes = this.strikes;
    try {
      await life.drive(this.#ftlSubject!.close(), 'stopping');
    } catch (error) {
      const excused = this.crippled || this.strikes > strikes;
      if (life.dead || !excused || !(error instanceof BandstandError)) throw error;
      this.options.trace.say(`stopped: ${error.message}`);
    }
    const open = life.disks.filter(({ isOpen }) => isOpen);
    if (open.length > 0) this.violate(`after a stop ${open[0]!.name} is still open`);
    // A device that could not go on leaves in its buffer what the base lacks.
    this.#survivor = this.#ftlSubject!.takeBuffer();
    this.#leave();
  }

  /**
   * The program has ended. The next one would take what a failed flush has dropped for written,
   * because the disks still show it: only a power cut brings the truth to light.
   */
  #leave(): void {
    if (this.#flushLost) this.crash('power');
    this.#life = null;
  }

  /** True when a flush has failed in this life: what it dropped shows until power fails. */
  get mustCut(): boolean {
    return this.#flushLost;
  }

  /** The program dies at once; with `power` the caches of the disks and its memory too. */
  crash(how: CrashKind): void {
    const life = this.life;
    if (life.dead) return;
    const { trace } = this.options;
    const kind = this.#flushLost ? 'power' : how;
    life.dead = true;
    this.crashes += 1;
    trace.add(0xdead, kind.length);
    trace.say(`crash: ${kind} after ${this.iosDone} member I/Os, at ${life.reactor.nowUs()} us`);
    if (this.#flushLost) this.#model?.flushFailed();
    this.#flushLost = false;
    if (kind === 'power') this.#survivor = null;
    else if (this.started) this.#survivor = this.#ftlSubject!.takeBuffer() ?? this.#survivor;
    const flying = new Map<SimMedium, SimWrite[]>();
    for (const disk of life.disks) flying.set(disk.medium, disk.die());
    for (const medium of this.media) {
      const left = flying.get(medium) ?? [];
      if (kind === 'kill') medium.kill(drawDecision(this.#random), left);
      else medium.cutPower(drawDecision(this.#random), left);
    }
    if (kind === 'power') this.#model?.powerCut();
    else this.#model?.killed();
    this.user.vanish();
    this.#life = null;
    for (const list of this.faults) list.length = 0;
  }

  // --- disks ------------------------------------------------------------------------------------

  ioSubmitted(disk: SimDisk, io: BlockIo): DiskFault | null {
    const { trace } = this.options;
    const slot = this.media.indexOf(disk.medium);
    const index = this.ios;
    this.ios += 1;
    trace.add(slot, io.op, io.flags, io.block, io.blockCount);
    let fault = strike(this.faults[slot]!, io, this.#firstBandBlock);
    if (this.#trigger?.kind === 'fail' && this.#trigger.at === index) {
      this.triggered = true;
      const dataWrite = io.op === OP_WRITE && io.block >= this.#firstBandBlock;
      if (dataWrite) fault ??= { kind: 'fail', op: 'write', skip: 0, dataOnly: true };
    }
    if (fault?.kind === 'fail') {
      this.strikes += 1;
      if (io.op === OP_FLUSH) {
        this.crippled = true;
        this.#flushLost = true;
      }
    }
    if (trace.verbose) {
      trace.say(`  ${index} ${disk.name} ${ioText(io)}${fault === null ? '' : `: ${fault.kind}`}`);
    }
    return fault;
  }

  /** Member blocks before it hold superblocks and the map; their writes do not fail here. */
  get #firstBandBlock(): number {
    const bytes = this.#ftlSubject!.firstBandUnit * this.#config.unitBytes;
    return Math.ceil(bytes / this.#dataMembers / this.#config.blockBytes);
  }

  /** Members over which the data of a unit is spread. */
  get #dataMembers(): number {
    const { base } = this.#config;
    return base === 'raid0' || base === 'raid5f' ? 2 : 1;
  }

  ioStarted(_disk: SimDisk, io: BlockIo): void {
    const trigger = this.#trigger;
    if (trigger?.kind !== 'tear' || this.triggered || trigger.at !== this.ios - 1) return;
    this.triggered = true;
    if (io.op !== OP_READ && io.op !== OP_FLUSH) this.crash('power');
  }

  ioDone(disk: SimDisk, io: BlockIo, status: number): void {
    const { trace } = this.options;
    const trigger = this.#trigger;
    const index = this.iosDone;
    this.iosDone += 1;
    trace.add(status, this.life.reactor.nowUs());
    if (status !== OK) {
      this.strikes += 1;
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
    this.crash(armed.how);
  }
}

/** The user asks only about these. */
function asArrayConfig(config: FtlConfig, members: number): Config {
  return {
    level: 'raid1',
    members,
    blockBytes: 4096,
    stripBlocks: 1,
    dataBlocks: [],
    unitBytes: config.atomicBytes,
    volatileCache: config.volatileCache,
    nativeFua: false,
    trim: 'zeroes',
    latency: config.latency,
    concurrency: config.concurrency,
    depth: 32,
    blank: false,
    earlyCuts: [],
    spares: 0,
    ftl: null,
  };
}
