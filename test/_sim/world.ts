/**
 * World: disks, a program over them, and a model that knows what it may answer.
 *
 * The disks outlive the program: `start` opens it over whatever disks are there, `crash` ends it
 * between two instructions. The first thing that contradicts the model is kept as the violation and
 * ends everything. A world can be forked while no program runs in it.
 */

import { BandstandError } from '../../src/block/errors.ts';
import { ArraySize } from './array-size.ts';
import { Atlas } from './atlas.ts';
import { CacheFaults } from './cache-faults.ts';
import { eraseDisks } from './erase.ts';
import { followDisks } from './follow-disks.ts';
import { checkFtlSize } from './grow.ts';
import { Halves } from './halves.ts';
import { Leeway } from './leeway.ts';
import { Life } from './life.ts';
import { Machine } from './machine.ts';
import type { SimMedium } from './medium.ts';
import { MemberIos } from './member-ios.ts';
import { MemberLook } from './member-look.ts';
import { Model } from './model.ts';
import { drawDecision, openCut, settleDisks } from './power-cut.ts';
import type { Random } from './random.ts';
import { SimDisk } from './sim-disk.ts';
import type { CrashKind } from './step.ts';
import type { Subject } from './subject.ts';
import { isCacheDisk } from './template.ts';
import { User } from './user.ts';
import { WholeWrites } from './whole-writes.ts';
import {
  isVolatile,
  modelOptions,
  type OpenCut,
  survivingMemory,
  type WorldOptions,
} from './world-options.ts';
import { forgetHoles } from './write-hole.ts';

/** Data blocks of a record, on disks that take writes of 256 KiB. */
const WHOLE_BLOCKS_MAX = 63;

export class World {
  readonly options: WorldOptions;
  /** The disk of each slot: the member, or the one that was it last. */
  readonly media: SimMedium[];
  /** Disks that belong to no slot: spares, and members that another one has taken the place of. */
  readonly extras: SimMedium[];
  /** Of the NV cache, where it is on one disk. */
  readonly cacheMedium: SimMedium | null;
  /** Of the NV cache, where it is on a mirror. */
  readonly halves: Halves | null;
  readonly cacheFaults: CacheFaults;
  readonly model: Model;
  readonly atlas: Atlas;
  readonly user: User;
  readonly size: ArraySize;
  violation: string | null = null;
  /** True when a start has succeeded: from then on the array has to be there. */
  started = false;
  /** The array is being erased from its disks; then it is gone from all of them. */
  erasing = false;
  erased = false;
  /** Operations of the disks. */
  readonly ios: MemberIos;
  /** So far. */
  crashes = 0;
  /** Set by the first power cut when the options say so. */
  cut: OpenCut | null = null;
  readonly leeway: Leeway;
  readonly look: MemberLook;
  readonly whole: WholeWrites;
  /** In this life the NV cache was, or is being, taken out of use. */
  retiring = false;
  #life: Life | null = null;
  #strikesAtStart = 0;
  /** A clean stop has begun: it may still put on record who is lost. */
  #isStopping = false;
  /** Slots whose disk was pulled out in this life. */
  readonly #pulledSlots = new Set<number>();
  /** The subject is open. */
  #isOpen = false;
  /** It was stopped before its members were equal. */
  #differs = false;
  /** In this life somebody has asked for another set of members. */
  administered = false;
  readonly machine: Machine;
  /** A check that began when all members were equal: its life, and the strikes before it. */
  calmCheck: { readonly life: Life; readonly strikes: number } | null = null;

  /** `disks` are those of the slots, then the extras, then those of the NV cache, if any. */
  constructor(options: WorldOptions, disks: readonly SimMedium[], from?: World) {
    const { config, array, promises, ftlBlocks } = options;
    this.options = options;
    this.media = disks.slice(0, config.members);
    const isMirrored = config.cache !== null && config.cache.halves.length > 0;
    const others = disks.filter(({ name }) => isCacheDisk(name));
    this.extras = disks.slice(config.members, disks.length - others.length);
    this.cacheMedium = isMirrored ? null : (others[0] ?? null);
    this.halves = isMirrored ? new Halves(this, others, from?.halves ?? undefined) : null;
    this.cacheFaults = new CacheFaults(this.cacheMedium, from?.cacheFaults);
    this.size = from?.size.clone() ?? new ArraySize(array.layout, promises.grows, ftlBlocks);
    this.atlas = new Atlas(config.level, this.media, promises, from?.atlas);
    this.model = from?.model.clone() ?? new Model(modelOptions(options));
    this.machine = new Machine(survivingMemory(config), from?.machine);
    this.user = new User(this);
    this.ios = new MemberIos(this);
    this.leeway = new Leeway(this);
    this.look = new MemberLook(this);
    this.whole = new WholeWrites(from?.whole);
  }

  /** As the user sees it. */
  get blockCount(): number {
    return this.size.userBlocks;
  }

  get disks(): SimMedium[] {
    const cache = this.cacheMedium === null ? [] : [this.cacheMedium];
    return [...this.media, ...this.extras, ...cache, ...(this.halves?.disks ?? [])];
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

  violate(text: string): void {
    this.violation ??= text;
    if (this.#life !== null) this.#life.dead = true;
  }

  // --- lives ------------------------------------------------------------------------------------

  /** False when it was refused because a disk failed meanwhile. */
  async start(): Promise<boolean> {
    const { trace } = this.options;
    // Without it nothing starts.
    if (this.cacheMedium !== null) this.cacheMedium.away = false;
    const life = this.#newLife();
    const missing = this.atlas.missing();
    trace.say(`start with ${life.disks.map(({ name }) => name).join(', ')}`);
    for (const slot of missing) this.atlas.unsure[slot] = true;
    this.ios.struckSlots.clear();
    this.atlas.striking.clear();
    this.#pulledSlots.clear();
    this.atlas.cacheLost.clear();
    this.administered = false;
    const degraded = missing.length > 0 || this.atlas.unsure.includes(true);
    const { strikes, strikesAnywhere } = this.ios;
    this.#strikesAtStart = strikes;
    this.#isOpen = false;
    const cacheDegraded = this.halves?.begin() === true;
    const cacheRuns = (): void => this.halves?.runs();
    try {
      const scan = this.extras.length > 0;
      const arrayRuns = (): void => this.#checkStart(degraded);
      // What is left of an attempt may have run before, degraded; what is made anew is complete.
      const arrayCreated = (): void => this.atlas.renew();
      const may = { mayCreate: !this.started, mayOverwrite: !this.erased };
      const told = { arrayCreated, arrayRuns, cacheRuns, cacheDegraded };
      const options = { degraded, scan, bootId: this.machine.bootId, ...may, ...told };
      await life.drive(life.subject.open(options), 'starting');
    } catch (error) {
      if (life.dead) throw error;
      if (this.ios.strikesAnywhere === strikesAnywhere || !(error instanceof BandstandError)) {
        this.#life = null;
        throw error;
      }
      trace.say(`refused: ${error.message}`);
      this.cacheFaults.mend();
      // An array that ran may have lost somebody.
      if (this.#isOpen) this.atlas.unsure.fill(true);
      this.#isOpen = false;
      this.halves?.refused();
      this.#leave();
      return false;
    }
    this.started = true;
    this.erased = false;
    this.halves?.started();
    this.cacheChanged();
    checkFtlSize(this);
    return true;
  }

  #newLife(): Life {
    const { array, factory, random, config } = this.options;
    const life = new Life(random.u32(), this.machine.memory, config.cache !== null);
    const present = this.disks.filter(({ away }) => !away);
    const disks = present.map(
      (medium) => new SimDisk(medium, this.ios, random.fork(), config.latency),
    );
    life.begin(disks, factory(life.reactor, disks, array));
    this.#life = life;
    this.ios.crippled = false;
    this.retiring = this.cacheFaults.hurts > 0;
    return life;
  }

  /** Erases the array from its disks. False when it was refused because a disk failed meanwhile. */
  async erase(): Promise<boolean> {
    if (!this.erasing) for (let at = 0; at < this.blockCount; at += 1) this.model.forget(at);
    this.erasing = true;
    this.started = false;
    const life = this.#newLife();
    const { strikesAnywhere: strikes } = this.ios;
    this.options.trace.say('erase the array');
    try {
      await life.drive(eraseDisks(life.reactor, life.disks), 'erasing');
    } catch (error) {
      const isStruck = this.ios.strikesAnywhere > strikes;
      if (life.dead || !isStruck || !(error instanceof BandstandError)) throw error;
      this.options.trace.say(`erased in part: ${error.message}`);
    }
    this.#leave();
    // What its program left behind is nobody's, and is thrown away.
    this.machine.powerCut();
    this.erasing = this.ios.strikesAnywhere > strikes;
    this.erased = !this.erasing;
    this.atlas.renew();
    this.halves?.renew();
    return this.erased;
  }

  /** What the subject has made of its members since they were looked at last. */
  syncHealth(): void {
    if (!this.options.promises.rebuilds || !this.#isOpen || this.life.dead) return;
    this.#followDisks();
    const { slots, readOnly } = this.subject.health();
    if (readOnly && this.ios.strikes > 0) this.ios.crippled = true;
    slots.forEach((state, slot) => {
      // One that was pulled out is gone for this life, noticed or not.
      const found = state === 'in-service' && !this.#pulledSlots.has(slot);
      if (this.atlas.current[slot] === found) return;
      if (!found) this.forgetHoles([slot]);
      this.atlas.current[slot] = found;
    });
  }

  /** Another disk may have come into service in a slot: the one before it is an extra then. */
  #followDisks(): void {
    const { admin } = this.subject;
    if (admin === null || this.extras.length === 0) return;
    const names = this.media.map((_, slot) => admin.deviceIn(slot));
    for (const slot of followDisks(names, this.media, this.extras)) {
      this.options.trace.say(`slot ${slot} has ${this.media[slot]!.name} now`);
      this.atlas.faults[slot] = [];
      this.#pulledSlots.delete(slot);
      // Between two looks the slot was out, and was filled from what the others hold.
      this.forgetHoles([slot]);
    }
  }

  /** True while a crash may have left members different that nothing has made equal yet. */
  get settling(): boolean {
    return !this.#isOpen || this.subject.health().settling;
  }

  /** The array runs, whether or not what lies on it does. */
  #checkStart(degraded: boolean): void {
    this.#isOpen = true;
    this.#followDisks();
    const { slots } = this.subject.health();
    slots.forEach((state, slot) => {
      // Who starts degraded on purpose does without a member that cannot be read, too.
      const forgiven = degraded && this.ios.struckSlots.has(slot);
      const expected = forgiven ? null : this.atlas.expected(slot);
      const found = state === 'in-service';
      if (expected !== null && expected !== found) {
        this.violate(`slot ${slot} is ${state}, its member is ${expected ? 'current' : 'not'}`);
      }
      if (this.atlas.current[slot] && !found) this.forgetHoles([slot]);
      this.atlas.current[slot] = found;
      this.atlas.unsure[slot] = false;
    });
    this.checkSize(false);
  }

  /** `sure`: it must have grown with its disks by now. */
  checkSize(sure: boolean): void {
    const wrong = this.size.found(this.subject.arrayBlocks, sure);
    if (wrong !== null) this.violate(wrong);
  }

  /** The subject's own look at its data. */
  async check(): Promise<void> {
    const wrong = await this.life.drive(this.subject.check(), 'checking');
    // What could not be read once, it has not looked at.
    const excused = this.atlas.tolerates === 0 && this.ios.strikes > this.#strikesAtStart;
    if (wrong !== null && !excused) this.violate(`a check finds ${wrong}`);
  }

  /** What was answered in this life is in an NV cache. */
  get #isCached(): boolean {
    return this.subject.cache?.inUse === true;
  }

  /** What a power cut may take depends on what is in front. */
  cacheChanged(): void {
    this.model.volatileCache = isVolatile(this.options.config, this.#isCached);
  }

  /** A clean stop. */
  async stop(): Promise<void> {
    const life = this.life;
    if (this.#isOpen && !this.settling) await this.look.ask();
    this.syncHealth();
    this.#differs = this.options.promises.rebuilds && this.settling;
    // A rebuild, or a replacement, whose copy is complete may still end.
    const mayReturn = this.#differs ? this.slotsOut() : [];
    this.#isOpen = false;
    this.#isStopping = true;
    this.options.trace.say('stop');
    const { strikes, strikesAnywhere } = this.ios;
    const close = (): Promise<void> => life.drive(life.subject.close(), 'stopping');
    try {
      await (this.halves === null ? close() : this.halves.stop(close));
    } catch (error) {
      // It has to say so when a last flush or a mark did not reach every member.
      const excused = this.ios.crippled || this.ios.strikesAnywhere > strikesAnywhere;
      if (life.dead || !excused || !(error instanceof BandstandError)) throw error;
      this.options.trace.say(`stopped: ${error.message}`);
    }
    this.#isStopping = false;
    if (this.options.promises.rebuilds) this.#noteLosses();
    for (const slot of mayReturn) this.atlas.unsure[slot] = true;
    if (this.options.promises.rebuilds && this.ios.strikes > strikes) this.atlas.unsure.fill(true);
    // What the cache could not write down any more, the next start does not know.
    const isGone = this.cacheMedium?.away === true;
    if (this.ios.strikes > strikes || isGone) this.cacheFaults.forgetWritten();
    const open = life.disks.filter(({ isOpen }) => isOpen);
    if (open.length > 0) this.violate(`after a stop ${open[0]!.name} is still open`);
    this.#leave();
  }

  /** The program has ended by itself. */
  #leave(): void {
    if (this.retiring) this.whole.passedBy(this.model.newestVersion);
    this.#forgetFlushes();
    this.cacheMedium?.forgive();
    this.machine.kill();
    this.#life = null;
  }

  /** What struck before a stop may have cost a member its place during it, and a spare has it. */
  #noteLosses(): void {
    this.life.subject.health().slots.forEach((state, slot) => {
      if (state === 'in-service' || !this.atlas.current[slot]) return;
      this.forgetHoles([slot]);
      this.atlas.current[slot] = false;
    });
  }

  /**
   * The next program does not know that a flush has failed: what it reads and flushes again may
   * still be lost, where no redundancy has made up for it. This one knows, and must not claim it.
   */
  #forgetFlushes(): void {
    const { ejects, log } = this.options.promises;
    const healed = ejects && this.atlas.tolerates > 0;
    if (this.ios.flushLost && !healed) {
      if (!log) this.model.flushFailed();
      // An FTL writes again what it does not know to be durable, unless it was in memory only.
      else if (this.machine.memory === null && !this.#isCached) this.model.powerCut();
    }
    this.ios.flushLost = false;
  }

  /** The program dies at once; with `power` the caches of the disks too. */
  crash(how: CrashKind): void {
    const life = this.life;
    if (life.dead) return;
    const { config, promises, random, trace } = this.options;
    if (promises.rebuilds && (this.#isOpen || this.#isStopping)) {
      if (this.#isOpen) this.syncHealth();
      // Who is out, and whether that is on record yet, is known when it has started again.
      const whole = !this.atlas.current.includes(false);
      const moved = this.administered || (this.extras.length > 0 && this.#isOpen && this.settling);
      if (!whole || moved || this.ios.strikes > this.#strikesAtStart) this.atlas.unsure.fill(true);
    }
    this.halves?.crashed(how);
    life.dead = true;
    this.#isOpen = false;
    this.#isStopping = false;
    this.erased = false;
    this.crashes += 1;
    trace.add(0xdead, how.length);
    trace.say(`crash: ${how} after ${this.ios.done} member I/Os, at ${life.reactor.nowUs()} us`);
    this.#forgetFlushes();
    const flying = new Map(life.disks.map((disk) => [disk.medium, disk.die()]));
    const disks = this.disks.map((medium) => ({ medium, flying: flying.get(medium) ?? [] }));
    if (how === 'kill') {
      this.machine.kill();
      // A program that does not know of it would trust what is lost: see docs/testing.md.
      this.cacheMedium?.forgive();
    } else {
      this.machine.powerCut();
      // The history's own power cuts are over at once.
      if (this.options.keepsCut && this.ios.triggered) this.cut = openCut(disks);
      this.media.forEach(({ away, hasDropped }, slot) => {
        if (!away && hasDropped) this.atlas.unsure[slot] = true;
      });
    }
    settleDisks(disks, how, random);
    const keepsWhole = this.#isCached && !this.retiring;
    if (this.retiring) this.whole.passedBy(this.model.newestVersion);
    this.whole.crashed(keepsWhole ? this.model.undecidedWrites(WHOLE_BLOCKS_MAX) : []);
    const atlases = this.halves === null ? [this.atlas] : [this.atlas, this.halves.atlas];
    const hasLost = atlases.some(({ returnedWithoutCache }) => returnedWithoutCache);
    if (how === 'power' || hasLost) this.model.powerCut();
    else this.model.killed();
    this.user.vanish();
    this.cacheFaults.forgetWritten();
    this.#life = null;
    this.forgetHoles(this.slotsOut());
    if (!promises.log && config.level === 'raid5f') this.atlas.dropReadFaults();
  }

  /** Slots whose member is not there or lacks something. */
  slotsOut(): number[] {
    return this.media.flatMap((_, slot) => (this.isOut(slot) ? [slot] : []));
  }

  isOut(slot: number): boolean {
    return this.media[slot]!.away || !this.atlas.current[slot];
  }

  /** What raid5f cannot know without these members. */
  forgetHoles(slots: readonly number[]): void {
    if (this.options.promises.log) return;
    forgetHoles(this.options.array, this.model, this.blockCount, slots);
  }

  /** The disk in `slot` is pulled out. */
  unplug(slot: number, power: boolean): void {
    const medium = this.media[slot]!;
    if (power) this.atlas.cacheLost.add(medium);
    const decide = power ? drawDecision(this.options.random) : null;
    const disk = this.#life?.disks.find((candidate) => candidate.medium === medium);
    this.options.trace.say(`unplug ${medium.name}${power ? ', its cache is lost' : ''}`);
    this.forgetHoles([slot]);
    if (disk !== undefined) {
      this.#pulledSlots.add(slot);
      disk.vanish(decide);
      this.ios.crippled = true;
      this.ios.strikes += 1;
    } else {
      if (decide !== null) medium.cutPower(decide, []);
      medium.away = true;
    }
  }

  /** The disk of the NV cache is pulled out. */
  unplugCache(): void {
    const medium = this.cacheMedium!;
    this.options.trace.say(`unplug ${medium.name}`);
    this.cacheFaults.pulled();
    this.retiring = true;
    this.ios.strikes += 1;
    const disk = this.#life?.disks.find((candidate) => candidate.medium === medium);
    if (disk?.isOpen === true) disk.vanish(null);
    else medium.away = true;
  }

  /** The same disks, or these, without a running program, to try something out. */
  fork(random: Random, from: readonly SimMedium[] = this.disks): World {
    const options = { ...this.options, random, trigger: null, keepsCut: false };
    const world = new World(
      options,
      from.map((medium) => medium.clone()),
      this,
    );
    world.started = this.started;
    world.erasing = this.erasing;
    // The copy is of the disks only.
    if (this.machine.memory?.isLeft === true) world.model.powerCut();
    return world;
  }

  checkMembers(): void {
    this.syncHealth();
    const wrong = (this.#differs ? null : this.look.check()) ?? this.halves?.check() ?? null;
    if (wrong !== null) this.violate(`members: ${wrong}`);
  }
}
