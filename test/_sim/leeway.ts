/**
 * What may go wrong now, as the atlas and the state of the world have it: so that whatever is found
 * wrong afterwards is a bug.
 */

import type { FaultOp } from './disk-fault.ts';
import type { World } from './world.ts';

export class Leeway {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Whether something may go wrong with such an operation on the disk in `slot`. */
  mayFail(op: FaultOp, slot: number): boolean {
    this.#world.syncHealth();
    this.noteOldest();
    return this.#world.atlas.allows(op, slot) && (op !== 'read' || this.#bearsReadFaults);
  }

  mayUnplug(slot: number): boolean {
    return this.mayFail('flush', slot) && this.#world.atlas.allowsUnplug(slot);
  }

  /** Whether blocks of the disk in `slot` may be unreadable for good. */
  mayBeUnreadable(slot: number): boolean {
    const { atlas, options } = this.#world;
    // What a start of an FTL cannot read, it does not guess.
    return this.mayFail('read', slot) && (!options.promises.log || atlas.tolerates > 0);
  }

  /** What was under way when a fault struck may still suffer from it. */
  noteOldest(): void {
    const { atlas, options, running, user } = this.#world;
    if (!options.promises.log) {
      atlas.oldestPending = user.oldestPending;
      return;
    }
    // What an FTL has under way is not the user's.
    if (!running || this.#world.life.isStill) atlas.struckAt.fill(-1);
    atlas.oldestPending = -1;
  }

  /** False while parity cannot be trusted that a crash or a failed write has left behind. */
  get #bearsReadFaults(): boolean {
    const { model, options, settling } = this.#world;
    const { config, promises } = options;
    if (promises.log || config.level !== 'raid5f' || (promises.settles && !settling)) return true;
    return !model.isAnyDoubtful;
  }
}
