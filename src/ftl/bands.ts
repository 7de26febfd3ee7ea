/**
 * Bands: what state each band is in, and how much of it is valid.                     (data plane)
 *
 *   free → opening → open → full → closed → relocating → emptied → free
 *
 *   opening     its first unit, the head, is being filled or written; others wait for it
 *   open        the head is on the base
 *   full        takes no more units, some are not on the base yet
 *   closed      can be chosen for relocation
 *   relocating  its valid blocks are being moved
 *   damaged     some of its blocks could not be moved; it stays until they are written or mended
 *   emptied     nothing in it is valid, but something still needs it
 *   map         it holds pages of the map, and never anything else
 *
 * An emptied band is free again when a crash can do without it: whatever superseded its blocks is
 * durable, a checkpoint covers the trims that it recorded (an older copy of a trimmed block may
 * lie anywhere), and no read of it is in flight. Until then it must not be overwritten.
 *
 * Columns, one entry per band:
 *   state      as above
 *   valid      blocks that the map points to
 *   sequence   unit sequence of the head, 0 when there is none
 *   nextUnit   units that were handed out
 *   pending    units handed out that are not on the base yet
 *   trimmedAt  unit sequence of the last unit with trims, 0 when there is none
 *   readers    reads of the band in flight
 */

import { assert } from '../block/assert.ts';
import type { FtlGeometry } from './geometry.ts';
import type { Placement } from './placement.ts';
import type { Superseders } from './superseders.ts';
import { Victims } from './victims.ts';

export const BAND_FREE = 0;
export const BAND_OPENING = 1;
export const BAND_OPEN = 2;
export const BAND_FULL = 3;
export const BAND_CLOSED = 4;
export const BAND_RELOCATING = 5;
export const BAND_DAMAGED = 6;
export const BAND_EMPTIED = 7;
export const BAND_MAP = 8;

export const BAND_STATES = [
  'free',
  'opening',
  'open',
  'full',
  'closed',
  'relocating',
  'damaged',
  'emptied',
  'map',
] as const;

export class Bands {
  readonly count: number;
  readonly bandBlocks: number;
  readonly state: Uint8Array;
  readonly valid: Uint32Array;
  readonly sequence: Float64Array;
  readonly nextUnit: Uint32Array;
  readonly pending: Uint32Array;
  readonly trimmedAt: Float64Array;
  readonly readers: Uint32Array;
  readonly victims: Victims;
  readonly placement: Placement;
  /** Free bands, first in, first out, so that all of them wear alike: a ring. */
  readonly #free: Uint32Array;
  #freeHead = 0;
  freeCount = 0;
  readonly #emptied: Uint32Array;
  emptiedCount = 0;

  constructor(geometry: FtlGeometry, placement: Placement) {
    const { bandCount } = geometry;
    this.count = bandCount;
    this.bandBlocks = geometry.bandBlocks;
    this.state = new Uint8Array(bandCount);
    for (const { first, count } of geometry.mapBands) {
      this.state.fill(BAND_MAP, first, first + count);
    }
    this.valid = new Uint32Array(bandCount);
    this.sequence = new Float64Array(bandCount);
    this.nextUnit = new Uint32Array(bandCount);
    this.pending = new Uint32Array(bandCount);
    this.trimmedAt = new Float64Array(bandCount);
    this.readers = new Uint32Array(bandCount);
    this.victims = new Victims(this.valid, geometry.bandUnits * geometry.dataBlocks);
    this.placement = placement;
    this.#free = new Uint32Array(bandCount);
    this.#emptied = new Uint32Array(bandCount);
  }

  // data path

  bandOf(place: number): number {
    return Math.floor(place / this.bandBlocks);
  }

  /** The band that has been free for the longest time, now opening; -1 when none is free. */
  takeFree(lifetimeClass: number): number {
    if (this.freeCount === 0) return -1;
    const band = this.#free[this.#freeHead]!;
    this.#freeHead = this.#freeHead + 1 === this.count ? 0 : this.#freeHead + 1;
    this.freeCount -= 1;
    assert(this.state[band] === BAND_FREE && this.valid[band] === 0, 'a band that opens is free');
    this.state[band] = BAND_OPENING;
    this.sequence[band] = 0;
    this.nextUnit[band] = 0;
    this.pending[band] = 0;
    this.trimmedAt[band] = 0;
    this.placement.opened(band, lifetimeClass);
    return band;
  }

  giveFree(band: number): void {
    let at = this.#freeHead + this.freeCount;
    if (at >= this.count) at -= this.count;
    this.#free[at] = band;
    this.freeCount += 1;
    this.state[band] = BAND_FREE;
  }

  /** The map points to one block more in the band. */
  gain(band: number): void {
    this.valid[band]! += 1;
  }

  /** A block of the band was superseded. */
  lose(band: number): void {
    assert(this.valid[band]! > 0, 'a block that is superseded was valid');
    this.valid[band]! -= 1;
    if (this.valid[band] !== 0) return;
    const state = this.state[band]!;
    if (state === BAND_CLOSED) {
      this.victims.taken(band);
      this.#empty(band);
    } else if (state === BAND_DAMAGED) {
      this.#empty(band);
    }
  }

  /** A unit of the band is on the base, or has been given another place. */
  unitEnded(band: number, writeSequence: number): void {
    assert(this.pending[band]! > 0, 'a unit that ends was pending');
    this.pending[band]! -= 1;
    this.closeIfDone(band, writeSequence);
  }

  /** The band takes no more units. */
  fill(band: number, writeSequence: number): void {
    this.state[band] = BAND_FULL;
    this.closeIfDone(band, writeSequence);
  }

  closeIfDone(band: number, writeSequence: number): void {
    if (this.state[band] !== BAND_FULL || this.pending[band] !== 0) return;
    this.state[band] = BAND_CLOSED;
    if (this.valid[band] === 0) this.#empty(band);
    else this.victims.closed(band, writeSequence);
  }

  /** The closed band with the fewest valid blocks; -1 when none is closed. */
  leastValid(): number {
    let least = -1;
    for (let band = 0; band < this.count; band += 1) {
      if (this.state[band] !== BAND_CLOSED) continue;
      if (least === -1 || this.valid[band]! < this.valid[least]!) least = band;
    }
    return least;
  }

  /** Relocation of the band begins. */
  take(band: number): void {
    assert(this.state[band] === BAND_CLOSED, 'a band that is relocated is closed');
    this.victims.taken(band);
    this.state[band] = BAND_RELOCATING;
  }

  /** Relocation of the band is over. */
  relocated(band: number): void {
    if (this.valid[band] === 0) this.#empty(band);
    else this.state[band] = BAND_DAMAGED;
  }

  /** What could not be moved has been mended: the band can be relocated after all. */
  recovered(band: number, writeSequence: number): void {
    if (this.state[band] !== BAND_DAMAGED || this.sequence[band] === 0) return;
    this.state[band] = BAND_CLOSED;
    this.victims.closed(band, writeSequence);
  }

  #empty(band: number): void {
    this.state[band] = BAND_EMPTIED;
    this.#emptied[this.emptiedCount] = band;
    this.emptiedCount += 1;
  }

  /**
   * Frees what is not needed any more. A checkpoint has the trims before the unit sequence
   * `checkpointed`. Gives how many bands became free.
   */
  reclaim(superseders: Superseders, checkpointed: number): number {
    let left = 0;
    const count = this.emptiedCount;
    for (let index = 0; index < count; index += 1) {
      const band = this.#emptied[index]!;
      if (this.#isNeeded(band, superseders, checkpointed)) {
        this.#emptied[left] = band;
        left += 1;
      } else {
        this.giveFree(band);
      }
    }
    this.emptiedCount = left;
    return count - left;
  }

  #isNeeded(band: number, superseders: Superseders, checkpointed: number): boolean {
    if (this.readers[band] !== 0 || superseders.needs(band)) return true;
    return this.trimmedAt[band]! >= checkpointed;
  }

  /** True when an emptied band waits for nothing but a checkpoint. */
  waitsForCheckpoint(checkpointed: number): boolean {
    for (let index = 0; index < this.emptiedCount; index += 1) {
      if (this.trimmedAt[this.#emptied[index]!]! >= checkpointed) return true;
    }
    return false;
  }

  /** The emptied band that has waited for the longest time for units to be durable; or -1. */
  waitsForUnits(superseders: Superseders): number {
    for (let index = 0; index < this.emptiedCount; index += 1) {
      const band = this.#emptied[index]!;
      if (superseders.needs(band)) return band;
    }
    return -1;
  }

  // end data path
}
