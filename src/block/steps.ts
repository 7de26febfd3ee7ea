/**
 * Steps: life-cycle work as a list of named actions with undo.                      (control plane)
 *
 * Start, recovery and stop are tables of steps (the idea is SPDK's management process). A step has
 * a name in sentence case that is shown to people, logged and printed in status, so that the user
 * sees the words that a developer searches for. Steps run in order; when one fails, those before it
 * are undone in reverse and the error goes up. What a whole table started, its undo stops.
 */

export interface Step<Context> {
  readonly name: string;
  run(context: Context): Promise<void>;
  /** Takes back what `run` did; runs only after `run` has succeeded. */
  undo?(context: Context): Promise<void>;
}

/** Told about each step; for logs, progress and STATUS= lines. */
export interface StepObserver {
  stepStarted(name: string, index: number, count: number): void;
  stepEnded(name: string, error: unknown): void;
  /** How far a step is that may take long, and that counts what it does. */
  stepAdvanced?(name: string, doneBytes: number, totalBytes: number): void;
}

const SILENT: StepObserver = { stepStarted: () => {}, stepEnded: () => {} };

/** What has been done and can be undone. */
export class StepRun<Context> {
  readonly #context: Context;
  readonly #done: Step<Context>[] = [];

  constructor(context: Context) {
    this.#context = context;
  }

  /** Runs `steps` after those that have run already. On failure everything done is undone. */
  async run(steps: readonly Step<Context>[], observer: StepObserver = SILENT): Promise<void> {
    for (const [index, step] of steps.entries()) {
      observer.stepStarted(step.name, index, steps.length);
      try {
        await step.run(this.#context);
      } catch (error) {
        observer.stepEnded(step.name, error);
        await this.undo().catch(() => {});
        throw error;
      }
      observer.stepEnded(step.name, null);
      this.#done.push(step);
    }
  }

  /**
   * Undoes everything in reverse order; a step whose undo fails does not keep the others from
   * theirs. Throws the first error at the end. A second call does nothing.
   */
  async undo(): Promise<void> {
    let first: unknown = null;
    for (;;) {
      const step = this.#done.pop();
      if (step === undefined) break;
      try {
        await step.undo?.(this.#context);
      } catch (error) {
        first ??= error;
      }
    }
    if (first !== null) throw first;
  }
}
