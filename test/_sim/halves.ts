/**
 * Halves: the disks of a mirrored NV cache, and what is known of them. It is for them what the
 * world and its atlas are for the members of the array.
 *
 * The mirror bears the loss of one, so nothing that happens here excuses an operation of a user
 * that fails, nor anything that is lost: while one half has everything, the other one may do what
 * it likes. What has struck here is counted apart for that reason.
 */

import type { BlockIo } from '../../src/block/block-io.ts';
import { Atlas } from './atlas.ts';
import { type DiskFault, type FaultOp, faultOp, strike } from './disk-fault.ts';
import { followDisks } from './follow-disks.ts';
import type { SimMedium } from './medium.ts';
import { countMismatches } from './member-check.ts';
import { drawDecision } from './power-cut.ts';
import type { Random } from './random.ts';
import type { SimDisk } from './sim-disk.ts';
import type { CrashKind } from './step.ts';
import type { SubjectMirror } from './subject.ts';
import type { World } from './world.ts';

const MIRROR_MEMBERS = 2;
/** Blocks before the ring. */
const DATA_OFFSET = 256;

export class Halves {
  /** The disk of each slot, or the one that was it last. */
  readonly media: SimMedium[];
  readonly extras: SimMedium[];
  readonly atlas: Atlas;
  /** Operations of these disks that have failed, and disks that were pulled out, so far. */
  strikes = 0;
  readonly dataOffset = DATA_OFFSET;
  /** In this life somebody has asked for other halves. */
  administered = false;
  /** The FTL names the cache, as far as that is known. */
  inUse = true;
  readonly #world: World;
  #strikesAtStart = 0;
  /** Of the array's disks, when the last start began. */
  #arrayStrikes = 0;
  /** While the mirror runs. */
  #mirror: SubjectMirror | null = null;
  #isStopping = false;
  /** It was stopped before its halves were equal, or something has struck since. */
  #differs = true;
  #degraded = false;
  readonly #pulled = new Set<number>();
  readonly #struck = new Set<number>();

  constructor(world: World, disks: readonly SimMedium[], from?: Halves) {
    this.#world = world;
    this.media = disks.slice(0, MIRROR_MEMBERS);
    this.extras = disks.slice(MIRROR_MEMBERS);
    this.atlas = new Atlas('raid1', this.media, world.options.promises, from?.atlas);
    if (from !== undefined) this.inUse = from.inUse;
  }

  get disks(): SimMedium[] {
    return [...this.media, ...this.extras];
  }

  /** Null while it does not run. */
  get mirror(): SubjectMirror | null {
    return this.#mirror;
  }

  /** They may differ, and nothing has made them equal yet. */
  get settling(): boolean {
    return this.inUse && (this.#mirror === null || this.#mirror.health().settling);
  }

  // --- lives ------------------------------------------------------------------------------------

  /** A start begins; true when doing without half of it is meant. */
  begin(): boolean {
    const { atlas } = this;
    const missing = atlas.missing();
    for (const slot of missing) atlas.unsure[slot] = true;
    this.#pulled.clear();
    this.#struck.clear();
    atlas.striking.clear();
    atlas.cacheLost.clear();
    this.administered = false;
    this.#strikesAtStart = this.strikes;
    this.#arrayStrikes = this.#world.ios.strikes;
    this.#mirror = null;
    this.#degraded = missing.length > 0 || atlas.unsure.includes(true);
    return this.#degraded;
  }

  /** The mirror runs. */
  runs(): void {
    const { mirror } = this.#world.subject.cache!;
    if (mirror === null) return;
    this.#mirror = mirror;
    this.inUse = true;
    this.#follow(mirror);
    const { atlas } = this;
    mirror.health().slots.forEach((state, slot) => {
      const forgiven = this.#degraded && this.#struck.has(slot);
      const expected = forgiven ? null : atlas.expected(slot);
      const found = state === 'in-service';
      if (expected !== null && expected !== found) {
        const should = expected ? 'has everything' : 'has not';
        this.#world.violate(`half ${slot} of the NV cache is ${state}, and it ${should}`);
      }
      atlas.current[slot] = found;
      atlas.unsure[slot] = false;
    });
  }

  /** The start has ended, and there is an NV cache, or there is none. */
  started(): void {
    if (this.#mirror === null) this.inUse = false;
  }

  /** The start was refused: who ran may have lost somebody. */
  refused(): void {
    if (this.#mirror !== null) this.atlas.unsure.fill(true);
    this.#mirror = null;
  }

  /** The cache was detached. */
  left(): void {
    this.#mirror = null;
    this.inUse = false;
  }

  /** An attach has failed, and the mirror is closed: a start finds out whether it is in use. */
  undecided(): void {
    this.atlas.unsure.fill(true);
    this.#mirror = null;
    this.#differs = true;
  }

  /** Another mirror is made on the disks that are there; false: too few are. */
  renew(): boolean {
    const { life, running } = this.#world;
    const usable = running
      ? life.disks.filter(({ gone }) => !gone).map(({ medium }) => medium)
      : this.disks;
    const disks = this.disks.toSorted((a, b) => a.name.localeCompare(b.name));
    const present = disks.filter((disk) => !disk.away && usable.includes(disk));
    if (present.length < MIRROR_MEMBERS) return false;
    const rest = disks.filter((disk) => !present.includes(disk));
    [...present, ...rest].forEach((disk, index) => {
      if (index < MIRROR_MEMBERS) this.media[index] = disk;
      else this.extras[index - MIRROR_MEMBERS] = disk;
      disk.bad.clear();
    });
    this.atlas.renew();
    for (const faults of this.atlas.faults) faults.length = 0;
    this.#pulled.clear();
    return true;
  }

  /** What has become of them since they were looked at last. */
  sync(): void {
    const mirror = this.#mirror;
    if (mirror === null || this.#world.life.dead) return;
    this.#follow(mirror);
    mirror.health().slots.forEach((state, slot) => {
      this.atlas.current[slot] = state === 'in-service' && !this.#pulled.has(slot);
    });
  }

  #follow({ admin }: SubjectMirror): void {
    if (this.extras.length === 0) return;
    const names = this.media.map((_, slot) => admin.deviceIn(slot));
    for (const slot of followDisks(names, this.media, this.extras)) {
      this.#world.options.trace.say(`half ${slot} is ${this.media[slot]!.name} now`);
      this.atlas.faults[slot] = [];
      this.#pulled.delete(slot);
    }
  }

  /** Closes the program with `close`, whose end tells what has become of them. */
  async stop(close: () => Promise<void>): Promise<void> {
    this.sync();
    const mirror = this.#mirror;
    this.#differs = this.settling;
    const { strikes } = this;
    // A rebuild whose copy is complete may still end.
    const mayReturn = this.#differs ? this.slotsOut() : [];
    this.#mirror = null;
    this.#isStopping = true;
    try {
      await close();
    } finally {
      // Unless a crash has come first. A stop that fails has told the others who was lost, too.
      if (this.#isStopping) this.#stopped(mirror, mayReturn, this.strikes === strikes);
    }
  }

  #stopped(mirror: SubjectMirror | null, mayReturn: readonly number[], isCalm: boolean): void {
    this.#isStopping = false;
    mirror?.health().slots.forEach((state, slot) => {
      if (state !== 'in-service') this.atlas.current[slot] = false;
    });
    for (const slot of mayReturn) this.atlas.unsure[slot] = true;
    if (isCalm) return;
    this.#differs = true;
    this.atlas.unsure.fill(true);
  }

  /** Before anything is decided about what was in flight. */
  crashed(how: CrashKind): void {
    const { atlas } = this;
    if (this.#mirror !== null || this.#isStopping) {
      this.sync();
      const isWhole = !atlas.current.includes(false);
      const hasMoved =
        this.administered || (this.extras.length > 0 && this.#mirror !== null && this.settling);
      if (!isWhole || hasMoved || this.strikes > this.#strikesAtStart) atlas.unsure.fill(true);
    }
    if (how === 'power') {
      this.media.forEach(({ away, hasDropped }, slot) => {
        if (!away && hasDropped) atlas.unsure[slot] = true;
      });
    }
    this.#mirror = null;
    this.#isStopping = false;
    this.#differs = true;
  }

  // --- what goes wrong --------------------------------------------------------------------------

  has(medium: SimMedium): boolean {
    return this.media.includes(medium) || this.extras.includes(medium);
  }

  /** Whether something may go wrong with such an operation on the disk in `slot`. */
  mayFail(op: FaultOp, slot: number): boolean {
    if (!this.inUse) return false;
    this.sync();
    this.noteOldest();
    return this.atlas.allows(op, slot);
  }

  mayUnplug(slot: number): boolean {
    return this.mayFail('flush', slot) && this.atlas.allowsUnplug(slot);
  }

  /** What was under way when a fault struck may still suffer from it. */
  noteOldest(): void {
    const { life, running } = this.#world;
    if (!running || life.isStill) this.atlas.struckAt.fill(-1);
    this.atlas.oldestPending = -1;
  }

  slotsOut(): number[] {
    return this.media.flatMap((_, slot) => (this.isOut(slot) ? [slot] : []));
  }

  isOut(slot: number): boolean {
    return this.media[slot]!.away || !this.atlas.current[slot];
  }

  /** The fault that strikes this operation, or null; `isDue`: one is to happen if it may. */
  strike(medium: SimMedium, io: BlockIo, isDue: boolean): DiskFault | null {
    const slot = this.media.indexOf(medium);
    if (slot === -1) return null;
    let fault = strike(this.atlas.faults[slot]!, io, DATA_OFFSET);
    const op = faultOp(io);
    if (isDue && fault === null && this.mayFail(op, slot)) {
      fault = { kind: 'fail', op, skip: 0, dataOnly: false };
    }
    if (fault?.kind !== 'fail') return fault;
    this.strikes += 1;
    this.#struck.add(slot);
    this.atlas.struckAt[slot] = this.#world.user.operations;
    this.atlas.striking.set(io, slot);
    return fault;
  }

  /** An operation of one of them has ended. */
  ended(medium: SimMedium, io: BlockIo, isFailed: boolean): void {
    this.atlas.striking.delete(io);
    if (!isFailed) return;
    this.strikes += 1;
    const slot = this.media.indexOf(medium);
    if (slot !== -1) this.atlas.struckAt[slot] = this.#world.user.operations;
  }

  /** The disk in `slot` is pulled out. */
  unplug(slot: number, power: boolean): void {
    const medium = this.media[slot]!;
    const { options, running } = this.#world;
    if (power) this.atlas.cacheLost.add(medium);
    const decide = power ? drawDecision(options.random) : null;
    options.trace.say(`unplug ${medium.name}${power ? ', its cache is lost' : ''}`);
    const isIt = (disk: SimDisk): boolean => disk.medium === medium;
    const disk = running ? this.#world.life.disks.find(isIt) : undefined;
    if (disk === undefined) {
      if (decide !== null) medium.cutPower(decide, []);
      medium.away = true;
      return;
    }
    this.#pulled.add(slot);
    this.strikes += 1;
    disk.vanish(decide);
  }

  /** After a stop: a slot whose disk a start can do without, or null. */
  spareSlot(random: Random): number | null {
    const { atlas } = this;
    const isWhole = !atlas.unsure.includes(true) && this.slotsOut().length === 0;
    return this.inUse && isWhole && !atlas.isAnyVictim ? random.below(MIRROR_MEMBERS) : null;
  }

  /** After a stop: the slot of a disk that others have gone on without, or null. */
  get staleSlot(): number | null {
    const out = this.slotsOut();
    // An FTL whose array fails cannot note how old a half is.
    const isNoted = this.#arrayStrikes === this.#world.ios.strikes;
    const isKnown = this.inUse && isNoted && !this.#differs && !this.atlas.unsure.includes(true);
    // Who leaves while the cache is being given up does not matter any more.
    return isKnown && out.length === 1 && !this.#world.retiring ? out[0]! : null;
  }

  /** All others are gone. */
  leaveOnly(slot: number): void {
    for (const medium of this.disks) medium.away = medium !== this.media[slot];
  }

  // --- what is on them --------------------------------------------------------------------------

  /** After a stop: what is wrong with them, or null. */
  check(): string | null {
    const { atlas } = this;
    if (!this.inUse || this.#differs || atlas.unsure.includes(true)) return null;
    const inService = this.media.map((_, slot) => !this.isOut(slot));
    if (inService.includes(false)) return null;
    const { blockBytes, blockCount } = this.media[0]!.options;
    const blocks = blockCount - DATA_OFFSET;
    const array = {
      ...this.#world.options.array,
      layout: { level: 'raid1' as const, strip: 1, sizes: [blocks, blocks] },
      blockBytes,
      dataOffset: DATA_OFFSET,
    };
    const count = countMismatches(array, this.media, inService, blocks);
    return count === 0 ? null : `${count} blocks of the NV cache differ on its halves`;
  }
}
