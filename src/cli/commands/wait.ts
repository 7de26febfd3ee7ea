/**
 * `bandstand wait NAME`: returns when a stack is done with something.               (control plane)
 *
 * Ends with 0 when it is done, with 1 when it ended without success or took longer than --timeout;
 * with --exit-code also by what a check has found.
 * Needs no privileges: it looks at the status, as everybody may.
 */

import { fstatSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError } from '../../block/errors.ts';
import { formatDuration } from '../../block/quantities.ts';
import type { EventDocument } from '../../control/schema-events.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, usageError } from '../arguments.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { readStatus } from '../known-stacks.ts';
import { ProgressReport, writeTo } from '../progress-report.ts';
import { findRunning, readEvents } from '../read-events.ts';
import {
  WAIT_FOR,
  type WaitResult,
  type WaitSource,
  waitExitStatus,
  waitFor,
} from '../wait-loop.ts';

const FD_MAX = 2 ** 20;

export const wait: Command = {
  name: 'wait',
  summary: 'Waits until a stack is done with a rebuild, a check, a recovery or everything.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    {
      name: 'for',
      kind: 'text',
      value: 'WHAT',
      words: WAIT_FOR,
      summary: 'rebuild, resync, check, recovery, drain or idle (default)',
    },
    {
      name: 'progress',
      kind: 'text',
      value: 'FD',
      summary: 'write lines of N/100 to this descriptor',
    },
    {
      name: 'exit-code',
      kind: 'flag',
      summary: 'end with 3 or 4 when a check found something or the stack is not healthy',
    },
  ],
  examples: [
    ['wait tank --for rebuild', 'returns when tank is redundant again'],
    ['wait tank --for check --exit-code', 'ends with 4 when blocks disagree and were left so'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const kind = args.oneOf('for', WAIT_FOR) ?? 'idle';
    const report = new ProgressReport(context.progress, programOf(args));
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
        plain: () => [waitRecord(result)],
        exitStatus: args.flag('exit-code') ? waitExitStatus(result) : 0,
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
  let last = 0;
  return {
    nowMs: () => performance.now(),
    sleep: (ms) => sleep(ms),
    async status() {
      const status = await readStatus(directories, name);
      return status.server === null ? null : status;
    },
    async events() {
      const events: EventDocument[] = [];
      socket ??= await findRunning(directories, name);
      while (socket !== null) {
        // A server that has just ended says so by its status.
        const reply = await readEvents(socket, name, last, 0).catch(ended);
        if (reply === null) break;
        last = reply.last;
        events.push(...reply.events);
        if (reply.events.length === 0) break;
      }
      return events;
    },
  };
}

function ended(error: unknown): null {
  if (error instanceof BandstandError) return null;
  throw error;
}

/** Name, what for, whether it was waited for, health; then what the end of it tells. */
function waitRecord(result: WaitResult): (string | number | null)[] {
  const { name, for: kind, waited, health, ended_at, message } = result;
  const { mismatched_blocks, repaired_blocks, lost_blocks } = result;
  const counts = [mismatched_blocks, repaired_blocks, lost_blocks];
  return [name, kind, waited ? 'done' : 'nothing', health, ended_at, ...counts, message];
}

function waitText(result: WaitResult): string {
  const { name, for: kind, waited, waited_seconds, message, action, ended_at, health } = result;
  const lines: string[] = [];
  if (waited || kind === 'idle') {
    const what = kind === 'idle' ? 'idle' : `${kind} over`;
    const time = formatDuration(waited_seconds * 1000);
    const over = waited ? `${name}: ${what} after ${time}; it is ${health}` : `${name} is idle`;
    lines.push(message === null ? over : `${name}: ${message}`);
  } else {
    const time = ended_at === null ? null : ended_at.slice(0, 19).replace('T', ' ');
    const last = time === null ? '' : `; the last one, ${time} UTC: ${message}`;
    const none = kind === 'drain' ? 'nothing waits to be drained' : `no ${kind} is running`;
    lines.push(`${name}: ${none}${last}`);
  }
  if (result.findings_left === true) {
    const where = `see which blocks: bandstand events ${name}`;
    lines.push(`  ${action === null ? where : `repair it: ${action}`}`);
  }
  return lines.join('\n');
}
