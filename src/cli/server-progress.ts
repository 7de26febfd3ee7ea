/**
 * What a server does while a command waits for its answer.                          (control plane)
 *
 * Where somebody sees it, the server is asked for its status twice a second; what that says, or
 * that it says nothing yet, becomes the line. Whether somebody looks makes no difference to what is
 * waited for, nor does a server that does not answer.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import type { StatusDocument } from '../control/schema.ts';
import { activityWork } from './activity-work.ts';
import type { CommandContext } from './command-context.ts';
import { runningStatus } from './known-stacks.ts';
import { unmeasured, type Work } from './progress-text.ts';

const LOOK_MS = 500;
const DRAIN = 'Drain the NV cache';

/** `status`: null where there is no server, or none yet. */
export type WorkOf = (status: StatusDocument | null) => Work;

/** Resolves and throws as `answer` does. `work`: of which a function asks the server. */
export async function whileWaiting<T>(
  context: Pick<CommandContext, 'directories' | 'progress'>,
  name: string,
  work: Work | WorkOf,
  answer: Promise<T>,
): Promise<T> {
  const { directories, progress } = context;
  if (!progress.isVisible) return await answer;
  const over = new AbortController();
  let watching = Promise.resolve();
  if (typeof work === 'function') {
    watching = watch(async () => {
      const status = await look(directories.runDir, name, over.signal);
      if (status !== undefined && !over.signal.aborted) progress.show(work(status));
    }, over.signal);
    // It is looked at below.
    watching.catch(() => {});
  }
  try {
    progress.show(typeof work === 'function' ? work(null) : work);
    return await answer;
  } finally {
    over.abort();
    await watching;
    progress.end();
  }
}

async function watch(once: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await once();
    await sleep(LOOK_MS, null, { signal }).catch(() => {});
  }
}

/** Null where there is no server; undefined where there is one that does not answer. */
async function look(
  runDir: string,
  name: string,
  signal: AbortSignal,
): Promise<StatusDocument | null | undefined> {
  try {
    return await runningStatus(runDir, name, undefined, signal);
  } catch (error) {
    if (error instanceof BandstandError) return undefined;
    throw error;
  }
}

/** A start: the step at which it is. */
export function startWork(name: string): WorkOf {
  return (status) => {
    if (status === null) return unmeasured(name, 'Start the server');
    const { activity, health } = status;
    return health === 'stopped' ? activityWork(name, activity) : unmeasured(name, 'Export it');
  };
}

/** Of a stop there is nothing to ask: who stops answers nothing else. */
export function stopWork(name: string): Work {
  return unmeasured(name, 'Close the stack');
}

/** What a killed server has left, such as a block device that still has users. */
export function cleanUpWork(name: string): Work {
  return unmeasured(name, 'Clean up after a killed server');
}

/** An NV cache that is emptied, whatever its array does meanwhile. */
export function detachWork(name: string): WorkOf {
  return (status) => {
    const { activity, cache = null } = status ?? {};
    if (activity?.kind === 'drain') return { ...activityWork(name, activity), what: DRAIN };
    const left = cache?.undrained_bytes ?? null;
    return unmeasured(name, DRAIN, left === null ? [] : [`${formatSize(left)} left`]);
  };
}

/** The ring is made before anything else knows of it. */
export function attachWork(name: string): Work {
  return unmeasured(name, 'Scrub the NV cache');
}
