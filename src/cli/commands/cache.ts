/**
 * `bandstand cache attach|detach NAME [DEVICE]`: the NV cache of a running stack.   (control plane)
 *
 * Both go on under load: a moment's wait when it joins, and when it leaves as long as the rest of
 * it takes to be written back.
 */

import { formatSize } from '../../block/quantities.ts';
import {
  CACHE_ACTIONS,
  type CacheAction,
  type CacheReply,
  type CacheRequest,
  decodeCacheReply,
} from '../../control/schema-members.ts';
import { attachSubject } from '../../stack/stack-cache.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, orList, usageError } from '../arguments.ts';
import { askServer } from '../ask-server.ts';
import { type Command, DRY_RUN } from '../command.ts';
import { newDevice } from '../new-device-option.ts';

/** A large cache in front of slow members takes its time. */
const TIMEOUT_MS_DEFAULT = 24 * 3_600_000;

export const cache: Command = {
  name: 'cache',
  summary: 'Attaches an NV cache to a running stack with an FTL, or detaches it (ACTION).',
  positionals: [
    { name: 'ACTION', required: true, many: false },
    { name: 'NAME', required: true, many: false },
    { name: 'DEVICE', required: false, many: false },
  ],
  options: [DRY_RUN],
  examples: [
    ['cache attach tank /dev/nvme0n1', 'writes go there first from now on'],
    ['cache detach tank', 'writes back what it holds; then the device is free'],
  ],
  async run(context, args) {
    const action = chooseAction(args);
    const name = args.positional('NAME');
    checkStackName(name);
    const request = cacheRequest(args, action, name);
    const verb = action === 'attach' ? 'attach a cache to' : 'detach the cache of';
    const reply = await askServer(
      context,
      name,
      verb,
      'cache',
      request,
      decodeCacheReply,
      TIMEOUT_MS_DEFAULT,
    );
    return {
      schema: 'bandstand.cache/1',
      data: { name, ...reply },
      text: () => replyText(name, reply),
      plain: () => [[name, reply.action, reply.device, reply.size_bytes, reply.undrained_bytes]],
    };
  },
};

function chooseAction(args: Arguments): CacheAction {
  const word = args.positional('ACTION');
  const action = CACHE_ACTIONS.find((one) => one === word);
  if (action !== undefined) return action;
  throw usageError(
    `cannot do 'cache ${word}': it has to be ${orList(CACHE_ACTIONS)}`,
    'see bandstand cache --help',
  );
}

function cacheRequest(args: Arguments, action: CacheAction, name: string): CacheRequest {
  const device = args.optionalPositional('DEVICE');
  const dryRun = args.flag('dry-run');
  if (action === 'detach') {
    if (device === null) return { action, device: null, dry_run: dryRun };
    throw usageError(
      `cannot detach a cache: '${device}' is one argument too many`,
      `write bandstand cache detach ${name}`,
    );
  }
  if (device === null) {
    throw usageError(
      'cannot attach a cache: DEVICE is missing',
      `write bandstand cache attach ${name} DEVICE`,
    );
  }
  return { action, device: newDevice(attachSubject(name, device), device), dry_run: dryRun };
}

function replyText(name: string, reply: CacheReply): string {
  const { action, device, dry_run: dryRun } = reply;
  const size = formatSize(reply.size_bytes);
  if (action === 'attach') {
    return dryRun
      ? `${device} (${size}) can be attached to ${name}; nothing was changed`
      : `${device} (${size}) is the NV cache of ${name}`;
  }
  const held = formatSize(reply.undrained_bytes);
  return dryRun
    ? `${held} would be written back from ${device}; nothing was changed`
    : `${name} has no NV cache any more; ${device} is free`;
}
