/**
 * Growth of an FTL: a base that has become larger is used as a whole.               (control plane)
 *
 * At a start for writing, before anything is restored, bands are appended as far as the base goes,
 * and the device has so many blocks more as they are good for, with the same over-provisioning.
 * Nothing moves: superblocks, pages, bands and places stay. The first of the new bands take the
 * pages that the larger map has more, two slots each, where the room that is there is not enough;
 * the table in the superblock has had room from the beginning.
 *
 * Order, so that a cut at any point leaves the old size or the new one:
 *
 *   heads of the new bands are zeroes, and durable → superblock + 1 with the new shape
 *
 * What lies in the new bands may be anything, units of this very device included, if its base once
 * was a part of another history. A band is judged by its head, so zeroes there say that it was
 * never used, on all members of an array below (docs/decisions/0021-live-ranges.md). Then the start
 * goes on as if the device had always had this shape: no page of it names anything in the new part.
 *
 * A device never becomes smaller, and a base that has is refused (superblock-io.ts).
 */

import type { BlockDevice, Geometry } from '../block/block-device.ts';
import { OP_WRITE } from '../block/block-io.ts';
import { flushDevice, submitOrThrow } from '../block/control-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { type FtlSuperblock, MAP_RUNS_MAX } from './ftl-superblock.ts';
import {
  BANDS_MAX,
  type BandRun,
  blocksOf,
  deriveGeometry,
  FTL_BLOCK_BYTES,
  type FtlShape,
  pageRoom,
  pagesPerBand,
  SUPERBLOCK_BYTES,
} from './geometry.ts';
import type { SuperblockKeeper } from './superblock-io.ts';

/** Heads that are on their way at once: on a rotating disk each of them is a seek. */
const HEADS_DEPTH = 16;

/** What a start has made of a larger base. */
export interface FtlGrowth {
  readonly blocksBefore: number;
  readonly blocks: number;
  readonly bandsBefore: number;
  readonly bands: number;
}

/** What the device could be over a base of this geometry; null when that is not more. */
export function grownShape(base: Geometry, shape: FtlShape): FtlShape | null {
  const { bandBlocks, dataBlocks, dataBandCount, firstBandUnit } = deriveGeometry(shape);
  const { bandUnits, pageEntries, placeBytes, superblockUnits, unitBlocks } = shape;
  const unitBytes = unitBlocks * FTL_BLOCK_BYTES;
  const units = Math.floor((base.blockCount * base.blockBytes) / unitBytes) - firstBandUnit;
  // Places keep their size: pages are not written anew.
  const places = placeBytes === 4 ? 2 ** 32 - 1 : Number.MAX_SAFE_INTEGER;
  const bandsMost = Math.min(BANDS_MAX, Math.floor(places / bandBlocks));
  const bandCount = Math.min(bandsMost, Math.floor(units / bandUnits));
  const added = bandCount - shape.bandCount;
  if (added <= 0) return null;
  const tablePages = Math.floor((superblockUnits * unitBytes - SUPERBLOCK_BYTES) / 4);
  const perBand = pagesPerBand(bandUnits);
  const mayAdd = perBand > 0 && shape.mapBands.length < MAP_RUNS_MAX;
  for (let mapBands = 0; mapBands < added; ) {
    const room = Math.min(tablePages, pageRoom(shape) + mapBands * perBand);
    const wanted = blocksOf(shape, dataBandCount + added - mapBands, dataBlocks);
    const pages = Math.min(tablePages, Math.ceil(wanted / pageEntries));
    if (pages > room && mayAdd) {
      mapBands += Math.ceil((pages - room) / perBand);
      continue;
    }
    const blockCount = Math.min(wanted, room * pageEntries);
    if (blockCount <= shape.blockCount) return null;
    const run: BandRun = { first: shape.bandCount, count: mapBands };
    const runs = mapBands === 0 ? shape.mapBands : [...shape.mapBands, run];
    return { ...shape, bandCount, blockCount, mapBands: runs };
  }
  return null;
}

/** Durable when it resolves. Until the last write the device is as it was. */
export async function growFtl(
  reactor: Reactor,
  base: BlockDevice,
  keeper: SuperblockKeeper,
  shape: FtlShape,
): Promise<FtlGrowth> {
  const { current } = keeper;
  await clearHeads(reactor, base, current.shape.bandCount, shape);
  await flushDevice(base);
  const pages = new Uint32Array(deriveGeometry(shape).pageCount);
  pages.set(current.pages);
  const grown: Pick<FtlSuperblock, 'pages' | 'shape'> = { shape, pages };
  await keeper.write(grown);
  return {
    blocksBefore: current.shape.blockCount,
    blocks: shape.blockCount,
    bandsBefore: current.shape.bandCount,
    bands: shape.bandCount,
  };
}

/** Zeroes the summary of the first unit of each band from `first` on, also where pages will lie. */
async function clearHeads(
  reactor: Reactor,
  base: BlockDevice,
  first: number,
  shape: FtlShape,
): Promise<void> {
  const { bandCount, bandUnits, firstBandUnit, summaryBlocks, unitBlocks } = deriveGeometry(shape);
  const { blockBytes, writeUnitBlocks } = base.geometry;
  const factor = FTL_BLOCK_BYTES / blockBytes;
  const count = Math.ceil((summaryBlocks * factor) / writeUnitBlocks) * writeUnitBlocks;
  const zeroes = reactor.arena.allocate(count * blockBytes);
  reactor.kernels.zero(zeroes, count * blockBytes);
  try {
    for (let band = first; band < bandCount; band += HEADS_DEPTH) {
      const some = Math.min(HEADS_DEPTH, bandCount - band);
      const writes = Array.from({ length: some }, (_, index) => {
        const unit = firstBandUnit + (band + index) * bandUnits;
        return submitOrThrow(base, OP_WRITE, unit * unitBlocks * factor, count, zeroes);
      });
      // All of them are over before the memory is given back.
      const failed = (await Promise.allSettled(writes)).find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected') throw failed.reason;
    }
  } finally {
    reactor.arena.release(zeroes, count * blockBytes);
  }
}
