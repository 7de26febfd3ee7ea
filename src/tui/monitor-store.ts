/**
 * MonitorStore: holds the state, applies events, and tells who draws it.           (user interface)
 */

import { type FirstState, firstState, type MonitorState } from './monitor-state.ts';
import { type MonitorEvent, reduce } from './reducer.ts';

export class MonitorStore {
  #state: MonitorState;
  readonly #listeners = new Set<() => void>();

  constructor(first: FirstState) {
    this.#state = firstState(first);
  }

  readonly state = (): MonitorState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  apply(event: MonitorEvent): void {
    const next = reduce(this.#state, event);
    if (next === this.#state) return;
    this.#state = next;
    for (const listener of [...this.#listeners]) listener();
  }
}
