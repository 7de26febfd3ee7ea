/**
 * Compared: what a check of the members looks at, as the subject says. An FTL names what it has
 * written and still needs; of any other array it is everything.
 */

import type { LiveRanges } from '../../src/block/live-ranges.ts';
import { Alarm } from '../_helpers/alarm.ts';
import type { Life } from './life.ts';
import { isCompared } from './member-check.ts';
import type { SimArray, Subject } from './subject.ts';

/** What an FTL does by itself begins within so long behind the last answer. */
const LOG_PAUSE_US = 100;

export interface ComparedHost {
  readonly options: { readonly array: SimArray };
  readonly life: Life;
  readonly subject: Subject;
  readonly ios: number;
  readonly isStill: boolean;
  stillness(): Promise<void>;
}

export class Compared {
  readonly #world: ComparedHost;
  /** Array blocks, as far as was asked; null: all. */
  set: LiveRanges | null = null;

  constructor(world: ComparedHost) {
    this.#world = world;
  }

  /** True when a check looks at the member block. */
  has(block: number): boolean {
    return this.set === null || isCompared(this.#world.options.array.layout, block, this.set);
  }

  /** Lets an FTL do what it is about to, and asks what a check would look at then. */
  async settle(): Promise<void> {
    const world = this.#world;
    if (!world.subject.promises.log) return;
    for (let ios = -1; ios !== world.ios || !world.isStill; ) {
      await world.stillness();
      ios = world.ios;
      await this.#pause();
    }
    await this.find();
  }

  async find(): Promise<void> {
    const { life, subject } = this.#world;
    if (!subject.promises.log) return;
    this.set = await life.drive(subject.compared(), 'finding what is in use');
  }

  #pause(): Promise<void> {
    const { life } = this.#world;
    const over = new Promise<void>((resolve) => {
      life.reactor.schedule(new Alarm(resolve), LOG_PAUSE_US);
    });
    return life.drive(over, 'a pause');
  }
}
