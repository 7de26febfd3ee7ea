/**
 * MemberIos: the operations of all disks of a world, as they begin and end: they are counted,
 * faults strike them, and what is to happen at one of them happens.
 */

import { type BlockIo, OP_FLUSH, OP_READ } from '../../src/block/block-io.ts';
import { OK, statusName } from '../../src/block/status.ts';
import { type DiskFault, faultOp, strike } from './disk-fault.ts';
import type { Halves } from './halves.ts';
import type { DiskHost, SimDisk } from './sim-disk.ts';
import { ioText } from './user-io.ts';
import type { World } from './world.ts';

/** In hashes: the first half of a mirrored NV cache, and downwards. */
const HALF = -2;

export class MemberIos implements DiskHost {
  readonly #world: World;
  /** Submitted, and done, so far. */
  begun = 0;
  done = 0;
  /** Failed member I/Os and pulled disks so far. */
  strikes = 0;
  /** The same with those of a mirrored NV cache, which is to bear them. */
  get strikesAnywhere(): number {
    return this.strikes + (this.#world.halves?.strikes ?? 0);
  }

  /** In this life an operation may fail at any time: a member is gone or no longer flushes. */
  crippled = false;
  /** True when the trigger has struck. */
  triggered = false;
  /** Do something when so many more member I/Os have been done. */
  armed: { ios: number; readonly strike: () => void } | null = null;
  /** In this life a disk has failed a flush. */
  flushLost = false;
  /** Slots whose disk has failed an operation since the last start began. */
  readonly struckSlots = new Set<number>();

  constructor(world: World) {
    this.#world = world;
  }

  ioSubmitted(disk: SimDisk, io: BlockIo): DiskFault | null {
    const { atlas, cacheFaults, cacheMedium, halves, media, options } = this.#world;
    if (halves?.has(disk.medium) === true) return this.#halfSubmitted(halves, disk, io);
    const { array, trace, trigger } = options;
    const slot = media.indexOf(disk.medium);
    const index = this.begun;
    this.begun += 1;
    trace.add(slot, io.op, io.flags, io.block, io.blockCount);
    const isCache = disk.medium === cacheMedium;
    let fault = isCache ? cacheFaults.strike(io) : null;
    if (slot !== -1) fault = strike(atlas.faults[slot]!, io, array.dataOffset);
    if (trigger?.kind === 'fail' && trigger.at === index) {
      fault ??= this.#triggerFault(slot, io, isCache);
    }
    // From then on it may be emptied, and what passes it by is not whole.
    if (isCache && fault !== null) this.#world.retiring = true;
    if (fault !== null) this.#noteStrike(disk, io, fault);
    if (trace.verbose) {
      const what = fault === null ? '' : `: ${fault.kind}`;
      trace.say(`  ${index} ${disk.name} ${ioText(io)}${what}`);
    }
    return fault;
  }

  #halfSubmitted(halves: Halves, disk: SimDisk, io: BlockIo): DiskFault | null {
    const { trace, trigger } = this.#world.options;
    const index = this.begun;
    this.begun += 1;
    trace.add(HALF - halves.disks.indexOf(disk.medium), io.op, io.flags, io.block, io.blockCount);
    const isDue = trigger?.kind === 'fail' && trigger.at === index;
    if (isDue) this.triggered = true;
    const fault = halves.strike(disk.medium, io, isDue);
    if (trace.verbose) {
      const what = fault === null ? '' : `: ${fault.kind}`;
      trace.say(`  ${index} ${disk.name} ${ioText(io)}${what}`);
    }
    return fault;
  }

  #triggerFault(slot: number, io: BlockIo, isCache: boolean): DiskFault | null {
    this.triggered = true;
    const op = faultOp(io);
    const { cacheFaults, leeway } = this.#world;
    if (isCache) {
      cacheFaults.struck(io);
      return { kind: 'fail', op, skip: 0, dataOnly: false };
    }
    if (slot === -1) return null;
    return leeway.mayFail(op, slot) ? { kind: 'fail', op, skip: 0, dataOnly: false } : null;
  }

  #noteStrike(disk: SimDisk, io: BlockIo, fault: DiskFault): void {
    if (fault.kind !== 'fail') return;
    this.strikes += 1;
    const { atlas, media, options, user } = this.#world;
    options.trace.say(`  fault: ${disk.name} ${ioText(io)} fails`);
    const slot = media.indexOf(disk.medium);
    if (slot === -1) return;
    this.struckSlots.add(slot);
    atlas.struckAt[slot] = user.operations;
    atlas.striking.set(io, slot);
    if (io.op === OP_FLUSH) {
      this.crippled = true;
      this.flushLost = true;
    }
  }

  ioStarted(_disk: SimDisk, io: BlockIo): void {
    const { trigger } = this.#world.options;
    if (trigger?.kind !== 'tear' || this.triggered || trigger.at !== this.begun - 1) return;
    this.triggered = true;
    if (io.op !== OP_READ && io.op !== OP_FLUSH) this.#world.crash('power');
  }

  ioDone(disk: SimDisk, io: BlockIo, status: number): void {
    const { atlas, halves, life, media, options, user } = this.#world;
    const { trace, trigger } = options;
    const isHalf = halves?.has(disk.medium) === true;
    const index = this.done;
    this.done += 1;
    trace.add(status, life.reactor.nowUs());
    if (isHalf) halves.ended(disk.medium, io, status !== OK);
    else atlas.striking.delete(io);
    if (status !== OK && !isHalf) {
      this.strikes += 1;
      // Whoever saw it fail may be reading the others, even when the block has been written since.
      const slot = media.indexOf(disk.medium);
      if (slot !== -1) atlas.struckAt[slot] = user.operations;
      if (trace.verbose) trace.say(`  ${disk.name} ${ioText(io)} ends: ${statusName(status)}`);
    }
    if ((trigger?.kind === 'power' || trigger?.kind === 'kill') && trigger.at === index) {
      this.triggered = true;
      this.#world.crash(trigger.kind);
      return;
    }
    const armed = this.armed;
    if (armed === null) return;
    armed.ios -= 1;
    if (armed.ios > 0) return;
    this.armed = null;
    armed.strike();
  }
}
