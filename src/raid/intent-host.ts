/**
 * What the write intent (write-intent.ts) needs of its array.                         (data plane)
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Op } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import type { LabelBitmap } from './label.ts';
import type { Member } from './member.ts';

export interface IntentHost {
  readonly reactor: Reactor;
  readonly members: readonly Member[];
  readonly blockBytes: number;
  /** True while somebody does not get the writes who may come back: what is missed is kept. */
  readonly keepsMissed: boolean;
  /** The device that a rebuild fills, or null. */
  readonly targetDevice: BlockDevice | null;
  targetFailed(status: number): void;
  /**
   * Metadata could not be written to the member, or it could not be flushed (`op`): it is ejected
   * if possible. One that has to stay and has failed a flush is never trusted with one again.
   */
  metadataFailed(slot: number, status: number, op: Op): void;
}

export interface IntentOptions {
  readonly arrayUuid: string;
  readonly bitmap: LabelBitmap;
  /** One byte for each region, as it is on every member; becomes the property of the intent. */
  readonly states: Uint8Array;
  /**
   * By region UNSYNCED where members may differ, with UNFLUSHED where what they show may not last;
   * null when there are none. Becomes its property, too.
   */
  readonly unsynced: Uint8Array | null;
  readonly idleUs: number;
}
