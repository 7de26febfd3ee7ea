/**
 * CacheRestore: from what is on a cache device to a ring that works.                (control plane)
 *
 *   read the header      whose it is, and whether the last stop was clean
 *   scan the ring        after a clean stop from tail to head, otherwise all of it
 *   recover the map      newest copy of each block; trims are told to the device behind again
 *   scrub the ring       only where that was interrupted
 *   begin a new epoch    the header says that this life may write records
 *
 * Until the last step nothing that counts has changed on the cache device: a start may be
 * interrupted at any point and begins anew. Trims that are told twice do no harm: what is newer
 * than they are is in the ring. Descriptions of records that a crash has torn are taken away, and
 * what was found is flushed; then the header says that all of it is whole, and whatever is not at a
 * later start was lost, not torn.
 *
 * Read-only, nothing is written anywhere, and the trims that were found are kept in memory.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { OP_READ, OP_TRIM, OP_WRITE } from '../block/block-io.ts';
import { flushDevice, submitOrThrow, submitStatus, writeBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import { EPOCHS_MAX, epochOf } from '../block/log-entry.ts';
import { ProgressMeter } from '../block/progress.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK } from '../block/status.ts';
import type { Step } from '../block/steps.ts';
import { uuidBytes } from '../block/uuid.ts';
import { BlockMap } from './block-map.ts';
import {
  CACHE_BLOCK_BYTES,
  LOST_RANGES_MAX,
  RECORD_BLOCKS_MAX,
  RING_START,
  uuidWords,
} from './cache-format.ts';
import type { CacheHeader } from './cache-header.ts';
import { HeaderKeeper, readCacheHeader } from './cache-header-io.ts';
import { CacheScan } from './cache-scan.ts';
import { cacheBlocksOf } from './create-cache.ts';
import { type FoundPlace, FoundRecords, type FoundReport } from './found-records.ts';
import { LostBlocks } from './lost-blocks.ts';
import type { CacheMirrorState } from './mirror-state.ts';
import type { Backing } from './nv-core.ts';
import type { TrimRange } from './pending-trims.ts';
import { findHole, REACH_BLOCKS } from './ring-holes.ts';
import { scrubRing } from './scrub.ts';

/** Steps of a start, by what they are about. */
export const CACHE_STEPS = {
  header: 'Read the NV cache header',
  scan: 'Scan the NV cache',
  recover: 'Recover the NV cache',
  scrub: 'Scrub the NV cache',
  epoch: 'Begin a new epoch of the NV cache',
} as const;

/** What a start found and did, also while it goes on. */
export interface CacheRestoreReport {
  /** The step that is under way, or was the last one. */
  step: string;
  clean: boolean;
  headerCopiesDamaged: number;
  scannedBlocks: number;
  scrubbedBlocks: number;
  /** Of the step that is under way. */
  totalBlocks: number;
  unreadableBlocks: number;
  found: FoundReport | null;
}

/** Which cache it has to be. */
export interface ExpectedCache {
  readonly owner: string;
  /** Null: any content of that owner. */
  readonly uuid: string | null;
  /** The epoch that was last in use: an older header is that of a copy. */
  readonly epoch: number;
}

export interface RestoreSource {
  readonly reactor: Reactor;
  readonly cache: BlockDevice;
  readonly backing: Backing;
  readonly expected: ExpectedCache;
  readonly readOnly: boolean;
  /** Null: the cache is no mirror. */
  readonly mirror: CacheMirrorState | null;
  /** Makes the owner remember the epoch, before any record has it. */
  readonly epochBegins: (epoch: number) => Promise<void>;
}

/** What a start hands on. */
export interface RestoredCache {
  readonly keeper: HeaderKeeper;
  readonly uuid: Uint32Array;
  readonly ringBlocks: number;
  readonly map: BlockMap;
  readonly lost: LostBlocks;
  readonly place: FoundPlace;
  readonly epoch: number;
  /** Trims that nobody was told of: of a start that writes nothing. */
  readonly trims: readonly TrimRange[];
  /** The mark up to which the device behind has to be durable for the trims that were found. */
  readonly trimMark: number;
}

export class CacheRestore {
  readonly #source: RestoreSource;
  #header: CacheHeader | null = null;
  #keeper: HeaderKeeper | null = null;
  #map: BlockMap | null = null;
  #records: FoundRecords | null = null;
  #scan: CacheScan | null = null;
  #lost = new LostBlocks();
  #place: FoundPlace | null = null;
  #trims: readonly TrimRange[] = [];
  #epoch = 0;
  /** Halves of a mirror that were absent before anything was read. */
  #absent = 0;
  #trimMark = 0;
  /** Bytes of the ring that were read, or scrubbed, by the step that is under way. */
  readonly meter = new ProgressMeter();
  readonly report: CacheRestoreReport = {
    step: '',
    clean: false,
    headerCopiesDamaged: 0,
    scannedBlocks: 0,
    scrubbedBlocks: 0,
    totalBlocks: 0,
    unreadableBlocks: 0,
    found: null,
  };

  constructor(source: RestoreSource) {
    this.#source = source;
  }

  get steps(): readonly Step<void>[] {
    const step = (name: string, run: () => Promise<void>): Step<void> => ({
      name,
      run: () => {
        this.report.step = name;
        this.#begin(0);
        return run();
      },
    });
    return [
      step(CACHE_STEPS.header, () => this.#readHeader()),
      step(CACHE_STEPS.scan, () => this.#scanRing()),
      step(CACHE_STEPS.recover, () => this.#recover()),
      step(CACHE_STEPS.scrub, () => this.#scrub()),
      step(CACHE_STEPS.epoch, () => this.#beginEpoch()),
    ];
  }

  #begin(totalBlocks: number): void {
    this.report.totalBlocks = totalBlocks;
    this.meter.start(this.#source.reactor.nowUs(), 0, totalBlocks * CACHE_BLOCK_BYTES);
  }

  #advance(doneBlocks: number): void {
    this.meter.advance(this.#source.reactor.nowUs(), doneBlocks * CACHE_BLOCK_BYTES);
  }

  /** After all steps. */
  get restored(): RestoredCache {
    return {
      keeper: this.#keeper!,
      uuid: this.#uuid,
      ringBlocks: this.#header!.sizeBlocks - RING_START,
      map: this.#map!,
      lost: this.#lost,
      place: this.#place!,
      epoch: this.#epoch,
      trims: this.#trims,
      trimMark: this.#trimMark,
    };
  }

  /** After a start that has failed. */
  dispose(): void {
    this.#keeper?.dispose();
    this.#keeper = null;
  }

  get #uuid(): Uint32Array {
    return uuidWords(uuidBytes(this.#header!.uuid));
  }

  // --- the header -------------------------------------------------------------------------------

  async #readHeader(): Promise<void> {
    const { cache, mirror, reactor } = this.#source;
    this.#absent = mirror?.absent ?? 0;
    const { header, damagedCopies } = await readCacheHeader(reactor, cache);
    this.#check(header);
    this.#header = header;
    this.#keeper = new HeaderKeeper(reactor, cache, header);
    this.#map = new BlockMap(header.sizeBlocks);
    this.report.clean = header.currentAddress !== null;
    this.report.headerCopiesDamaged = damagedCopies;
  }

  #check(header: CacheHeader): void {
    const { cache, expected } = this.#source;
    const blocks = cacheBlocksOf(cache);
    if (header.owner !== expected.owner) {
      throw this.#refusal(
        'BANDSTAND_CACHE_OWNER',
        `it is the cache of ${header.owner}, not of ${expected.owner}`,
        'give the cache device that belongs to this one',
      );
    }
    if (expected.uuid !== null && header.uuid !== expected.uuid) {
      throw this.#refusal(
        'BANDSTAND_CACHE_OWNER',
        `its content is ${header.uuid}, that which was last in use is ${expected.uuid}`,
        'give the cache device that was last in use',
      );
    }
    if (header.sizeBlocks > blocks) {
      throw this.#refusal(
        'BANDSTAND_CACHE_SHRUNK',
        `it has ${header.sizeBlocks} blocks, the device has ${blocks}`,
        'give the whole device, as it was when the cache was created',
      );
    }
    if (header.epoch < expected.epoch) {
      throw this.#refusal(
        'BANDSTAND_CACHE_STALE',
        `this is start ${header.epoch} of it, and start ${expected.epoch} was in use last`,
        'give the cache device that was last in use, not a copy of it',
      );
    }
  }

  #refusal(code: ConstructorParameters<typeof BandstandError>[0], why: string, hint: string) {
    const { name } = this.#source.cache;
    return new BandstandError(code, {
      message: `cannot use the NV cache on ${name}: ${why}`,
      hint,
      details: { device: name },
    });
  }

  // --- the ring ---------------------------------------------------------------------------------

  async #scanRing(): Promise<void> {
    const { backing, cache, reactor } = this.#source;
    const header = this.#header!;
    const { currentAddress: current, phase, sizeBlocks: ringEnd, tailAddress: tail } = header;
    const blockCount = backing.geometry.blockCount;
    const parts = { reactor, name: cache.name, header, map: this.#map!, blockCount };
    this.#records = new FoundRecords(parts);
    this.report.found = this.#records.report;
    if (phase === 0) return;
    const records = this.#records;
    const scan = new CacheScan(
      { reactor, cache, uuid: this.#uuid, ringEnd },
      {
        record: (record) => records.add(record),
        progress: (done) => {
          this.report.scannedBlocks = done;
          this.#advance(done);
        },
      },
    );
    this.#scan = scan;
    const isWrapped = current !== null && this.#isWrapped(header);
    const ranges =
      current === null
        ? [[RING_START, ringEnd] as const]
        : isWrapped
          ? [[tail, ringEnd] as const, [RING_START, current] as const]
          : [[tail, current] as const];
    this.#begin(ranges.reduce((sum, [start, end]) => sum + end - start, 0));
    for (const [start, end] of ranges) await scan.run(start, end);
    this.report.unreadableBlocks = scan.unreadable.size;
  }

  /** After a clean stop: the ring in use goes over its end. */
  #isWrapped({ currentAddress, phase, tailAddress, tailPhase }: CacheHeader): boolean {
    return tailPhase !== phase || tailAddress > currentAddress!;
  }

  async #recover(): Promise<void> {
    const { backing, readOnly } = this.#source;
    const records = this.#records!;
    const header = this.#header!;
    if (header.phase === 0) {
      this.#place = { tail: 0, tailSequence: 0, head: 0, newestSequence: 0, records: [] };
      return;
    }
    this.#lost = new LostBlocks(header.lost);
    const { place, trims } = records.apply(this.#lost);
    this.#place = place;
    this.#refuseHoles(place);
    if (!this.#lost.fits(LOST_RANGES_MAX)) {
      throw this.#refusal(
        'BANDSTAND_CACHE_UNREADABLE',
        `${this.#lost.count} blocks in it cannot be read, more than can be put on record`,
        'copy what can be read to another device, or give up what is in the cache',
      );
    }
    if (readOnly) {
      this.#trims = trims;
      return;
    }
    for (const { block, blockCount } of trims) {
      await submitOrThrow(backing, OP_TRIM, block, blockCount, 0);
    }
    this.#trimMark = backing.acceptedMark;
    await this.#blotOut(records.tornAddresses);
    await this.#writeAgain(place);
  }

  /**
   * What a crash has left on one half of a mirror is not on the other. What was found is written
   * again where that may be, to both, before anything is built on it. So is what lies between and
   * behind: a record there that only the other half has would show once that is all there is left,
   * among records that are newer. A half that is lost before that takes what was found there along,
   * and what was read here cannot be relied on.
   */
  async #writeAgain(place: FoundPlace): Promise<void> {
    const { cache, mirror, reactor } = this.#source;
    if (mirror === null) return;
    const factor = CACHE_BLOCK_BYTES / cache.geometry.blockBytes;
    const ringBlocks = this.#header!.sizeBlocks - RING_START;
    const most = Math.min(cache.geometry.requestBlocksMax, RECORD_BLOCKS_MAX * factor);
    const bytes = most * cache.geometry.blockBytes;
    const buffer = reactor.arena.allocate(bytes);
    try {
      for (const { length, position } of inDoubt(place, ringBlocks)) {
        const first = (RING_START + (position % ringBlocks)) * factor;
        const end = first + length * factor;
        for (let block = first; block < end; block += most) {
          const count = Math.min(most, end - block);
          if (!mirror.readsSteadily(block, count)) continue;
          const status = await submitStatus(cache, OP_READ, block, count, buffer);
          // What cannot be read is lost, and told as such by who looks for it.
          if (status === OK) await submitOrThrow(cache, OP_WRITE, block, count, buffer);
        }
      }
    } finally {
      reactor.arena.release(buffer, bytes);
    }
    // What was there at a clean stop was durable on both.
    if (mirror.absent <= this.#absent || this.report.clean) return;
    throw this.#refusal(
      'BANDSTAND_CACHE_UNREADABLE',
      'half of the mirror was lost while it was read, and the other half may hold something else',
      'start it again: then it is read from the half that is left',
    );
  }

  /** Takes the descriptions of torn records away: in the next life they would pass for damaged. */
  async #blotOut(addresses: readonly number[]): Promise<void> {
    const { cache, reactor } = this.#source;
    const factor = CACHE_BLOCK_BYTES / cache.geometry.blockBytes;
    for (const address of addresses) {
      await writeBlocks(reactor, cache, address * factor, new Uint8Array(CACHE_BLOCK_BYTES));
    }
  }

  /** What cannot be read may have been a record that somebody relies on. */
  #refuseHoles(place: FoundPlace): void {
    const hole = findHole({
      header: this.#header!,
      place,
      unreadable: this.#scan?.unreadable ?? [],
      covers: (ringBlock) => this.#records!.covers(ringBlock),
    });
    if (hole === null) return;
    // Not to be guessed: the next record would go over what may be readable again tomorrow.
    throw this.#refusal(
      'BANDSTAND_CACHE_UNREADABLE',
      `block ${hole.ringBlock} of it cannot be read, and ${hole.why}`,
      'try again; then copy what can be read to another device, or give up what is in the cache',
    );
  }

  async #scrub(): Promise<void> {
    const { cache, readOnly, reactor } = this.#source;
    const header = this.#header!;
    if (header.phase !== 0 || readOnly) return;
    this.#begin(header.sizeBlocks - RING_START);
    await scrubRing(reactor, cache, header.sizeBlocks, (done) => {
      this.report.scrubbedBlocks = done;
      this.#advance(done);
    });
  }

  /** Throws BANDSTAND_CACHE_READ_ONLY when there are no epochs left. */
  async #beginEpoch(): Promise<void> {
    const { cache, epochBegins, readOnly } = this.#source;
    const { head, newestSequence, tail, tailSequence } = this.#place!;
    // A life may have numbered into the next epoch, and left no record: only its tail says so.
    const used = epochOf(Math.max(newestSequence, tailSequence));
    const epoch = Math.max(this.#header!.epoch, this.#records!.epoch, used) + 1;
    this.#epoch = epoch;
    if (readOnly) return;
    if (epoch > EPOCHS_MAX) {
      throw this.#refusal(
        'BANDSTAND_CACHE_READ_ONLY',
        `this would be start ${epoch}, and its format counts to ${EPOCHS_MAX}`,
        'detach it, and create it anew',
      );
    }
    const blocks = this.#header!.sizeBlocks - RING_START;
    // The header is about to say that all of it is whole: no power cut may take a part then.
    if (cache.geometry.volatileCache) await flushDevice(cache);
    await this.#keeper!.write({
      epoch,
      phase: phaseOf(head, blocks),
      currentAddress: null,
      headSequence: newestSequence,
      tailSequence,
      tailAddress: RING_START + (tail % blocks),
      tailPhase: phaseOf(tail, blocks),
      lost: this.#lost.ranges(LOST_RANGES_MAX),
      lostSequence: newestSequence,
    });
    await epochBegins(epoch);
  }
}

/**
 * What the halves of a mirror may differ in after a crash: records, what lies between them, and
 * behind them as far as records can be on their way at once. None of it goes over the end of a lap.
 */
function* inDoubt({ head, records, tail }: FoundPlace, ringBlocks: number) {
  const end = Math.min(head + REACH_BLOCKS, tail + ringBlocks);
  let position = tail;
  for (const { length, position: next } of [...records, { length: 0, position: end }]) {
    while (position < next) {
      const lapEnd = (Math.floor(position / ringBlocks) + 1) * ringBlocks;
      const before = Math.min(next, lapEnd) - position;
      yield { position, length: before };
      position += before;
    }
    yield { position, length };
    position += length;
  }
}

function phaseOf(position: number, blocks: number): number {
  return 1 + (Math.floor(position / blocks) % 3);
}
