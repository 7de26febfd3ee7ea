/**
 * `bandstand list`: every known stack, one line each.                               (control plane)
 */

import { BandstandError } from '../../block/errors.ts';
import { IDLE, type StatusDocument } from '../../control/schema.ts';
import type { Directories } from '../../stack/directories.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { orphansOf, readStatus, stackNames } from '../known-stacks.ts';
import { type Orphan, orphanLines } from '../orphans.ts';
import { healthExitStatus, listRecords, listText } from '../status-text.ts';

export const list: Command = {
  name: 'list',
  summary: 'Shows the known stacks, running or not, one line each.',
  positionals: [],
  options: [
    { name: 'exit-code', kind: 'flag', summary: 'end with 3 degraded, 4 failed, 5 stopped' },
  ],
  examples: [
    ['list', 'shows health, activity, size and exports'],
    ['list --plain | cut -f1', 'prints the names'],
  ],
  async run(context, args) {
    const stacks = await allStatuses(context);
    const orphans = orphansOf(context.directories, stacks);
    return {
      schema: 'bandstand.list/1',
      data: listJson(stacks, orphans),
      text: () => listLines(stacks, orphans),
      plain: () => listRecords(stacks),
      exitStatus: args.flag('exit-code') ? healthExitStatus(stacks) : 0,
    };
  },
};

/** `data` of the schema bandstand.list/1. */
export function listJson(
  stacks: readonly StatusDocument[],
  orphans: readonly Orphan[],
): Record<string, unknown> {
  return {
    stacks,
    orphans: orphans.map(({ device, remove, stack, takeOver }) => ({
      stack,
      device,
      take_over: takeOver,
      remove,
    })),
  };
}

/** The table, and what waits for a server. */
export function listLines(stacks: readonly StatusDocument[], orphans: readonly Orphan[]): string {
  return [listText(stacks), ...orphanLines(orphans)].join('\n');
}

export async function allStatuses(context: CommandContext): Promise<StatusDocument[]> {
  const { directories, timeoutMs } = context;
  return await statusesOf(directories, stackNames(directories), timeoutMs ?? undefined);
}

/** One damaged stack does not hide the others: it is shown as failed, with the reason. */
export async function statusesOf(
  directories: Directories,
  names: readonly string[],
  timeoutMs?: number,
  signal?: AbortSignal,
): Promise<StatusDocument[]> {
  return await Promise.all(
    names.map(async (name) => {
      try {
        return await readStatus(directories, name, timeoutMs, signal);
      } catch (error) {
        if (!(error instanceof BandstandError)) throw error;
        return failedStatus(name, error);
      }
    }),
  );
}

function failedStatus(name: string, error: BandstandError): StatusDocument {
  return {
    name,
    uuid: null,
    server: null,
    health: 'failed',
    reason: error.message,
    action: error.hint,
    size_bytes: null,
    block_size: null,
    activity: IDLE,
    exports: [],
    array: null,
    ftl: null,
    cache: null,
    io: null,
  };
}
