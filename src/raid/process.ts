/**
 * Process: rebuild, replace, resync and check, while the array serves I/O.            (data plane)
 *
 * One state machine for all of them and for all redundant levels. It walks over the member blocks
 * from the first to the last, asks `ranges` what needs work, and keeps a window of `depth` chunks
 * going at once: later chunks are read while earlier ones are written, so that sources and target
 * are both busy. A chunk (process-chunk.ts) holds a lock on its range of the array from before its
 * first read until after its last write, so that no user write falls between the two.
 *
 *     done, or not needed       chunks in flight          not looked at yet
 *   ├─────────────────────────┼────█────░░████───█──────┼────────────────────┤
 *   0                         watermark                 scanned       memberDataBlocks
 *
 * Chunks end out of order. The watermark is the lowest block of any chunk in flight, and `scanned`
 * when there is none: everything below it is done or was not needed, which is what a checkpoint may
 * say. A chunk that ends incomplete holds the watermark down for good.
 *
 * What happens when
 *   - a member is ejected        chunks that were reading it start again with those that remain, or
 *                                the process fails with that slot; a resync of what cannot be
 *                                compared any more is done, a check of it fails;
 *   - the target fails           the process fails with slot null;
 *   - blocks are unreadable      exactly these are reported (processLost). A copy starts no more
 *                                chunks and fails, because a target with holes must never enter
 *                                service; a verification goes on;
 *   - pause, stop                no new chunks; those in flight end. Then all locks are free.
 *
 * Turns: chunks end in completions, and are collected once at the end of the turn, where their
 * locks are released, the watermark moves and new chunks begin. So nothing nests. The end is
 * announced in a turn of its own, exactly once, after the buffers went back to the arena.
 *
 * Invariants
 *   - the watermark only grows, and doneBlocks ≤ totalBlocks;
 *   - chunks in flight do not overlap, and lie between watermark and scanned;
 *   - nothing is sent to a member that is not in service, or to a target that is gone.
 *
 * Not here: choosing what to do (the manager), checkpoints, bitmaps and superblocks, ejection
 * (RaidArray), when a chunk may start (pacer.ts).
 */

import { BufferPool } from '../block/arena.ts';
import { assert } from '../block/assert.ts';
import { type Reactor, Timer, TurnHook } from '../block/reactor.ts';
import { ENODEV } from '../block/status.ts';
import type { Pacer } from './pacer.ts';
import {
  CHUNK_BUSY,
  CHUNK_DONE,
  CHUNK_IDLE,
  CHUNK_SKIPPED,
  type ProcessChunk,
} from './process-chunk.ts';
import { CopyChunk } from './process-copy.ts';
import {
  type ChunkWork,
  canVerify,
  missingSlot,
  type ProcessHost,
  type ProcessKind,
  type ProcessOutcome,
  type ProcessTuning,
} from './process-host.ts';
import { processShape } from './process-shape.ts';
import { VerifyChunk } from './process-verify.ts';
import type { WorkRanges } from './work-ranges.ts';

/** A copy gives up its list of what is lost after so many ranges. */
const LOST_RANGES_MAX = 64;
/** The pacer is asked again at least so often, because its limit may have changed. */
const PACER_WAIT_US_MAX = 100_000;

/** Called from a turn of the reactor. */
export interface ProcessObserver {
  /** The watermark has moved. */
  processAdvanced(process: Process): void;
  /** Once; the process holds nothing any more. */
  processEnded(process: Process, outcome: ProcessOutcome): void;
  /** Blocks were not as redundancy wants them; `repaired`: now they are. */
  processMismatch(memberBlock: number, count: number, repaired: boolean): void;
  /** Blocks cannot be read from any member, nor reconstructed. */
  processLost(memberBlock: number, count: number): void;
}

export interface ProcessOptions {
  readonly kind: ProcessKind;
  /** Of a check: writes what differs. A resync always does. */
  readonly repair: boolean;
  /** The slot in service whose member is replaced by the target, or -1. */
  readonly replaceSlot: number;
  /** Where to begin: an earlier watermark. */
  readonly startBlock: number;
  readonly ranges: WorkRanges;
  /** Of a resync: what has to be written even where members agree; null: nothing. */
  readonly unflushed: WorkRanges | null;
  readonly tuning: ProcessTuning;
  readonly pacer: Pacer;
  readonly observer: ProcessObserver;
}

class EndOfTurn extends TurnHook {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  endOfTurn(): void {
    this.#run();
  }
}

class Wake extends Timer {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  expire(): void {
    this.#run();
  }
}

export class Process implements ChunkWork {
  readonly kind: ProcessKind;
  readonly host: ProcessHost;
  readonly ranges: WorkRanges;
  readonly unflushed: WorkRanges | null;
  readonly repairs: boolean;
  readonly majority: boolean;
  readonly replaceSlot: number;
  readonly targetSlot: number;
  readonly sliceBlocks: number;
  /** Member blocks below it are done or were not needed. */
  watermark = 0;
  /** Blocks done by this run, and all that this run has to do as far as is known. */
  doneBlocks = 0;
  totalBlocks = 0;
  /** Blocks (not counted per member) that were not as they should be, and those now repaired. */
  mismatchBlocks = 0;
  repairedBlocks = 0;
  lostBlocks = 0;
  paused = false;
  aborting = false;
  readonly #reactor: Reactor;
  readonly #pacer: Pacer;
  readonly #observer: ProcessObserver;
  readonly #depth: number;
  readonly #chunkBlocks: number;
  readonly #bufferBytes: number;
  readonly #end: number;
  readonly #hook: EndOfTurn;
  readonly #wake: Wake;
  #buffers: BufferPool | null = null;
  #bases: readonly number[] = [];
  #chunks: readonly ProcessChunk[] = [];
  #isStarted = false;
  #isRunning = false;
  #activeCount = 0;
  /** Everything below was given to a chunk or is not needed. */
  #scanned = 0;
  /** The watermark stays at or below it. */
  #ceiling = Number.MAX_SAFE_INTEGER;
  /** Blocks that were given to chunks, without those that were skipped. */
  #givenBlocks = 0;
  /** Nothing is left to be given to chunks. */
  #exhausted = false;
  /** No new chunks, for good. */
  #closing = false;
  #stopping = false;
  /** The end is scheduled. */
  #ending = false;
  #failure: ProcessOutcome | null = null;
  #lostRanges = 0;

  /** True when a check can say anything: enough members are in service. */
  static canCheck(host: ProcessHost): boolean {
    return canVerify(host);
  }

  constructor(host: ProcessHost, options: ProcessOptions) {
    const copies = options.kind === 'rebuild';
    assert(!copies || host.targetSlot !== -1, 'a rebuild has a target');
    assert(
      options.replaceSlot === -1 || options.replaceSlot === host.targetSlot,
      'a replaced member and its target share a slot',
    );
    const shape = processShape(host, options.kind, options.tuning);
    this.kind = options.kind;
    this.host = host;
    this.ranges = options.ranges;
    this.unflushed = options.unflushed;
    this.repairs = options.kind === 'resync' || (options.kind === 'check' && options.repair);
    this.majority = options.kind === 'check';
    this.replaceSlot = copies ? options.replaceSlot : -1;
    this.targetSlot = host.targetSlot;
    this.sliceBlocks = shape.sliceBlocks;
    this.#depth = shape.depth;
    this.#chunkBlocks = shape.chunkBlocks;
    this.#bufferBytes = shape.buffers * shape.sliceBlocks * host.blockBytes;
    this.#reactor = host.reactor;
    this.#pacer = options.pacer;
    this.#observer = options.observer;
    this.#end = host.memberDataBlocks;
    this.#hook = new EndOfTurn(() => this.#turn());
    this.#wake = new Wake(() => this.#woken());
    const unit = Math.max(1, host.stripBlocks);
    assert(this.#end % unit === 0, 'members hold whole strips');
    assert(options.startBlock >= 0 && options.startBlock <= this.#end, 'a process starts inside');
    this.#scanned = Math.floor(options.startBlock / unit) * unit;
    this.watermark = this.#scanned;
  }

  /** No chunk is in flight: no lock is held, nothing was sent that is not back. */
  get idle(): boolean {
    return this.#activeCount === 0;
  }

  // --- commands ---------------------------------------------------------------------------------

  /** Throws BANDSTAND_ARENA_FULL; then nothing has begun, and it may be called again. */
  start(): void {
    assert(!this.#isStarted, 'a process is started once');
    const buffers = new BufferPool(this.#reactor.arena, this.#bufferBytes, this.#depth);
    this.#buffers = buffers;
    this.#isStarted = true;
    this.#isRunning = true;
    const bases: number[] = [];
    const chunks: ProcessChunk[] = [];
    for (let index = 0; index < this.#depth; index += 1) {
      const base = buffers.take();
      bases.push(base);
      chunks.push(
        this.kind === 'rebuild' ? new CopyChunk(this, base) : new VerifyChunk(this, base),
      );
    }
    this.#bases = bases;
    this.#chunks = chunks;
    this.totalBlocks = this.#countWork();
    this.#reactor.atTurnEnd(this.#hook);
  }

  /** Nothing new is begun. What is in flight ends: `idle` says when. */
  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.#isRunning) this.#reactor.atTurnEnd(this.#hook);
  }

  /** Ends the process when what is in flight is back: processEnded, in a later turn. */
  stop(): void {
    if (!this.#isRunning) return;
    this.#stopping = true;
    this.#closing = true;
    this.#reactor.atTurnEnd(this.#hook);
  }

  /** The host has lost the target; its `targetSlot` is -1 from now on. */
  targetGone(status: number): void {
    if (this.kind === 'rebuild') this.fail(status, null, this.watermark);
  }

  #countWork(): number {
    const { ranges } = this;
    let total = 0;
    for (let at = this.#scanned; at < this.#end && ranges.next(at); ) {
      const first = this.#unitStart(Math.max(at, ranges.first));
      const end = this.#unitEnd(Math.max(at, ranges.first) + Math.max(1, ranges.count));
      total += end - first;
      at = end;
    }
    return total;
  }

  // --- what chunks say --------------------------------------------------------------------------

  fail(status: number, slot: number | null, memberBlock: number): void {
    if (!this.#isRunning) return;
    this.#noteFailure(status, slot, memberBlock);
    this.aborting = true;
    this.#reactor.atTurnEnd(this.#hook);
  }

  /** The first failure is the one that is told. */
  #noteFailure(status: number, slot: number | null, memberBlock: number): void {
    this.#failure ??= { kind: 'failed', status, slot, memberBlock };
    this.#closing = true;
  }

  // data path

  lossFound(status: number, slot: number, memberBlock: number): void {
    if (this.kind !== 'rebuild') return;
    this.#ceiling = Math.min(this.#ceiling, this.#unitStart(memberBlock));
    this.#noteFailure(status, slot, memberBlock);
  }

  lost(memberBlock: number, count: number): void {
    this.lostBlocks += count;
    this.#lostRanges += 1;
    if (this.kind !== 'rebuild') {
      this.#observer.processLost(memberBlock, count);
      return;
    }
    if (this.#lostRanges <= LOST_RANGES_MAX) this.#observer.processLost(memberBlock, count);
    if (this.#lostRanges >= LOST_RANGES_MAX) this.aborting = true;
  }

  mismatch(memberBlock: number, count: number, repaired: boolean): void {
    this.mismatchBlocks += count;
    if (repaired) this.repairedBlocks += count;
    this.#observer.processMismatch(memberBlock, count, repaired);
  }

  cannotVerify(memberBlock: number): void {
    if (this.kind === 'check') {
      this.fail(ENODEV, missingSlot(this.host, -1), memberBlock);
      return;
    }
    // Nothing is left to compare with, so nothing differs.
    this.#exhausted = true;
    this.#scanned = this.#end;
  }

  chunkEnded(): void {
    this.#reactor.atTurnEnd(this.#hook);
  }

  // --- the window -------------------------------------------------------------------------------

  #turn(): void {
    if (!this.#isRunning) return;
    this.#collect();
    this.#fill();
    this.#advance();
    if (this.#hasEnded() && !this.#ending) {
      this.#ending = true;
      this.#reactor.schedule(this.#wake, 0);
    }
  }

  #woken(): void {
    if (!this.#isRunning) return;
    if (!this.#ending) {
      this.#turn();
      return;
    }
    this.#ending = false;
    // It may have been paused meanwhile: a paused process does not end by itself.
    if (this.#hasEnded()) this.#finish();
  }

  #hasEnded(): boolean {
    if (this.#activeCount !== 0) return false;
    return this.#closing || (this.#exhausted && !this.paused);
  }

  /** Takes back the chunks that have ended. */
  #collect(): void {
    const { blockBytes } = this.host;
    for (let index = 0; index < this.#depth; index += 1) {
      const chunk = this.#chunks[index]!;
      const { state } = chunk;
      if (state === CHUNK_IDLE || state === CHUNK_BUSY) continue;
      if (state === CHUNK_DONE) {
        this.doneBlocks += chunk.count;
      } else if (state === CHUNK_SKIPPED) {
        this.#givenBlocks -= chunk.count;
        this.totalBlocks -= chunk.count;
      } else {
        this.#ceiling = Math.min(this.#ceiling, chunk.first);
      }
      this.#activeCount -= 1;
      this.#pacer.ended(chunk.count * blockBytes, state !== CHUNK_SKIPPED);
      chunk.release();
    }
  }

  /** Begins chunks until the window is full, the pacer holds back, or nothing is left. */
  #fill(): void {
    if (this.#closing || this.paused) return;
    if (this.kind !== 'rebuild' && !canVerify(this.host)) this.cannotVerify(this.#scanned);
    const { ranges } = this;
    for (let index = 0; index < this.#depth && !this.#closing; index += 1) {
      const chunk = this.#chunks[index]!;
      if (chunk.state !== CHUNK_IDLE) continue;
      if (this.#exhausted || this.#scanned === this.#end || !ranges.next(this.#scanned)) {
        this.#exhaust();
        return;
      }
      if (!this.#beginNext(chunk)) return;
    }
  }

  /** Begins the chunk at the start of the range that `ranges` found; false: not yet. */
  #beginNext(chunk: ProcessChunk): boolean {
    const { ranges } = this;
    const from = Math.max(ranges.first, this.#scanned);
    const first = this.#unitStart(from);
    const boundary = (Math.floor(first / this.#chunkBlocks) + 1) * this.#chunkBlocks;
    const end = Math.min(this.#unitEnd(ranges.first + ranges.count), boundary);
    assert(end > first && first >= this.#scanned, 'a process moves on');
    this.#scanned = first;
    const waitUs = this.#pacer.admit((end - first) * this.host.blockBytes);
    if (waitUs > 0) {
      this.#reactor.schedule(this.#wake, Math.min(waitUs, PACER_WAIT_US_MAX));
      return false;
    }
    this.#scanned = end;
    this.#givenBlocks += end - first;
    this.totalBlocks = Math.max(this.totalBlocks, this.#givenBlocks);
    this.#activeCount += 1;
    chunk.begin(first, end - first);
    return true;
  }

  #exhaust(): void {
    this.#exhausted = true;
    this.#scanned = this.#end;
    this.totalBlocks = this.#givenBlocks;
  }

  #advance(): void {
    let low = Math.min(this.#scanned, this.#ceiling);
    for (let index = 0; index < this.#depth; index += 1) {
      const chunk = this.#chunks[index]!;
      if (chunk.state !== CHUNK_IDLE && chunk.first < low) low = chunk.first;
    }
    if (low <= this.watermark) return;
    this.watermark = low;
    this.#observer.processAdvanced(this);
  }

  #unitStart(block: number): number {
    const { stripBlocks } = this.host;
    return stripBlocks === 0 ? block : Math.floor(block / stripBlocks) * stripBlocks;
  }

  #unitEnd(block: number): number {
    const { stripBlocks } = this.host;
    const end = stripBlocks === 0 ? block : Math.ceil(block / stripBlocks) * stripBlocks;
    return Math.min(end, this.#end);
  }

  // end data path

  #finish(): void {
    this.#isRunning = false;
    this.#reactor.cancel(this.#wake);
    const buffers = this.#buffers!;
    for (const base of this.#bases) buffers.give(base);
    buffers.dispose();
    this.#buffers = null;
    this.#observer.processEnded(this, this.#outcome());
  }

  /** A failure outranks a stop, and a stop outranks having been done by then. */
  #outcome(): ProcessOutcome {
    if (this.#failure !== null) return this.#failure;
    return { kind: this.#stopping ? 'stopped' : 'done' };
  }
}
