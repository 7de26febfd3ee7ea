/**
 * Check: reads everything that is mapped, and holds it against its checksums.       (control plane)
 *
 * Band by band, while the device is in use: what the map points to is read with the summary of its
 * unit, and its checksum, which binds data, block and write sequence, is computed anew. So a block
 * that has rotted, was misplaced or was never written shows. The map is checked the other way
 * round: each block of a band that it counts has to be named by a unit there.
 *
 * A band is not overwritten while it is being read. What is overwritten elsewhere meanwhile simply
 * is no longer looked for; what is written meanwhile is not checked. Nothing is changed here.
 */

import { FLAG_BACKGROUND, OP_READ } from '../block/block-io.ts';
import { submitStatus } from '../block/control-io.ts';
import { EILSEQ, EIO, OK } from '../block/status.ts';
import { BAND_FREE } from './bands.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import {
  blockCrc,
  dataAt,
  entryAt,
  entryCrc,
  nameBlock,
  readHeader,
  UnitHeader,
} from './unit-format.ts';

export interface WrongBlock {
  /** Null where it is not known which one: the map counts more blocks than the units name. */
  readonly block: number | null;
  readonly band: number;
  /** EILSEQ when the checksum is wrong, otherwise why it could not be read. */
  readonly status: number;
}

export interface FtlCheckReport {
  readonly checkedBlocks: number;
  readonly wrong: readonly WrongBlock[];
}

export class FtlCheck {
  readonly #core: FtlCore;
  readonly #bytes: number;
  readonly #header = new UnitHeader();
  readonly #wrong: WrongBlock[] = [];
  #checkedBlocks = 0;
  #stopped = false;

  constructor(core: FtlCore) {
    this.#core = core;
    this.#bytes = core.geometry.unitBlocks * FTL_BLOCK_BYTES;
    this.#header.deviceLow = core.deviceLow;
    this.#header.deviceHigh = core.deviceHigh;
  }

  /** The report so far is the report. */
  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<FtlCheckReport> {
    const { bands, reactor } = this.#core;
    const buffer = reactor.arena.allocate(this.#bytes);
    try {
      for (let band = 0; band < bands.count && !this.#stopped; band += 1) {
        if (bands.state[band] === BAND_FREE || bands.valid[band] === 0) continue;
        bands.readers[band]! += 1;
        await this.#band(band, buffer).finally(() => {
          bands.readers[band]! -= 1;
          this.#core.wake();
        });
      }
    } finally {
      reactor.arena.release(buffer, this.#bytes);
    }
    return { checkedBlocks: this.#checkedBlocks, wrong: this.#wrong };
  }

  async #band(band: number, buffer: number): Promise<void> {
    const { bands, buffer: memory, geometry } = this.#core;
    const before = bands.valid[band]!;
    let found = 0;
    let inMemory = 0;
    for (let index = 0; index < geometry.bandUnits && !this.#stopped; index += 1) {
      const unit = band * geometry.bandUnits + index;
      const slot = memory.slotOfUnit[unit]!;
      // What is in memory has its checksum from there.
      if (slot !== -1) inMemory += 1;
      else found += await this.#unit(unit, buffer);
    }
    const isStill = bands.valid[band] === before && inMemory === 0 && !this.#stopped;
    if (!isStill) return;
    for (; found < before; found += 1) this.#wrong.push({ block: null, band, status: EIO });
  }

  /** Gives how many mapped blocks the unit names. */
  async #unit(unit: number, at: number): Promise<number> {
    const core = this.#core;
    const { base, factor, geometry, reactor } = core;
    const block = core.baseBlock(unit * geometry.unitBlocks);
    const count = geometry.unitBlocks * factor;
    const wasRead = (await submitStatus(base, OP_READ, block, count, at, FLAG_BACKGROUND)) === OK;
    if (!wasRead) {
      // Its summary may say what is lost.
      const blocks = geometry.summaryBlocks * factor;
      const status = await submitStatus(base, OP_READ, block, blocks, at, FLAG_BACKGROUND);
      if (status !== OK) return 0;
    }
    const header = this.#header;
    const { u32 } = reactor.arena;
    const isUnit = readHeader(u32, reactor.kernels, geometry, at, header);
    const band = Math.floor(unit / geometry.bandUnits);
    if (!isUnit || header.bandSequence !== core.bands.sequence[band]) return 0;
    let found = 0;
    for (let index = 0; index < header.dataCount; index += 1) {
      const entry = entryAt(at, index);
      const name = nameBlock(u32, entry);
      const place = unit * geometry.unitBlocks + geometry.summaryBlocks + index;
      if (name >= core.l2p.blockCount || core.l2p.get(name) !== place) continue;
      found += 1;
      this.#checkedBlocks += 1;
      const data = dataAt(geometry, at, index);
      let status = wasRead ? OK : await this.#readSingle(place, data);
      if (status === OK && blockCrc(reactor.kernels, entry, data) !== entryCrc(u32, entry)) {
        status = EILSEQ;
      }
      if (status !== OK) this.#wrong.push({ block: name, band, status });
    }
    return found;
  }

  /** Reads a block of a unit that could not be read as a whole. */
  #readSingle(place: number, into: number): Promise<number> {
    const { base, factor } = this.#core;
    const block = this.#core.baseBlock(place);
    return submitStatus(base, OP_READ, block, factor, into, FLAG_BACKGROUND);
  }
}
