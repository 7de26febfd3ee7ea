/**
 * Check: reads everything that is mapped, and holds it against its checksums.       (control plane)
 *
 * Band by band, while the device is in use: what the map points to is read with the summary of its
 * unit, and its checksum, which binds data, block and write sequence, is computed anew. So a block
 * that has rotted, was misplaced or was never written shows. Each copy of a mirrored base is read:
 * what a single one has wrong shows too. The map is checked the other way round: each block of a
 * band that it counts has to be named by a unit there. Superblocks and the pages of the map come
 * first (check-metadata.ts).
 *
 * What is wrong is looked for in the redundancy of the base (mender.ts), and with `repair` written
 * where it is not right. Without, nothing is changed.
 *
 * A band is not overwritten while it is being read. What is overwritten elsewhere meanwhile simply
 * is no longer looked for; what is written meanwhile is not checked.
 */

import { ProgressMeter } from '../block/progress.ts';
import { EIO, ENODEV, OK } from '../block/status.ts';
import { BAND_FREE } from './bands.ts';
import type { MetadataCheck } from './check-metadata.ts';
import type { Finding } from './finding.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { lostBlocksOf } from './lost-blocks.ts';
import type { Mender } from './mender.ts';
import {
  blockCrc,
  dataAt,
  entryAt,
  entryCrc,
  nameBlock,
  readHeader,
  UnitHeader,
} from './unit-format.ts';

/** So many findings are kept. */
const KEPT_MAX = 256;

export interface FtlCheckOptions {
  /** What is wrong is written again where something else says what is right. */
  readonly repair?: boolean;
  /** Told now and then how far it is. */
  readonly advanced?: (doneBytes: number, totalBytes: number) => void;
}

export interface FtlCheckReport {
  /** Blocks whose checksums were computed, each once however many copies it has. */
  readonly checkedBlocks: number;
  /** The first ones. */
  readonly wrong: readonly Finding[];
  readonly wrongCount: number;
  readonly repairedCount: number;
  /** Of them, what is right nowhere. */
  readonly lostCount: number;
  /** It was ended before it had seen everything. */
  readonly stopped: boolean;
}

/** How far a check is. */
export interface FtlCheckProgress {
  readonly repair: boolean;
  readonly paused: boolean;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly rateBytesPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly wrongCount: number;
  readonly repairedCount: number;
  readonly lostCount: number;
}

export class FtlCheck {
  readonly #core: FtlCore;
  readonly #mender: Mender;
  readonly #metadata: MetadataCheck;
  readonly #repair: boolean;
  readonly #advanced: (doneBytes: number, totalBytes: number) => void;
  readonly #bytes: number;
  readonly #header = new UnitHeader();
  readonly #meter = new ProgressMeter();
  readonly #wrong: Finding[] = [];
  #wrongCount = 0;
  #repairedCount = 0;
  #lostCount = 0;
  #checkedBlocks = 0;
  #stopped = false;
  /** Ends a pause. */
  #resume: (() => void) | null = null;
  #paused: Promise<void> | null = null;

  constructor(core: FtlCore, mender: Mender, metadata: MetadataCheck, options: FtlCheckOptions) {
    this.#core = core;
    this.#mender = mender;
    this.#metadata = metadata;
    this.#repair = options.repair ?? false;
    this.#advanced = options.advanced ?? (() => {});
    this.#bytes = core.geometry.unitBlocks * FTL_BLOCK_BYTES;
    this.#header.deviceLow = core.deviceLow;
    this.#header.deviceHigh = core.deviceHigh;
  }

  get progress(): FtlCheckProgress {
    const nowUs = this.#core.reactor.nowUs();
    const meter = this.#meter;
    return {
      repair: this.#repair,
      paused: this.#paused !== null,
      doneBytes: meter.doneBytes,
      totalBytes: meter.totalBytes,
      rateBytesPerSecond: meter.rateBytesPerSecond(nowUs),
      etaSeconds: meter.etaSeconds(nowUs),
      wrongCount: this.#wrongCount,
      repairedCount: this.#repairedCount,
      lostCount: this.#lostCount,
    };
  }

  /** The report so far is the report. */
  stop(): void {
    this.#stopped = true;
    this.resume();
  }

  pause(): void {
    if (this.#paused !== null || this.#stopped) return;
    this.#meter.pause();
    this.#paused = new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resume(): void {
    this.#meter.resume(this.#core.reactor.nowUs());
    this.#paused = null;
    this.#resume?.();
    this.#resume = null;
  }

  async run(): Promise<FtlCheckReport> {
    const { bands, reactor } = this.#core;
    const used = Array.from({ length: bands.count }, (_, band) => band).filter((band) =>
      this.#isUsed(band),
    );
    const bandBytes = this.#core.geometry.bandUnits * this.#bytes;
    this.#meter.start(reactor.nowUs(), 0, used.length * bandBytes);
    for (const finding of await this.#metadata.run(this.#repair, () => this.#stopped)) {
      this.#note(finding);
    }
    const buffer = reactor.arena.allocate(this.#bytes);
    try {
      for (const [rank, band] of used.entries()) {
        // Not within a band, which cannot be reused while it is held.
        await this.#paused;
        if (this.#isUsed(band) && !this.#stopped) await this.#hold(band, buffer);
        if (this.#stopped) break;
        this.#meter.advance(reactor.nowUs(), (rank + 1) * bandBytes);
        this.#advanced(this.#meter.doneBytes, this.#meter.totalBytes);
      }
    } finally {
      reactor.arena.release(buffer, this.#bytes);
    }
    return {
      checkedBlocks: this.#checkedBlocks,
      wrong: this.#wrong,
      wrongCount: this.#wrongCount,
      repairedCount: this.#repairedCount,
      lostCount: this.#lostCount,
      stopped: this.#stopped,
    };
  }

  #isUsed(band: number): boolean {
    const { bands } = this.#core;
    return bands.state[band] !== BAND_FREE && bands.valid[band] !== 0;
  }

  async #hold(band: number, buffer: number): Promise<void> {
    const { bands } = this.#core;
    bands.readers[band]! += 1;
    await this.#band(band, buffer).finally(() => {
      bands.readers[band]! -= 1;
      this.#core.wake();
    });
  }

  #note(finding: Finding): void {
    this.#mender.note(finding);
    if (this.#wrong.length < KEPT_MAX) this.#wrong.push(finding);
    this.#wrongCount += 1;
    if (finding.outcome === 'repaired') this.#repairedCount += 1;
    if (finding.outcome === 'lost') this.#lostCount += 1;
  }

  async #band(band: number, buffer: number): Promise<void> {
    const { bands, buffer: memory, geometry } = this.#core;
    const before = bands.valid[band]!;
    const lostBefore = this.#lostCount;
    const unnamed = new Uint8Array(geometry.bandUnits);
    let found = 0;
    let inMemory = 0;
    for (let index = 0; index < geometry.bandUnits; index += 1) {
      if (this.#stopped) return;
      const unit = band * geometry.bandUnits + index;
      // What is in memory has its checksum from there.
      if (memory.slotOfUnit[unit] !== -1) {
        inMemory += 1;
        continue;
      }
      const named = await this.#unit(unit, buffer);
      if (named === -1) unnamed[index] = 1;
      else found += named;
    }
    const isStill = bands.valid[band] === before && inMemory === 0;
    if (isStill && found < before) await this.#lost(band, before - found, unnamed);
    if (isStill && this.#lostCount === lostBefore) bands.recovered(band, this.#core.writeSequence);
  }

  /** The map points to blocks that no unit of the band names. */
  async #lost(band: number, count: number, unnamed: Uint8Array): Promise<void> {
    const lost = await lostBlocksOf(this.#core, band, unnamed, () => this.#stopped);
    const what = { part: 'block', band, number: 0, status: EIO, slots: [] } as const;
    for (let index = 0; index < count; index += 1) {
      this.#note({ ...what, block: lost.blocks[index] ?? null, outcome: 'lost' });
    }
  }

  /** Gives how many mapped blocks the unit names; -1 when there is no summary of one. */
  async #unit(unit: number, at: number): Promise<number> {
    const { copyCount } = this.#mender;
    const checked = new Set<number>();
    const wrong = new Set<number>();
    let isUnit = false;
    for (let copy = 0; copy < copyCount; copy += 1) {
      if (await this.#copy(unit, copy, at, checked, wrong)) isUnit = true;
    }
    this.#checkedBlocks += checked.size;
    return isUnit ? checked.size : -1;
  }

  /** True when it has a summary there. */
  async #copy(
    unit: number,
    copy: number,
    at: number,
    checked: Set<number>,
    wrong: Set<number>,
  ): Promise<boolean> {
    const { geometry, l2p, reactor } = this.#core;
    const first = unit * geometry.unitBlocks;
    const status = await this.#mender.readCopy(copy, first, geometry.unitBlocks, at);
    if (status === ENODEV && this.#mender.copyCount > 1) return false;
    if (!(await this.#summary(unit, copy, at, status === OK))) return false;
    const { u32 } = reactor.arena;
    const { dataCount } = this.#header;
    for (let index = 0; index < dataCount; index += 1) {
      const entry = entryAt(at, index);
      const block = nameBlock(u32, entry);
      const place = first + geometry.summaryBlocks + index;
      if (block >= l2p.blockCount || l2p.get(block) !== place) continue;
      checked.add(index);
      const data = dataAt(geometry, at, index);
      const read = status === OK ? OK : await this.#mender.readCopy(copy, place, 1, data);
      const isRight =
        read === OK &&
        blockCrc(reactor.arena, reactor.kernels, entry, data) === entryCrc(u32, entry);
      // Without repair every copy shows the same once more.
      if (isRight || wrong.has(index)) continue;
      const { finding } = await this.#mender.block(place, entry, data, this.#repair);
      if (finding === null) continue;
      wrong.add(index);
      this.#note(finding);
    }
    return true;
  }

  /** Sees to it that the summary of the unit is at byte `at`; false when it has none. */
  async #summary(unit: number, copy: number, at: number, wasRead: boolean): Promise<boolean> {
    const { bands, geometry, reactor } = this.#core;
    const { summaryBlocks, unitBlocks } = geometry;
    const band = Math.floor(unit / geometry.bandUnits);
    const header = this.#header;
    const isThere = (): boolean =>
      readHeader(reactor.arena.u32, reactor.kernels, geometry, at, header) &&
      header.bandSequence === bands.sequence[band];
    let status = OK;
    // Its summary may say what is lost.
    if (!wasRead) status = await this.#mender.readCopy(copy, unit * unitBlocks, summaryBlocks, at);
    if (status === OK && isThere()) return true;
    const { finding, found } = await this.#mender.summary(unit, at, this.#repair);
    // Without repair the summary is told for the first copy that lacks it, and found for all.
    if (finding !== null && (this.#repair || copy === finding.slots[0])) this.#note(finding);
    return found && isThere();
  }
}
