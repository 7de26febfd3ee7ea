/**
 * `bandstand member add|fail|remove|replace NAME DEVICE [NEW]`: members of a stack. (control plane)
 *
 * The stack has to run: its server is the one that writes to the members. A new device is looked at
 * here first, where the mounts of the user are and where blkid may run.
 */

import { resolve } from 'node:path';
import { BandstandError } from '../../block/errors.ts';
import {
  decodeMemberReply,
  MEMBER_ACTIONS,
  type MemberAction,
  type MemberReference,
  type MemberReply,
} from '../../control/schema-members.ts';
import { identifyDevice } from '../../stack/device-usage.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, orList, usageError } from '../arguments.ts';
import { askServer } from '../ask-server.ts';
import { type Command, type CommandResult, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { memberLines } from '../member-text.ts';
import { newDevice } from '../new-device-option.ts';

export const member: Command = {
  name: 'member',
  summary: 'Adds, fails, removes or replaces (ACTION) a member of a running stack.',
  positionals: [
    { name: 'ACTION', required: true, many: false, words: MEMBER_ACTIONS },
    { name: 'NAME', required: true, many: false },
    { name: 'DEVICE', required: true, many: false },
    { name: 'NEW', required: false, many: false },
  ],
  options: [
    {
      name: 'spare',
      kind: 'flag',
      summary: 'with add: as a spare, which begins no cancelled rebuild',
    },
    { name: 'cache', kind: 'flag', summary: 'with add: to the mirror under the NV cache' },
    DRY_RUN,
  ],
  examples: [
    ['member add tank /dev/sdd', 'gives a lost place to a device, or keeps it as a spare'],
    ['member replace tank sdb /dev/sde', 'copies sdb to sde; sdb stays in use meanwhile'],
  ],
  async run(context, args) {
    const action = chooseAction(args);
    const name = args.positional('NAME');
    checkStackName(name);
    const device = args.positional('DEVICE');
    const dryRun = args.flag('dry-run');
    if (action === 'add') {
      const added = newDevice(`add ${device} to ${name}`, device);
      const flags = { spare_only: args.flag('spare'), of_cache: args.flag('cache') };
      const request = { device: added, ...flags, dry_run: dryRun };
      return await change(context, name, action, request);
    }
    const change_ = { ...reference(device), dry_run: dryRun };
    if (action !== 'replace') return await change(context, name, action, change_);
    const wanted = args.optionalPositional('NEW')!;
    const added = newDevice(`replace ${device} with ${wanted}`, wanted);
    return await change(context, name, action, { ...change_, device: added });
  },
};

function chooseAction(args: Arguments): MemberAction {
  const word = args.positional('ACTION');
  const action = MEMBER_ACTIONS.find((one) => one === word);
  if (action === undefined) {
    throw usageError(
      `cannot do 'member ${word}': it has to be ${orList(MEMBER_ACTIONS)}`,
      'see bandstand member --help',
    );
  }
  const added = args.optionalPositional('NEW');
  if (action === 'replace' && added === null) {
    throw usageError(
      'cannot replace a member: NEW is missing',
      'write bandstand member replace NAME DEVICE NEW',
    );
  }
  if (action !== 'replace' && added !== null) {
    throw usageError(
      `cannot ${action} a member: '${added}' is one argument too many`,
      `write bandstand member ${action} NAME DEVICE`,
    );
  }
  for (const flag of ['spare', 'cache'] as const) {
    if (!args.flag(flag) || action === 'add') continue;
    throw usageError(`cannot use --${flag} with member ${action}`, 'leave it out');
  }
  return action;
}

/** What the word means here. A slot or a UUID is no path, and need not be one. */
function reference(word: string): MemberReference {
  for (const path of [resolve(word), `/dev/${word}`]) {
    try {
      return { member: word, member_path: path, member_key: identifyDevice(path).key };
    } catch (error) {
      if (!(error instanceof BandstandError)) throw error;
    }
  }
  return { member: word, member_path: resolve(word), member_key: null };
}

async function change(
  context: CommandContext,
  name: string,
  action: MemberAction,
  request: object,
): Promise<CommandResult> {
  const verb = `${action} a member of`;
  const method = `member-${action}` as const;
  const reply = await askServer(context, name, verb, method, request, decodeMemberReply);
  return result(name, reply);
}

function result(name: string, reply: MemberReply): CommandResult {
  const { action, device, slot, role, changed } = reply;
  return {
    schema: 'bandstand.member/1',
    data: { name, ...reply },
    text: () => memberLines(name, reply).join('\n'),
    plain: () => [[name, action, device, slot, role, changed ? 'changed' : 'unchanged']],
  };
}
