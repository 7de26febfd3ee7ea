/**
 * nextTurn: lets a reactor turn in the middle of work that computes for long.       (control plane)
 */

import { type Reactor, Timer } from './reactor.ts';

class Turn extends Timer {
  readonly #resolve: () => void;

  constructor(resolve: () => void) {
    super();
    this.#resolve = resolve;
  }

  expire(): void {
    this.#resolve();
  }
}

/** Resolves in a later turn, when what came meanwhile has been dealt with. */
export function nextTurn(reactor: Reactor): Promise<void> {
  return new Promise((resolve) => reactor.schedule(new Turn(resolve), 0));
}
