/**
 * Checkpoints: the map on the base, so that a start reads only what came after.     (control plane)
 *
 * A checkpoint begins by sealing all open units: what the map says at that moment is in units with
 * lower sequences than the next one, its *start*. Then it writes the pages that were changed since
 * the last checkpoint, each to its other slot, while the device goes on working; so pages show the
 * map at different moments. At the end everything that a page may point to is made durable, and
 * the superblock names the pages and the start.
 *
 * A start for reading takes the pages and plays all units from the checkpoint's start on over them.
 * That is right whatever moment each page is of: every change since the start is in one of these
 * units, or was superseded by one that is.
 *
 * A page that cannot be written ends the attempt, and the next one begins anew; the old checkpoint
 * holds. So does a unit that fails and moves: under its new sequence it would be played over pages
 * that know better, although what it holds is older than the checkpoint's start. A superblock that
 * cannot be written leaves open which of the two counts: the device then changes nothing any more.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { OP_WRITE } from '../block/block-io.ts';
import { submitOrThrow } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO } from '../block/status.ts';
import type { Durability } from './durability.ts';
import type { FtlCore } from './ftl-core.ts';
import { CHECKPOINTS_MAX, type FtlCache, type FtlSuperblock } from './ftl-superblock.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import type { Log } from './log.ts';
import { encodePage, pageUnit } from './map-page.ts';
import { NO_BAND } from './placement.ts';
import type { SuperblockKeeper } from './superblock-io.ts';

/** Attempts in a row that may fail. */
const FAILURES_MAX = 3;

/** The attempt was given up; the next one may begin at once. */
class UnitMoved extends Error {
  override readonly name = 'UnitMoved';
}

export class Checkpointer {
  readonly #core: FtlCore;
  readonly #log: Log;
  readonly #durability: Durability;
  readonly #keeper: SuperblockKeeper;
  readonly #reactor: Reactor;
  readonly #base: BlockDevice;
  /** Where a page is put together: other users of the arena must not keep a map from disk. */
  readonly #page: number;
  #running: Promise<void> | null = null;
  #failures = 0;
  /** Units written when the last checkpoint began. */
  #unitsBefore = 0;

  constructor(core: FtlCore, log: Log, durability: Durability, keeper: SuperblockKeeper) {
    this.#core = core;
    this.#log = log;
    this.#durability = durability;
    this.#keeper = keeper;
    this.#reactor = core.reactor;
    this.#base = core.base;
    this.#page = core.reactor.arena.allocate(core.geometry.unitBlocks * FTL_BLOCK_BYTES);
  }

  dispose(): void {
    this.#reactor.arena.release(this.#page, this.#core.geometry.unitBlocks * FTL_BLOCK_BYTES);
  }

  get running(): boolean {
    return this.#running !== null;
  }

  /** Units that a start would have to read besides the map. */
  get unitsSince(): number {
    return this.#core.statistics.unitsWritten - this.#unitsBefore;
  }

  /** Begins a checkpoint unless one is under way; failures are dealt with here. */
  ask(): void {
    if (this.#running !== null || this.#core.failureStatus !== 0) return;
    this.#running = this.#attempt().finally(() => {
      this.#running = null;
      this.#core.wake();
    });
    this.#reactor.keep(this.#running);
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /**
   * The last checkpoint of this life, which nothing is played over: units that fail and move would
   * make its pages wrong, so all of them are on the base before the first page is written.
   */
  async finish(): Promise<void> {
    await this.settled();
    await this.#durability.barrier();
    await this.write(true, { bufferBoot: null });
  }

  /** Does something during which no checkpoint is written. */
  async without<Result>(work: () => Promise<Result>): Promise<Result> {
    // Several may have waited for the same one.
    while (this.#running !== null) await this.settled();
    const result = work();
    const over = (): void => {
      this.#running = null;
      this.#core.wake();
    };
    this.#running = result.then(over, over);
    return await result;
  }

  /**
   * Writes what the superblock says over both copies; only within `without`. False when the device
   * cannot be changed any more.
   */
  async rewriteSuperblocks(): Promise<boolean> {
    if (this.#core.failureStatus !== 0) return false;
    try {
      // Each time it is the turn of the other one.
      await this.#writeSuperblock({});
      await this.#writeSuperblock({});
      return true;
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
      return false;
    }
  }

  /**
   * From now on the superblock names this NV cache, or none; both copies, so that whichever counts
   * says so. Throws what kept it from being durable; then the device has failed.
   */
  async nameCache(cache: FtlCache | null): Promise<void> {
    await this.without(async () => {
      this.#mustGoOn();
      await this.#writeSuperblock({ cache });
      await this.#writeSuperblock({});
    });
  }

  async #attempt(): Promise<void> {
    try {
      await this.write(false);
      this.#failures = 0;
    } catch (error) {
      if (error instanceof UnitMoved) return;
      if (!(error instanceof BandstandError)) throw error;
      this.#failures += 1;
      if (this.#failures < FAILURES_MAX) return;
      this.#core.fail(EIO, `the map cannot be written: ${error.message}`);
    }
  }

  /** `changes`: what the superblock says besides. Throws what kept it from being complete. */
  async write(clean: boolean, changes: Partial<FtlSuperblock> = {}): Promise<void> {
    const core = this.#core;
    const unitsBefore = this.#unitsBefore;
    this.#unitsBefore = core.statistics.unitsWritten;
    this.#log.sealAll();
    const start = core.nextUnitSequence;
    const { writeSequence } = core;
    const openBands = [...this.#log.openBands].filter((band) => band !== NO_BAND);
    const checkpoint = this.#keeper.current.checkpoint + 1;
    assert(checkpoint <= CHECKPOINTS_MAX, 'the number of a checkpoint fits the table of pages');
    const { unitsFailed } = core.statistics;
    const copied: number[] = [];
    try {
      const pages = await this.#writePages(checkpoint, copied);
      await this.#durability.barrier();
      this.#mustGoOn();
      if (core.statistics.unitsFailed !== unitsFailed) throw new UnitMoved('a unit has moved');
      const state = { clean, checkpoint, checkpointStart: start, writeSequence, openBands, pages };
      await this.#writeSuperblock({ ...state, checkpointEpoch: core.epoch, ...changes });
    } catch (error) {
      this.#unitsBefore = unitsBefore;
      for (const page of copied) core.l2p.dirty[page] = 1;
      throw error;
    }
    core.noteCheckpoint(start);
    core.statistics.checkpoints += 1;
    core.statistics.metadataBlocks += core.geometry.superblockUnits * core.geometry.unitBlocks;
  }

  /** Throws when the device has failed. */
  #mustGoOn(): void {
    if (this.#core.failureStatus === 0) return;
    throw new BandstandError('BANDSTAND_FTL_READ_ONLY', {
      message: `cannot write the map of ${this.#base.name}: ${this.#core.failureReason}`,
      hint: 'look at the devices below',
      details: { device: this.#base.name },
    });
  }

  async #writeSuperblock(state: Partial<FtlSuperblock>): Promise<void> {
    try {
      await this.#keeper.write(state, async () => {
        await this.#durability.flushMetadata();
        this.#mustGoOn();
      });
    } catch (error) {
      this.#core.fail(EIO, 'the superblock cannot be written');
      throw error;
    }
  }

  /** Writes all changed pages; gives the table that names them. */
  async #writePages(checkpoint: number, copied: number[]): Promise<Uint32Array> {
    const { geometry, l2p, statistics, factor } = this.#core;
    const pages = this.#keeper.current.pages.slice();
    const buffer = this.#page;
    const device = [this.#core.deviceLow, this.#core.deviceHigh] as const;
    for (let page = 0; page < geometry.pageCount; page += 1) {
      if (l2p.dirty[page] === 0) continue;
      const slot = pages[page] === 0 ? 0 : 1 - (pages[page]! & 1);
      l2p.dirty[page] = 0;
      copied.push(page);
      encodePage(this.#reactor, geometry, buffer, { device, page, checkpoint }, l2p);
      const block = pageUnit(geometry, page, slot) * geometry.unitBlocks * factor;
      const count = geometry.unitBlocks * factor;
      await submitOrThrow(this.#base, OP_WRITE, block, count, buffer);
      pages[page] = 2 * checkpoint + slot;
      statistics.metadataBlocks += geometry.unitBlocks;
    }
    return pages;
  }
}
