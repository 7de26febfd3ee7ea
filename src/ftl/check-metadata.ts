/**
 * MetadataCheck: superblocks and the pages of the map, as they are on the base.     (control plane)
 *
 * Both copies of the superblock, and each page that the newest one names, are read from each copy
 * of a mirrored base and held against their checksums. What is wrong is looked for in the
 * redundancy; what is right nowhere is written anew from memory where that is wanted: a page by the
 * next checkpoint, superblocks at once.
 *
 * No checkpoint runs while one of them is being looked at, so that none is seen half written. In
 * between it may: what has been seen then counts as it was.
 */

import type { Mended, MendRequest } from '../block/redundancy.ts';
import { ENODEV, OK } from '../block/status.ts';
import type { Checkpointer } from './checkpoint.ts';
import { type Finding, type FindingPlace, findingOf } from './finding.ts';
import type { FtlCore } from './ftl-core.ts';
import { superblockCopyBytes } from './ftl-superblock.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';
import { pageProblem, pageUnit } from './map-page.ts';
import type { Mender } from './mender.ts';
import { isSuperblock, type SuperblockKeeper } from './superblock-io.ts';

export class MetadataCheck {
  readonly #core: FtlCore;
  readonly #mender: Mender;
  readonly #keeper: SuperblockKeeper;
  readonly #checkpointer: Checkpointer;
  /** Pages that are right nowhere, and what the superblock said of them. */
  readonly #lost = new Map<number, number>();

  constructor(core: FtlCore, mender: Mender, keeper: SuperblockKeeper, checkpointer: Checkpointer) {
    this.#core = core;
    this.#mender = mender;
    this.#keeper = keeper;
    this.#checkpointer = checkpointer;
  }

  async run(repair: boolean, stopped: () => boolean): Promise<Finding[]> {
    const { geometry, reactor } = this.#core;
    const unitBytes = geometry.unitBlocks * FTL_BLOCK_BYTES;
    const bytes = 2 * Math.max(unitBytes, superblockCopyBytes(geometry));
    const buffer = reactor.arena.allocate(bytes);
    const findings: (Finding | null)[] = [];
    try {
      for (const copy of [0, 1]) {
        findings.push(await this.#alone(() => this.#superblock(copy, buffer, repair)));
      }
      for (let page = 0; page < geometry.pageCount && !stopped(); page += 1) {
        findings.push(await this.#alone(() => this.#page(page, buffer, repair)));
      }
    } finally {
      reactor.arena.release(buffer, bytes);
    }
    if (this.#lost.size > 0) await this.#rewritePages();
    return findings.flatMap((finding) => finding ?? []).map((one) => this.#concluded(one));
  }

  #alone(work: () => Promise<Finding | null>): Promise<Finding | null> {
    return this.#checkpointer.without(work);
  }

  async #rewritePages(): Promise<void> {
    for (const page of this.#lost.keys()) this.#core.l2p.dirty[page] = 1;
    this.#checkpointer.ask();
    await this.#checkpointer.settled();
  }

  /** A page that was right nowhere is, once the superblock names its other slot. */
  #concluded(finding: Finding): Finding {
    const entry = finding.part === 'map page' ? this.#lost.get(finding.number) : undefined;
    if (entry === undefined || this.#keeper.current.pages[finding.number] === entry) return finding;
    return { ...finding, outcome: 'repaired' };
  }

  async #superblock(copy: number, buffer: number, repair: boolean): Promise<Finding | null> {
    const { base, geometry, reactor } = this.#core;
    const units = geometry.superblockUnits;
    const bytes = superblockCopyBytes(geometry);
    const { uuid } = this.#keeper.current;
    const isRight = (): boolean => isSuperblock(reactor, base, buffer, bytes, uuid);
    const place: FindingPlace = { part: 'superblock', block: null, band: null, number: copy };
    const finding = await this.#units(place, copy * units, units, { buffer, repair, isRight });
    if (finding?.outcome !== 'lost' || !repair) return finding;
    const written = await this.#checkpointer.rewriteSuperblocks();
    return written ? { ...finding, outcome: 'repaired' } : finding;
  }

  async #page(page: number, buffer: number, repair: boolean): Promise<Finding | null> {
    const { deviceHigh, deviceLow, geometry, reactor } = this.#core;
    const entry = this.#keeper.current.pages[page]!;
    if (entry === 0) return null;
    const device = [deviceLow, deviceHigh] as const;
    const name = { device, page, checkpoint: Math.floor(entry / 2) };
    const isRight = (): boolean => pageProblem(reactor, geometry, buffer, name) === null;
    const place: FindingPlace = { part: 'map page', block: null, band: null, number: page };
    const unit = pageUnit(geometry, page, entry & 1);
    const finding = await this.#units(place, unit, 1, { buffer, repair, isRight });
    if (finding?.outcome === 'lost' && repair) this.#lost.set(page, entry);
    return finding;
  }

  /** Reads units of the base, counted from its start, from every copy. */
  async #units(
    place: FindingPlace,
    unit: number,
    count: number,
    { buffer, isRight, repair }: Pick<MendRequest, 'buffer' | 'isRight' | 'repair'>,
  ): Promise<Finding | null> {
    const { factor, geometry } = this.#core;
    const block = unit * geometry.unitBlocks * factor;
    const blockCount = count * geometry.unitBlocks * factor;
    for (let copy = 0; copy < this.#mender.copyCount; copy += 1) {
      const status = await this.#mender.readBase(copy, block, blockCount, buffer);
      if (status === ENODEV && this.#mender.copyCount > 1) continue;
      if (status === OK && isRight()) continue;
      const request = { block, blockCount, buffer, repair, isRight };
      const mended: Mended = await this.#mender.mend(request);
      return findingOf(place, mended);
    }
    return null;
  }
}
