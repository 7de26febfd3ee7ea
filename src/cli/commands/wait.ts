/**
 * `bandstand wait NAME`: returns when a stack is done with something.               (control plane)
 *
 * Ends with 0 when it is done, with 1 when it ended without success or took longer than --timeout.
 * Needs no privileges: it looks at the status, as everybody may.
 */

import { fstatSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError } from '../../block/errors.ts';
import { formatDuration } from '../../block/quantities.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, usageError } from '../arguments.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { readStatus } from '../known-stacks.ts';
import { ProgressReport, writeTo } from '../progress-report.ts';
import { findRunning, readEvents } from '../read-events.ts';
import { WAIT_FOR, type WaitResult, type WaitSource, waitFor } from '../wait-loop.ts';

const FD_MAX = 2 ** 20;

export const wait: Command = {
  name: 'wait',
  summary: 'Waits until a stack is done with a rebuild, a resync, a check or everything.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    {
      name: 'for',
      kind: 'text',
      value: 'WHAT',
      summary: 'rebuild, resync, check or idle (default)',
    },
    {
      name: 'progress',
      kind: 'text',
      value: 'FD',
      summary: 'write lines of N/100 to this descriptor',
    },
  ],
  examples: [
    ['wait tank --for rebuild', 'returns when tank is redundant again'],
    ['wait tank --timeout 10m', 'ends with 1 if it is not idle within ten minutes'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const kind = args.oneOf('for', WAIT_FOR) ?? 'idle';
    const report = new ProgressReport(context.drawingTerminal, programOf(args));
    const { timeoutMs } = context;
    let done = false;
    try {
      const source = await sourceOf(context, name);
      const progress = report.show.bind(report);
      const result = await waitFor(source, { name, kind, timeoutMs, progress });
      done = true;
      return {
        schema: 'bandstand.wait/1',
        data: result,
        text: () => waitText(result),
        plain: () => [[name, kind, result.waited ? 'done' : 'nothing', result.health]],
      };
    } finally {
      report.end(done);
    }
  },
};

/** Takes the lines of --progress, or null. */
function programOf(args: Arguments): ((line: string) => void) | null {
  const fd = args.count('progress', 0, FD_MAX);
  if (fd === null) return null;
  try {
    fstatSync(fd);
  } catch {
    throw usageError(
      `cannot use --progress=${fd}: it is no open descriptor`,
      `open it in the shell, for example ${fd}>&1`,
    );
  }
  return writeTo(fd);
}

async function sourceOf(context: CommandContext, name: string): Promise<WaitSource> {
  const { directories } = context;
  // A stack that nobody knows is another mistake than one that is not running.
  await readStatus(directories, name);
  let socket = await findRunning(directories, name);
  let last: number | null = null;
  return {
    nowMs: () => performance.now(),
    sleep: (ms) => sleep(ms),
    async status() {
      const status = await readStatus(directories, name);
      return status.server === null ? null : status;
    },
    async events() {
      socket ??= await findRunning(directories, name);
      const since = last ?? Number.MAX_SAFE_INTEGER;
      // A server that has just ended says so by its status.
      const reply = socket === null ? null : await readEvents(socket, name, since, 0).catch(ended);
      if (reply === null) return [];
      last = reply.last;
      return reply.events;
    },
  };
}

function ended(error: unknown): null {
  if (error instanceof BandstandError) return null;
  throw error;
}

function waitText({
  name,
  for: kind,
  waited,
  waited_seconds,
  message,
  health,
}: WaitResult): string {
  if (message !== null) return `${name}: ${message}`;
  if (!waited) return kind === 'idle' ? `${name} is idle` : `${name}: no ${kind} is running`;
  const what = kind === 'idle' ? 'idle' : `${kind} over`;
  return `${name}: ${what} after ${formatDuration(waited_seconds * 1000)}; it is ${health}`;
}
