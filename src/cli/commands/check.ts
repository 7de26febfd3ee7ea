/**
 * `bandstand check NAME`: verifies checksums and compares members, in use.          (control plane)
 *
 * Without --repair nothing is changed. The command starts the check and returns; `wait` waits for
 * it and tells what was found, and so do `events` and the log of the server.
 */

import {
  type ActivityReply,
  type CheckAction,
  type CheckRequest,
  decodeActivityReply,
} from '../../control/schema-members.ts';
import { type Arguments, usageError } from '../arguments.ts';
import { askServer } from '../ask-server.ts';
import { type Command, DRY_RUN } from '../command.ts';
import { shareText } from '../status-text.ts';

export const check: Command = {
  name: 'check',
  summary: 'Verifies checksums of a running stack and compares its members.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    { name: 'repair', kind: 'flag', summary: 'write what is wrong or disagrees' },
    { name: 'pause', kind: 'flag', summary: 'stop for now; it goes on from there' },
    { name: 'resume', kind: 'flag', summary: 'go on after a pause' },
    { name: 'stop', kind: 'flag', summary: 'end the check' },
    DRY_RUN,
  ],
  examples: [
    ['check tank', 'starts to look; changes nothing'],
    ['check tank --repair', 'mends what is wrong, and makes equal what disagrees'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    const request = checkRequest(args);
    const reply = await askServer(context, name, 'check', 'check', request, decodeActivityReply);
    return {
      schema: 'bandstand.check/1',
      data: { name, repair: request.repair, ...reply },
      text: () => checkText(name, request, reply),
      plain: () => [[name, reply.action, reply.changed ? 'changed' : 'unchanged']],
    };
  },
};

function checkRequest(args: Arguments): CheckRequest {
  const flags = (['pause', 'resume', 'stop', 'repair'] as const).filter((flag) => args.flag(flag));
  if (flags.length > 1) {
    throw usageError(`cannot use --${flags[0]} and --${flags[1]} together`, 'choose one');
  }
  const [flag] = flags;
  const action: CheckAction = flag === undefined || flag === 'repair' ? 'start' : flag;
  const dryRun = args.flag('dry-run');
  if (dryRun && action !== 'start') {
    throw usageError(`cannot use --dry-run with --${action}: it writes nothing`, 'leave it out');
  }
  return { action, repair: flag === 'repair', dry_run: dryRun };
}

export function checkText(name: string, request: CheckRequest, reply: ActivityReply): string {
  const { action, changed, dry_run: dry, activity } = reply;
  const how = request.repair ? ' with repair' : '';
  if (action === 'start') {
    if (!changed) return `${name}: a check${how} is running already, at ${shareText(activity)}`;
    if (dry) return `would check ${name}${how}; nothing was changed`;
    return [
      `${name}: check${how} started`,
      `  wait for it: bandstand wait ${name} --for check`,
    ].join('\n');
  }
  const words: Record<string, readonly [string, string]> = {
    pause: ['paused', 'is paused already'],
    resume: ['goes on', 'was not paused'],
    stop: ['stopped', 'was stopped already'],
  };
  return `${name}: check ${words[action]![changed ? 0 : 1]}, at ${shareText(activity)}`;
}
