/**
 * What status says of an activity, as a work that a line can show.                  (control plane)
 */

import type { ActivityStatus } from '../control/schema.ts';
import type { Work } from './progress-text.ts';
import { activityRemarks } from './status-text.ts';

export function activityWork(name: string, activity: ActivityStatus): Work {
  const { kind, step } = activity;
  return {
    name,
    // The steps of a recovery follow one another, and each counts something of its own.
    what: kind === 'recovery' && step !== null ? step : kind,
    doneBytes: activity.done_bytes,
    totalBytes: activity.total_bytes,
    rateBytesPerSecond: activity.rate_bytes_per_second,
    etaSeconds: activity.eta_seconds,
    pace: activity.pace,
    remarks: activityRemarks(activity),
  };
}
