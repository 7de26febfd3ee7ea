/**
 * `bandstand unexport NAME`: removes the export; the stack keeps running.           (control plane)
 */

import { call } from '../../control/client.ts';
import { isRecord } from '../../control/schema.ts';
import { stackPaths } from '../../stack/directories.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import type { Command } from '../command.ts';
import { refuseInUse } from '../export-in-use.ts';
import { notFound, runningStatus } from '../known-stacks.ts';

const TIMEOUT_MS_DEFAULT = 60_000;

export const unexport: Command = {
  name: 'unexport',
  summary: 'Removes the block device or NBD address; the stack keeps running.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    {
      name: 'stop-in-use',
      kind: 'flag',
      summary: 'remove it although it is mounted or open: pending and later I/O fails',
    },
  ],
  examples: [
    ['unexport tank', 'takes the export of tank away'],
    ['export tank --via nbd', 'exports the running stack in another way'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const { runDir, stateDir } = context.directories;
    const paths = stackPaths(runDir, name);
    const status = await runningStatus(runDir, name, context.timeoutMs ?? undefined);
    if (status === null && new StateStore(stateDir).load(name) === null) {
      throw notFound(context.directories, name);
    }
    let removed = false;
    if (status !== null) {
      if (!args.flag('stop-in-use')) {
        refuseInUse('unexport', name, status.exports, status.server?.pid);
      }
      const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
      const answer = await call(paths.controlSocket, 'unexport', {}, { name, timeoutMs });
      removed = isRecord(answer?.result) && answer.result['removed'] === true;
    }
    const text = removed ? `removed the export of ${name}` : `${name} is not exported`;
    return {
      schema: 'bandstand.unexport/1',
      data: { name, removed },
      text: () => text,
      plain: () => [[name, removed ? 'removed' : 'none']],
    };
  },
};
