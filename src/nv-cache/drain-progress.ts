/**
 * DrainProgress: how far a part of the ring is drained, and whether it is to be.      (data plane)
 *
 * Of what a start has found after a crash (a recovery), and of what somebody has asked for. What
 * was found is readable all the while, and nothing waits for it; but as long as it is in the ring
 * only, another crash has to read it again, and a lost cache device loses it. After a clean stop
 * what is in the ring stays there, as if there had been no stop.
 */

import type { ProgressMeter } from '../block/progress.ts';
import { CACHE_BLOCK_BYTES } from './cache-format.ts';
import type { NvCore } from './nv-core.ts';

export class DrainProgress {
  /** Positions as in ring-space.ts; both 0 as long as nothing is to be drained. */
  from = 0;
  to = 0;
  /** In bytes; null as long as nothing is to be drained. */
  meter: ProgressMeter | null = null;
  isOver = true;
  readonly #core: NvCore;
  #finished: () => void = () => {};

  constructor(core: NvCore) {
    this.#core = core;
  }

  /** What lies from `from` to `to` is to be drained; `finished` is told once that is done. */
  begin(from: number, to: number, meter: ProgressMeter, finished: () => void): void {
    this.from = from;
    this.to = to;
    this.meter = meter;
    this.isOver = false;
    this.#finished = finished;
    meter.start(this.#core.reactor.nowUs(), 0, (to - from) * CACHE_BLOCK_BYTES);
    this.look();
  }

  // data path

  /** Blocks of it that were drained. */
  get done(): number {
    return Math.min(this.#core.ring.drained, this.to) - this.from;
  }

  /** At the end of a turn. */
  look(): void {
    if (this.isOver) return;
    const { done } = this;
    this.meter!.advance(this.#core.reactor.nowUs(), done * CACHE_BLOCK_BYTES);
    if (done < this.to - this.from) return;
    this.isOver = true;
    this.#finished();
  }

  // end data path
}
