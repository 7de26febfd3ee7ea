/**
 * `bandstand status [NAME]`: health, activity, members and I/O.                     (control plane)
 *
 * Without a name: all stacks, as `list` does, or the only one in full. `--watch` prints again every
 * S seconds until it is interrupted; with --json that is one document per line.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DURATION_HINT, parseDuration } from '../../block/quantities.ts';
import type { ActivityStatus, ArrayStatus, StatusDocument } from '../../control/schema.ts';
import { type Arguments, usageError } from '../arguments.ts';
import type { Command, CommandResult } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { orphansOf, readStatus } from '../known-stacks.ts';
import { render } from '../render.ts';
import { healthExitStatus, listRecords, statusText } from '../status-text.ts';
import { allStatuses, listJson, listLines } from './list.ts';

const WATCH_MS_DEFAULT = 2000;
const WATCH_MS_MIN = 100;

export const status: Command = {
  name: 'status',
  summary: 'Shows health, activity, exports, members and I/O of a stack.',
  positionals: [{ name: 'NAME', required: false, many: false }],
  options: [
    {
      name: 'watch',
      kind: 'flag',
      optionalValue: 'S',
      summary: 'print again every S seconds (2)',
    },
    { name: 'exit-code', kind: 'flag', summary: 'end with 3 degraded, 4 failed, 5 stopped' },
  ],
  examples: [
    ['status tank', 'shows the stack tank'],
    ['status tank --json | jq .data.health', 'prints one field of it'],
  ],
  async run(context, args) {
    const watch = args.choice('watch') === true || args.text('watch') !== null;
    if (!watch) return await look(context, args);
    return await follow(context, args, watchMs(args.text('watch')));
  },
};

function watchMs(text: string | null): number {
  if (text === null) return WATCH_MS_DEFAULT;
  const ms = parseDuration(text);
  if (ms === null || ms < WATCH_MS_MIN) {
    throw usageError(
      `cannot use --watch=${text}: it is not a duration of 0.1 s or more`,
      DURATION_HINT,
    );
  }
  return ms;
}

async function look(context: CommandContext, args: Arguments): Promise<CommandResult> {
  const { directories, timeoutMs } = context;
  const name = args.optionalPositional('NAME');
  const stacks =
    name === null
      ? await allStatuses(context)
      : [await readStatus(directories, name, timeoutMs ?? undefined)];
  const exitStatus = args.flag('exit-code') ? healthExitStatus(stacks) : 0;
  const single = name !== null || stacks.length === 1 ? stacks[0]! : null;
  if (single === null) {
    const orphans = orphansOf(directories, stacks);
    return {
      schema: 'bandstand.list/1',
      data: listJson(stacks, orphans),
      text: () => listLines(stacks, orphans),
      plain: () => listRecords(stacks),
      exitStatus,
    };
  }
  return {
    schema: 'bandstand.status/1',
    data: single,
    text: () => statusText(single, Date.now()),
    plain: () => memberRecords(single),
    exitStatus,
  };
}

/** The stack, its activities, its members and spares: what a script reads line by line. */
function memberRecords(stack: StatusDocument): Field[][] {
  const mirrors = stack.cache?.activity;
  return [
    ['stack', ...listRecords([stack])[0]!],
    ...arrayRecords(stack.array, ''),
    ...arrayRecords(stack.cache?.array ?? null, 'cache-'),
    ['activity', ...activityRecord(stack.activity)],
    ...(mirrors == null ? [] : [['cache-activity', ...activityRecord(mirrors)]]),
  ];
}

type Field = string | number | null;

function activityRecord(activity: ActivityStatus): Field[] {
  const { kind, pace, done_bytes, total_bytes, rate_bytes_per_second, eta_seconds } = activity;
  return [kind, pace, done_bytes, total_bytes, rate_bytes_per_second, eta_seconds];
}

function arrayRecords(array: ArrayStatus | null, prefix: string): Field[][] {
  const { members = [], spares = [] } = array ?? {};
  return [
    ...members.map((member) => [
      `${prefix}member`,
      member.slot,
      member.device,
      member.health,
      member.read_errors,
      member.write_errors,
      member.repaired_blocks,
    ]),
    ...spares.map(({ slot, device, health }) => [`${prefix}spare`, slot, device, health]),
  ];
}

async function follow(
  context: CommandContext,
  args: Arguments,
  intervalMs: number,
): Promise<CommandResult> {
  let interrupted = false;
  const controller = new AbortController();
  const stop = (): void => {
    interrupted = true;
    controller.abort();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const { stdout } = context.streams;
  const separate = !context.json && stdout.isTTY !== true;
  let first = true;
  while (!interrupted) {
    const result = await look(context, args);
    if (stdout.isTTY === true && !context.json) stdout.write('\u001b[H\u001b[J');
    else if (separate && !first) stdout.write('\n');
    stdout.write(render(result, args));
    first = false;
    await sleep(intervalMs, undefined, { signal: controller.signal }).catch(() => {});
  }
  return {
    schema: 'bandstand.status/1',
    data: null,
    text: () => '',
    plain: () => [],
    silent: true,
  };
}
