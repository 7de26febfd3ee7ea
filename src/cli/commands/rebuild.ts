/**
 * `bandstand rebuild NAME`: shows, pauses, resumes, cancels or limits a rebuild.    (control plane)
 *
 * A rebuild starts by itself as soon as there is a lost place and a device for it; here it is only
 * controlled. Pause, resume and the rate are for a resync, too.
 */

import { formatSize, parseSize, SIZE_HINT } from '../../block/quantities.ts';
import {
  type ActivityReply,
  decodeActivityReply,
  type RebuildAction,
  type RebuildRequest,
} from '../../control/schema-members.ts';
import { type Arguments, usageError } from '../arguments.ts';
import { askServer } from '../ask-server.ts';
import type { Command } from '../command.ts';
import { activityLine, shareText } from '../status-text.ts';

export const rebuild: Command = {
  name: 'rebuild',
  summary: 'Shows the rebuild of a stack, or pauses, resumes, cancels or limits it.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    { name: 'pause', kind: 'flag', summary: 'stop for now; it goes on from there' },
    { name: 'resume', kind: 'flag', summary: 'go on after a pause' },
    { name: 'cancel', kind: 'flag', summary: 'give it up; the stack stays degraded' },
    {
      name: 'rate',
      kind: 'text',
      value: 'RATE',
      summary: 'at most so many bytes a second (200M), or auto',
    },
    { name: 'cache', kind: 'flag', summary: 'that of the mirror under the NV cache' },
  ],
  examples: [
    ['rebuild tank --rate 200M', 'leaves more of the disks to others'],
    ['rebuild tank --pause', 'stops the rebuild until --resume'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    const request = rebuildRequest(args);
    const verb = request.action === 'show' ? 'show the rebuild of' : 'control the rebuild of';
    const reply = await askServer(context, name, verb, 'rebuild', request, decodeActivityReply);
    return {
      schema: 'bandstand.rebuild/1',
      data: { name, ...reply },
      text: () => rebuildText(name, reply),
      plain: () => [[name, reply.action, reply.changed ? 'changed' : 'unchanged']],
    };
  },
};

function rebuildRequest(args: Arguments): RebuildRequest {
  const flags = (['pause', 'resume', 'cancel'] as const).filter((flag) => args.flag(flag));
  const rate = args.text('rate');
  const actions: RebuildAction[] = [...flags, ...(rate === null ? [] : (['rate'] as const))];
  if (actions.length > 1) {
    throw usageError(`cannot use --${actions[0]} and --${actions[1]} together`, 'choose one');
  }
  const of_cache = args.flag('cache');
  return { action: actions[0] ?? 'show', of_cache, rate_bytes_per_second: parseRate(rate) };
}

/** Bytes per second; null for automatic. */
function parseRate(text: string | null): number | null {
  if (text === null || text === 'auto') return null;
  const bytes = parseSize(text.replace(/\/s$/, ''));
  if (bytes !== null && bytes > 0) return bytes;
  throw usageError(
    `cannot use --rate '${text}': it is not a rate`,
    `write auto, or bytes a second: ${SIZE_HINT.replace(/^write /, '')}`,
  );
}

export function rebuildText(name: string, reply: ActivityReply): string {
  const { action, changed, activity } = reply;
  const { kind, member_slot: slot } = activity;
  if (action === 'rate') return rateText(name, reply);
  if (kind !== 'rebuild' && kind !== 'resync') return `${name}: no rebuild is running`;
  const what = kind === 'resync' ? 'resync' : `rebuild of slot ${slot}`;
  if (action === 'pause') {
    const now = changed ? 'paused' : 'is paused already';
    return `${name}: ${what} ${now}, at ${shareText(activity)}`;
  }
  if (action === 'resume') {
    return `${name}: ${what} ${changed ? 'goes on' : 'was not paused'}, at ${shareText(activity)}`;
  }
  if (action === 'cancel') {
    const line = `${name}: ${what} cancelled, at ${shareText(activity)}`;
    const again =
      activity.step === 'copy' ? `member replace ${name} ${slot} NEW` : `member add ${name} DEVICE`;
    return `${line}\n  begin one again: bandstand ${again}`;
  }
  return `${name}: ${what}, ${activityLine(activity)}`;
}

function rateText(
  name: string,
  { activity, limit_before: before, changed }: ActivityReply,
): string {
  const limit = activity.limit_bytes_per_second;
  const text = (rate: number | null): string =>
    rate === null ? 'automatic' : `${formatSize(rate)}/s`;
  const now = limit === null ? 'has an automatic rate' : `limited to ${text(limit)}`;
  return `${name}: rebuild ${now}${changed ? ` (was ${text(before)})` : ' already'}`;
}
