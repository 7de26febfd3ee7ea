/**
 * StartingStack: what status says of a stack whose start goes on.                   (control plane)
 *
 * It cannot be used yet, so its health is `stopped`; that it has a server tells it from one that
 * nobody starts. The step is that which was begun last, of the stack or of a layer of it, in the
 * words of the log. What the array is like is known when it runs.
 */

import { type ActivityStatus, IDLE, type StatusDocument } from '../control/schema.ts';
import type { NvCache } from '../nv-cache/nv-cache.ts';
import type { CacheBase } from './cache-base.ts';
import { cacheActivity, cacheDocument } from './cache-document.ts';
import type { StackEvent, StackPlan } from './worker-messages.ts';

/** Its NV cache, once that is known. */
export interface StartingLayers {
  readonly cache: Pick<NvCache, 'status' | 'recovery'> | null;
  /** What it lies on. */
  readonly base: Pick<CacheBase, 'mirror' | 'name'> | null;
}

export type StartingPlan = Pick<StackPlan, 'name' | 'uuid' | 'remembered'>;

export class StartingStack {
  readonly #plan: StartingPlan;
  readonly emit: (event: StackEvent) => void;
  layers: StartingLayers | null = null;
  #step = 'Start the server';

  constructor(plan: StartingPlan, emit: (event: StackEvent) => void) {
    this.#plan = plan;
    this.emit = (event) => {
      if (event.event === 'step-started') this.#step = event.step;
      emit(event);
    };
  }

  status(): Omit<StatusDocument, 'server'> {
    const { name, remembered, uuid } = this.#plan;
    const { base = null, cache = null } = this.layers ?? {};
    return {
      name,
      uuid,
      health: 'stopped',
      reason: `it is being started: ${this.#step}`,
      action: `wait until it can be used: bandstand wait ${name}`,
      size_bytes: remembered?.sizeBytes ?? null,
      block_size: remembered?.blockBytes ?? null,
      activity: this.#activity(cache),
      exports: [],
      array: null,
      ftl: null,
      cache: cache === null || base === null ? null : cacheDocument(cache, base),
      io: null,
    };
  }

  /** A recovery, whether there is much to recover or not. */
  #activity(cache: StartingLayers['cache']): ActivityStatus {
    const started: ActivityStatus = { ...IDLE, kind: 'recovery', pace: 'estimating' };
    const activity = cacheActivity(IDLE, cache);
    return activity.kind === 'idle' ? { ...started, step: this.#step } : activity;
  }
}
