/** A timer that calls a function once. */

import { Timer } from '../../src/block/reactor.ts';

export class Alarm extends Timer {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  expire(): void {
    this.#run();
  }
}
