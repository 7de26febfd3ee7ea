/**
 * What is known of a region besides its bits on disk, and how regions are looked for. (data plane)
 *
 * See write-intent.ts for what follows from it.
 */

import { REGION_MISSED } from './bitmap-format.ts';

/** By region: the members may differ; they may since the resync that is under way has begun. */
export const UNSYNCED = 1;
export const UNSYNCED_AGAIN = 2;
/** With one of them: what the members show may never become durable, unless it is rewritten. */
export const UNFLUSHED = 4;

/** What regions are looked for. */
export const REGIONS_MISSED = 0;
export const REGIONS_UNSYNCED = 1;
export const REGIONS_UNFLUSHED = 2;
export type RegionKind = typeof REGIONS_MISSED | typeof REGIONS_UNSYNCED | typeof REGIONS_UNFLUSHED;
/** By kind: the bits that make a region one of them. */
export const REGION_MASKS = [REGION_MISSED, UNSYNCED | UNSYNCED_AGAIN, UNFLUSHED];
