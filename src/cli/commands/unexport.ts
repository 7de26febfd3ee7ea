/**
 * `bandstand unexport NAME [ADDRESS]`: the stack keeps running without its exports. (control plane)
 */

import { call, protocolError } from '../../control/client.ts';
import { decodeUnexportReply } from '../../control/schema-unexport.ts';
import { stackPaths } from '../../stack/directories.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { refuseInUse } from '../export-in-use.ts';
import { notFound, runningStatus } from '../known-stacks.ts';

const TIMEOUT_MS_DEFAULT = 60_000;

export const unexport: Command = {
  name: 'unexport',
  summary: 'Removes a block device or NBD address, or all; the stack keeps running.',
  positionals: [
    { name: 'NAME', required: true, many: false },
    { name: 'ADDRESS', required: false, many: false },
  ],
  options: [
    {
      name: 'stop-in-use',
      kind: 'flag',
      summary: 'remove it although it is mounted or open: pending and later I/O fails',
    },
  ],
  examples: [
    ['unexport tank', 'takes every export of tank away'],
    ['unexport tank /dev/ublkb0', 'takes this one away, and leaves the others'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    const address = args.optionalPositional('ADDRESS');
    checkStackName(name);
    const { runDir, stateDir } = context.directories;
    const status = await runningStatus(runDir, name, context.timeoutMs ?? undefined);
    if (status === null && new StateStore(stateDir).load(name) === null) {
      throw notFound(context.directories, name);
    }
    const meant = (status?.exports ?? []).filter(
      (one) => address === null || one.address === address,
    );
    let removed: readonly string[] = [];
    if (meant.length > 0) {
      if (!args.flag('stop-in-use')) refuseInUse('unexport', name, meant, status?.server?.pid);
      removed = await remove(context, name, address);
    }
    return {
      schema: 'bandstand.unexport/1',
      data: { name, removed: removed.length > 0, addresses: removed },
      text: () => words(name, address, removed),
      plain: () =>
        removed.length > 0 ? removed.map((one) => [name, 'removed', one]) : [[name, 'none', null]],
    };
  },
};

async function remove(
  context: CommandContext,
  name: string,
  address: string | null,
): Promise<readonly string[]> {
  const path = stackPaths(context.directories.runDir, name).controlSocket;
  const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  const params = address === null ? {} : { address };
  const answer = await call(path, 'unexport', params, { name, timeoutMs });
  // It has ended by itself, and its exports with it.
  if (answer === null) return [];
  const reply = decodeUnexportReply(answer.result);
  if ('why' in reply) throw protocolError(name, reply.why);
  return reply.value.addresses;
}

function words(name: string, address: string | null, removed: readonly string[]): string {
  if (removed.length > 0) return removed.map((one) => `removed ${one} of ${name}`).join('\n');
  return address === null ? `${name} is not exported` : `${name} is not exported as ${address}`;
}
