/**
 * The steps of a start, of the stack and of its FTL alike, as events of the stack.  (control plane)
 */

import type { StepObserver } from '../block/steps.ts';
import type { StackEvent } from './worker-messages.ts';

export function stepEvents(emit: (event: StackEvent) => void): StepObserver {
  return {
    stepStarted: (step) => emit({ event: 'step-started', step }),
    stepEnded: (step, error) =>
      emit({
        event: 'step-ended',
        step,
        error: error === null ? null : error instanceof Error ? error.message : String(error),
      }),
    stepAdvanced: (step, doneBytes, totalBytes) =>
      emit({ event: 'step-advanced', step, doneBytes, totalBytes }),
  };
}
