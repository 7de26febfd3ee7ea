/**
 * GrowthKeeper: lets an array grow with its members.                                (control plane)
 *
 * A member that has grown is noted; when nothing else is going on, the array grows with the least
 * of them, in the steps of growth.ts. Nothing grows that did not grow while the array was open: a
 * superblock may leave room at the end of its members on purpose.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { formatSize } from '../block/quantities.ts';
import { type GrownIntent, type Growth, grow, plannedGrowth } from './growth.ts';
import type { LoadedIntent } from './load-intent.ts';
import { MetadataKeeper } from './metadata-keeper.ts';
import type { RebuildContext } from './rebuild-steps.ts';
import { WriteIntent } from './write-intent.ts';

const INTENT_IDLE_US = 5_000_000;

export abstract class GrowthKeeper extends MetadataKeeper {
  /** What has grown since the array was looked at for it: members, or what becomes them. */
  readonly #grown = new Set<BlockDevice>();

  protected get context(): RebuildContext {
    assert(this.metadata !== null && this.intent !== null, 'an array that is rebuilt is kept');
    const { reactor, array, metadata, intent } = this;
    return { reactor, array, metadata, intent, placesFailed: (all) => this.placesFailed(all) };
  }

  memberResized(device: BlockDevice): void {
    this.#grown.add(device);
    this.kick();
  }

  /** After a member has grown: the array grows with the least of them. */
  protected async growWithMembers(): Promise<void> {
    const { array, metadata, intent } = this;
    if (this.#grown.size === 0 || metadata === null || array.incomplete) return;
    const grown = array.members.some(({ device }) => device !== null && this.#grown.has(device));
    this.#grown.clear();
    // The target of a rebuild that was given up is gone, and its room with it. A spare has none.
    if (!grown) return;
    const growth = plannedGrowth(array);
    if (growth === null) return;
    const before = array.spec.blockCount;
    await intent?.suspend();
    const done = await grow(
      { reactor: this.reactor, array, metadata, placesFailed: (all) => this.placesFailed(all) },
      growth,
      intent,
      (larger) => this.#serve(growth, larger),
    );
    if (!done) {
      intent?.resume();
      return;
    }
    const size = (blocks: number) => formatSize(blocks * array.blockBytes);
    this.emit({
      kind: 'array-resized',
      message: `the array has grown from ${size(before)} to ${size(growth.blockCount)}`,
      reason: 'its members have grown',
      action:
        this.options.expectsSpace === true
          ? `stop and export ${array.name} again: what lies on the array grows at its next start`
          : `unexport and export ${array.name} again: an export keeps the size it began with`,
      details: { blocks_before: before, blocks: growth.blockCount },
    });
  }

  #serve(growth: Growth, larger: GrownIntent | null): void {
    const { array, intent } = this;
    array.grow(growth.blockCount, growth.dataSizes);
    if (larger === null) return;
    this.intent = this.makeIntent(larger);
    array.exchangeIntent(this.intent);
    intent!.dispose();
  }

  /** The write intent of the array as it is now. */
  protected makeIntent(loaded: GrownIntent | LoadedIntent): WriteIntent {
    return new WriteIntent(this.array, {
      arrayUuid: this.metadata!.superblock.uuid,
      bitmap: loaded.bitmap,
      states: loaded.states,
      unsynced: loaded.unsynced,
      idleUs: this.options.intentIdleUs ?? INTENT_IDLE_US,
    });
  }
}
