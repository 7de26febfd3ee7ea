/**
 * `bandstand cache attach|detach NAME [DEVICE…]`: the NV cache of a stack.         (control plane)
 *
 * Both go on under load: a moment's wait when it joins, and when it leaves as long as the rest of
 * it takes to be written back. Two devices become a mirror.
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
import { cacheDevices } from '../cache-devices.ts';
import { type Command, DRY_RUN } from '../command.ts';
import { newDevice } from '../new-device-option.ts';
import { attachWork, detachWork, whileWaiting } from '../server-progress.ts';

/** A large cache in front of slow members takes its time. */
const TIMEOUT_MS_DEFAULT = 24 * 3_600_000;

export const cache: Command = {
  name: 'cache',
  summary: 'Attaches an NV cache to a running stack with an FTL, or detaches it (ACTION).',
  positionals: [
    { name: 'ACTION', required: true, many: false, words: CACHE_ACTIONS },
    { name: 'NAME', required: true, many: false },
    { name: 'DEVICE', required: false, many: true },
  ],
  options: [DRY_RUN],
  examples: [
    ['cache attach tank /dev/nvme0n1 /dev/nvme1n1', 'writes go to both first from now on'],
    ['cache detach tank', 'writes back what it holds, and frees it'],
  ],
  async run(context, args) {
    const action = chooseAction(args);
    const name = args.positional('NAME');
    checkStackName(name);
    const request = cacheRequest(args, action, name);
    const verb = action === 'attach' ? 'attach a cache to' : 'detach the cache of';
    const decode = decodeCacheReply;
    const asked = askServer(context, name, verb, 'cache', request, decode, TIMEOUT_MS_DEFAULT);
    const workOf = action === 'attach' ? attachWork(name) : detachWork(name);
    const reply = await whileWaiting(context, name, workOf, asked);
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
  const words = args.many('DEVICE');
  const dryRun = args.flag('dry-run');
  if (action === 'detach') {
    if (words.length === 0) return { action, devices: [], dry_run: dryRun };
    throw usageError(
      `cannot detach a cache: '${words[0]}' is one argument too many`,
      `write bandstand cache detach ${name}`,
    );
  }
  if (words.length === 0) {
    throw usageError(
      'cannot attach a cache: DEVICE is missing',
      `write bandstand cache attach ${name} DEVICE`,
    );
  }
  const devices = cacheDevices(words).map((device) =>
    newDevice(attachSubject(name, device), device),
  );
  return { action, devices, dry_run: dryRun };
}

function replyText(name: string, reply: CacheReply): string {
  const { action, devices, dry_run: dryRun } = reply;
  const [first] = devices;
  const isMirror = devices.length > 1;
  const device = isMirror ? devices.join(' and ') : first;
  const size = formatSize(reply.size_bytes);
  if (action === 'attach') {
    return dryRun
      ? `${device} (${size}) can be attached to ${name}; nothing was changed`
      : `${device} (${size}) ${isMirror ? 'are mirrored as' : 'is'} the NV cache of ${name}`;
  }
  const held = formatSize(reply.undrained_bytes);
  return dryRun
    ? `${held} would be written back from ${device}; nothing was changed`
    : `${name} has no NV cache any more; ${device} ${isMirror ? 'are' : 'is'} free`;
}
