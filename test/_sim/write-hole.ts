/**
 * The write hole of raid5f: in a stripe that was being written when something went wrong, data and
 * parity need not match, so what a missing member had of it cannot be known.
 */

import { referencePlaces } from '../_helpers/raid-reference.ts';
import type { Model } from './model.ts';
import type { SimArray } from './subject.ts';

/** Forgets the blocks of `slots` in stripes that are in doubt. */
export function forgetHoles(
  { layout }: SimArray,
  model: Model,
  blockCount: number,
  slots: readonly number[],
): void {
  if (layout.level !== 'raid5f' || slots.length === 0) return;
  const stripe = layout.strip * (layout.sizes.length - 1);
  for (let first = 0; first < blockCount; first += stripe) {
    let doubtful = false;
    for (let block = first; block < first + stripe; block += 1) {
      doubtful ||= model.isDoubtful(block);
    }
    if (!doubtful) continue;
    for (let block = first; block < first + stripe; block += 1) {
      const { member } = referencePlaces(layout, block)[0]!;
      if (slots.includes(member)) model.forget(block);
    }
  }
}
