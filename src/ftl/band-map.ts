/**
 * BandMap: all bands in at most so many letters, for those who draw them.           (control plane)
 *
 * A big device has tens of thousands of bands; a status document has to stay small. So neighbours
 * share a cell, which tells the most telling thing about them: that one is damaged, is being
 * relocated, takes writes; else how much of them is valid.
 *
 *   !      one is damaged: blocks of it could not be moved
 *   G      one is being relocated
 *   O      one is open, or about to be
 *   0 … 9  tenths of them that are valid, rounded down; all of it is 9
 *   .      all are free
 *   M      all hold pages of the map
 */

import {
  BAND_DAMAGED,
  BAND_FREE,
  BAND_FULL,
  BAND_MAP,
  BAND_OPEN,
  BAND_OPENING,
  BAND_RELOCATING,
  type Bands,
} from './bands.ts';

export const BAND_CELLS_MAX = 512;

export interface BandMap {
  /** The last cell may stand for fewer. */
  readonly bands_per_cell: number;
  readonly cells: string;
}

export type DrawnBands = Pick<Bands, 'count' | 'state' | 'valid'>;

/** `bandDataBlocks`: how many blocks of a band can be valid. */
export function bandMap(bands: DrawnBands, bandDataBlocks: number): BandMap {
  const perCell = Math.max(1, Math.ceil(bands.count / BAND_CELLS_MAX));
  let cells = '';
  for (let first = 0; first < bands.count; first += perCell) {
    cells += cellOf(bands, first, Math.min(first + perCell, bands.count), bandDataBlocks);
  }
  return { bands_per_cell: perCell, cells };
}

function cellOf(bands: DrawnBands, first: number, end: number, bandDataBlocks: number): string {
  let [damaged, relocating, open, free, map, valid] = [0, 0, 0, 0, 0, 0];
  for (let band = first; band < end; band += 1) {
    const state = bands.state[band]!;
    if (state === BAND_DAMAGED) damaged += 1;
    else if (state === BAND_RELOCATING) relocating += 1;
    else if (state === BAND_OPENING || state === BAND_OPEN || state === BAND_FULL) open += 1;
    else if (state === BAND_FREE) free += 1;
    else if (state === BAND_MAP) map += 1;
    valid += bands.valid[band]!;
  }
  if (damaged > 0) return '!';
  if (relocating > 0) return 'G';
  if (open > 0) return 'O';
  const holding = end - first - map;
  if (holding === 0) return 'M';
  if (free === holding) return '.';
  return String(Math.min(9, Math.floor((10 * valid) / (holding * bandDataBlocks))));
}
