/**
 * OfflineWatch: who looks on while a stack is worked on without a server.           (control plane)
 *
 * Told now and then, and never waited for: what is read and written, and in which order, is the
 * same whether anybody looks or not.
 */

import type { ActivityStatus } from '../control/schema.ts';

/** `what` is a step in the words of the log; sizes are bytes of it. */
export type OfflineProgress = (what: string, doneBytes: number, totalBytes: number) => void;

export interface OfflineWatch {
  /** A stack is being started; `activity` tells how far that is, until another call is made. */
  starting(activity: () => ActivityStatus): void;
  /** A step of which nothing is counted. */
  begin(what: string): void;
  readonly advanced: OfflineProgress;
}
