/**
 * What a changed member is told as: one line of what happened, then what is next.   (control plane)
 *
 * A dry run says the same in the conditional.
 */

import type { MemberReply } from '../control/schema-members.ts';

/** Lines for stdout; the first is the outcome, the others are indented advice. */
export function memberLines(name: string, reply: MemberReply): string[] {
  const { action, dry_run: dry, changed } = reply;
  if (!changed) return [unchanged(name, reply)];
  const text = { add: added, fail: failed, remove: removed, replace: replaced }[action];
  const lines = text(name, reply);
  if (!dry) return lines;
  return [`${lines[0]}; nothing was changed`];
}

function unchanged(name: string, reply: MemberReply): string {
  const { action, device, was } = reply;
  const which = whichMember(device, reply);
  if (action === 'fail') return `${which} of ${name} is ${was} already`;
  return `${slotOf(reply)} of ${name} has no device that could be removed`;
}

function whichMember(device: string | null, reply: MemberReply): string {
  if (device === null) return slotOf(reply);
  return reply.slot === null ? device : `${device} (${slotOf(reply)})`;
}

/** `slot 2`, or in the mirror under the NV cache `slot cache:1`. */
function slotOf({ of_cache, slot }: Pick<MemberReply, 'of_cache' | 'slot'>): string {
  return `slot ${of_cache ? 'cache:' : ''}${slot}`;
}

function added(name: string, reply: MemberReply): string[] {
  const { device, role, dry_run: dry, of_cache } = reply;
  if (role === 'spare') {
    const spare = of_cache ? 'a spare of the NV cache' : 'a spare';
    const line = dry ? `would add ${device} as ${spare}` : `added ${device} as ${spare}`;
    return [line, ...afterSpare(name, reply)];
  }
  const line = dry
    ? `would add ${device} and rebuild ${slotOf(reply)} onto it`
    : `added ${device}: rebuild of ${slotOf(reply)} started${amount(reply)}`;
  return [line, ...watching(name)];
}

/** What goes on beside a spare that was added. */
function afterSpare(name: string, reply: MemberReply): string[] {
  const { of_cache, rebuild_device: onto, rebuild_slot, waits_for: kind } = reply;
  if (onto !== null) {
    const slot = slotOf({ of_cache, slot: rebuild_slot });
    return [`  ${slot} is being rebuilt onto ${onto}: bandstand wait ${name} --for rebuild`];
  }
  if (kind === null) return [];
  return [`  it takes a lost slot after the ${kind}: bandstand wait ${name} --for ${kind}`];
}

/** `, of everything`, `, of all that is used` or `, of what it missed`. */
function amount({ mode }: MemberReply): string {
  if (mode === null) return '';
  if (mode === 'delta') return ', of what it missed';
  return mode === 'full' ? ', of everything' : ', of all that is used';
}

function watching(name: string): string[] {
  return [`  wait for it: bandstand wait ${name} --for rebuild`];
}

function failed(name: string, reply: MemberReply): string[] {
  const { device, dry_run: dry, health, of_cache, rebuild_device: onto } = reply;
  const which = whichMember(device, reply);
  const whole = of_cache ? `the NV cache of ${name}` : name;
  if (dry) return [`would fail ${which}`];
  const line = `failed ${which}; ${whole} is ${health}`;
  if (onto !== null) {
    return [`${line}: rebuild onto ${onto} started`, ...watching(name)];
  }
  return [
    line,
    `  put a device in its place: bandstand member add ${name} DEVICE${of_cache ? ' --cache' : ''}`,
  ];
}

function removed(name: string, reply: MemberReply): string[] {
  const { device, slot, was, dry_run: dry } = reply;
  if (slot === null && was === 'missing') {
    const what = `the spare ${device} of ${name}, which is not here`;
    return [dry ? `would forget ${what}` : `forgot ${what}`];
  }
  if (dry) return [`would remove ${whichMember(device, reply)} from ${name}`];
  return [`removed ${whichMember(device, reply)} from ${name}`];
}

function replaced(name: string, reply: MemberReply): string[] {
  const { device, was, replaces, dry_run: dry } = reply;
  const old = whichMember(replaces, reply);
  const verb = dry ? 'would replace' : 'replacing';
  const line = `${verb} ${old} with ${device}`;
  if (was === 'ok') {
    return [`${line}; ${replaces} stays in use until the copy is complete`, ...watching(name)];
  }
  if (dry) return [`${line} and rebuild ${slotOf(reply)} onto it`];
  return [`${line}: rebuild of ${slotOf(reply)} started${amount(reply)}`, ...watching(name)];
}
