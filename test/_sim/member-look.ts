/**
 * How the members in service are looked at: an array's by what the model knows of their blocks, the
 * members below an FTL by whether they agree, in what it has written and still needs.
 */

import type { LiveRanges } from '../../src/block/live-ranges.ts';
import { Alarm } from '../_helpers/alarm.ts';
import { checkMembers, countMismatches, isCompared } from './member-check.ts';
import type { World } from './world.ts';

/** What an FTL does by itself begins within so long behind the last answer. */
const LOG_PAUSE_US = 100;

export class MemberLook {
  readonly #world: World;
  /** Array blocks that a check looks at, as far as was asked; null: all. */
  #compared: LiveRanges | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  /** Lets an FTL do what it is about to, and asks what a check would look at then. */
  async settle(): Promise<void> {
    const world = this.#world;
    if (!world.options.promises.log) return;
    for (let ios = -1; ios !== world.ios.begun || !world.life.isStill; ) {
      await world.life.stillness();
      ios = world.ios.begun;
      await this.#pause();
    }
    await this.ask();
  }

  async ask(): Promise<void> {
    const { life, options, subject } = this.#world;
    if (!options.promises.log) return;
    this.#compared = await life.drive(subject.compared(), 'finding what is in use');
  }

  /** True when a check looks at the member block. */
  looksAt(block: number): boolean {
    const { layout } = this.#world.options.array;
    return this.#compared === null || isCompared(layout, block, this.#compared);
  }

  /** Member blocks in which the members in service disagree now; nothing is in flight. */
  mismatches(): number {
    this.#world.syncHealth();
    const { media, options, size } = this.#world;
    return countMismatches(options.array, media, this.#inService, size.blocks, this.#compared);
  }

  /** What is wrong with them, or null; nothing may be in flight, or be about to be made equal. */
  check(): string | null {
    const { media, model, options, size } = this.#world;
    const { array, promises } = options;
    if (!promises.log) return checkMembers(array, media, this.#inService, model, size.blocks);
    const differ = this.#isRedundant ? this.mismatches() : 0;
    return differ === 0 ? null : `${differ} blocks disagree`;
  }

  /** False where nothing is known to be there twice. */
  get #isRedundant(): boolean {
    const { level, tolerates, unsure } = this.#world.atlas;
    // Who is lost while the program stops may be replaced before it has.
    if (unsure.includes(true)) return false;
    return level === 'raid5f' ? !this.#inService.includes(false) : tolerates > 0;
  }

  get #inService(): boolean[] {
    return this.#world.media.map((_, slot) => !this.#world.isOut(slot));
  }

  #pause(): Promise<void> {
    const { life } = this.#world;
    const over = new Promise<void>((resolve) => {
      life.reactor.schedule(new Alarm(resolve), LOG_PAUSE_US);
    });
    return life.drive(over, 'a pause');
  }
}
