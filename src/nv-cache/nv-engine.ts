/**
 * NvEngine: the parts of an NV cache, and what follows when something has changed.    (data plane)
 *
 * At the end of a turn: what has become durable behind leaves the ring; trims and drained blocks go
 * on; the tail is made durable where room is wanted; records are sent; flushes begin. The order
 * matters only in that a part sees what those before it have changed.
 *
 * Room in the ring comes about in four steps, each of which waits for the one before: blocks are
 * drained; the device behind makes them durable (asked to, and if need be flushed); the tail moves,
 * and is made durable by a record or a header and a flush; who reads there has gone.
 */

import { type BlockIo, OP_FLUSH, OP_READ } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { ProgressMeter } from '../block/progress.ts';
import { TurnHook } from '../block/reactor.ts';
import { EIO, OK } from '../block/status.ts';
import { CacheFlusher } from './cache-flusher.ts';
import { LOST_RANGES_MAX } from './cache-format.ts';
import type { HeaderChanges, HeaderKeeper, HeaderOwner } from './cache-header-io.ts';
import { CacheReader } from './cache-reader.ts';
import { DrainProgress } from './drain-progress.ts';
import { Drainer } from './drainer.ts';
import {
  NvCore,
  type NvCoreHost,
  type NvCoreParts,
  STATE_ONLINE,
  STATE_RETIRING,
  STATE_STOPPED,
  STATE_THROUGH,
} from './nv-core.ts';
import { RecordWriter } from './record-writer.ts';
import { Settler } from './settler.ts';
import { ThroughWriter } from './through-writer.ts';

/** A tail that is ahead of the durable one by this share of the ring is made durable. */
const TAIL_SHARE = 1 / 32;
/**
 * When so much was drained and asking was in vain, the device behind is flushed: it holds something
 * in a unit that does not fill up, and writes must not wait for room until all of the ring was
 * drained. It is half of what is left above the high mark, at most 64 MiB, which are drained in a
 * second or two; and far more than what is padded.
 */
const STUCK_SHARE = 1 / 8;
const STUCK_BLOCKS_MAX = 2 ** 14;

export interface EngineOptions {
  /** Shares of the ring: not drained blocks above which draining begins, and to which it goes. */
  readonly highMark: number;
  readonly lowMark: number;
  readonly drainBlocks: number;
  readonly keeper: HeaderKeeper;
  readonly host: EngineHost;
}

export interface EngineHost {
  answer(io: BlockIo, status: number): void;
  /** The cache cannot be relied on: it is to be retired. */
  cacheFailed(status: number, reason: string): void;
  /** Nothing is changed any more. */
  backingFailed(status: number, reason: string): void;
  /** Something has changed: perhaps what somebody waits for. */
  settled(): void;
}

export class NvEngine extends TurnHook implements NvCoreHost, HeaderOwner {
  readonly core: NvCore;
  readonly reader: CacheReader;
  readonly writer: RecordWriter;
  readonly flusher: CacheFlusher;
  readonly drainer: Drainer;
  readonly settler: Settler;
  readonly through: ThroughWriter;
  /** Of what a start has found, and of what is there when `drainAll` is called. */
  readonly recovery: DrainProgress;
  readonly draining: DrainProgress;
  readonly #host: EngineHost;
  readonly #keeper: HeaderKeeper;
  readonly #highBlocks: number;
  readonly #lowBlocks: number;
  readonly #tailBlocks: number;
  readonly #stuckBlocks: number;
  /** What came while the ring is being emptied for good. */
  readonly #held = new BlockIoQueue();
  #graceTail = 0;
  /** What the header that is being written makes durable. */
  #headerTail = 0;
  #headerTailSequence = 0;
  #headerSequence = 0;
  #drains = false;
  /** Everything up to this position is to be drained. */
  #drainTarget = 0;
  /** False until the start is over, and again when the cache is being closed. */
  runs = false;

  constructor(parts: Omit<NvCoreParts, 'host'>, options: EngineOptions) {
    super();
    this.#host = options.host;
    this.#keeper = options.keeper;
    const core = new NvCore({ ...parts, host: this });
    this.core = core;
    this.reader = new CacheReader(core, options.host);
    this.flusher = new CacheFlusher(core, {
      answer: (io, status) => options.host.answer(io, status),
      flushed: (tail, sequence) => this.#flushed(tail, sequence),
      recordedTail: () => this.writer.recordedTail,
    });
    this.writer = new RecordWriter(core, {
      answer: (io, status) => options.host.answer(io, status),
      answerFlushed: (io) => this.flusher.wait(io),
    });
    this.drainer = new Drainer(core, options.drainBlocks);
    this.settler = new Settler(core);
    this.through = new ThroughWriter(core, {
      answer: (io, status) => options.host.answer(io, status),
      mended: () => this.#noteMended(),
    });
    this.recovery = new DrainProgress(core);
    this.draining = new DrainProgress(core);
    this.#highBlocks = Math.floor(core.ring.blocks * options.highMark);
    this.#lowBlocks = Math.floor(core.ring.blocks * options.lowMark);
    this.#tailBlocks = Math.ceil(core.ring.blocks * TAIL_SHARE);
    this.#stuckBlocks = Math.min(Math.ceil(core.ring.blocks * STUCK_SHARE), STUCK_BLOCKS_MAX);
  }

  /** Nothing is on its way to or from the cache, or to the device behind. */
  get idle(): boolean {
    const { drainer, flusher, settler, writer } = this;
    const isQuiet = drainer.isQuiet && !flusher.busy && !settler.busy && !this.#keeper.busy;
    return isQuiet && writer.idle && this.core.trims.flying === 0;
  }

  dispose(): void {
    this.writer.dispose();
    this.drainer.dispose();
  }

  /** What the header has to say now. */
  headerNow(): HeaderChanges {
    const { headerEpoch, lost, ring } = this.core;
    return {
      epoch: headerEpoch,
      phase: ring.phaseOf(ring.head),
      currentAddress: null,
      headSequence: Math.min(ring.flushedSequence, ring.committedSequence),
      tailSequence: ring.tailSequence,
      tailAddress: ring.addressOf(ring.tail),
      tailPhase: ring.phaseOf(ring.tail),
      lost: lost.ranges(LOST_RANGES_MAX),
      lostSequence: ring.committedSequence,
    };
  }

  /** The same once the ring has been left: nothing in it counts. */
  headerLeft(): HeaderChanges {
    return { ...this.headerNow(), tailSequence: this.writer.lastSequence + 1 };
  }

  /** Without a ring: what is on record as lost shrinks, where what is left of it has room there. */
  #noteMended(): void {
    // A list that leaves some out would show older copies of them; the one on record names more.
    if (!this.core.lost.fits(LOST_RANGES_MAX)) this.through.noted();
    else this.#keeper.begin(this.headerLeft(), { headerEnded: () => this.through.noted() });
  }

  /** Everything that counts now is to be drained; `isDrained` tells when it is. */
  drainAll(): void {
    const { ring } = this.core;
    ring.closeSegment();
    this.#drainTarget = ring.committed;
    this.draining.begin(ring.drained, ring.committed, new ProgressMeter(), () => {});
    this.wake();
  }

  /** What `drainAll` has asked for is durable behind, and left the ring. */
  get isDrained(): boolean {
    return this.core.ring.tail >= this.#drainTarget;
  }

  /** Puts into the line of those who wait all that was not answered. */
  hold(): void {
    this.writer.surrender(this.#held);
    this.flusher.surrender(this.#held);
  }

  /** What was held goes its way, or is refused. */
  letGo(): void {
    const isLoss = this.core.lost.count > 0;
    for (let io = this.#held.shift(); io !== null; io = this.#held.shift()) {
      // What was lost was perhaps what a flush should have made durable.
      if (isLoss && io.op === OP_FLUSH) this.#host.answer(io, EIO);
      else this.#change(io);
    }
  }

  // data path

  submit(io: BlockIo): void {
    if (io.op === OP_READ) this.reader.submit(io);
    else this.#change(io);
  }

  #change(io: BlockIo): void {
    const { isCacheFailed, state, stoppedStatus } = this.core;
    if (this.core.readOnly) this.#host.answer(io, OK);
    else if (state === STATE_THROUGH) this.through.submit(io);
    else if (state === STATE_RETIRING) this.#held.push(io);
    else if (state === STATE_STOPPED && (io.op !== OP_FLUSH || isCacheFailed)) {
      this.#host.answer(io, stoppedStatus);
    } else if (io.op === OP_FLUSH) this.flusher.wait(io);
    else this.writer.submit(io);
  }

  wake(): void {
    this.core.reactor.atTurnEnd(this);
  }

  cacheFailed(status: number, reason: string): void {
    this.#host.cacheFailed(status, reason);
  }

  backingFailed(status: number, reason: string): void {
    this.#host.backingFailed(status, reason);
  }

  /** A trim of the segment is behind. */
  trimEnded(segment: number): void {
    const { backing, ring } = this.core;
    ring.trimEnded(segment, backing.acceptedMark);
    this.wake();
  }

  endOfTurn(): void {
    const { state } = this.core;
    if (this.runs && state !== STATE_STOPPED) {
      if (state === STATE_THROUGH) this.through.pump();
      else this.#pumpRing();
    }
    this.flusher.pump();
    this.recovery.look();
    this.draining.look();
    this.#host.settled();
  }

  #pumpRing(): void {
    const { cache, ring } = this.core;
    if (!cache.geometry.volatileCache) {
      this.#flushed(this.writer.recordedTail, ring.committedSequence);
    }
    this.#release();
    this.#sendTrims();
    this.#drain();
    this.#makeTailDurable();
    this.#passGrace();
    if (this.core.state !== STATE_ONLINE) return;
    this.writer.pump();
    // It may have found out that it wants room.
    if (!this.core.roomWanted) return;
    this.#drain();
    this.#makeTailDurable();
  }

  /** What is durable behind leaves the ring. */
  #release(): void {
    const { backing, map, ring, state } = this.core;
    // Without the cache nothing is left that a power cut could take.
    if (state !== STATE_ONLINE) ring.flushedSequence = Number.POSITIVE_INFINITY;
    for (;;) {
      const end = ring.releasable(backing.settledMark);
      if (end === -1) return;
      for (let position = ring.tail; position < end; ) {
        const address = ring.addressOf(position);
        const count = map.recordAt(address);
        if (count === -1) {
          position = ring.nextLap(position);
          continue;
        }
        for (let index = 1; index <= count; index += 1) {
          if (map.isNewest(address + index)) map.delete(map.blockAt(address + index));
        }
        position += 1 + count;
      }
      ring.release();
    }
  }

  #sendTrims(): void {
    const { trims } = this.core;
    if (trims.active > 0 && !this.drainer.writes) trims.send();
  }

  /** Somebody waits for what is in the ring to leave it. */
  get #isUrgent(): boolean {
    return this.core.roomWanted || this.core.ring.tail < this.#drainTarget;
  }

  #drain(): void {
    const { core, drainer } = this;
    const { ring, trims } = core;
    if (trims.active === 0) drainer.pump();
    const left = ring.committed - ring.drained;
    if (left > this.#highBlocks) this.#drains = true;
    else if (left <= this.#lowBlocks) this.#drains = false;
    const isUrgent = this.#isUrgent;
    const isWanted = this.#drains || isUrgent || !this.recovery.isOver;
    if (drainer.idle && left > 0 && isWanted) drainer.begin();
    if (drainer.waitsForFlush) this.flusher.demand();
    this.#letLeave(isUrgent);
  }

  /** Asks for what keeps what was drained in the ring. */
  #letLeave(isUrgent: boolean): void {
    const { core, drainer, flusher, settler } = this;
    const { ring, trims } = core;
    const held = ring.drained - ring.tail;
    if (held === 0 || trims.active > 0 || !(isUrgent || held > this.#tailBlocks)) return;
    if (ring.waitsForFlush && core.state === STATE_ONLINE) flusher.demand();
    const isFull = ring.used > this.#highBlocks;
    const isStuck = isFull && held > this.#stuckBlocks && !ring.waitsForFlush;
    if (isStuck && settler.isInVain) settler.insist();
    else settler.ask(isStuck);
    if (!isUrgent || !drainer.idle || ring.drained < ring.committed) return;
    // The segment that takes records never leaves the ring.
    ring.closeSegment();
    settler.insist();
    this.#release();
  }

  #makeTailDurable(): void {
    const { lost, ring } = this.core;
    const ahead = ring.tail - ring.durableTail;
    if (ahead === 0 || this.#keeper.busy || this.core.state !== STATE_ONLINE) return;
    if (!this.#isUrgent && ahead < this.#tailBlocks) return;
    if (!lost.fits(LOST_RANGES_MAX)) return;
    this.#headerTail = ring.tail;
    this.#headerTailSequence = ring.tailSequence;
    this.#headerSequence = ring.committedSequence;
    this.#keeper.begin(this.headerNow(), this);
  }

  headerEnded(status: number): void {
    const { ring } = this.core;
    if (status === OK) {
      ring.flushedSequence = Math.max(ring.flushedSequence, this.#headerSequence);
      ring.durableTail = Math.max(ring.durableTail, this.#headerTail);
      ring.headerTailSequence = Math.max(ring.headerTailSequence, this.#headerTailSequence);
    } else {
      this.cacheFailed(status, 'its header cannot be written');
    }
    this.wake();
  }

  /** The tail in records says nothing of lost blocks, which only headers name. */
  #flushed(tail: number, sequence: number): void {
    const { lost, ring } = this.core;
    ring.flushedSequence = Math.max(ring.flushedSequence, sequence);
    if (lost.everLost === 0) ring.durableTail = Math.max(ring.durableTail, tail);
  }

  /** What lies before the durable tail is free when its readers are gone. */
  #passGrace(): void {
    const { grace, ring } = this.core;
    if (grace.ended()) ring.limit = this.#graceTail + ring.blocks;
    if (grace.waits || ring.limit === ring.durableTail + ring.blocks) return;
    this.#graceTail = ring.durableTail;
    grace.begin();
    if (grace.ended()) ring.limit = this.#graceTail + ring.blocks;
  }

  // end data path
}
