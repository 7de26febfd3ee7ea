/**
 * Requests that change members, rebuild and check, and their replies.               (control plane)
 *
 * A member is named by any spelling that we print. The command sends the word as it was typed,
 * together with what it means where the command runs: its absolute path and the identity of the
 * device behind it, because the server has another directory and other mounts. With `dry_run`
 * everything is looked at and nothing is changed.
 */

import {
  type ActivityKind,
  type ActivityStatus,
  type Decoded,
  type Health,
  isCount,
  isRecord,
  type MemberStatusDocument,
  type Method,
} from './schema.ts';

/** What a person called a member. */
export interface MemberReference {
  /** As typed: a path, a name in /dev, a slot, a UUID or the beginning of one. */
  readonly member: string;
  /** The path that the word means where the command ran, or null. */
  readonly member_path: string | null;
  /** Identity of the device behind it (`8:16`, `file:64769:1234`), or null. */
  readonly member_key: string | null;
}

export interface MemberAddRequest {
  /** A device specification with absolute paths. */
  readonly device: string;
  /** Keep it ready, rebuild nothing now. */
  readonly spare_only: boolean;
  /** To the mirror under the NV cache. */
  readonly of_cache: boolean;
  readonly dry_run: boolean;
}

/** To fail or to remove a member. */
export interface MemberChangeRequest extends MemberReference {
  readonly dry_run: boolean;
}

export interface MemberReplaceRequest extends MemberReference {
  readonly device: string;
  readonly dry_run: boolean;
}

export const REBUILD_ACTIONS = ['show', 'pause', 'resume', 'cancel', 'rate'] as const;
export type RebuildAction = (typeof REBUILD_ACTIONS)[number];

export interface RebuildRequest {
  readonly action: RebuildAction;
  /** Of the mirror under the NV cache; else of whichever array has one. */
  readonly of_cache: boolean;
  /** With `rate`: the limit, or null for automatic. */
  readonly rate_bytes_per_second: number | null;
}

export const CHECK_ACTIONS = ['start', 'pause', 'resume', 'stop'] as const;
export type CheckAction = (typeof CHECK_ACTIONS)[number];

export interface CheckRequest {
  readonly action: CheckAction;
  readonly repair: boolean;
  readonly dry_run: boolean;
}

export const CACHE_ACTIONS = ['attach', 'detach'] as const;
/** A cache is one device, or a mirror of two. */
export const CACHE_DEVICES_MAX = 2;
export type CacheAction = (typeof CACHE_ACTIONS)[number];

export interface CacheRequest {
  readonly action: CacheAction;
  /** Device specifications with absolute paths: one, or two for a mirror; none with `detach`. */
  readonly devices: readonly string[];
  readonly dry_run: boolean;
}

/** What became of the NV cache, or would become of it. */
export interface CacheReply {
  readonly action: CacheAction;
  readonly dry_run: boolean;
  /** The device; of a mirror the name of its array. */
  readonly device: string;
  /** All that it lies on. */
  readonly devices: readonly string[];
  readonly size_bytes: number;
  /** With `detach`: what was, or is, to be written back. */
  readonly undrained_bytes: number;
}

export const MEMBER_ACTIONS = ['add', 'fail', 'remove', 'replace'] as const;
export type MemberAction = (typeof MEMBER_ACTIONS)[number];

/** What became of a member, or would become of it. */
export interface MemberReply {
  readonly action: MemberAction;
  readonly dry_run: boolean;
  /** It is about the mirror under the NV cache. */
  readonly of_cache: boolean;
  /** False when it was so already. */
  readonly changed: boolean;
  /** The device that the request was about; with `replace`, the new one. */
  readonly device: string | null;
  readonly uuid: string | null;
  readonly slot: number | null;
  /** What it was before; null for a new device. */
  readonly was: MemberStatusDocument['health'] | null;
  /** What a new device is now: it is being filled, or it is a spare. */
  readonly role: 'rebuild' | 'spare' | null;
  /**
   * What is copied: all, all that the FTL uses, or what changed while it was away; null when it is
   * not known yet.
   */
  readonly mode: 'full' | 'used' | 'delta' | null;
  /** With `replace`: the device that is replaced. */
  readonly replaces: string | null;
  /** A rebuild that runs now because of this: onto which device. */
  readonly rebuild_device: string | null;
  readonly rebuild_slot: number | null;
  /** What has to end before a device that was added takes a lost slot. */
  readonly waits_for: ActivityKind | null;
  /** Of the stack, afterwards. */
  readonly health: Health;
}

export interface ActivityReply {
  readonly action: RebuildAction | CheckAction;
  readonly dry_run: boolean;
  /** False when it was so already. */
  readonly changed: boolean;
  /** Afterwards; for what ends an activity, how far it had come. */
  readonly activity: ActivityStatus;
  /** With `rate`: the limit before. */
  readonly limit_before: number | null;
}

const WORD_CHARACTERS_MAX = 4096;

function isWord(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= WORD_CHARACTERS_MAX &&
    !value.includes('\0')
  );
}

export function decodeMemberAdd(value: unknown): Decoded<MemberAddRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const { device, spare_only, of_cache, dry_run } = value;
  if (!isWord(device)) return { why: 'device is not a device' };
  if (typeof spare_only !== 'boolean') return { why: 'spare_only is not true or false' };
  if (typeof of_cache !== 'boolean') return { why: 'of_cache is not true or false' };
  if (typeof dry_run !== 'boolean') return { why: 'dry_run is not true or false' };
  return { value: { device, spare_only, of_cache, dry_run } };
}

export function decodeMemberChange(value: unknown): Decoded<MemberChangeRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const { member, member_path = null, member_key = null, dry_run } = value;
  if (!isWord(member)) return { why: 'member is not the name of a member' };
  if (member_path !== null && !isWord(member_path)) return { why: 'member_path is not a path' };
  if (member_key !== null && !isWord(member_key)) return { why: 'member_key is not an identity' };
  if (typeof dry_run !== 'boolean') return { why: 'dry_run is not true or false' };
  return { value: { member, member_path, member_key, dry_run } };
}

export function decodeMemberReplace(value: unknown): Decoded<MemberReplaceRequest> {
  const change = decodeMemberChange(value);
  if ('why' in change) return change;
  const { device } = value as Record<string, unknown>;
  if (!isWord(device)) return { why: 'device is not a device' };
  return { value: { ...change.value, device } };
}

export function decodeRebuild(value: unknown): Decoded<RebuildRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const { action, of_cache } = value;
  const known = REBUILD_ACTIONS.find((one) => one === action);
  if (known === undefined) return { why: 'the action is unknown' };
  // To give no rate is not to ask for the automatic one.
  const { rate_bytes_per_second: rate = known === 'rate' ? undefined : null } = value;
  if (rate !== null && !(isCount(rate) && rate > 0)) return { why: 'the rate is not a rate' };
  if (rate !== null && known !== 'rate') return { why: 'there is a rate without the action rate' };
  if (typeof of_cache !== 'boolean') return { why: 'of_cache is not true or false' };
  return { value: { action: known, of_cache, rate_bytes_per_second: rate } };
}

export function decodeCheck(value: unknown): Decoded<CheckRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const { action, repair, dry_run } = value;
  const known = CHECK_ACTIONS.find((one) => one === action);
  if (known === undefined) return { why: 'the action is unknown' };
  if (typeof repair !== 'boolean') return { why: 'repair is not true or false' };
  if (typeof dry_run !== 'boolean') return { why: 'dry_run is not true or false' };
  if (repair && known !== 'start') return { why: 'only a check that starts can repair' };
  return { value: { action: known, repair, dry_run } };
}

export function decodeCache(value: unknown): Decoded<CacheRequest> {
  if (!isRecord(value)) return { why: 'the request is not an object' };
  const { action, devices, dry_run } = value;
  const known = CACHE_ACTIONS.find((one) => one === action);
  if (known === undefined) return { why: 'the action is unknown' };
  if (typeof dry_run !== 'boolean') return { why: 'dry_run is not true or false' };
  if (!Array.isArray(devices)) return { why: 'devices is not a list' };
  if (!devices.every(isWord)) return { why: 'a device is not a device' };
  const [least, most] = known === 'detach' ? [0, 0] : [1, CACHE_DEVICES_MAX];
  if (devices.length < least || devices.length > most) {
    return { why: 'the number of devices does not fit the action' };
  }
  return { value: { action: known, devices, dry_run } };
}

// --- all of them --------------------------------------------------------------------------------

/** A request that has been checked, under the name of its method. */
export type MemberCall =
  | { readonly method: 'member-add'; readonly request: MemberAddRequest }
  | { readonly method: 'member-fail' | 'member-remove'; readonly request: MemberChangeRequest }
  | { readonly method: 'member-replace'; readonly request: MemberReplaceRequest }
  | { readonly method: 'rebuild'; readonly request: RebuildRequest }
  | { readonly method: 'check'; readonly request: CheckRequest }
  | { readonly method: 'cache'; readonly request: CacheRequest };

export type MemberMethod = MemberCall['method'];

const DECODERS: Readonly<Record<MemberMethod, (value: unknown) => Decoded<object>>> = {
  'member-add': decodeMemberAdd,
  'member-fail': decodeMemberChange,
  'member-remove': decodeMemberChange,
  'member-replace': decodeMemberReplace,
  rebuild: decodeRebuild,
  check: decodeCheck,
  cache: decodeCache,
};

export function isMemberMethod(method: Method): method is MemberMethod {
  return Object.hasOwn(DECODERS, method);
}

export function decodeMemberCall(method: MemberMethod, params: unknown): Decoded<MemberCall> {
  const decoded = DECODERS[method](params);
  if ('why' in decoded) return decoded;
  return { value: { method, request: decoded.value } as MemberCall };
}

// --- replies ------------------------------------------------------------------------------------

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string';
}

export function decodeMemberReply(value: unknown): Decoded<MemberReply> {
  if (!isRecord(value)) return { why: 'the reply is not an object' };
  if (!MEMBER_ACTIONS.some((one) => one === value['action'])) return { why: 'the action is bad' };
  for (const key of ['dry_run', 'of_cache', 'changed']) {
    if (typeof value[key] !== 'boolean') return { why: `${key} is not true or false` };
  }
  for (const key of ['device', 'uuid', 'was', 'replaces', 'rebuild_device', 'waits_for']) {
    if (!isTextOrNull(value[key])) return { why: `${key} is not text` };
  }
  for (const key of ['slot', 'rebuild_slot']) {
    if (value[key] !== null && !isCount(value[key])) return { why: `${key} is not a slot` };
  }
  const { role, mode, health } = value;
  if (role !== null && role !== 'rebuild' && role !== 'spare') return { why: 'the role is bad' };
  if (mode !== null && mode !== 'full' && mode !== 'used' && mode !== 'delta') {
    return { why: 'the mode is bad' };
  }
  if (typeof health !== 'string') return { why: 'the health is missing' };
  return { value: value as unknown as MemberReply };
}

export function decodeCacheReply(value: unknown): Decoded<CacheReply> {
  if (!isRecord(value)) return { why: 'the reply is not an object' };
  if (!CACHE_ACTIONS.some((one) => one === value['action'])) return { why: 'the action is bad' };
  if (typeof value['dry_run'] !== 'boolean') return { why: 'dry_run is not true or false' };
  if (typeof value['device'] !== 'string') return { why: 'the device is missing' };
  const { devices } = value;
  if (!Array.isArray(devices) || !devices.every(isWord)) return { why: 'devices is no list' };
  for (const key of ['size_bytes', 'undrained_bytes']) {
    if (!isCount(value[key])) return { why: `${key} is not a size` };
  }
  return { value: value as unknown as CacheReply };
}

export function decodeActivityReply(value: unknown): Decoded<ActivityReply> {
  if (!isRecord(value)) return { why: 'the reply is not an object' };
  const { action, dry_run, changed, activity, limit_before } = value;
  if (typeof action !== 'string') return { why: 'the action is missing' };
  if (typeof dry_run !== 'boolean') return { why: 'dry_run is not true or false' };
  if (typeof changed !== 'boolean') return { why: 'changed is not true or false' };
  if (!isRecord(activity) || typeof activity['kind'] !== 'string') {
    return { why: 'the activity is missing' };
  }
  if (limit_before !== null && !isCount(limit_before)) return { why: 'limit_before is no rate' };
  return { value: value as unknown as ActivityReply };
}
