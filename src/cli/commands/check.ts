/**
 * `bandstand check`: verifies checksums and compares members.                       (control plane)
 *
 * Without --repair nothing is changed. Where the stack runs, the command starts the check and
 * returns; `wait` waits for it and tells what was found, and so do `events` and the log of the
 * server. Where it does not, the command looks by itself (offline-check.ts), and changes nothing;
 * or it makes the map of an FTL anew (rebuild-map.ts).
 */

import { BandstandError } from '../../block/errors.ts';
import {
  type ActivityReply,
  type CheckAction,
  type CheckRequest,
  decodeActivityReply,
} from '../../control/schema-members.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, usageError } from '../arguments.ts';
import { askServer } from '../ask-server.ts';
import { type Command, type CommandResult, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { shareText } from '../status-text.ts';

export const check: Command = {
  name: 'check',
  summary: 'Verifies the checksums of a stack and compares its members.',
  positionals: [{ name: 'NAME', required: false, many: false }],
  options: [
    { name: 'device', kind: 'list', value: 'PATH', summary: 'of a stopped stack: a member' },
    { name: 'repair', kind: 'flag', summary: 'write what is wrong or disagrees' },
    { name: 'pause', kind: 'flag', summary: 'stop for now; it goes on from there' },
    { name: 'resume', kind: 'flag', summary: 'go on after a pause' },
    { name: 'stop', kind: 'flag', summary: 'end the check' },
    {
      name: 'rebuild-map',
      kind: 'flag',
      summary: 'of a stopped stack with an FTL: make its map anew',
    },
    { name: 'yes', kind: 'flag', summary: 'do not ask before that' },
    {
      name: 'discard-buffer',
      kind: 'flag',
      summary: 'do that without the write buffer of a killed server',
    },
    DRY_RUN,
  ],
  examples: [
    ['check tank', 'starts to look; changes nothing'],
    ['check tank --repair', 'mends what is wrong, and makes equal what disagrees'],
  ],
  async run(context, args) {
    const name = args.optionalPositional('NAME');
    const devices = args.list('device');
    const request = checkRequest(args);
    if (name !== null) checkStackName(name);
    if (name === null && devices.length === 0) {
      throw usageError('cannot check: no stack is named', 'name one, or its members: --device');
    }
    if (args.flag('discard-buffer') && !args.flag('rebuild-map')) {
      throw usageError(
        'cannot use --discard-buffer without --rebuild-map: a check takes nothing over',
        'leave it out',
      );
    }
    if (args.flag('rebuild-map')) {
      refuseBeside(request, 'rebuild-map');
      const { rebuildStopped } = await import('../rebuild-map.ts');
      return await rebuildStopped(context, args, await planOf(context, name, devices));
    }
    if (name === null || devices.length > 0) {
      refuseBeside(request, 'device');
      return await checkHere(context, name, devices);
    }
    const reply = await whereItRuns(context, name, request);
    if (reply === null) return await checkHere(context, name, []);
    return {
      schema: 'bandstand.check/1',
      data: { name, repair: request.repair, ...reply },
      text: () => checkText(name, request, reply),
      plain: () => [[name, reply.action, reply.changed ? 'changed' : 'unchanged']],
    };
  },
};

/** What is done in this process brings the whole data path with it, and is loaded for it only. */
const loadOffline = () => import('../offline-check.ts');

async function planOf(context: CommandContext, name: string | null, devices: readonly string[]) {
  return await (await loadOffline()).offlinePlan(context, name, devices);
}

async function checkHere(
  context: CommandContext,
  name: string | null,
  devices: readonly string[],
): Promise<CommandResult> {
  const plan = await planOf(context, name, devices);
  return await (await loadOffline()).checkStopped(context, plan);
}

/** Null when the stack does not run, and what is asked for can be done without its server. */
async function whereItRuns(
  context: CommandContext,
  name: string,
  request: CheckRequest,
): Promise<ActivityReply | null> {
  try {
    return await askServer(context, name, 'check', 'check', request, decodeActivityReply);
  } catch (error) {
    const stopped = error instanceof BandstandError && error.code === 'BANDSTAND_STACK_NOT_RUNNING';
    if (!stopped || request.action !== 'start' || request.repair || request.dry_run) throw error;
    return null;
  }
}

/** What only the server of a stack can do. */
function refuseBeside(
  { action, repair, dry_run: dryRun }: CheckRequest,
  option: 'device' | 'rebuild-map',
): void {
  const flag = repair ? 'repair' : dryRun ? 'dry-run' : action === 'start' ? null : action;
  if (flag === null) return;
  throw usageError(
    `cannot use --${flag} with --${option}: it is for a stack that runs`,
    `leave out --${option}: bandstand export NAME, then bandstand check NAME --${flag}`,
  );
}

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
