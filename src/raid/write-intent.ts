/**
 * WriteIntent: what is on disk about writes before they are sent.                     (data plane)
 *
 * The array is divided into regions with two bits each (bitmap-format.ts). Before a write is sent,
 * the *intent* bit of each of its regions is on every member in service, durably; and, while there
 * is somebody who does not get it and may come back (a slot is empty, or the target of a
 * replacement is away), the *missed* bit as well. So after a crash only regions with intent can
 * differ between members, and whoever was away lacks only regions that were missed.
 *
 *   write ──mark──▶ bits durable? ──yes──▶ sent          (nearly always: the region was in use)
 *                        │ no
 *                        ▼
 *                  the piece waits; at the end of the turn the bitmap block is written once for
 *                  all that wait for it; then they go on
 *
 * Intent is cleared lazily: a region in which nothing is in flight and nothing was for a while
 * loses its bit after all members have been flushed. That way, *no intent* means that all members
 * in service are equal there and that it is durable on each of them. When many writes have to wait
 * for their bit, because they come back to regions soon after these were cleared, the while grows,
 * so that the cost of the bitmap stays a small part of the cost of the writes.
 *
 * A region whose members may differ already (after a crash, or after a write that failed) is
 * *unsynced*: it keeps its intent until a resync has made it equal, and mirrors are read from one
 * member there. After a crash it is *unflushed* as well: a flush of which nobody knows any more may
 * have failed, so that a member shows what it will never make durable.
 *
 * `states` is what is wanted, `durable` what is known to be on disk; a bit that is cleared stops
 * being durable at once, although the disks learn of it later. One write per bitmap block is in
 * flight at a time; what is wanted meanwhile goes with the next.
 *
 * Not here: the I/O of a bitmap block and of a clearing pass (intent-io.ts), reading bitmaps at
 * assembly (bitmap-io.ts).
 */

import { assert } from '../block/assert.ts';
import { TurnHook } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import {
  type BitmapBlockKey,
  bitmapBlocks,
  REGION_ALL,
  REGION_INTENT,
  REGION_MISSED,
  REGIONS_PER_BLOCK,
} from './bitmap-format.ts';
import type { IntentHost, IntentOptions } from './intent-host.ts';
import { BlockWriter, ClearingPass } from './intent-io.ts';
import { BITMAP_BLOCK_BYTES } from './label.ts';
import { type Piece, PieceQueue } from './piece.ts';
import {
  REGION_MASKS,
  REGIONS_MISSED,
  type RegionKind,
  UNFLUSHED,
  UNSYNCED,
  UNSYNCED_AGAIN,
} from './region-kind.ts';

/** Bitmap blocks that are written at the same time. */
const WRITERS = 4;
/** Regions that one pass of the clearing looks at. */
const PASS_REGIONS = 4096;
/** The wait before clearing grows up to so many times its base. */
const PATIENCE_MAX = 64;
/** Passes without a write before a region is cleared. */
const QUIET_PASSES = 2;

export class WriteIntent {
  readonly regionBlocks: number;
  readonly regionCount: number;
  /** Regions whose members may differ. */
  unsyncedCount = 0;
  /** Array blocks below which the only slot that is out has everything, durably, on its target. */
  safeBelow = 0;
  readonly #host: IntentHost;
  readonly #arrayUuid: string;
  readonly #firstBlock: number;
  readonly #perRegion: number;
  /** By region, bits REGION_*: what is wanted, and what is durable on every member in service. */
  readonly #states: Uint8Array;
  readonly #durable: Uint8Array;
  /** By region: writes between mark and unmark; passes until it counts as quiet; see UNSYNCED. */
  readonly #counts: Uint16Array;
  readonly #recent: Uint8Array;
  readonly #unsynced: Uint8Array;
  /** Regions with intent, in no order, and which are listed. */
  #listed: Uint32Array;
  #listedCount = 0;
  readonly #isListed: Uint8Array;
  /** By bitmap block: 1 = differs from what was last written; 1 = being written. */
  readonly #dirty: Uint8Array;
  readonly #writing: Uint8Array;
  #dirtyCount = 0;
  readonly #writers: BlockWriter[] = [];
  readonly #waiting = new PieceQueue();
  readonly #hook: IntentHook;
  readonly #pass: ClearingPass;
  #marks = 0;
  #waits = 0;
  #settling: ((status: number) => void)[] = [];

  constructor(host: IntentHost, options: IntentOptions) {
    const { bitmap, states } = options;
    const regions = states.length;
    this.#host = host;
    this.#arrayUuid = options.arrayUuid;
    this.regionBlocks = bitmap.regionBlocks;
    this.regionCount = regions;
    this.#perRegion = 1 / bitmap.regionBlocks;
    this.#firstBlock = bitmap.offsetBytes / host.blockBytes;
    this.#states = states;
    this.#durable = states.slice();
    this.#counts = new Uint16Array(regions);
    this.#recent = new Uint8Array(regions);
    this.#unsynced = options.unsynced ?? new Uint8Array(regions);
    this.#listed = new Uint32Array(Math.min(regions, PASS_REGIONS));
    this.#isListed = new Uint8Array(regions);
    this.#dirty = new Uint8Array(bitmapBlocks(regions));
    this.#writing = new Uint8Array(this.#dirty.length);
    this.#hook = new IntentHook(this);
    this.#pass = new ClearingPass(this, host, options.idleUs);
    for (let index = 0; index < WRITERS; index += 1) {
      this.#writers.push(new BlockWriter(this, host));
    }
    for (let region = 0; region < regions; region += 1) {
      if (this.#unsynced[region] !== 0) this.unsyncedCount += 1;
      if ((states[region]! & REGION_INTENT) !== 0) this.#list(region);
    }
  }

  dispose(): void {
    this.#pass.stop();
    for (const writer of this.#writers) writer.dispose();
  }

  // data path

  /**
   * Counts a write to [first, end) as being in flight. True: its bits are durable, it may be sent.
   * False: `piece.proceed` is called when it may. Every mark is ended by an unmark.
   */
  mark(first: number, end: number, piece: Piece): boolean {
    const from = Math.floor(first * this.#perRegion);
    const last = Math.floor((end - 1) * this.#perRegion);
    const need = this.#host.keepsMissed ? REGION_ALL : REGION_INTENT;
    let ready = true;
    for (let region = from; region <= last; region += 1) {
      this.#counts[region]! += 1;
      this.#recent[region] = QUIET_PASSES;
      if ((this.#durable[region]! & need) !== need) ready = false;
    }
    this.#marks += 1;
    if (ready) return true;
    this.#want(from, last, need);
    this.#waits += 1;
    this.#waiting.push(piece);
    return false;
  }

  unmark(first: number, end: number): void {
    const from = Math.floor(first * this.#perRegion);
    const last = Math.floor((end - 1) * this.#perRegion);
    for (let region = from; region <= last; region += 1) this.#counts[region]! -= 1;
  }

  /** True when the members may differ somewhere in the range. */
  isUnsynced(first: number, end: number): boolean {
    const last = Math.floor((end - 1) * this.#perRegion);
    for (let region = Math.floor(first * this.#perRegion); region <= last; region += 1) {
      if (this.#unsynced[region] !== 0) return true;
    }
    return false;
  }

  /** 0, or UNSYNCED, with UNFLUSHED where that holds. */
  unsyncedState(region: number): number {
    const state = this.#unsynced[region]!;
    return state === 0 ? 0 : UNSYNCED | (state & UNFLUSHED);
  }

  // end data path

  #want(from: number, last: number, bits: number): void {
    for (let region = from; region <= last; region += 1) {
      const state = this.#states[region]! | bits;
      this.#states[region] = state;
      if ((state & REGION_INTENT) !== 0) this.#list(region);
      if ((this.#durable[region]! & state) !== state) this.#soil(region);
    }
    this.#host.reactor.atTurnEnd(this.#hook);
  }

  #list(region: number): void {
    if (this.#isListed[region] !== 0) return;
    if (this.#listedCount === this.#listed.length) {
      const grown = new Uint32Array(this.#listed.length * 2);
      grown.set(this.#listed);
      this.#listed = grown;
    }
    this.#isListed[region] = 1;
    this.#listed[this.#listedCount] = region;
    this.#listedCount += 1;
    this.#pass.start();
  }

  #soil(region: number): void {
    const index = Math.floor(region / REGIONS_PER_BLOCK);
    if (this.#dirty[index] !== 0) return;
    this.#dirty[index] = 1;
    this.#dirtyCount += 1;
  }

  /** The end of a turn: starts writing what differs, as far as writers are free. */
  write(): void {
    let left = this.#dirtyCount;
    for (let index = 0; index < this.#dirty.length && left > 0; index += 1) {
      if (this.#dirty[index] === 0) continue;
      left -= 1;
      if (this.#writing[index] !== 0) continue;
      const writer = this.#writers.find(({ busy }) => !busy);
      if (writer === undefined) return;
      this.#dirty[index] = 0;
      this.#dirtyCount -= 1;
      this.#writing[index] = 1;
      this.#issue(writer, index);
    }
  }

  #issue(writer: BlockWriter, index: number): void {
    const first = index * REGIONS_PER_BLOCK;
    const end = Math.min(first + REGIONS_PER_BLOCK, this.regionCount);
    const key: BitmapBlockKey = {
      arrayUuid: this.#arrayUuid,
      regionBlocks: this.regionBlocks,
      index,
    };
    const block = this.#firstBlock + index * (BITMAP_BLOCK_BYTES / this.#host.blockBytes);
    writer.write(this.#states.slice(first, end), key, this.#states, block);
  }

  /** A block is on every member that is still in service; or, with `ok` false, not on all. */
  written(index: number, snapshot: Uint8Array, ok: boolean, status: number): void {
    const first = index * REGIONS_PER_BLOCK;
    assert(this.#writing[index] === 1, 'a block that was written was being written');
    this.#writing[index] = 0;
    if (ok) {
      for (let offset = 0; offset < snapshot.length; offset += 1) {
        const region = first + offset;
        this.#durable[region]! |= snapshot[offset]! & this.#states[region]!;
      }
      this.#release();
    } else {
      this.#soil(first);
      this.#fail(status);
    }
    if (this.#dirtyCount > 0 && ok) this.#host.reactor.atTurnEnd(this.#hook);
    if (this.#isSettled || !ok) {
      for (const resolve of this.#settling.splice(0)) resolve(ok ? OK : status);
    }
  }

  get #isSettled(): boolean {
    return this.#dirtyCount === 0 && this.#writers.every(({ busy }) => !busy);
  }

  /** Lets go of the pieces whose bits are durable by now. */
  #release(): void {
    const need = this.#host.keepsMissed ? REGION_ALL : REGION_INTENT;
    for (let left = this.#waiting.length; left > 0; left -= 1) {
      const piece = this.#waiting.shift()!;
      const from = Math.floor(piece.lock.first * this.#perRegion);
      const last = Math.floor((piece.lock.end - 1) * this.#perRegion);
      let ready = true;
      let wanted = true;
      for (let region = from; region <= last; region += 1) {
        if ((this.#durable[region]! & need) !== need) ready = false;
        if ((this.#states[region]! & need) !== need) wanted = false;
      }
      if (ready) {
        piece.proceed();
      } else {
        // A member has left meanwhile; otherwise the block is on its way, or will be.
        if (!wanted) this.#want(from, last, need);
        this.#waiting.push(piece);
      }
    }
  }

  /** A member that is needed does not take the bitmap: what waits for it cannot be done. */
  #fail(status: number): void {
    for (let left = this.#waiting.length; left > 0; left -= 1) {
      const piece = this.#waiting.shift()!;
      piece.intentStatus = status;
      piece.proceed();
    }
  }

  // --- clearing ---------------------------------------------------------------------------------

  /** Fills `into` with regions that are quiet; makes the others one pass older. */
  collectQuiet(into: Uint32Array): number {
    let found = 0;
    for (let at = 0; at < this.#listedCount && found < into.length; at += 1) {
      const region = this.#listed[at]!;
      if (this.#counts[region] !== 0 || this.#unsynced[region] !== 0) continue;
      if (this.#recent[region]! > 0) this.#recent[region]! -= 1;
      else {
        into[found] = region;
        found += 1;
      }
    }
    return found;
  }

  /** All members have been flushed since `regions` were found quiet. */
  clear(regions: Uint32Array, count: number, safeBelow: number): void {
    for (let at = 0; at < count; at += 1) {
      const region = regions[at]!;
      const quiet = this.#counts[region] === 0 && this.#recent[region] === 0;
      if (!quiet || this.#unsynced[region] !== 0) continue;
      let state = this.#states[region]! & ~REGION_INTENT;
      if ((region + 1) * this.regionBlocks <= safeBelow) state &= ~REGION_MISSED;
      this.#set(region, state);
      this.#isListed[region] = 0;
    }
    let kept = 0;
    for (let at = 0; at < this.#listedCount; at += 1) {
      const region = this.#listed[at]!;
      if (this.#isListed[region] === 0) continue;
      this.#listed[kept] = region;
      kept += 1;
    }
    this.#listedCount = kept;
    if (this.#dirtyCount > 0) this.#host.reactor.atTurnEnd(this.#hook);
  }

  get hasIntent(): boolean {
    return this.#listedCount > 0;
  }

  /** How often the base time is to be waited before clearing, by what waiting has cost lately. */
  patience(current: number): number {
    const marks = this.#marks;
    const waits = this.#waits;
    this.#marks = 0;
    this.#waits = 0;
    if (marks > 100 && waits * 200 > marks) return Math.min(PATIENCE_MAX, current * 2);
    return waits * 1000 < marks || marks === 0 ? Math.max(1, current / 2) : current;
  }

  // --- control plane ----------------------------------------------------------------------------

  /** A member has left: whatever was in flight since the last flush, it may have missed. */
  missAll(): void {
    // What the target of a rebuild has, this one may lack.
    this.safeBelow = 0;
    for (let at = 0; at < this.#listedCount; at += 1) {
      const region = this.#listed[at]!;
      this.#want(region, region, REGION_MISSED);
    }
  }

  /** A member that is out lacks array blocks from `first` to `end`, which were not in use. */
  miss(first: number, end: number): void {
    const last = Math.floor((end - 1) * this.#perRegion);
    this.#want(Math.floor(first * this.#perRegion), last, REGION_MISSED);
  }

  /** Array blocks from `first` to `end` may differ between members: a write to them has failed. */
  distrust(first: number, end: number): void {
    const last = Math.floor((end - 1) * this.#perRegion);
    for (let region = Math.floor(first * this.#perRegion); region <= last; region += 1) {
      if (this.#unsynced[region] === 0) this.unsyncedCount += 1;
      this.#unsynced[region] = UNSYNCED_AGAIN | (this.#unsynced[region]! & UNFLUSHED);
      this.#want(region, region, REGION_INTENT);
    }
  }

  /** From now on `synced` is about the regions that are unsynced by now, and no later ones. */
  resyncBegins(): void {
    for (let region = 0; region < this.regionCount; region += 1) {
      this.#unsynced[region] = this.unsyncedState(region);
    }
  }

  /**
   * The resync has made the members equal in the regions that lie wholly in [first, end) of the
   * array, and rewritten those that were unflushed. Those in which a write has failed since it
   * began stay unsynced.
   */
  synced(first: number, end: number, arrayBlocks: number): void {
    const stop = end >= arrayBlocks ? this.regionCount : Math.floor(end * this.#perRegion);
    for (let region = Math.ceil(first * this.#perRegion); region < stop; region += 1) {
      if ((this.#unsynced[region]! & UNSYNCED) === 0) continue;
      this.#unsynced[region] = 0;
      this.unsyncedCount -= 1;
      this.#recent[region] = QUIET_PASSES;
    }
  }

  /** The first such region at or after `region`; -1 when there is none. */
  nextRegion(region: number, kind: RegionKind): number {
    const flags = kind === REGIONS_MISSED ? this.#states : this.#unsynced;
    const mask = REGION_MASKS[kind]!;
    for (let at = region; at < this.regionCount; at += 1) {
      if ((flags[at]! & mask) !== 0) return at;
    }
    return -1;
  }

  countRegions(kind: RegionKind): number {
    let count = 0;
    for (let at = this.nextRegion(0, kind); at !== -1; at = this.nextRegion(at + 1, kind)) {
      count += 1;
    }
    return count;
  }

  /** Every slot is in service again, and nothing is in flight: nobody has missed anything. */
  clearMissed(): void {
    for (let region = 0; region < this.regionCount; region += 1) this.#dropMissed(region);
    this.#host.reactor.atTurnEnd(this.#hook);
  }

  /** The only slot that is out has everything below `end`, durably. */
  clearMissedBelow(end: number): void {
    this.safeBelow = end;
    const stop = Math.min(this.regionCount, Math.floor(end * this.#perRegion));
    for (let region = 0; region < stop; region += 1) {
      // A region in use may have been written since the flush; it is cleared when it is quiet.
      if (this.#states[region] === REGION_MISSED) this.#dropMissed(region);
    }
    if (this.#dirtyCount > 0) this.#host.reactor.atTurnEnd(this.#hook);
  }

  #dropMissed(region: number): void {
    const state = this.#states[region]!;
    if ((state & REGION_MISSED) !== 0) this.#set(region, state & ~REGION_MISSED);
  }

  /** Fewer bits than before: a write that needs one of them has to wait for it again. */
  #set(region: number, state: number): void {
    this.#states[region] = state;
    this.#durable[region]! &= state;
    this.#soil(region);
  }

  /** At a clean stop, after all members were flushed: nothing is in flight any more. */
  clearIntent(): void {
    for (let at = 0; at < this.#listedCount; at += 1) {
      const region = this.#listed[at]!;
      assert(this.#counts[region] === 0, 'nothing is in flight at a clean stop');
      if (this.#unsynced[region] !== 0) continue;
      this.#set(region, this.#states[region]! & ~REGION_INTENT);
    }
    this.#host.reactor.atTurnEnd(this.#hook);
  }

  /** No passes from now on; resolves when none is under way. */
  suspend(): Promise<void> {
    return this.#pass.suspend();
  }

  resume(): void {
    this.#pass.resume();
  }

  /** Resolves with OK when what is wanted is on disk, with an errno when it cannot be written. */
  settled(): Promise<number> {
    if (this.#isSettled) return Promise.resolve(OK);
    this.#host.reactor.atTurnEnd(this.#hook);
    return new Promise((resolve) => {
      this.#settling.push(resolve);
    });
  }

  /** A copy, for a member that is to come into service; `complete`: then nothing is missed. */
  states(complete: boolean): Uint8Array {
    const states = this.#states.slice();
    if (!complete) return states;
    for (let region = 0; region < states.length; region += 1) states[region]! &= ~REGION_MISSED;
    return states;
  }
}

class IntentHook extends TurnHook {
  readonly #intent: WriteIntent;

  constructor(intent: WriteIntent) {
    super();
    this.#intent = intent;
  }

  endOfTurn(): void {
    this.#intent.write();
  }
}
