/**
 * Restore: from what is on the base to an FTL that works.                           (control plane)
 *
 * The steps, in this order, are the whole procedure; each is named for people and logs.
 *
 *   begin a new epoch      the superblock says that this life may write units
 *   load the map           the pages that the superblock names
 *   adopt the write buffer units that outlived the last process go to where they were going
 *   read heads             which bands there are
 *   roll forward           what came after the checkpoint
 *   sort bands             free, open or closed
 *
 * If the map is to be rebuilt, no page is loaded, and all units are read instead of the newer ones.
 *
 * After it the caller writes a checkpoint before anything else is done: what this restore has
 * decided is decided for good, and nothing that it left out can come back later. Until then nothing
 * on the base has been overwritten that another restore would need; it may be interrupted at any
 * point and begins anew.
 *
 * After a clean stop the map is complete: the write buffer is not looked at, and units are read
 * only to learn how far open bands are filled.
 *
 * Read-only, the same is done in memory alone. A write buffer that has something which the base
 * lacks is then a refusal: what would be shown is older than what has been answered.
 *
 * A write buffer that should be there and is not is a refusal, too, unless it is given up on
 * purpose: only a power cut may take it.
 */

import { OP_READ } from '../block/block-io.ts';
import { flushDevice, submitStatus } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import { OK, statusText } from '../block/status.ts';
import type { Step, StepObserver } from '../block/steps.ts';
import { BAND_CLOSED, BAND_DAMAGED, BAND_MAP, BAND_OPEN } from './bands.ts';
import { findingOf } from './finding.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import type { Log } from './log.ts';
import { decodePage, type PageName, pageProblem, pageUnit } from './map-page.ts';
import { MapRebuild, type MapRebuildReport } from './map-rebuild.ts';
import type { Mender } from './mender.ts';
import { NO_BAND } from './placement.ts';
import { type RollForward, UnitScan } from './roll-forward.ts';
import type { SuperblockKeeper } from './superblock-io.ts';
import {
  type Adoption,
  type BufferMemory,
  bufferLost,
  NOTHING_ADOPTED,
  Survivors,
} from './survivors.ts';
import { EPOCHS_MAX, epochOf } from './unit-format.ts';
import { UnitReader } from './unit-reader.ts';

const REBUILD_STEP = 'Rebuild the map';
const BUFFER_ERRORS: readonly string[] = ['BANDSTAND_FTL_BUFFER', 'BANDSTAND_FTL_BUFFER_LOST'];

/** What a restore found, for events and status. */
export interface RestoreReport {
  readonly clean: boolean;
  readonly adoption: Adoption;
  readonly unitsPlayed: number;
  readonly tornBlocks: number;
  readonly blocksRead: number;
  /** What was answered and not flushed may be lost: the write buffer was given up. */
  readonly bufferLost: boolean;
  /** Of a map that was made anew; null: it was not. */
  readonly rebuilt: MapRebuildReport | null;
}

export interface RestoreParts {
  readonly core: FtlCore;
  readonly log: Log;
  readonly mender: Mender;
  readonly keeper: SuperblockKeeper;
  /** The write buffer's memory when it outlived the last process. */
  readonly survived: BufferMemory | null;
  /** Identifies this boot of the machine; null: not known. */
  readonly bootId: string | null;
  /** Goes on where the write buffer is gone, or cannot be taken over. */
  readonly discardBuffer: boolean;
  /** The units of this life are numbered from here on. */
  readonly firstUnit: number;
  /** Nothing is written to the base. */
  readonly readOnly: boolean;
  /** No page of the map is believed: it is made from the units alone (map-rebuild.ts). */
  readonly rebuild: boolean;
  /** Told how far that is. */
  readonly steps: StepObserver | undefined;
}

export class Restore {
  readonly #core: FtlCore;
  readonly #log: Log;
  readonly #mender: Mender;
  readonly #keeper: SuperblockKeeper;
  readonly #readOnly: boolean;
  readonly #rebuild: boolean;
  readonly #observer: StepObserver | undefined;
  readonly #wasClean: boolean;
  readonly #firstUnit: number;
  readonly #survived: BufferMemory | null;
  readonly #bootId: string | null;
  readonly #discardBuffer: boolean;
  #reader: UnitReader | null = null;
  #scan: UnitScan | null = null;
  #found: RollForward | null = null;
  #adoption = NOTHING_ADOPTED;
  #bufferLost = false;
  #blocksRead = 0;
  #rebuilt: MapRebuildReport | null = null;

  constructor(parts: RestoreParts) {
    this.#core = parts.core;
    this.#log = parts.log;
    this.#mender = parts.mender;
    this.#keeper = parts.keeper;
    this.#readOnly = parts.readOnly;
    this.#rebuild = parts.rebuild;
    this.#observer = parts.steps;
    this.#wasClean = parts.keeper.current.clean;
    this.#survived = parts.survived;
    this.#bootId = parts.bootId;
    this.#discardBuffer = parts.discardBuffer;
    this.#firstUnit = parts.firstUnit;
  }

  get steps(): readonly Step<void>[] {
    const [load, play] = this.#rebuild
      ? [[], { name: REBUILD_STEP, run: () => this.#rebuildMap() }]
      : [
          [{ name: 'Load the map', run: () => this.#loadMap() }],
          { name: 'Roll forward', run: () => this.#rollForward() },
        ];
    return [
      { name: 'Begin a new epoch', run: () => this.#beginEpoch() },
      ...load,
      { name: 'Adopt the write buffer', run: () => this.#adopt() },
      { name: 'Read the heads of bands', run: () => this.#readHeads() },
      play,
      { name: 'Sort bands', run: async () => this.#sortBands() },
    ];
  }

  dispose(): void {
    this.#blocksRead = this.#reader?.blocksRead ?? 0;
    this.#reader?.dispose();
    this.#reader = null;
    this.#scan = null;
  }

  get report(): RestoreReport {
    return {
      clean: this.#wasClean,
      adoption: this.#adoption,
      bufferLost: this.#bufferLost,
      unitsPlayed: this.#found?.units ?? 0,
      tornBlocks: this.#found?.torn ?? 0,
      blocksRead: this.#reader?.blocksRead ?? this.#blocksRead,
      rebuilt: this.#rebuilt,
    };
  }

  async #beginEpoch(): Promise<void> {
    const core = this.#core;
    // A life with more than 2^32 units has numbered them into the epochs after its own.
    const { current } = this.#keeper;
    const epoch = Math.max(current.epoch, epochOf(current.checkpointStart)) + 1;
    await this.#enter(epoch);
    this.#reader = new UnitReader(core);
    this.#scan = new UnitScan(core, current, this.#reader, this.#mender, this.#readOnly);
  }

  /** Throws BANDSTAND_FTL_READ_ONLY when there are no epochs left. */
  async #enter(epoch: number): Promise<void> {
    const core = this.#core;
    if (!this.#readOnly) {
      if (epoch > EPOCHS_MAX) throw this.#wornOut(epoch);
      await this.#keeper.write({ clean: false, epoch });
    }
    core.epoch = epoch;
    core.unitNumber = this.#firstUnit;
  }

  #wornOut(epoch: number): BandstandError {
    const { name } = this.#core.base;
    return new BandstandError('BANDSTAND_FTL_READ_ONLY', {
      message: `cannot open the log-structured device on ${name} for writing: this would be start number ${epoch}, and its format counts to ${EPOCHS_MAX}`,
      hint: 'export it with --read-only, and copy it to a new one',
      details: { device: name, epoch, epochs_max: EPOCHS_MAX },
    });
  }

  async #loadMap(): Promise<void> {
    const { base, deviceHigh, deviceLow, factor, geometry, l2p, reactor } = this.#core;
    const { pages } = this.#keeper.current;
    const bytes = 2 * geometry.unitBlocks * FTL_BLOCK_BYTES;
    const buffer = reactor.arena.allocate(bytes);
    const device = [deviceLow, deviceHigh] as const;
    try {
      for (const [page, entry] of pages.entries()) {
        if (entry === 0) continue;
        const block = pageUnit(geometry, page, entry & 1) * geometry.unitBlocks * factor;
        const count = geometry.unitBlocks * factor;
        const status = await submitStatus(base, OP_READ, block, count, buffer);
        const name = { device, page, checkpoint: Math.floor(entry / 2) };
        const why =
          status === OK
            ? decodePage(reactor, geometry, buffer, name, l2p)
            : `it cannot be read: ${statusText(status)}`;
        if (why !== null) await this.#mendPage(name, block, buffer, why);
      }
    } finally {
      reactor.arena.release(buffer, bytes);
    }
  }

  /** Takes the page from the redundancy of the base into the map. Throws BANDSTAND_FTL_MAP. */
  async #mendPage(name: PageName, block: number, buffer: number, why: string): Promise<void> {
    const { factor, geometry, l2p, reactor } = this.#core;
    const blockCount = geometry.unitBlocks * factor;
    const isRight = (): boolean => pageProblem(reactor, geometry, buffer, name) === null;
    const repair = !this.#readOnly;
    const mended = await this.#mender.mend({ block, blockCount, buffer, repair, isRight });
    if (!mended.found) throw this.#damaged(name.page, why);
    decodePage(reactor, geometry, buffer, name, l2p);
    const place = { part: 'map page', block: null, band: null, number: name.page } as const;
    const finding = findingOf(place, mended);
    if (finding !== null) this.#mender.note(finding);
  }

  #damaged(page: number, why: string): BandstandError {
    const { name } = this.#core.base;
    return new BandstandError('BANDSTAND_FTL_MAP', {
      message: `cannot open the log-structured device on ${name}: page ${page} of its map is not usable: ${why}`,
      hint: `look at the devices below; the map can be made anew: bandstand check ${name} --rebuild-map`,
      details: { device: name, page },
    });
  }

  async #adopt(): Promise<void> {
    if (this.#wasClean) return;
    try {
      this.#adoption = await this.#survivors();
    } catch (error) {
      const isBuffer = error instanceof BandstandError && BUFFER_ERRORS.includes(error.code);
      if (!isBuffer || !this.#discardBuffer) throw error;
      this.#bufferLost = true;
    }
  }

  /** Throws BANDSTAND_FTL_BUFFER or BANDSTAND_FTL_BUFFER_LOST. */
  async #survivors(): Promise<Adoption> {
    const superblock = this.#keeper.current;
    if (this.#survived !== null) {
      const survivors = new Survivors(this.#core, this.#survived, this.#reader!);
      if (survivors.isOfThisLife(superblock)) {
        if (!this.#readOnly) return await survivors.adopt(superblock);
        survivors.refuseAny();
        return NOTHING_ADOPTED;
      }
    }
    // In another boot it was a power cut that took it.
    const { bufferBoot } = superblock;
    if (bufferBoot === null || bufferBoot !== this.#bootId) return NOTHING_ADOPTED;
    throw bufferLost(this.#core.base.name, this.#rebuild);
  }

  #readHeads(): Promise<void> {
    return this.#rebuild ? this.#scan!.heads(false, true) : this.#scan!.heads(!this.#wasClean);
  }

  async #rebuildMap(): Promise<void> {
    const rebuild = new MapRebuild(
      this.#core,
      this.#reader!,
      this.#mender,
      this.#keeper.current.checkpointStart,
      (done, total) => this.#observer?.stepAdvanced?.(REBUILD_STEP, done, total),
    );
    await this.#play(await rebuild.run());
    this.#rebuilt = rebuild.report;
  }

  async #rollForward(): Promise<void> {
    await this.#play(await this.#scan!.units(!this.#wasClean));
  }

  async #play(found: RollForward): Promise<void> {
    const core = this.#core;
    this.#found = found;
    core.writeSequence = this.#found.writeSequence;
    // A superblock that was lost may have begun later epochs.
    if (this.#found.epoch >= core.epoch) await this.#enter(this.#found.epoch + 1);
    if (!this.#readOnly) await flushDevice(core.base);
  }

  #sortBands(): void {
    const { bands, l2p } = this.#core;
    l2p.mapped = 0;
    const { filled } = this.#found!;
    for (const page of l2p.pagesInUse(this.#keeper.current.pages)) this.#countPage(page, filled);
    this.#resumeBands();
    const order = Array.from({ length: bands.count }, (_, band) => band)
      .filter((band) => bands.state[band] !== BAND_OPEN && bands.state[band] !== BAND_MAP)
      .sort((one, other) => bands.sequence[one]! - bands.sequence[other]!);
    const sequence = this.#core.writeSequence;
    for (const [rank, band] of order.entries()) {
      if (bands.valid[band] === 0) {
        bands.giveFree(band);
      } else if (bands.sequence[band] === 0) {
        // Without its head nothing in it can be checked.
        bands.state[band] = BAND_DAMAGED;
      } else {
        bands.state[band] = BAND_CLOSED;
        // How long its blocks have lain still: nearly as long as its rank says.
        bands.victims.closed(band, Math.floor((sequence * rank) / order.length));
      }
    }
  }

  /**
   * Counts what a page of the map points to. `filled` has the units of the bands that were scanned.
   * Throws BANDSTAND_FTL_MAP for a place that cannot be.
   */
  #countPage(page: number, filled: ReadonlyMap<number, Uint8Array>): void {
    const { bands, geometry, l2p } = this.#core;
    const { bandUnits, summaryBlocks, unitBlocks } = geometry;
    const places = geometry.bandCount * geometry.bandBlocks;
    const end = l2p.pageEnd(page);
    let block = l2p.nextMapped(page * l2p.pageEntries, end);
    while (block < end) {
      const place = l2p.get(block);
      l2p.mapped += 1;
      const unit = Math.floor(place / unitBlocks);
      if (place >= places || place - unit * unitBlocks < summaryBlocks) {
        throw this.#damaged(page, `block ${block} is nowhere`);
      }
      const band = bands.bandOf(place);
      if (bands.state[band] === BAND_MAP) throw this.#damaged(page, `block ${block} is in a page`);
      bands.gain(band);
      // A unit whose summary is lost is still not written over while blocks in it are needed.
      const scanned = filled.get(band);
      if (scanned !== undefined) scanned[unit - band * bandUnits] = 1;
      block = l2p.nextMapped(block + 1, end);
    }
  }

  /**
   * In each class the newest band with room goes on. But not one that nothing is needed of: it may
   * have been free, and about to be filled anew when the crash came. Then the members of a mirror
   * may show different heads, and what was added below one of them would be lost with that member.
   */
  #resumeBands(): void {
    const { bands } = this.#core;
    const { openBands } = this.#log;
    const { filled } = this.#found!;
    for (const [band, units] of filled) {
      if (bands.valid[band] === 0 || units[0] === 0 || !units.includes(0)) continue;
      const lifetimeClass = bands.placement.classOf[band]!;
      const other = openBands[lifetimeClass]!;
      if (other !== NO_BAND && bands.sequence[other]! > bands.sequence[band]!) continue;
      openBands[lifetimeClass] = band;
    }
    openBands.forEach((band, lifetimeClass) => {
      if (band === NO_BAND) return;
      bands.state[band] = BAND_OPEN;
      bands.nextUnit[band] = filled.get(band)!.indexOf(0);
      this.#log.resumed[lifetimeClass] = filled.get(band)!;
    });
  }
}
