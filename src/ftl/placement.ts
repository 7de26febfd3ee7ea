/**
 * Placement: which blocks share a band.                                               (data plane)
 *
 * Relocation copies what is still valid in a band, so a band is cheap to reclaim when its blocks
 * die together. Placement therefore sorts blocks into lifetime classes, each with an open band of
 * its own. The class of a block is the class of the band it lies in: nothing is kept per block.
 *
 *   class 0            coldest: blocks that nobody has written twice, or that have been relocated
 *                      once for every class they had climbed
 *   class count - 1    hottest
 *   user write         one class above the band that holds the previous copy
 *   relocation         one class below the band that is being reclaimed
 *
 * Each class costs an open band, which is space that relocation lacks, so their number follows the
 * number of bands; with one class there is no separation and nothing to lose.
 *
 * Not here: which band is reclaimed (victims.ts), opening and closing bands.
 */

import { assert } from '../block/assert.ts';

/** The previous copy lies nowhere: the block was never written, or is trimmed. */
export const NO_BAND = -1;

/** No class has an open band. */
export const NO_CLASS = -1;

export const CLASS_COUNT_MAX = 6;

/** From how many bands on there are so many classes: the first row that fits. */
const CLASSES_BY_BANDS: readonly (readonly [bands: number, classes: number])[] = [
  [600, CLASS_COUNT_MAX],
  [300, 4],
  [150, 3],
  [0, 2],
];

export function classCountFor(bandCount: number): number {
  return CLASSES_BY_BANDS.find(([bands]) => bandCount >= bands)![1];
}

export class Placement {
  readonly classCount: number;
  /**
   * One byte per band: the class it was opened for. Written by `opened`; kept in the head metadata
   * of the band, from where restore brings it back. Valid while the band holds blocks.
   */
  readonly classOf: Uint8Array;

  constructor(bandCount: number, classCount = classCountFor(bandCount)) {
    assert(classCount >= 1 && classCount <= CLASS_COUNT_MAX, 'there are one to six classes');
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

  /** The class for a block that a user writes; `previousBand` holds its last copy, or is NO_BAND. */
  userClass(previousBand: number): number {
    if (previousBand === NO_BAND) return 0;
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
