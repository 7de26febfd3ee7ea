/**
 * MeteredWork: what is done in this process, told piece by piece, as a line.        (control plane)
 *
 * Each step has a rate and an estimate of its own, by the rules of block/progress.ts.
 */

import { ProgressMeter } from '../block/progress.ts';
import type { ActivityStatus, Pace } from '../control/schema.ts';
import type { OfflineWatch } from '../stack/offline-watch.ts';
import { activityWork } from './activity-work.ts';
import type { CommandContext } from './command-context.ts';
import type { ProgressLine } from './progress-line.ts';
import { unmeasured, type Work } from './progress-text.ts';

export type MeteredContext = Pick<CommandContext, 'detail' | 'progress'>;

export class MeteredWork implements OfflineWatch {
  readonly #context: MeteredContext;
  readonly #line: ProgressLine;
  readonly #name: string;
  readonly #nowUs: () => number;
  readonly #meter = new ProgressMeter();
  #what: string | null = null;
  #told = '';

  constructor(context: MeteredContext, name: string, nowUs = () => performance.now() * 1000) {
    this.#context = context;
    this.#line = context.progress;
    this.#name = name;
    this.#nowUs = nowUs;
  }

  starting(activity: () => ActivityStatus): void {
    this.#what = null;
    this.#line.show(() => activityWork(this.#name, activity()));
  }

  /** A step of which nothing is counted. */
  begin(what: string): void {
    this.#what = null;
    this.tell(what);
    this.#line.show(unmeasured(this.#name, what));
  }

  /** Each step once, for --verbose. */
  tell(what: string): void {
    if (what === this.#told) return;
    this.#told = what;
    this.#context.detail(`${this.#name}: ${what}`);
  }

  /** What does not go back; a step that is new begins with nothing done. */
  readonly advanced = (what: string, doneBytes: number, totalBytes: number): void => {
    this.tell(what);
    if (!this.#line.isVisible) return;
    const nowUs = this.#nowUs();
    if (what !== this.#what) this.#meter.start(nowUs, 0, totalBytes);
    this.#what = what;
    this.#meter.revise(totalBytes);
    this.#meter.advance(nowUs, doneBytes);
    this.#line.show(this.#work);
  };

  /** As it is now, also where nothing has advanced for long. */
  readonly #work = (): Work => {
    const nowUs = this.#nowUs();
    const rate = this.#meter.rateBytesPerSecond(nowUs);
    const eta = this.#meter.etaSeconds(nowUs);
    const pace: Pace = rate === 0 ? 'stalled' : eta === null ? 'estimating' : 'running';
    return {
      name: this.#name,
      what: this.#what!,
      doneBytes: this.#meter.doneBytes,
      totalBytes: this.#meter.totalBytes,
      rateBytesPerSecond: rate,
      etaSeconds: eta,
      pace,
      remarks: [],
    };
  };
}
