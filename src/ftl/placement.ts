/**
 * Placement: which blocks share a band.                                               (data plane)
 *
 * Relocation copies what is still valid in a band, so a band is cheap to reclaim when its blocks
 * die together. Placement therefore sorts blocks into lifetime classes, each with an open band of
 * its own. The class of a block is the class of the band it lies in: nothing is kept per block.
 *
 *   class 0                relocated as often as it was written, or oftener: cold
 *   class 1                new: no previous copy
 *   class count - 1        hottest
 *   user write             one class above the band that holds the previous copy
 *   relocation             one class below the band that is being reclaimed
 *
 * A block climbs when it is overwritten before its band is reclaimed, and sinks when it is still
 * valid then. So it settles where both happen equally often, and needs no history of its own.
 *
 * Each class costs an open band, half empty on average, which is space that relocation lacks. So
 * their number follows the number of spare bands (docs/decisions/0017-lifetime-classes.md). One
 * class is no separation.
 *
 * Not here: which band is reclaimed (victims.ts), opening and closing bands.
 */

import { assert } from '../block/assert.ts';

/** The previous copy lies nowhere: the block was never written, or is trimmed. */
export const NO_BAND = -1;

/** No class has an open band. */
export const NO_CLASS = -1;

export const CLASS_COUNT_MAX = 8;

/** Below so many spare bands a second open band costs more than separation gives. */
const SPARE_BANDS_TO_SEPARATE = 8;

/** A further class for so many spare bands: half a band of each is 4 % of them. */
const SPARE_BANDS_PER_CLASS = 12.5;

/** `spareBandCount` is how many bands there are beyond those that user blocks can fill. */
export function classCountFor(spareBandCount: number): number {
  if (spareBandCount < SPARE_BANDS_TO_SEPARATE) return 1;
  const classes = 1 + Math.floor(spareBandCount / SPARE_BANDS_PER_CLASS);
  return Math.min(Math.max(classes, 2), CLASS_COUNT_MAX);
}

export class Placement {
  readonly classCount: number;
  /**
   * One byte per band: the class it was opened for. Written by `opened`; kept in the head metadata
   * of the band, from where restore brings it back. Valid while the band holds blocks.
   */
  readonly classOf: Uint8Array;

  constructor(bandCount: number, classCount: number) {
    assert(classCount >= 1 && classCount <= CLASS_COUNT_MAX, 'there are one to eight classes');
    this.classCount = classCount;
    this.classOf = new Uint8Array(bandCount);
  }

  /**
   * The band is from now on the open one of this class; also for each band found at a restore. A
   * class that a server with more classes had written counts as the hottest here.
   */
  opened(band: number, lifetimeClass: number): void {
    this.classOf[band] = Math.min(lifetimeClass, this.classCount - 1);
  }

  // data path

  /** The class for what a user writes; `previousBand` holds the last copy, or is NO_BAND. */
  userClass(previousBand: number): number {
    if (previousBand === NO_BAND) return Math.min(1, this.classCount - 1);
    return Math.min(this.classOf[previousBand]! + 1, this.classCount - 1);
  }

  /** The class for a block that relocation moves out of `band`. */
  relocatedClass(band: number): number {
    return Math.max(this.classOf[band]! - 1, 0);
  }

  /**
   * The class to write to when `wanted` has no open band and none may be opened for it: the nearest
   * one that has an open band with room (`openBands[class]` is not NO_BAND), the colder of two.
   * NO_CLASS if there is none. Separation suffers, and nothing else.
   */
  substitute(wanted: number, openBands: Int32Array): number {
    for (let distance = 0; distance < this.classCount; distance += 1) {
      const colder = wanted - distance;
      if (colder >= 0 && openBands[colder] !== NO_BAND) return colder;
      const hotter = wanted + distance;
      if (hotter < this.classCount && openBands[hotter] !== NO_BAND) return hotter;
    }
    return NO_CLASS;
  }

  // end data path
}
